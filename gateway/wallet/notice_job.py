"""The job that tells owners what the ledger says of their media and purses.

Media that were linked or reported lost, each behind its record; purses that end soon and are not
empty. What has an owner only, and nothing that is long over: a ledger that is built anew tells no
old stories. Statements, payouts, freezes, budgets and top-ups are told by whoever deals with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastpath.types import MediumState, Op
from gateway.jobs import Job
from gateway.ledger.history import WINDOW, HistoryRow
from gateway.registry.notices import NewNotice, NoticeStore
from gateway.wallet.stores.purse_ends import PurseEnd, PurseEndStore
from gateway.wallet.stores.rules import RuleStore

CURSOR = "notices"
POLL_S = 1.0
DAY_US = 86_400_000_000
OLD_US = 3 * DAY_US
"""What happened longer ago is not told."""
SOON_US = 3 * DAY_US
"""How long before its end an owner is told of a purse."""
EMPTY_AGAIN_US = 600_000_000
"""How soon a purse that was empty is looked at again: its money may come later."""
LINKED = (Op.MEDIUM_LINK, Op.MEDIUM_MOVE)
FOLLOWED = (*LINKED, Op.MEDIUM_STATE)


class HistoryPort(Protocol):
    """What the ledger tells. Blocking."""

    def of_operations(self, ops: Collection[int], after: int) -> tuple[list[HistoryRow], int]:
        """Records of some operations behind a number, and how far it looked: WINDOW at most."""

    def purse_minor(self, account_id: int, purse_id: int) -> int:
        """What is in a further purse."""


class Owners(Protocol):
    """Whose accounts are. Blocking."""

    def owned(self, account_ids: Collection[int]) -> set[int]:
        """Those of them that belong to a person."""


@dataclass(frozen=True, slots=True)
class NoticeBook:
    """What is written down: notices, how far the ledger was read, which purses end."""

    notices: NoticeStore
    cursors: RuleStore
    purses: PurseEndStore


class NoticeJob(Job):
    """What it has told is written down behind the telling: a crash tells again, under one key."""

    name = "notices"

    def __init__(
        self,
        book: NoticeBook,
        owners: Owners,
        history: Callable[[], HistoryPort],
        now_us: Callable[[], int],
    ) -> None:
        self._notices = book.notices
        self._cursors = book.cursors
        self._purses = book.purses
        self._owners = owners
        self._open_history = history
        self._now_us = now_us
        self._told = 0

    async def run(self) -> None:
        history = await asyncio.to_thread(self._open_history)
        while True:
            if not await asyncio.to_thread(self.work, history):
                await asyncio.sleep(POLL_S)

    def work(self, history: HistoryPort) -> bool:
        """One round; whether there may be more now. Blocking."""
        before, now_us = self._cursors.get_cursor(CURSOR), self._now_us()
        rows, seq = history.of_operations(FOLLOWED, before)
        recent = [(row, kind_of(row)) for row in rows if row.ts_us > now_us - OLD_US]
        owned = self._owners.owned({row.account_id for row, kind in recent if kind})
        for row, kind in recent:
            if kind and row.account_id in owned:
                key = f"{kind}:{row.seq}:{row.ts_us}"
                self._tell(key, row.account_id, kind, {"seq": row.seq}, row.position)
        if seq != before:  # also back: a journal that was restored ends earlier
            self._cursors.put_cursor(CURSOR, seq)
        ending = self._purses.list_ending(now_us, now_us + SOON_US)
        for one in ending:
            self._tell_end(history, one)
        return seq - before >= WINDOW or bool(ending)

    def _tell_end(self, history: HistoryPort, one: PurseEnd) -> None:
        left_minor, look_us = history.purse_minor(one.account_id, one.purse_id), one.due_us
        if left_minor <= 0:
            look_us = self._now_us() + EMPTY_AGAIN_US
        else:
            key = f"purse_ending:{one.account_id}:{one.purse_id}:{one.due_us}"
            body = {"purse_id": one.purse_id, "left_minor": left_minor, "expires_us": one.due_us}
            if self._owners.owned({one.account_id}):
                self._tell(key, one.account_id, "purse_ending", body, 0)
        self._purses.look_again(one, look_us)

    def _tell(
        self, key: str, account_id: int, kind: str, body: Mapping[str, Any], position: int
    ) -> None:
        self._notices.add(NewNotice(key, account_id, kind, body, self._now_us(), position))
        self._told += 1

    def report(self) -> Mapping[str, Any]:
        return {"told": self._told}


def kind_of(row: HistoryRow) -> str:
    """What an owner is told of a record of a medium; empty = nothing."""
    head = row.record().head
    if not head.is_accepted:
        return ""
    if head.op in LINKED:
        return "medium_linked"
    return "medium_lost" if head.flags >> 24 == MediumState.LOST else ""
