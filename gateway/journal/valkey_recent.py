"""Reading one record without holding up a loop: what was appended lately is still here, and a
server that does not answer is waited for only once.
"""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_right
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from gateway.errors import JournalUnavailable
from gateway.journal.valkey_stream import cut_record
from gateway.journal.valkey_wire import PrivateLoop

RECENT_BYTES = 16 << 20
"""Of groups kept: minutes of a busy city, and most of what is ever asked for again."""
LOOP_WAIT_S = 0.1
"""What a loop may wait for a server: many round trips, no time-out of a validator."""

Read = Callable[[int], Coroutine[Any, Any, bytes]]


class RecentGroups:
    """The groups appended last, by position. Thread: any."""

    def __init__(self, limit_bytes: int = RECENT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._positions: list[int] = []
        self._groups: list[bytes] = []
        self._size = 0

    def add(self, position: int, group: bytes) -> None:
        """Keep a group that stands behind all others; the oldest make room, half of all at once."""
        with self._lock:
            self._positions.append(position)
            self._groups.append(group)
            self._size += len(group)
            if self._size > self.limit_bytes:
                self._drop()

    def _drop(self) -> None:
        gone = 0
        while self._size > self.limit_bytes // 2:
            self._size -= len(self._groups[gone])
            gone += 1
        del self._positions[:gone], self._groups[:gone]

    def find_record(self, position: int) -> bytes | None:
        """A record of one of these groups; None = ask the server."""
        with self._lock:
            at = bisect_right(self._positions, position) - 1
            if at < 0:
                return None
            return cut_record(self._groups[at], position - self._positions[at])


class LoopReads:
    """Runs reads to their end; for a caller inside a loop only for a moment, then without it.

    A read that took too long goes on; while it does, others are refused at once, and its record is
    kept for whoever asks again.
    """

    def __init__(self, loop: PrivateLoop, read: Read) -> None:
        self._loop = loop
        self._read = read
        self._late: tuple[int, Future[bytes]] | None = None

    def run(self, position: int) -> bytes:
        """Raises: JournalUnavailable, and what reading raises."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._loop.run(self._read(position))
        if self._late is not None:
            wanted, future = self._late
            if not future.done():
                raise JournalUnavailable(detail="the journal's server does not answer")
            self._late = None
            if wanted == position:
                return future.result()
        return self._begin(position)

    def _begin(self, position: int) -> bytes:
        future = self._loop.submit(self._read(position))
        try:
            return future.result(LOOP_WAIT_S)
        except TimeoutError as error:
            if future.done():
                raise
            self._late = (position, future)
            said = f"no record within {LOOP_WAIT_S} s; it is still being read"
            raise JournalUnavailable(detail=said) from error
