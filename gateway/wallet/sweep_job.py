"""The job that takes what is left in expired purses back to their sponsors.

Which purses end when is read from the ledger: those that were opened, less those that are gone
since. Nothing is swept before the ledger was read to its end. A sweep is its own proof: a purse
that was swept is not there any more, so whoever asks again after a lost answer learns it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from fastpath.types import Op, Reason
from gateway.clock import new_operation_id
from gateway.control.client import CommandRefused
from gateway.errors import Uncertain
from gateway.jobs import Job
from gateway.ledger.history import WINDOW, HistoryRow
from gateway.registry.actors import Actor
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.stores.purse_ends import PurseEnd, PurseEndStore

log = logging.getLogger(__name__)

POLL_S = 5.0
AGAIN_US = 60_000_000
"""After a refusal that is not its end: clocks that differ, a limit of the data plane."""
FOLLOWED = (Op.PURSE_OPEN, Op.PURSE_CLOSE, Op.PURSE_SWEEP)
GONE = frozenset({"unknown_purse", "unknown_account"})
ACTOR = Actor.system("worker:sweeps")


class HistoryPort(Protocol):
    """What the ledger tells. Blocking."""

    def of_operations(self, ops: Collection[int], after: int) -> tuple[list[HistoryRow], int]:
        """Records of some operations behind a number, and how far it looked: WINDOW at most."""


class SweepJob(Job):
    """Follows the ledger, and sweeps what is due."""

    name = "sweeps"

    def __init__(
        self,
        commands: Commands,
        store: PurseEndStore,
        history: Callable[[], HistoryPort],
        clock: Callable[[], int],
        *,
        poll_s: float = POLL_S,
    ) -> None:
        self._commands = commands
        self._store = store
        self._open_history = history
        self._clock = clock
        self._poll_s = poll_s
        self._counts = {"swept": 0, "put_off": 0}

    async def run(self) -> None:
        history = await asyncio.to_thread(self._open_history)
        while True:
            if not await self.work(history):
                await asyncio.sleep(self._poll_s)

    async def work(self, history: HistoryPort) -> bool:
        """One round; whether there may be more now. Raises: CommandError: no data plane."""
        moved = await asyncio.to_thread(self._read_on, history)
        if moved >= WINDOW:
            return True  # what comes behind may say that a purse is gone
        due = await asyncio.to_thread(self._store.list_due, self._clock())
        for one in due:
            await self._sweep(one)
        return moved > 0 or bool(due)

    def _read_on(self, history: HistoryPort) -> int:
        """Note what became of purses since; how many records the ledger had more."""
        before = self._store.position()
        rows, seq = history.of_operations(FOLLOWED, before)
        if seq != before:  # also back: a journal that was restored ends earlier
            self._store.note(ends_of(rows), seq)
        return seq - before

    async def _sweep(self, one: PurseEnd) -> None:
        cause = Cause(new_operation_id(), note="the purse has expired")
        named = {"account_id": one.account_id, "key": one.purse_id}
        try:
            await self._commands.do(ACTOR, cause, "purse_sweep", **named)
        except CommandRefused as error:
            if error.code not in GONE:
                await self._put_off(one, error.code)
                return
        except Uncertain as error:
            await self._put_off(one, error.code)
            return
        else:
            self._counts["swept"] += 1
        await asyncio.to_thread(self._store.drop, one)

    async def _put_off(self, one: PurseEnd, code: str) -> None:
        self._counts["put_off"] += 1
        log.warning("sweep_put_off", extra={"code": code})
        await asyncio.to_thread(self._store.put_off, one, self._clock() + AGAIN_US)

    def report(self) -> Mapping[str, Any]:
        return dict(self._counts)


def ends_of(rows: Iterable[HistoryRow]) -> list[PurseEnd]:
    """What records in their order left of each purse that they name: when it ends, 0 = never, or
    it is gone. A number may be used again.
    """
    ends: dict[tuple[int, int], int] = {}
    for row in rows:
        facts = row.record().facts
        if Reason(row.reason).accepted and facts is not None:
            is_opened = row.op == Op.PURSE_OPEN
            ends[row.account_id, facts.key] = facts.expires_us if is_opened else 0
    return [PurseEnd(*purse, due_us) for purse, due_us in ends.items()]
