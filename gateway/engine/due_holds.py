"""When holds end: those that are open and no others, however many came and went.

Holds lie in minutes; a minute that has begun becomes a heap of its instants. One that is over is
taken out of its minute, so what is kept grows with the holds that are open alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

MINUTE_US = 60_000_000
SPARE = 64
"""Minutes without holds that may be left before they are taken out."""

Due = tuple[int, int, int]
"""Expires_us, account, hold."""


class DueHolds:
    """Open holds by the instant they end at."""

    def __init__(self, holds: Iterable[Due] = ()) -> None:
        self._ends: dict[tuple[int, int], int] = {}
        self._later: dict[int, set[Due]] = {}
        self._minutes: list[int] = []
        self._near: list[Due] = []
        self._begun = -1
        """The last minute that is in the heap."""
        for due in holds:
            self.put(due)

    def __len__(self) -> int:
        """Everything that is kept, also what is over in minutes that have begun."""
        return len(self._near) + sum(len(minute) for minute in self._later.values())

    def put(self, due: Due) -> None:
        """A hold is there, or ends at another instant now."""
        expires_us, account_id, key = due
        self.drop(account_id, key)
        self._ends[account_id, key] = expires_us
        minute = expires_us // MINUTE_US
        if minute <= self._begun:
            heapq.heappush(self._near, due)
            return
        if minute not in self._later:
            self._later[minute] = set()
            heapq.heappush(self._minutes, minute)
        self._later[minute].add(due)

    def drop(self, account_id: int, key: int) -> None:
        """A hold is over. One that is not known is nothing."""
        expires_us = self._ends.pop((account_id, key), None)
        if expires_us is None:
            return
        minute = expires_us // MINUTE_US
        holds = self._later.get(minute)
        if holds is None:
            return  # it is in the heap, whose minute is over soon
        holds.discard((expires_us, account_id, key))
        if not holds:
            del self._later[minute]
            self._tidy()

    def pop(self, now_us: int) -> Due | None:
        """Take out the earliest hold that has ended by now."""
        self._begin(now_us // MINUTE_US)
        while self._near and self._near[0][0] <= now_us:
            due = heapq.heappop(self._near)
            expires_us, account_id, key = due
            if self._ends.get((account_id, key)) == expires_us:
                del self._ends[account_id, key]
                return due
        return None

    def _begin(self, minute: int) -> None:
        while self._minutes and self._minutes[0] <= minute:
            for due in self._later.pop(heapq.heappop(self._minutes), ()):
                heapq.heappush(self._near, due)
        self._begun = max(self._begun, minute)

    def _tidy(self) -> None:
        if len(self._minutes) > 2 * len(self._later) + SPARE:
            self._minutes = list(self._later)
            heapq.heapify(self._minutes)
