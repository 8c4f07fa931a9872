"""`faregate simulate` as people call it, against a gateway that runs."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path
from typing import Any

from gateway.bootstrap import compile_tariffs
from gateway.config import Config
from tests.support.plane import make_folder, running

ROOT = Path(__file__).parents[2]
FEW = ["--riders", "30", "--devices", "12", "--seconds", "1", "--rate", "200"]


async def simulate(config: Config | None, *options: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "gateway.cli", "simulate", *FEW, *options]
    if config is not None:
        command += ["--config", str(config.gateway.data_dir / "gateway.toml")]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def one_object(out: str) -> dict[str, Any]:
    [line] = out.strip().splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


async def test_riders_travel_twice_and_from_a_file(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "data")
    file = tmp_path / "riders.json"
    async with running(config, tariffs=compile_tariffs(config)) as hands:
        status, out, err = await simulate(config, "--check", "--json")
        assert status == 0, err
        first = one_object(out)
        devices = len(hands.plane.devices)
        status, out, err = await simulate(config, "--save-roster", str(file))
        assert status == 0, err
        assert len(hands.plane.devices) == devices, "the same validators are used again"
        address = f"127.0.0.1:{hands.port}"
        status, out, err = await simulate(None, "--roster", str(file), "--address", address)
        assert status == 0, err
    assert first["taps"] > 100
    assert (first["check"]["wrong"], first["check"]["lost"]) == (0, 0)
    assert first["check"]["taps"] == first["taps"]
    assert first["errors"] == {}
    assert "revenue" in out
    assert "taps/s" not in err, "no live table without a terminal"
    assert "p50" in err, "plain lines instead"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "device keys are in it"


async def test_mistakes_are_told(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    status, out, _ = await simulate(config, "--json")
    assert status == 3, "no gateway runs"
    assert "error" in one_object(out)
    status, out, _ = await simulate(None, "--roster", "nowhere.json", "--json")
    assert (status, one_object(out)["error"]["code"]) == (2, "USAGE_INVALID")
    status, out, _ = await simulate(None, "--roster", "nowhere", "--address", "h:1", "--json")
    assert (status, one_object(out)["error"]["code"]) == (3, "CONFIG_NOT_FOUND")
