"""The registry's job in the worker: sessions that are over are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.jobs import Job, Tools
from gateway.registry.sessions import Sessions

EVERY_S = 600.0


class SessionJob(Job):
    """Drops sessions that are over."""

    name = "sessions"

    def __init__(self, sessions: Sessions, *, every_s: float = EVERY_S) -> None:
        self._sessions = sessions
        self._every_s = every_s
        self._dropped = 0

    async def run(self) -> None:
        while True:
            self._dropped += await asyncio.to_thread(self._sessions.drop_expired)
            await asyncio.sleep(self._every_s)

    def report(self) -> Mapping[str, Any]:
        return {"dropped": self._dropped}


def build_registry_jobs(tools: Tools) -> Iterable[Job]:
    """All of them."""
    yield SessionJob(tools.access.sessions)
