"""Expiry of holds: the data plane releases what nobody captured, each by a journal record.

What ends when is filled from memory at the start, and follows the durable records of holds; memory
is asked again before anything is sent, so an entry too many does no harm. The operation id follows
from account, hold and instant: a restart cannot release a hold twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastpath.api import find_holds, list_holds
from fastpath.commands import Command, OperationId
from fastpath.types import Op
from fastpath.wallet import Facts
from gateway.clock import derived_operation_id
from gateway.engine.due_holds import Due, DueHolds
from gateway.errors import JournalFull

if TYPE_CHECKING:
    from fastpath.api import Engine
    from gateway.engine.commit import GroupCommit

log = logging.getLogger(__name__)

CLIENT = 0
"""The data plane itself; outside clients are hashes of their names."""
NOTES = (b"data plane", b"", b"nobody captured it in time")
RELEASES_MAX = 256
"""Most in one turn of the loop."""
PERIOD_S = 0.1
FULL_S = 1.0
DAY_US = 86_400_000_000


class HoldClock:
    """Which holds end when. Thread: the loop's.

    Args: may_write: false = the disk is nearly full, holds wait. horizon_us: the engine's answer
    horizon.
    """

    def __init__(
        self,
        engine: Engine,
        commit: GroupCommit,
        now_us: Callable[[], int],
        *,
        may_write: Callable[[], bool],
        horizon_us: int,
    ) -> None:
        self._engine = engine
        self._commit = commit
        self._now_us = now_us
        self._may_write = may_write
        self._horizon_us = horizon_us
        self._due = DueHolds(list_holds(engine.memory))

    def __len__(self) -> int:
        return len(self._due)

    def note(self, account_id: int, key: int, expires_us: int) -> None:
        """A hold ends at this instant, says a durable record; 0 = it is over."""
        if expires_us:
            self._due.put((expires_us, account_id, key))
        else:
            self._due.drop(account_id, key)

    async def run(self) -> None:
        """Release what is due, for ever; a turn takes at most RELEASES_MAX."""
        while True:
            pause_s = await self.turn()
            await asyncio.sleep(pause_s)

    async def turn(self) -> float:
        """Release some of what is due; seconds until it is worth coming again."""
        if not self._may_write():
            return FULL_S
        released = self._release_due()
        try:
            if released:
                await self._commit.committed()
        except JournalFull:
            for due in released:
                self._due.put(due)
            return FULL_S
        return 0.0 if len(released) == RELEASES_MAX else PERIOD_S

    def _release_due(self) -> list[Due]:
        now_us = self._now_us()
        released: list[Due] = []
        while len(released) < RELEASES_MAX and (due := self._due.pop(now_us)) is not None:
            if due not in find_holds(self._engine.memory, due[1]):
                continue
            try:
                self._release(due, now_us)
            except BufferError:
                self._due.put(due)
                break
            released.append(due)
        return released

    def _release(self, due: Due, now_us: int) -> None:
        """Raises: BufferError: the open group is full."""
        expires_us, account_id, key = due
        at_us = max(expires_us, now_us - self._horizon_us + DAY_US)
        op_id = derived_operation_id(at_us, "hold expires", str(account_id), str(key), str(at_us))
        command = Command(
            op=Op.HOLD_EXPIRE, account_id=account_id, facts=Facts(key=key), notes=NOTES
        )
        self._engine.command(OperationId.of(CLIENT, op_id), command, now_us)
