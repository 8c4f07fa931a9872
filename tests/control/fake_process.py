"""Plays one process of the gateway, as `plan/<name>` tells it: one behaviour a start.

serve      says ready, ends at SIGTERM             refuse   says why not, exits 3
crash      exits 1 before it is ready              broken   says ready, then exits 70
die        says ready, then exits 1                stubborn says ready, ignores SIGTERM
quit       says ready, then exits 0                slow     as serve, but takes 0.3 s to drain
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from gateway.errors import EnvironmentFault
from gateway.readiness import follow_parent, tell_failure, tell_ready


class Player:
    """One start of one process."""

    def __init__(self, folder: Path, name: str, ready_fd: int) -> None:
        self.folder = folder
        self.name = name
        self.ready_fd = ready_fd

    def note(self, what: str) -> None:
        fd = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{self.name} {what}\n".encode())
        os.close(fd)

    def play(self) -> int:
        starts = (self.folder / "log").read_text().count(f"{self.name} start")
        self.note(f"start {os.getpid()}")
        plan = (self.folder / "plan" / self.name).read_text().split()
        return self.act(plan[min(starts, len(plan) - 1)])

    def act(self, behaviour: str) -> int:
        if behaviour == "refuse":
            tell_failure(self.ready_fd, EnvironmentFault("ENV_PORT_IN_USE", "port 1 is taken"))
            return 3
        if behaviour == "crash":
            return 1
        stopping: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
        tell_ready(self.ready_fd, {self.name: f"{self.name}:1"})
        if behaviour in ("broken", "die", "quit"):
            return {"broken": 70, "die": 1, "quit": 0}[behaviour]
        while not stopping or behaviour == "stubborn":
            time.sleep(0.01)
        if behaviour == "slow":
            time.sleep(0.3)
        self.note("stop")
        return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append")
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--life-fd", type=int)
    options = parser.parse_args()
    follow_parent(options.life_fd)
    return Player(options.config.parent, options.name, options.ready_fd).play()


if __name__ == "__main__":
    sys.exit(main())
