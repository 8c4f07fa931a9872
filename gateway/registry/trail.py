"""Events on their way from a loop into the audit trail, written beside it, some at a time.

For what no transaction of the registry is about: refusals, and changes of the data plane. Nothing
waits for these writes, and none of them is lost with one bad moment of the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import FareGatewayError
from gateway.registry.audit import AuditEvent, append

log = logging.getLogger(__name__)

WAITING_MAX = 1_000
GATHER_S = 0.2
PAUSE_S = 2.0
"""From a write that failed to the next try."""


class TrailWriter:
    """Takes events and writes them down. Thread: the loop's.

    Args: open_database: asked beside the loop, when there is something to write.
    """

    def __init__(self, open_database: Callable[[], Database], *, pause_s: float = PAUSE_S) -> None:
        self._open_database = open_database
        self._database: Database | None = None
        self._pause_s = pause_s
        self._waiting: list[AuditEvent] = []
        self._left_out = 0
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def put(self, event: AuditEvent) -> None:
        """Write it down soon; with no room it is counted only, and the next one says so."""
        if len(self._waiting) >= WAITING_MAX:
            self.leave_out()
            return
        self._waiting.append(event)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    def leave_out(self) -> None:
        """Count one that is not written down."""
        self._left_out += 1

    async def close(self) -> None:
        """Write what waits; what cannot be written now is lost, and the log says how many."""
        self._closing.set()
        if self._writing is not None:
            await self._writing
        if lost := len(self._waiting) + self._left_out:
            log.warning("audit_events_lost", extra={"count": lost})

    async def _write(self) -> None:
        """Until nothing waits. A batch stays until it is written: a database that is away for a
        while costs what comes beyond WAITING_MAX, and that is counted.
        """
        await self._rest(GATHER_S)
        while self._waiting:
            batch, left_out = tuple(self._waiting), self._left_out
            try:
                await asyncio.to_thread(self._append, batch, left_out)
            except FareGatewayError as error:
                log.warning("audit_events_wait", extra={"waiting": len(batch), **error.as_dict()})
                if self._closing.is_set():
                    return
                await self._rest(self._pause_s)
            else:
                del self._waiting[: len(batch)]
                self._left_out -= left_out
                await self._rest(GATHER_S)

    async def _rest(self, seconds: float) -> None:
        """Unless it is time to close."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    def _append(self, events: Sequence[AuditEvent], left_out: int) -> None:
        if self._database is None:
            self._database = self._open_database()
        first, *rest = events
        if left_out:
            first = replace(first, facts=dict(first.facts) | {"left_out": left_out})
        with self._database.transaction() as connection:
            for event in (first, *rest):
                append(connection, event)


class PlaneTrail:
    """What the data plane was told to do that is no record of the journal. Thread: the loop's."""

    def __init__(self, writer: TrailWriter) -> None:
        self._writer = writer

    def note(self, actor: str, action: str, subject: str, facts: Mapping[str, object]) -> None:
        """It was done. actor: as the kernel says, `uid:0/cli`. action: `mode.set`."""
        self._writer.put(AuditEvent(actor, action, subject, now_us(), facts=facts))

    async def close(self) -> None:
        """Wait until it is written."""
        await self._writer.close()
