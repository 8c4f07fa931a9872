"""Runs a real supervisor over fake processes: `supervise.py CONFIG [NAME ...]`; JSON lines out."""

from __future__ import annotations

import asyncio
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


async def run(config: Path, names: list[str]) -> int:
    # Settings without their checks: loading those takes longer than the whole play.
    loaded: Any = SimpleNamespace(
        path=config, config=SimpleNamespace(run_dir=config.parent / "run")
    )
    hold_pid_file(loaded.config, names)
    patience = Patience(drain_s=1.0, stop_s=0.5)
    made = Supervisor(loaded, say, flags={}, names=names, patience=patience, launcher=FAKE)
    return await made.run()


if __name__ == "__main__":
    supervisor.BACKOFF_FIRST_S = 0.05
    sys.exit(asyncio.run(run(Path(sys.argv[1]), sys.argv[2:] or list(NAMES))))
