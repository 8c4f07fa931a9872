"""One segment file: its name, its head, and reading groups out of it (docs/journal.md).

Nothing here writes. Must not import the writer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from fastpath import records as codec
from gateway.journal.files import FileOps

SEGMENT_HEAD_BYTES = 4096
SEGMENT_FORMAT = 1
STRUCT_VERSION = 1
SEGMENT_MAGIC = int.from_bytes(b"FGS1", "little")
GROUP_MAGIC = int.from_bytes(b"FGG1", "little")
GROUP_FORMAT = 1
WINDOW_BYTES = 1 << 20

_NAME = re.compile(r"(\d{20})\.(seg|root)")
_HEAD = Struct("<IHHQ16s32sQqQII")
_CRC_OFFSET = _HEAD.size
_GROUP_START = Struct("<IHHQ")


class BadHeadError(ValueError):
    """A segment head that is neither empty nor sound."""


class ForeignFormatError(BadHeadError):
    """The head is one of another version of this program. What stands behind it is not ours to
    judge: to this program its groups would look like a torn write."""


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """The first 4096 bytes of a segment."""

    base: int
    journal_id: bytes
    previous_hash: bytes
    first_seq: int
    created_us: int
    segment_bytes: int
    group_bytes_max: int

    def pack(self) -> bytes:
        """The whole head, checksum included."""
        fields = _HEAD.pack(
            SEGMENT_MAGIC,
            SEGMENT_FORMAT,
            SEGMENT_HEAD_BYTES,
            self.base,
            self.journal_id,
            self.previous_hash,
            self.first_seq,
            self.created_us,
            self.segment_bytes,
            self.group_bytes_max,
            STRUCT_VERSION,
        )
        whole = bytearray(SEGMENT_HEAD_BYTES)
        whole[:_CRC_OFFSET] = fields
        whole[_CRC_OFFSET : _CRC_OFFSET + 4] = codec.crc32c(whole).to_bytes(4, "little")
        return bytes(whole)


def parse_head(data: bytes) -> SegmentHead | None:
    """The head in these bytes; None when nothing was written yet. Raises BadHeadError."""
    if codec.find_nonzero(data) < 0:
        return None
    if len(data) < SEGMENT_HEAD_BYTES:
        raise BadHeadError("the file is shorter than a segment head")
    magic, form, size, base, journal_id, previous, seq, created, segment, group, version = (
        _HEAD.unpack_from(data)
    )
    if magic != SEGMENT_MAGIC:
        raise BadHeadError("not a segment of a journal: wrong magic")
    if form != SEGMENT_FORMAT:
        # Before the checksum: where that stands is for the other version to say. A torn write
        # cannot part it from the magic.
        raise ForeignFormatError(f"segment format {form}: this program knows {SEGMENT_FORMAT}")
    bare = bytearray(data[:SEGMENT_HEAD_BYTES])
    bare[_CRC_OFFSET : _CRC_OFFSET + 4] = bytes(4)
    if codec.crc32c(bare).to_bytes(4, "little") != data[_CRC_OFFSET : _CRC_OFFSET + 4]:
        raise BadHeadError("checksum of the segment head is wrong")
    if (size, version) != (SEGMENT_HEAD_BYTES, STRUCT_VERSION):
        said = f"structs of version {version}: this program knows {STRUCT_VERSION}"
        raise ForeignFormatError(said)
    return SegmentHead(base, journal_id, previous, seq, created, segment, group)


def segment_name(base: int) -> str:
    """File name of the segment that begins at `base`."""
    return f"{base:020d}.seg"


def root_name(base: int) -> str:
    """File name of its root."""
    return f"{base:020d}.root"


def parse_name(name: str) -> tuple[int, str] | None:
    """(base, "seg" or "root"), None for any other name."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), found[2]) if found else None


