"""The whole demonstration, small: init, serve, a kill under load, drain, check."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.simulate import demo
from gateway.simulate.check import CheckResult
from gateway.simulate.served import ServedGateway, make_folder

ROOT = Path(__file__).parents[2]
SMALL = ["--riders", "60", "--devices", "16", "--rate", "400"]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway.simulate.demo", *SMALL, "--dir", str(folder)]
    return subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_in(folder: Path) -> list[int]:
    """Who runs with a configuration in this folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in line.read_bytes():
                found.append(int(line.parent.name))
        except OSError:
            continue
    return found


def test_a_small_demo_ends_well(tmp_path: Path) -> None:
    process = start(tmp_path, "--seconds", "5", "--least", "20")
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    last = out.strip().splitlines()[-1]
    found = re.fullmatch(r"demo: taps=(\d+) wrong=0 lost=0 p50_us=\d+ p99_us=\d+", last)
    assert found, last
    assert int(found[1]) > 100
    assert "killed the data plane" in err
    assert "outage" in out
    assert list(tmp_path.iterdir()) == [], "the data folder is removed"
    assert processes_in(tmp_path) == []


def test_an_interrupted_demo_ends_what_it_started(tmp_path: Path) -> None:
    process = start(tmp_path, "--seconds", "60")
    until = time.monotonic() + 60
    while len(processes_in(tmp_path)) < 3 and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130, err
    until = time.monotonic() + 20
    while processes_in(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_in(tmp_path) == []


def options(*arguments: str) -> demo.DemoOptions:
    return demo.parse_options(list(arguments))


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (CheckResult(taps=20_000), True),
        (CheckResult(taps=19_999), False),
        (CheckResult(taps=50_000, wrong=1), False),
        (CheckResult(taps=50_000, lost=1), False),
        (CheckResult(taps=50_000, doubled=1), False),
    ],
)
def test_what_a_good_demo_is(check: CheckResult, good: bool) -> None:
    run = demo.DemoRun({"p50_us": 1, "p99_us": 2}, check, groups=1, stop_status=0)
    assert (run.faults(options("--seconds", "20")) == []) is good


def test_a_gateway_that_did_not_drain_is_no_good_demo() -> None:
    run = demo.DemoRun({}, CheckResult(taps=50_000), groups=1, stop_status=1)
    (fault,) = run.faults(options("--seconds", "20"))
    assert fault == "the gateway ended with status 1"


def test_a_demo_that_was_too_slow_says_so_and_not_only_by_its_status() -> None:
    run = demo.DemoRun({}, CheckResult(taps=8_498), groups=1, stop_status=0)
    (fault,) = run.faults(options("--seconds", "10"))
    assert fault.startswith("only 850 taps a second were answered, 1,000 are wanted")


def test_the_last_line() -> None:
    check = CheckResult(taps=7, wrong=1, lost=2, doubled=3)
    run = demo.DemoRun({"p50_us": 80, "p99_us": 900}, check, groups=1, stop_status=0)
    assert run.last_line() == "demo: taps=7 wrong=1 lost=5 p50_us=80 p99_us=900"


def test_seconds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_SECONDS", "3")
    assert options().seconds == 3
    assert options("--seconds", "4").seconds == 4


def test_a_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    loaded, flags = make_folder(tmp_path / ("deep" * 20), flags={})
    socket = Path(flags["control.socket"])
    assert loaded.config.control.socket == socket
    socket.parent.rmdir()


async def test_a_gateway_that_cannot_start_says_why(tmp_path: Path) -> None:
    loaded, flags = make_folder(tmp_path, flags={"tariffs.slots.1": "no-such-tariff"})
    gateway = ServedGateway(loaded, flags)
    with pytest.raises(Exception, match="no-such-tariff"):
        await asyncio.wait_for(gateway.start(), 60)
    await gateway.kill_all()
