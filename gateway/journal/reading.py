"""Reading a journal's segments, also while another process writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fastpath import records as codec
from gateway.errors import Corrupt, JournalError
from gateway.journal.files import FileOps
from gateway.journal.port import Head
from gateway.journal.scan import FAULTS, Cursor, Finding, refuse
from gateway.journal.segment import (
    SEGMENT_HEAD_BYTES,
    BadHeadError,
    SegmentFile,
    SegmentHead,
    root_name,
    segment_name,
)

PAST_RETENTION = "JOURNAL_PAST_RETENTION"

Limit = Callable[[], int | None]
"""Where the durable journal ends; None = find out from the files."""


class SegmentReader:
    """Groups and records by position."""

    def __init__(self, files: FileOps, directory: Path, segment_bytes: int, limit: Limit) -> None:
        self._files = files
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._limit = limit
        self._kept: SegmentFile | None = None

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def read(self, from_position: int, previous_hash: bytes | None = None) -> Iterator[memoryview]:
        """See Journal.read."""
        cursor = Cursor(from_position, None, previous_hash)
        if from_position == 0:
            cursor = Cursor()
        segment = self._open_at(from_position)
        while segment is not None:
            try:
                yield from self._read_segment(segment, cursor)
                following = self._next_segment(segment, cursor)
            finally:
                segment.close()
            segment = following

    def _read_segment(self, segment: SegmentFile, cursor: Cursor) -> Iterator[memoryview]:
        limit = self._limit()
        durable = limit is not None or self._head_of(segment.base + self._segment_bytes) is not None
        while limit is None or cursor.position < limit:
            offset = max(cursor.position - segment.base, SEGMENT_HEAD_BYTES)
            found = segment.group_at(offset, cursor.chain_hash)
            group = found if isinstance(found, memoryview) else None
            if group is None:
                group = self._look_again(segment, offset, cursor)
            if group is None:
                return
            if not durable:
                segment.sync_window()
            self._advance(segment, offset, cursor, group)
            yield group

    def _advance(
        self, segment: SegmentFile, offset: int, cursor: Cursor, group: memoryview
    ) -> None:
        view = codec.view_group(group)
        if cursor.next_seq not in (None, view.first_seq):
            said = f"records go on with {view.first_seq} where {cursor.next_seq} was expected"
            refuse(Finding("seq", str(segment.path), offset, said))
        cursor.advance(view, group)

    def _look_again(self, segment: SegmentFile, offset: int, cursor: Cursor) -> memoryview | None:
        """What was not whole may be by now; if it still is not, it must be the end."""
        segment.refresh()
        group = segment.group_at(offset, cursor.chain_hash)
        if isinstance(group, memoryview):
            return group
        if group == codec.EMPTY:
            return None
        if group == codec.BAD_CHAIN or segment.find_group(offset) is not None:
            segment.refresh()
            group = segment.group_at(offset, cursor.chain_hash)
            if isinstance(group, memoryview):
                return group
            refuse(Finding("group", str(segment.path), offset, FAULTS.get(group, "group missing")))
        return None

    def _next_segment(self, segment: SegmentFile, cursor: Cursor) -> SegmentFile | None:
        """The segment behind, once its head is there and the one before has nothing more."""
        base = segment.base + self._segment_bytes
        limit = self._limit()
        if limit is not None and limit <= base:
            return None
        head = self._head_of(base)
        if head is None:
            return None
        offset = max(cursor.position - segment.base, SEGMENT_HEAD_BYTES)
        if self._look_again(segment, offset, cursor) is not None:
            return self._open(segment.base)
        self._check_roll(segment, offset, head, cursor)
        cursor.position = base
        return self._open(base)

    def _check_roll(
        self, segment: SegmentFile, offset: int, head: SegmentHead, cursor: Cursor
    ) -> None:
        stray = segment.find_nonzero(offset)
        if stray is not None:
            refuse(Finding("stray", str(segment.path), offset, "bytes that are no group"))
        if cursor.chain_hash not in (None, head.previous_hash):
            path = self._directory / segment_name(head.base)
            refuse(Finding("chain", str(path), 32, "the segment does not follow the one before"))

    def _head_of(self, base: int) -> SegmentHead | None:
        """The head of a segment in use, else None: not there, prepared, or being begun."""
        path = self._directory / segment_name(base)
        if path.name not in self._files.list_dir(self._directory):
            return None
        segment = SegmentFile(self._files, path, base, self._segment_bytes)
        try:
            return segment.read_head()
        except BadHeadError as error:
            behind = segment.find_group(SEGMENT_HEAD_BYTES)
            if behind is not None:
                refuse(Finding("segment_head", str(path), 0, str(error)))
            return None
        finally:
            segment.close()

    def _open_at(self, position: int) -> SegmentFile | None:
        """The segment a walk from `position` begins in; None = nothing was written yet."""
        if self._segment_bytes == 0:
            return None
        base = position // self._segment_bytes * self._segment_bytes
        if self._head_of(base) is None:
            self._explain_missing(base)
            return None
        return self._open(base)

    def _explain_missing(self, base: int) -> None:
        names = set(self._files.list_dir(self._directory))
        if root_name(base) in names:
            said = f"position {base} is past retention: only its root is kept"
            raise JournalError(PAST_RETENTION, said)
        before = base - self._segment_bytes
        if base > 0 and not names & {segment_name(before), root_name(before)}:
            path = str(self._directory / segment_name(base))
            raise Corrupt(detail=f"segment is missing ({path})", path=path, offset=0)

    def _open(self, base: int) -> SegmentFile:
        path = self._directory / segment_name(base)
        return SegmentFile(self._files, path, base, self._segment_bytes)

    def start_before(self, position: int) -> int:
        """The base of the segment that holds a position; the first kept one, if that is later."""
        if self._segment_bytes == 0:
            return 0
        base = position // self._segment_bytes * self._segment_bytes
        names = set(self._files.list_dir(self._directory))
        while root_name(base) in names and segment_name(base) not in names:
            base += self._segment_bytes
        return base

    def read_record(self, position: int) -> bytes:
        """See Journal.read_record."""
        base = position // max(1, self._segment_bytes) * self._segment_bytes
        if self._kept is None or self._kept.base != base:
            self.close()
            opened = self._open_at(position)
            if opened is None:
                said = f"no segment holds position {position}"
                raise JournalError(PAST_RETENTION, said)
            self._kept = opened
        found = self._kept.read_record(position - base)
        if found is None:
            path = str(self._kept.path)
            said = f"no record at position {position} ({path}, offset {position - base})"
            raise Corrupt(detail=said, path=path, offset=position - base)
        return found

    def find_head(self, known: Head) -> Head:
        """Walk on from a known head to the end."""
        cursor = Cursor(known.position, known.next_seq, known.chain_hash)
        for group in self.read(known.position, known.chain_hash if known.position else None):
            cursor.advance(codec.view_group(group), group)
        return Head(cursor.position, cursor.next_seq or known.next_seq, cursor.chain_hash or b"")
