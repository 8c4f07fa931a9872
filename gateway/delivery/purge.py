"""What is over and old leaves the registry: commands and events that are final, after a long time.

Nothing that is open, dead, held or in conflict goes. A message that comes again after its row has
gone is refused by the engine, since its operation is older than the answer horizon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Table, delete, select

from gateway.db import Database
from gateway.delivery.inbox import Stored
from gateway.delivery.outbox import FINAL
from gateway.delivery.tables import INBOX, OUTBOX
from gateway.jobs import Job, Tools

DAY_US = 86_400_000_000
EVERY_S = 3600.0
CHUNK = 1000
"""Rows of one transaction: others want to write too."""


def purge(registry: Database, before_us: int) -> dict[str, int]:
    """Remove what has been final since before an instant; how many rows of each table."""
    return {
        "outbox": _purge(registry, OUTBOX, [str(one) for one in FINAL], before_us),
        "inbox": _purge(registry, INBOX, [str(Stored.APPLIED)], before_us),
    }


def _purge(registry: Database, table: Table, states: list[str], before_us: int) -> int:
    old = (
        select(table.c.id)
        .where(table.c.state.in_(states), table.c.changed_us < before_us)
        .limit(CHUNK)
    )
    removed = 0
    while True:
        with registry.transaction() as connection:
            count = connection.execute(delete(table).where(table.c.id.in_(old))).rowcount
        removed += count
        if count < CHUNK:
            return removed


class PurgeJob(Job):
    """Once an hour."""

    name = "purge"

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._removed: dict[str, int] = {}

    async def run(self) -> None:
        keep_us = self._tools.config.worker.keep_days * DAY_US
        while True:
            before_us = self._tools.now_us() - keep_us
            self._removed = await asyncio.to_thread(purge, self._tools.registry, before_us)
            await asyncio.sleep(EVERY_S)

    def report(self) -> Mapping[str, Any]:
        return {"removed": self._removed}


def build_purge_jobs(tools: Tools) -> Iterable[Job]:
    """The one job."""
    yield PurgeJob(tools)
