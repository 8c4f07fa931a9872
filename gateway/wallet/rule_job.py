"""The job behind rules of owners: follows the ledger, looks at accounts something happened on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from gateway.jobs import Job
from gateway.ledger.history import HistoryRow
from gateway.wallet.stores.rules import RuleStore

CURSOR = "rules"
BATCH = 500
POLL_S = 1.0


class HistoryPort(Protocol):
    """Records from the ledger. Blocking."""

    def events_after(
        self, seq: int, limit: int = 100, *, account_id: int | None = None
    ) -> list[HistoryRow]:
        """Behind a number, oldest first."""


class Runner(Protocol):
    """Top-ups."""

    async def run(self, touched: Iterable[int], position: int = 0) -> int:
        """Returns runs made. position: of the last record looked at."""


class Watch(Protocol):
    """Budgets. Blocking."""

    def look(self, account_ids: Iterable[int], position: int = 0) -> int:
        """Returns warnings told. position: of the last record looked at."""


class RuleJob(Job):
    """What it has looked at is written down behind the look: a crash looks again."""

    name = "rules"

    def __init__(
        self,
        store: RuleStore,
        history: Callable[[], HistoryPort],
        topups: Runner,
        budgets: Callable[[], Watch],
        *,
        poll_s: float = POLL_S,
    ) -> None:
        self._store = store
        self._open_history = history
        self._topups = topups
        self._open_budgets = budgets
        self._poll_s = poll_s
        self._counts = {"topups": 0, "warnings": 0}

    async def run(self) -> None:
        history = await asyncio.to_thread(self._open_history)
        budgets = await asyncio.to_thread(self._open_budgets)
        while True:
            if not await self.work(history, budgets):
                await asyncio.sleep(self._poll_s)

    async def work(self, history: HistoryPort, budgets: Watch) -> int:
        """One round. Returns how many records it looked at."""
        cursor = await asyncio.to_thread(self._store.get_cursor, CURSOR)
        rows = await asyncio.to_thread(history.events_after, cursor, BATCH)
        touched = {row.account_id for row in rows}
        position = rows[-1].position if rows else 0
        self._counts["topups"] += await self._topups.run(touched, position)
        if rows:
            self._counts["warnings"] += await asyncio.to_thread(budgets.look, touched, position)
            await asyncio.to_thread(self._store.put_cursor, CURSOR, rows[-1].seq)
        return len(rows)

    def report(self) -> Mapping[str, Any]:
        return dict(self._counts)
