"""The embedded journal: preallocated segment files, one write and one sync a group.

The file format and the rules of recovery are docs/journal.md; why not a database is ADR-0001.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fastpath import records as codec
from gateway.errors import Corrupt, Fenced, JournalError
from gateway.journal.files import FileOps, RealFiles
from gateway.journal.keeper import file_sha256
from gateway.journal.layout import SegmentOptions, place_group
from gateway.journal.overlapping import SegmentAppends
from gateway.journal.port import DiskState, Head, OverlappedAppends
from gateway.journal.reading import SegmentReader
from gateway.journal.recovery import RecoveryReport
from gateway.journal.roots import Root
from gateway.journal.scan import Witness, refuse, take_inventory
from gateway.journal.writer import SegmentWriter

__all__ = ["DiskState", "SegmentJournal", "SegmentOptions", "Witness", "place_group"]

_NOWHERE = Head(0, 1, codec.NO_HASH)


class SegmentJournal:
    """A journal in a folder of segment files. Made by `open`.

    Thread: `append` and those of `overlap` by one thread at a time, `read_record` by one (another
    one, if you like); read, head and shrink by any.
    """

    def __init__(
        self, files: FileOps, directory: Path, options: SegmentOptions, head: Head
    ) -> None:
        self.directory = directory
        self.options = options
        self.recovery = RecoveryReport(head)
        self._files = files
        self._head = head
        self._writer: SegmentWriter | None = None
        self._reader = SegmentReader(files, directory, options.segment_bytes, self._limit)

    @classmethod
    def open(
        cls,
        directory: Path | str,
        options: SegmentOptions | None = None,
        *,
        read_only: bool = False,
        from_position: int = 0,
        witnesses: Iterable[Witness] = (),
        files: FileOps | None = None,
    ) -> SegmentJournal:
        """Open a journal; to write (the default), make, check and repair it first.

        Args: from_position: closed segments before it are trusted by their roots.
            read_only: no lock, no repair; beside a writer it follows what is durable.
            options: None when reading = what the journal itself says.
        Raises: Fenced: another process has it. Corrupt: file and offset. JournalFull.
            JournalError JOURNAL_NOT_FOUND: nothing to read.
        """
        folder = Path(directory)
        real = files or RealFiles()
        if read_only:
            return cls(real, folder, options or _find_options(real, folder), _NOWHERE)
        options = options or SegmentOptions()
        options.check()
        journal = cls(real, folder, options, _NOWHERE)
        writer = SegmentWriter(real, folder, options)
        try:
            journal.recovery = writer.start(from_position, tuple(witnesses))
        except BaseException:
            writer.close()
            raise
        journal._writer = writer
        return journal

    def _limit(self) -> int | None:
        return None if self._writer is None else self._writer.head.position

    def head(self) -> Head:
        """See Journal.head. A reader looks at the files again at each call."""
        if self._writer is not None:
            return self._writer.head
        if self._head.position == 0:
            self._head = _find_last_start(self._files, self.directory)
        self._head = self._reader.find_head(self._head)
        return self._head

    def place(self, after: int) -> int:
        return place_group(after, self.options.segment_bytes, self.options.group_bytes_max)

    def append(self, position: int, group: bytes | bytearray | memoryview) -> None:
        """See Journal.append."""
        if self._writer is None:
            raise Fenced(detail="this journal was opened to be read")
        self._writer.append(position, group)

    def overlap(
        self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]
    ) -> OverlappedAppends | None:
        """See Journal.overlap."""
        if self._writer is None:
            raise Fenced(detail="this journal was opened to be read")
        try:
            flight = self._files.open_flight()  # type: ignore[attr-defined]
        except (AttributeError, OSError):
            return None  # not every machine has it, nor every disk of the tests
        return SegmentAppends(self._writer, flight, loop, on_end)

    def read(
        self, from_position: int, *, previous_hash: bytes | None = None
    ) -> Iterator[memoryview]:
        """See Journal.read."""
        return self._reader.read(from_position, previous_hash)

    def start_before(self, position: int) -> int:
        """The segment a walk to a position begins in; the first that is kept, if that is later."""
        return self._reader.start_before(position)

    def read_record(self, position: int) -> bytes:
        """See Journal.read_record."""
        return self._reader.read_record(position)

    def disk_state(self) -> DiskState:
        """Cost: one statvfs; ask once a second, not once a tap. Raises OSError."""
        used = self._files.used_percent(self.directory)
        without_reserve = self._writer is not None and not self._writer.keeper.has_reserve
        if used >= self.options.refuse_percent or without_reserve:
            return DiskState.REFUSE_COMMANDS
        return DiskState.WARN if used >= self.options.warn_percent else DiskState.OK

    def announce(self, where: str) -> None:
        """Nobody else reads these files to find a leader."""

    def shrink(self, before_position: int) -> int:
        """Drop closed segments that end at or before a position; their roots stay.

        Returns: how many were dropped. A segment without a root is kept, and all behind it.
        Raises: Corrupt: a segment that does not fit its root is kept too. OSError.
        Cost: reads what it drops; not for the thread that appends.
        """
        if self._writer is None:
            raise Fenced(detail="this journal was opened to be read")
        self._writer.keeper.settle()
        inventory = take_inventory(self._files, self.directory, self.options.segment_bytes, refuse)
        dropped = 0
        for entry in inventory.used[:-1]:
            if entry.root is None or entry.root.end_position > before_position:
                break
            if entry.path is not None:
                self._drop(entry.path, entry.root)
                dropped += 1
        return dropped

    def _drop(self, path: Path, root: Root) -> None:
        if file_sha256(self._files, path) != root.file_sha256:
            said = f"the segment is not the one its root was made of ({path})"
            raise Corrupt(detail=said, path=str(path), offset=0)
        self._files.unlink(path)
        self._files.fsync_dir(self.directory)

    def close(self) -> None:
        self._reader.close()
        if self._writer is not None:
            self._writer.close()


def _find_last_start(files: FileOps, directory: Path) -> Head:
    """The state before the first group of the newest segment in use."""
    for entry in reversed(take_inventory(files, directory, None, refuse).used):
        if entry.head is not None:
            return Head(entry.base, entry.first_seq, entry.previous_hash)
    return _NOWHERE


def _find_options(files: FileOps, directory: Path) -> SegmentOptions:
    try:
        inventory = take_inventory(files, directory, None, refuse)
    except FileNotFoundError as error:
        raise JournalError("JOURNAL_NOT_FOUND", f"there is no folder {directory}") from error
    for entry in reversed(inventory.used):
        if entry.head is not None:
            return SegmentOptions(entry.head.segment_bytes, entry.head.group_bytes_max)
    raise JournalError("JOURNAL_NOT_FOUND", f"there is no journal in {directory}")