def align(position: int) -> int:
    """The next multiple of 8: where groups begin."""
    return -(-position // 8) * 8


class SegmentFile:
    """Groups of one segment, through a window of its bytes. Close it."""

    def __init__(self, files: FileOps, path: Path, base: int, segment_bytes: int) -> None:
        self.path = path
        self.base = base
        self.segment_bytes = segment_bytes
        self._files = files
        self._fd = files.open(path)
        self._window = b""
        self._start = 0
        self._synced = True

    def close(self) -> None:
        self._files.close(self._fd)

    def file_bytes(self) -> int:
        return self._files.size(self._fd)

    def read_head(self) -> SegmentHead | None:
        """Raises BadHeadError."""
        return parse_head(self._files.pread(self._fd, SEGMENT_HEAD_BYTES, 0))

    def refresh(self) -> None:
        """Forget what was read: another process may have written since."""
        self._window = b""

    def group_at(self, offset: int, previous_hash: bytes | None) -> memoryview | int:
        """The checked group at an offset of the file, or one of the codes of fastpath.records.

        A group that would cross the segment's end is BAD_HEAD; bytes past the end of a shortened
        file count as missing (SHORT, or EMPTY when what is there is 0).
        """
        if offset + codec.GROUP_HEAD_BYTES > self.segment_bytes:
            return codec.EMPTY
        status = self._check(offset, previous_hash)
        if status == codec.SHORT:
            wanted = codec.wanted_bytes(self._window, offset - self._start)
            if offset + wanted > self.segment_bytes:
                return codec.BAD_HEAD
            self._load(offset, wanted)
            status = self._check(offset, previous_hash)
        if status <= 0:
            return status
        at = offset - self._start
        return memoryview(self._window)[at : at + status]

    def _check(self, offset: int, previous_hash: bytes | None) -> int:
        at = offset - self._start
        if at < 0 or at + codec.GROUP_HEAD_BYTES > len(self._window):
            self._load(offset, codec.GROUP_HEAD_BYTES)
            at = 0
        if not self._window:
            return codec.EMPTY
        return codec.check_group(self._window, at, self.base + offset, previous_hash)

    def _load(self, offset: int, wanted: int) -> None:
        size = min(max(wanted, WINDOW_BYTES), self.segment_bytes - offset)
        self._window = self._files.pread(self._fd, size, offset)
        self._start = offset
        self._synced = False

    def sync_window(self) -> None:
        """Make what was read durable. A reader beside the writer may have seen a group whose sync
        is still under way; what it builds on that group must not outlive it."""
        if not self._synced:
            self._files.fdatasync(self._fd)
            self._synced = True

    def find_foreign(self, offset: int) -> int | None:
        """The format of a group here that another version of this program wrote; None = there is
        none. A torn write keeps sectors whole, so it cannot look like one."""
        head = self._files.pread(self._fd, _GROUP_START.size, offset)
        if len(head) < _GROUP_START.size:
            return None
        magic, form, _, position = _GROUP_START.unpack(head)
        is_group = magic == GROUP_MAGIC and position == self.base + offset
        return form if is_group and form != GROUP_FORMAT else None

    def find_nonzero(self, offset: int) -> int | None:
        """Offset of the first byte from there on that is not 0."""
        for start, data in self._chunks(offset):
            found = codec.find_nonzero(data)
            if found >= 0:
                return start + found
        return None

    def find_last_nonzero(self, offset: int) -> int:
        """Offset behind the last byte that is not 0; `offset` when all are."""
        end = offset
        for start, data in self._chunks(offset):
            if codec.find_nonzero(data) >= 0:
                end = start + len(data.rstrip(b"\0"))
        return end

    def find_group(self, offset: int) -> int | None:
        """Offset of the first sound group that begins at or behind `offset`."""
        at = max(align(offset), SEGMENT_HEAD_BYTES)
        for start, data in self._chunks(at, overlap=codec.GROUP_HEAD_BYTES):
            found = codec.find_head(data, self.base + start)
            while found >= 0:
                if isinstance(self.group_at(start + found, None), memoryview):
                    return start + found
                found = codec.find_head(data, self.base + start, found + 8)
        return None

    def _chunks(self, offset: int, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        while data := self._files.pread(self._fd, WINDOW_BYTES + overlap, offset):
            yield offset, data
            offset += WINDOW_BYTES

    def read_record(self, offset: int) -> bytes | None:
        """The record at an offset, None when the bytes there are none."""
        head = self._files.pread(self._fd, codec.RECORD_HEAD_BYTES, offset)
        if len(head) < codec.RECORD_HEAD_BYTES:
            return None
        size = int.from_bytes(head[:4], "little")
        if size != codec.RECORD_HEAD_BYTES + head[7] * codec.RECORD_ITEM_BYTES:
            return None
        rest = self._files.pread(self._fd, size - len(head), offset + len(head))
        return head + rest if len(head) + len(rest) == size else None
