"""A journal in Valkey as a segment file, for a backup.

Positions are byte addresses in both kinds and both begin at 4096, so the groups of a whole stream,
each at its own address behind a segment's head, are a journal of one segment.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from fastpath import records as codec
from gateway.clock import now_us
from gateway.errors import JournalError
from gateway.journal.port import Head
from gateway.journal.segment import SegmentHead, align, segment_name
from gateway.journal.valkey import ValkeyJournal

MIB = 1 << 20
SEGMENT_MIB_MIN = 64
SEGMENT_MIB_MAX = 4096
ROOM_MIB = 32
"""Left behind the last group, at least: a restored gateway goes on in the same segment."""


def export_segment(journal: ValkeyJournal, folder: Path) -> tuple[Head, int]:
    """Write the whole stream into `folder` as one segment; the head, and the segment's MiB.

    Raises: JournalError JOURNAL_PAST_RETENTION: it was trimmed. JournalUnavailable, Corrupt,
        OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / segment_name(0)
    head = Head(0, 1, codec.NO_HASH)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        for group in journal.read(0):
            view = codec.view_group(group)
            file.seek(view.position)
            file.write(group)
            end = align(view.position + view.length_bytes)
            digest = hashlib.sha256(group).digest()
            head = Head(end, view.first_seq + view.record_count, digest)
        size_mib = _segment_mib(head.position)
        if head.position:
            file.seek(0)
            file.write(_segment_head(size_mib, journal.options.group_bytes_max).pack())
        file.truncate(size_mib * MIB)
        file.flush()
        os.fsync(file.fileno())
    return head, size_mib


def _segment_mib(end: int) -> int:
    size = max(SEGMENT_MIB_MIN, -(-end // MIB) + ROOM_MIB)
    if size > SEGMENT_MIB_MAX:
        said = f"a stream of {end} bytes is longer than the largest segment"
        raise JournalError(
            detail=said, hint="`faregate journal trim`, then see docs/replication.md"
        )
    return size


def _segment_head(size_mib: int, group_bytes_max: int) -> SegmentHead:
    return SegmentHead(
        base=0,
        journal_id=secrets.token_bytes(16),
        previous_hash=codec.NO_HASH,
        first_seq=1,
        created_us=now_us(),
        segment_bytes=size_mib * MIB,
        group_bytes_max=group_bytes_max,
    )
