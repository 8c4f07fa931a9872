"""Refusals over HTTP, into the audit trail: who was refused what.

Written beside the loop, some at a time, so that a refusal costs its caller no write. A caller who
is refused all the time is written down now and then, with how many were left out: nobody fills the
trail. Requests of nobody (no credential, a wrong one) are only counted in the metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import ApprovalNeeded, AuthError, RateLimited
from gateway.registry.actors import Actor
from gateway.registry.audit import AuditEvent, append, refusal
from gateway.registry.throttle import Throttle

ACTION_MAX = 64
SUBJECT_MAX = 200
WAITING_MAX = 1_000
ONCE = 20
"""So many of one caller at once, then one a second."""


class Refusals:
    """Takes refusals and writes them down. Thread: the loop's."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock
        self._throttle = Throttle(burst=ONCE, every_s=1)
        self._waiting: list[AuditEvent] = []
        self._left_out = 0
        self._writing: asyncio.Task[None] | None = None

    def note(self, actor: Actor, action: str, subject: str, error: AuthError) -> None:
        """Somebody known was refused something. What waits for four eyes is no refusal."""
        if isinstance(error, ApprovalNeeded):
            return
        try:
            self._throttle.take(actor.subject)
        except RateLimited:
            self._left_out += 1
            return
        if len(self._waiting) >= WAITING_MAX:
            self._left_out += 1
            return
        event = refusal(
            error, actor.subject, action[:ACTION_MAX], subject[:SUBJECT_MAX], self._clock()
        )
        facts = dict(event.facts) | ({"left_out": self._left_out} if self._left_out else {})
        self._left_out = 0
        self._waiting.append(replace(event, tenant_id=actor.tenant_id, facts=facts))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Wait until what was noted is written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._waiting:
            events, self._waiting = self._waiting, []
            await asyncio.to_thread(self._append, events)

    def _append(self, events: list[AuditEvent]) -> None:
        with self._database.transaction() as connection:
            for event in events:
                append(connection, event)
