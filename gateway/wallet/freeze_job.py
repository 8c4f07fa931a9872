"""The job that ends freezes whose time is over, and settles those left half placed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from gateway.jobs import Job
from gateway.registry.actors import Actor

POLL_S = 1.0


class Expiry(Protocol):
    """Ends what is due."""

    async def expire_due(self, actor: Actor) -> int:
        """Returns how many."""


class FreezeJob(Job):
    """Looks every second."""

    name = "freezes"

    def __init__(self, expiry: Expiry, *, poll_s: float = POLL_S) -> None:
        self._expiry = expiry
        self._poll_s = poll_s
        self._ended = 0

    async def run(self) -> None:
        actor = Actor.system("worker:freezes")
        while True:
            self._ended += await self._expiry.expire_due(actor)
            await asyncio.sleep(self._poll_s)

    def report(self) -> Mapping[str, Any]:
        return {"ended": self._ended}
