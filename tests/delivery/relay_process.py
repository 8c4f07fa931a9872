"""A relay as a process: `relay_process.py PLACE PEER KILL`; PEER is a file, one line an effect.

KILL: `never`, or the step at which it kills itself with SIGKILL, once: `claimed`, `sent` (the peer
has done it, nobody here knows), `finished` (written down, not yet used), `asked`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from adapters.contract import NOT_FOUND, Command, NotFound, Outcome, Status
from gateway.clock import now_us
from gateway.delivery.outbox import Outbox
from gateway.delivery.relay import Relay, RelaySettings
from gateway.registry.store import open_registry
from tests.support.peer import Peer, PeerAdapter

LEASE_US = 50_000
SETTINGS = RelaySettings(deadline_s=0.04, poll_s=0.01, ask_again_s=0.01)


class FileAdapter(PeerAdapter):
    """A peer that outlives us: what it did is appended to a file."""

    def __init__(self, path: Path, kill: str) -> None:
        super().__init__(Peer())
        self.path = path
        self.kill = kill

    def die_at(self, step: str) -> None:
        if step == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)

    async def execute(self, command: Command) -> Outcome:
        self.die_at("claimed")
        if command.key not in self.path.read_text().split():
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            os.write(fd, f"{command.key}\n".encode())
            os.close(fd)
        self.die_at("sent")
        return Outcome(Status.DONE)

    async def query(self, key: str) -> Outcome | NotFound:
        self.die_at("asked")
        known = key in self.path.read_text().split()
        return Outcome(Status.DONE) if known else NOT_FOUND


async def main(place: str, peer: Path, kill: str) -> None:
    database = open_registry(Path(place) if place.startswith("/") else place)
    adapter = FileAdapter(peer, kill)
    outbox = Outbox(database, lease_us=LEASE_US)
    relay = Relay(
        "bank",
        adapter,
        outbox,
        now_us,
        settings=SETTINGS,
        on_outcome=lambda *_: None,
    )
    while outbox.oldest_us("bank"):
        await relay.work()
        adapter.die_at("finished")
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
