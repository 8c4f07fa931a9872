"""Runs a real supervisor over fake processes: `supervise.py CONFIG [NAME ...]`; JSON lines out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway import supervisor
from gateway.config import load_config
from gateway.supervisor import NAMES, Patience, Supervisor, hold_pid_file

FAKE = (sys.executable, str(Path(__file__).with_name("fake_process.py")))


def say(event: str, fields: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


async def run(config: Path, names: list[str]) -> int:
    loaded = load_config(config, env={})
    hold_pid_file(loaded.config, names)
    patience = Patience(drain_s=1.0, stop_s=0.5)
    made = Supervisor(loaded, say, flags={}, names=names, patience=patience, launcher=FAKE)
    return await made.run()


if __name__ == "__main__":
    supervisor.BACKOFF_FIRST_S = 0.05
    sys.exit(asyncio.run(run(Path(sys.argv[1]), sys.argv[2:] or list(NAMES))))
