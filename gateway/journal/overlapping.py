"""Appends to segments that the loop begins, and is told the end of (OverlappedAppends)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.journal.files import Flight
from gateway.journal.writer import SegmentWriter


class SegmentAppends:
    """Carries the appends of one writer. Close it before the journal."""

    def __init__(
        self,
        writer: SegmentWriter,
        flight: Flight,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._flight = flight
        self._loop = loop
        writer.fly(flight)
        loop.add_reader(flight.fd, on_end)

    def begin(self, position: int, group: bytes | bytearray | memoryview) -> bool:
        """See OverlappedAppends.begin."""
        return self._writer.begin(position, group)

    def finish(self) -> bool:
        """See OverlappedAppends.finish."""
        return self._writer.finish()

    def close(self) -> None:
        """See OverlappedAppends.close."""
        self._loop.remove_reader(self._flight.fd)
        self._writer.fly(None)
        self._flight.close()
