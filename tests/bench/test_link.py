"""The whole of `faregate bench link` against a real gateway, small."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.bench.link import is_sound, run
from gateway.bench.options import BenchOptions
from gateway.bench.own_gateway import GatewayFolder, data_folder, start_gateway
from gateway.bench.report import print_report

TOWN = """
format = 1
id = "bench-town"
version = "1"
title = { zh = "小城", en = "Town" }
currency = "CNY"
valid_from = 2026-01-01
valid_years = 20

[time]
zone = "Asia/Shanghai"

[network]
stations = "stations.toml"
lines = "lines.toml"

[[fare]]
name = "main"
tolerance_m = 100
bands = [{ to_m = 1000, fare = "2.00" }, { to_m = 3000, fare = "3.00" }]
beyond = { per_m = 1000, add = "0.50" }
"""
STATIONS = """
format = 1
as_of = "2026-01"
stations = [
  { id = 1, zh = "东", py = "Dong" },
  { id = 2, zh = "中", py = "Zhong" },
  { id = 3, zh = "西", py = "Xi" },
]
"""
LINES = """
format = 1
as_of = "2026-01"

[[line]]
code = 1
zh = "一线"
en = "Line 1"
stations = [{ at = "东" }, { at = "中", m = 900 }, { at = "西", m = 1200 }]
"""


def write_town(folder: Path) -> Path:
    """A line of three stations: quick to compile."""
    for name, text in (("stations", STATIONS), ("lines", LINES), ("town", TOWN)):
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / "town.toml"


FIELDS = {
    "taps_per_s",
    "p50_us",
    "p99_us",
    "p999_us",
    "fsync_p50_us",
    "fsync_p99_us",
    "connections",
    "accounts",
    "batch",
    "rate",
    "accepted",
    "refused",
    "acked",
    "journaled",
    "mac",
    "versions",
    "cpu_model",
    "commit",
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run through the command line."""
    options = "--connections 3 --accounts 60 --seconds 0.3 --warmup 0.1 --no-pin --json --dir"
    command = [sys.executable, "-m", "gateway.cli", "bench", "link", *options.split()]
    folder = tmp_path_factory.mktemp("b")
    town = write_town(tmp_path_factory.mktemp("t"))
    command += [str(folder), "--tariff", str(town), "--set", "journal.segment_mib=16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def test_every_acknowledged_tap_is_in_the_journal(result: dict[str, Any]) -> None:
    assert result["acked"] == result["journaled"] == result["accepted"] > 0
    assert (result["lost"], result["doubled"], result["faults"]) == (0, 0, {})
    assert (result["refused"], result["errors"], result["unanswered"]) == ({}, {}, 0)
    assert is_sound(result)


def test_the_result_says_what_was_measured(result: dict[str, Any]) -> None:
    assert set(result) >= FIELDS
    assert (result["connections"], result["accounts"], result["batch"]) == (3, 60, 0)
    assert result["taps_per_s"] > 0
    assert 0 < result["p50_us"] <= result["p99_us"] <= result["p999_us"] <= result["max_us"]
    assert 0 < result["fsync_p50_us"] <= result["fsync_p99_us"]


def test_the_report_shows_the_same_figures(result: dict[str, Any]) -> None:
    out = io.StringIO()
    print_report(result, Console(file=out, width=200))
    for name in ("taps_per_s", "p99_us", "fsync_p99_us", "journaled"):
        assert f"{result[name]:,}" in out.getvalue()


@pytest.mark.parametrize(
    "fault", [{"lost": 1}, {"doubled": 1}, {"faults": {"bad_tags": 1}}, {"gateway_status": 1}]
)
def test_what_is_wrong_makes_a_run_unsound(result: dict[str, Any], fault: dict[str, Any]) -> None:
    assert not is_sound({**result, **fault})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def serving(tmp_path: Path) -> Iterator[GatewayFolder]:
    """A gateway that somebody else runs, with its address in its settings."""
    settings = (("link.port", str(free_port())), ("journal.segment_mib", "16"))
    options = BenchOptions(folder=tmp_path, settings=settings, tariff=str(write_town(tmp_path)))
    with data_folder(options) as folder, start_gateway(folder, None) as gateway:
        yield folder
        assert gateway.stop() == 0


def test_a_running_gateway_can_be_loaded_too(tmp_path: Path) -> None:
    with serving(tmp_path) as folder:
        options = BenchOptions(
            config=folder.loaded.path,
            settings=tuple(folder.flags.items()),
            connections=2,
            accounts=20,
            seconds=0.5,
            warmup_s=0,
            batch=4,
            rate=400,
            mac="hmac-sha256",
            pin=False,
        )
        result = run(options)
    assert result["acked"] == result["journaled"] == result["accepted"] == 200
    assert is_sound(result)
    assert result["refused"] == {}
