"""A journal whose appends are begun and waited for, without a loop."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, cast

from gateway.journal.port import OverlappedAppends
from gateway.journal.segments import SegmentJournal


class Readers:
    """What an event loop offers to appends: descriptors to look at."""

    def __init__(self) -> None:
        self.fds: dict[int, Callable[[], None]] = {}

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.fds[fd] = callback

    def remove_reader(self, fd: int) -> None:
        del self.fds[fd]

    def wait(self, seconds: float = 20.0) -> None:
        """Until one of them can be read; then call who waits for it."""
        ready, _, _ = select.select(list(self.fds), [], [], seconds)
        assert ready, "no end was told"
        for fd in ready:
            self.fds[fd]()


def overlap(journal: SegmentJournal, readers: Readers) -> OverlappedAppends | None:
    """Appends of the journal that these readers learn the end of."""
    return journal.overlap(cast(Any, readers), lambda: None)


def append_overlapped(journal: SegmentJournal) -> SegmentJournal:
    """The same journal; `append` begins, and waits for the end."""
    readers = Readers()
    appends = overlap(journal, readers)
    assert appends is not None

    def append(position: int, group: Any) -> None:
        if appends.begin(position, group):
            readers.wait()
            assert appends.finish()

    journal.append = append  # type: ignore[method-assign]
    return journal
