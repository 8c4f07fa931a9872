"""Runs a real supervisor over fake processes: `supervise.py CONFIG [NAME ...]`; JSON lines out."""

from __future__ import annotations

import asyncio
import errno
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway import supervisor
from gateway.supervisor import NAMES, Patience, Supervisor, hold_pid_file

FAKE = (sys.executable, "-S", str(Path(__file__).with_name("fake_process.py")))


def say(event: str, fields: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def play_spawning(folder: Path) -> None:
    """Starts fail as the plans say: `eagain` as where there is no room for one process more, `bug`
    as nothing is expected to. Each uses up its word.
    """
    real = asyncio.create_subprocess_exec

    async def spawn(*command: str, **more: Any) -> asyncio.subprocess.Process:
        plan = folder / "plan" / command[len(FAKE)]
        first, _, rest = plan.read_text().partition(" ")
        if first in ("eagain", "bug"):
            plan.write_text(rest)
            raise BlockingIOError(errno.EAGAIN, "no more") if first == "eagain" else KeyError(first)
        return await real(*command, **more)

    asyncio.create_subprocess_exec = spawn  # type: ignore[assignment]


async def run(config: Path, names: list[str]) -> int:
    # Settings without their checks: loading those takes longer than the whole play.
    loaded: Any = SimpleNamespace(
        path=config, config=SimpleNamespace(run_dir=config.parent / "run")
    )
    hold_pid_file(loaded.config, names)
    play_spawning(config.parent)
    patience = Patience(drain_s=1.0, stop_s=0.5)
    made = Supervisor(loaded, say, flags={}, names=names, patience=patience, launcher=FAKE)
    return await made.run()


if __name__ == "__main__":
    supervisor.BACKOFF_FIRST_S = 0.05
    sys.exit(asyncio.run(run(Path(sys.argv[1]), sys.argv[2:] or list(NAMES))))
