"""The job that settles each service day once the ledger has seen its end.

With the days just before it: what came late for one of them makes its next file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from gateway.jobs import Job, Tools
from gateway.ledger.settlement import Settlement, SettlementFile, write_files
from gateway.registry.audit import AuditEvent, append

log = logging.getLogger(__name__)

CHECK_S = 60.0
"""How often the job looks whether a day is over."""
ACTOR = "system:worker"


class SettlementJob(Job):
    """Once a service day. A start looks at all days again: that makes the same files. Each is put
    into the folder once; one that was taken away since does not come back.
    """

    name = "settlement"

    def __init__(self, tools: Tools, folder: Path, days: int, *, check_s: float = CHECK_S) -> None:
        self._tools = tools
        self._folder = folder
        self._days = days
        self._check_s = check_s
        self._settled: date | None = None
        self._made = 0

    async def run(self) -> None:
        while True:
            await asyncio.to_thread(self.step)
            await asyncio.sleep(self._check_s)

    def step(self) -> list[SettlementFile]:
        """Settle when another day is over; the files that were made, or not written yet.

        Raises: DatabaseError, LedgerError; OSError: they cannot be written.
        """
        ledger = self._tools.open_ledger()
        try:
            config = self._tools.config.ledger
            settlement = Settlement(
                ledger, self._tools.registry, zone=config.zone, names=config.names, note=self._note
            )
            newest = settlement.find_newest_over()
            if newest is None or newest == self._settled:
                return []
            made = [one for day in self._list_days(newest) for one in self._settle(settlement, day)]
        finally:
            ledger.close()
        self._settled = newest
        return made

    def _list_days(self, newest: date) -> list[date]:
        """The oldest first."""
        return [newest - timedelta(days=ago) for ago in reversed(range(self._days))]

    def _settle(self, settlement: Settlement, day: date) -> list[SettlementFile]:
        """A file that is known and not written was numbered just before its process died."""
        files = settlement.run(day, self._tools.now_us())
        made = [one for one in files if not one.is_written]
        if made:
            write_files(self._folder, made)
            settlement.mark_written(made, self._tools.now_us())
            log.info("settlement_made", extra={"day": day.isoformat(), "files": len(made)})
        self._made += len(made)
        return made

    def _note(
        self, connection: Connection, action: str, subject: str, facts: Mapping[str, object]
    ) -> None:
        append(connection, AuditEvent(ACTOR, action, subject, self._tools.now_us(), facts=facts))

    def report(self) -> Mapping[str, Any]:
        return {"made": self._made, "settled": str(self._settled or "")}


def build_settlement_jobs(tools: Tools) -> Iterable[Job]:
    """The one job, unless the settings leave settling to hands."""
    days = tools.config.ledger.settle_days
    if days:
        yield SettlementJob(tools, tools.config.settlements_dir, days)
