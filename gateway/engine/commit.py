"""Group commit: one write and one sync for everything one turn of the loop decided.

A turn ends with `_turn`: the open group is sealed, made durable, and only then do its answers
leave. A small group is written in the loop: to wait 0.1 ms costs less than a commit more. A large
one, or any on a slow disk, goes on by itself where the journal can do that, else in a helper
thread, while the loop reads into the next group. Knows the engine and a journal; nothing about
sockets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import JournalError, JournalFull
from gateway.observability import page as slots
from gateway.observability.page import CommitState, bucket_of

if TYPE_CHECKING:
    from fastpath.api import Engine, Session
    from gateway.journal.port import Head, Journal, OverlappedAppends

log = logging.getLogger(__name__)

SAMPLES = 256
"""Commits whose durations make the moving p99. Of fewer it would be little but the longest one: a
single late wake-up would move all commits to the thread and back."""
CHECK_EVERY = 32
OVERLAP_BYTES = 64 << 10
"""From this size on the loop does not wait for a group where it need not."""
ALARM_FACTOR = 10
"""One commit so many times above the bound is enough: at 2 s each, 32 would take a minute."""


class CommitPace:
    """Chooses where commits happen: in the loop, or in the thread once their p99 is too long.

    Args: above_us: p99 from which the loop waits for none; it does again at half of that. mode:
    auto, always, never (the loop waits for each write).
    """

    def __init__(self, above_us: float, mode: str) -> None:
        self.above_us = above_us
        self.mode = mode
        self.in_thread = mode == "always"
        self._durations: deque[int] = deque(maxlen=SAMPLES)
        self._seen = 0

    def note(self, duration_us: int) -> None:
        """Take one commit's duration into account."""
        self._durations.append(duration_us)
        self._seen += 1
        if self.mode != "auto":
            return
        if not self.in_thread and duration_us > ALARM_FACTOR * self.above_us:
            self._enter_thread(duration_us)
        elif self._seen % CHECK_EVERY == 0 and len(self._durations) == SAMPLES:
            self._choose()

    def _enter_thread(self, p99_us: int) -> None:
        self.in_thread = True
        self._durations.clear()
        log.warning("commit_thread_on", extra={"p99_us": p99_us})

    def _choose(self) -> None:
        p99 = sorted(self._durations)[len(self._durations) * 99 // 100]
        if not self.in_thread and p99 > self.above_us:
            self._enter_thread(p99)
        elif self.in_thread and p99 < self.above_us / 2:
            self.in_thread = False
            self._durations.clear()
            log.info("commit_thread_off", extra={"p99_us": p99})


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An append that was begun: when (monotonic), of how many bytes and records."""

    began_ns: int
    size: int
    records: int


class GroupCommit:
    """Makes groups durable and hands out what may be told.

    Args: on_output: called with sessions that have bytes to send. on_left: called with (session,
    counter) pairs that
        get no answer because the journal had no room. on_broken: called when only recovery can
        help; must not return.
    Failure: JournalFull puts memory back and is told to everybody who waited; anything else ends
    the process.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        page: memoryview,
        pace: CommitPace,
        *,
        on_output: Callable[[list[Session]], None],
        on_left: Callable[[list[tuple[Session, int]]], None],
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self.engine = engine
        self.journal = journal
        self.page = page
        self.pace = pace
        self.head: Head = journal.head()
        self._on_output = on_output
        self._on_left = on_left
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._overlapped: OverlappedAppends | None = None
        if pace.mode == "auto":
            self._overlapped = journal.overlap(self._loop, self._ended)
        self._under_way: UnderWay | None = None
        self._scheduled = False
        self._waiters: list[asyncio.Future[None]] = []
        self._sealed_waiters: list[asyncio.Future[None]] = []
        self._position = journal.place(self.head.position)
        self._next_position = self._position
        self._chain = self.head.chain_hash
        engine.begin_next(self._position)

    def wake(self) -> None:
        """Something waits for a commit: have one at the end of this turn."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    async def committed(self) -> None:
        """Wait until everything decided so far is durable. Raises: JournalFull: it was undone."""
        if not self.engine.waiting and not self.engine.is_writing:
            return
        waiter = self._loop.create_future()
        # Without anything in the open group the one being written is what counts; its end wakes
        # both lists.
        (self._waiters if self.engine.waiting else self._sealed_waiters).append(waiter)
        self.wake()
        await waiter

    def flush(self) -> bool:
        """Commit at once to make room; False = a group is being written: wait for it.

        Not in the thread, unless commits have to be there.
        """
        if self.engine.is_writing:
            return False
        in_thread = self.pace.mode == "always"
        self._commit(in_thread=in_thread)
        return not in_thread

    def close(self) -> None:
        """After the last commit: end the thread, look for no more ends."""
        if self._overlapped is not None:
            self._overlapped.close()
        self._thread.shutdown(wait=True)

    def _turn(self) -> None:
        self._scheduled = False
        free = not self.engine.is_writing
        if free and self.engine.waiting:
            self._commit(in_thread=self.pace.in_thread)
        self.engine.end_turn(free)

    def _commit(self, *, in_thread: bool) -> None:
        try:
            self._commit_open(in_thread=in_thread)
        except Exception as error:  # noqa: BLE001 - the loop would log it and go on: with a group
            # that stays sealed, so that nothing is ever committed again
            self._on_broken(error)

    def _commit_open(self, *, in_thread: bool) -> None:
        end = self.engine.open_end
        records = self.engine.record_count
        group = self.engine.seal(time.time_ns() // 1000, self._chain)
        self._sealed_waiters += self._waiters
        self._waiters = []
        if group is None:
            self.engine.begin_next(self._position)
            self._told()
            return
        self._next_position = self.journal.place(end)
        self.engine.begin_next(self._next_position)
        self.page[slots.COMMIT_STATE] = CommitState.WRITING
        self.page[slots.COMMIT_SINCE_US] = time.time_ns() // 1000
        if self._overlapped is not None and (in_thread or len(group) >= OVERLAP_BYTES):
            self._begin(self._overlapped, group, records)
            return
        if in_thread:
            future = self._thread.submit(self._write, group)
            future.add_done_callback(
                lambda done: self._loop.call_soon_threadsafe(
                    self._written_by_thread, done, len(group), records
                )
            )
            return
        try:
            chain, duration_us = self._write(group)
        except JournalError as error:
            self._failed(error)
        else:
            self.pace.note(duration_us)
            self.engine.note_write(duration_us, records)
            self._written(chain, duration_us, len(group), records)

    def _begin(self, appends: OverlappedAppends, group: memoryview, records: int) -> None:
        began = time.monotonic_ns()
        try:
            under_way = appends.begin(self._position, group)
        except JournalError as error:
            self._failed(error)
            return
        if under_way:
            self._under_way = UnderWay(began, len(group), records)
            return
        duration_us = (time.monotonic_ns() - began) // 1000
        self.pace.note(duration_us)
        self.engine.note_write(duration_us, records)
        self._written(self.journal.head().chain_hash, duration_us, len(group), records)

    def _ended(self) -> None:
        """The loop was told that the append under way has ended."""
        try:
            if self._under_way is not None and self._overlapped is not None:
                self._finish(self._under_way, self._overlapped)
        except Exception as error:  # noqa: BLE001 - as in _commit
            self._on_broken(error)

    def _finish(self, flown: UnderWay, appends: OverlappedAppends) -> None:
        try:
            if not appends.finish():
                return
        except JournalError as error:
            self._under_way = None
            self._failed(error)
            return
        self._under_way = None
        duration_us = (time.monotonic_ns() - flown.began_ns) // 1000
        self.pace.note(duration_us)
        self.engine.note_write(duration_us, flown.records, True)
        self._written(self.journal.head().chain_hash, duration_us, flown.size, flown.records)

    def _write(self, group: memoryview) -> tuple[bytes, int]:
        """The only code that runs in the thread. Returns the chain hash after the group and the
        time it took.
        """
        began = time.monotonic_ns()
        self.journal.append(self._position, group)
        return self.journal.head().chain_hash, (time.monotonic_ns() - began) // 1000

    def _written_by_thread(
        self, done: ThreadFuture[tuple[bytes, int]], size: int, records: int
    ) -> None:
        error = done.exception()
        try:
            if isinstance(error, JournalError):
                self._failed(error)
            elif error is not None:
                self._on_broken(error)
            else:
                chain, duration_us = done.result()
                self.pace.note(duration_us)
                self.engine.note_write(duration_us, records)
                self._written(chain, duration_us, size, records)
        except Exception as failure:  # noqa: BLE001 - as in _commit
            self._on_broken(failure)
        if self.engine.waiting:
            self.wake()

    def _written(self, chain: bytes, duration_us: int, size: int, records: int) -> None:
        self._chain = chain
        self._position = self._next_position
        page = self.page
        page[slots.JOURNAL_POSITION] = self._position
        page[slots.DURABLE_SEQ] += records
        page[slots.COMMITS] += 1
        page[slots.COMMIT_BYTES] += size
        page[slots.COMMIT_RECORDS] += records
        page[slots.COMMIT + bucket_of(duration_us)] += 1
        page[slots.COMMIT_SUM_US] += duration_us
        page[slots.COMMIT_THREAD] = self.pace.in_thread
        self._told()

    def _told(self) -> None:
        """What was sealed may be told now."""
        self.page[slots.COMMIT_STATE] = CommitState.IDLE
        sessions = self.engine.commit(time.monotonic_ns() // 1000)
        waiters, self._sealed_waiters = self._sealed_waiters, []
        if self._overlapped is not None and self.engine.waiting:
            self._go_on()
        self._on_output(sessions)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _go_on(self) -> None:
        """What came while a group was written: begun before that one is told, if it can be."""
        if self.engine.open_end - self._position < OVERLAP_BYTES:
            self.wake()
            return
        self._commit(in_thread=self.pace.in_thread)
        self.engine.end_turn(True)

    def _failed(self, error: JournalError) -> None:
        self.page[slots.COMMIT_STATE] = CommitState.IDLE
        if not isinstance(error, JournalFull):
            self._on_broken(error)
            return
        log.error("journal_full", extra={"code": error.code, "detail": error.detail})
        self.page[slots.ROLLBACKS] += 1
        left = self.engine.abort()
        self._next_position = self._position
        waiters = self._sealed_waiters + self._waiters
        self._sealed_waiters, self._waiters = [], []
        self._on_left(left)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)
