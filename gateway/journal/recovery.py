"""What happens before a journal may be written again: check it, cut a torn last group, or refuse.

Nothing is changed before every check has passed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from fastpath import records as codec
from gateway.journal.files import FileOps
from gateway.journal.keeper import Closed, write_whole, zero_fill
from gateway.journal.port import Head
from gateway.journal.roots import Root, Totals
from gateway.journal.scan import (
    Cursor,
    Entry,
    Finding,
    Inventory,
    Report,
    Tail,
    Witness,
    WitnessCheck,
    check_closed,
    check_link,
    check_root_end,
    refuse,
    take_inventory,
    walk_segment,
)
from gateway.journal.segment import SEGMENT_HEAD_BYTES, SegmentFile, SegmentHead, segment_name

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cut:
    """A torn last group that was taken away: `size_bytes` from `offset` of the file on."""

    path: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What recovery found. Counts are those of the groups it walked, from `scanned_from` on."""

    head: Head
    scanned_from: int = 0
    group_count: int = 0
    record_count: int = 0
    cut: Cut | None = None


@dataclass(slots=True)
class Recovered:
    """What a writer needs to go on; `active` is None when nothing was ever written."""

    report: RecoveryReport
    active: SegmentHead | None = None
    totals: Totals = field(default_factory=Totals)
    spare: int | None = None
    unsealed: list[Closed] = field(default_factory=list)


@dataclass(slots=True)
class _Walk:
    files: FileOps
    inventory: Inventory
    witnesses: WitnessCheck
    from_base: int
    cursor: Cursor = field(default_factory=Cursor)
    scanned_from: int | None = None
    counted: Totals = field(default_factory=Totals)
    last_span: tuple[int, int] = (0, SEGMENT_HEAD_BYTES)
    """Where the newest segment was written last: its last group, or its head."""
    unsealed: list[Closed] = field(default_factory=list)


def recover(
    files: FileOps,
    directory: Path,
    segment_bytes: int,
    from_position: int = 0,
    witnesses: tuple[Witness, ...] = (),
) -> Recovered:
    """Check a journal and make it ready to be written.

    Args: from_position: closed segments before it are trusted by their roots.
    Raises: Corrupt, naming file and offset. OSError.
    """
    inventory = take_inventory(files, directory, segment_bytes, refuse)
    spare = _find_spare(files, inventory)
    walk = _Walk(files, inventory, WitnessCheck(witnesses), from_position // segment_bytes)
    walk.from_base = from_position // segment_bytes * segment_bytes
    if not inventory.used:
        walk.witnesses.check_head(0, directory / segment_name(0), 0, refuse)
        _tidy(files, inventory, spare)
        return Recovered(RecoveryReport(Head(0, 1, codec.NO_HASH)), spare=spare)
    _check_last(directory, inventory)
    for entry in inventory.used[:-1]:
        _walk_closed(walk, entry)
    tail = _walk_last(walk, inventory.used[-1])
    cut = _repair(files, inventory, tail)
    _make_durable(files, directory, inventory.used[-1], walk.last_span)
    _tidy(files, inventory, spare)
    return _result(walk, tail, cut, spare)


def _result(walk: _Walk, tail: Tail, cut: Cut | None, spare: int | None) -> Recovered:
    cursor = walk.cursor
    head = Head(cursor.position, cursor.next_seq or 1, cursor.chain_hash or codec.NO_HASH)
    counted = walk.counted
    report = RecoveryReport(
        head, walk.scanned_from or 0, counted.group_count, counted.record_count, cut
    )
    active = walk.inventory.used[-1].head
    return Recovered(report, active, tail.totals, spare, walk.unsealed)


def _find_spare(files: FileOps, inventory: Inventory) -> int | None:
    """The base of a prepared segment that can be used as it is. Refuses one that holds groups."""
    found = None
    for entry in inventory.spares:
        if entry.path is None:
            continue
        segment = SegmentFile(files, entry.path, entry.base, inventory.segment_bytes)
        try:
            empty = segment.find_nonzero(0) is None
            group = None if empty else segment.find_group(SEGMENT_HEAD_BYTES)
            if group is not None:
                said = entry.head_fault or "the head is empty"
                said = f"{said}, but a sound group stands at offset {group}"
                refuse(Finding("segment_head", str(entry.path), 0, said))
            whole = segment.file_bytes() == inventory.segment_bytes
            if found is None and whole and empty:
                found = entry.base
        finally:
            segment.close()
    return found


def _tidy(files: FileOps, inventory: Inventory, spare: int | None) -> None:
    """Remove what a crash left half prepared."""
    doomed = [e.path for e in inventory.spares if e.path is not None and e.base != spare]
    for path in (*inventory.leftovers, *doomed):
        log.info("journal_leftover_removed", extra={"path": str(path)})
        files.unlink(path)


def _check_last(directory: Path, inventory: Inventory) -> None:
    """A root is written after the next segment's head, so the newest in use cannot have one."""
    last = inventory.used[-1]
    if last.root is not None or last.path is None:
        missing = directory / segment_name(last.base + inventory.segment_bytes)
        said = f"segment is missing: {segment_name(last.base)} was closed, so it was begun"
        refuse(Finding("missing", str(missing), 0, said))


def _walk_closed(walk: _Walk, entry: Entry) -> None:
    check_link(entry, walk.cursor, refuse)
    trusted = entry.root is not None and entry.base < walk.from_base
    if entry.path is None or trusted:
        check_root_end(entry, walk.cursor)
        return
    tail = _walk_file(walk, entry)
    root = describe_closed(entry, walk.cursor, tail)
    if entry.root is None:
        walk.unsealed.append(Closed(entry.path, root))
    else:
        check_root(entry, root, refuse)


def _walk_last(walk: _Walk, entry: Entry) -> Tail:
    check_link(entry, walk.cursor, refuse)
    tail = _walk_file(walk, entry, closed=False)
    head = walk.cursor.position
    path = entry.path or Path()
    walk.witnesses.check_head(head, path, tail.end, refuse)
    return tail


def _walk_file(walk: _Walk, entry: Entry, *, closed: bool = True) -> Tail:
    path = entry.path or Path()
    segment = SegmentFile(walk.files, path, entry.base, walk.inventory.segment_bytes)

    walk.last_span = (0, SEGMENT_HEAD_BYTES)

    def visit(group: memoryview, view: codec.GroupView) -> None:
        walk.counted.add(view)
        walk.last_span = (view.position - entry.base, len(group))
        walk.witnesses.compare(walk.cursor, path, refuse)

    if walk.scanned_from is None:
        walk.scanned_from = entry.base
    try:
        tail = walk_segment(segment, walk.cursor, refuse, visit)
        if closed:
            check_closed(segment, tail, refuse)
        return tail
    finally:
        segment.close()


def describe_closed(entry: Entry, cursor: Cursor, tail: Tail) -> Root:
    """The root a walked segment should have, still without the hash of its file."""
    head = entry.head
    return Root(
        base=entry.base,
        segment_bytes=head.segment_bytes if head else 0,
        journal_id=head.journal_id.hex() if head else "",
        first_seq=entry.first_seq,
        end_position=cursor.position,
        previous_hash=entry.previous_hash.hex(),
        chain_hash=(cursor.chain_hash or b"").hex(),
        file_sha256="",
        totals=tail.totals,
    )


def check_root(entry: Entry, found: Root, report: Report) -> None:
    """Whether the root beside a segment says what the segment holds (its file's hash aside)."""
    root = entry.root
    if root is None:
        return
    for name in ("first_seq", "end_position", "previous_hash", "chain_hash", "totals"):
        if getattr(root, name) != getattr(found, name):
            said = f"the root's {name} is not that of the segment"
            report(Finding("root", str(entry.root_path), 0, said))


def _repair(files: FileOps, inventory: Inventory, tail: Tail) -> Cut | None:
    """Zero what a torn last group left behind, durably, and make the file whole again."""
    entry = inventory.used[-1]
    path = entry.path or Path()
    segment = SegmentFile(files, path, entry.base, inventory.segment_bytes)
    try:
        end = segment.find_last_nonzero(tail.end)
        size = segment.file_bytes()
    finally:
        segment.close()
    short = size < inventory.segment_bytes
    if end == tail.end and not short:
        return None
    fd = files.open(path, write=True)
    try:
        if short:
            files.allocate(fd, inventory.segment_bytes)
            zero_fill(files, fd, (size, inventory.segment_bytes))
        zero_fill(files, fd, (tail.end, end))
    finally:
        files.close(fd)
    cut = Cut(str(path), tail.end, end - tail.end)
    log.warning(
        "journal_tail_cut",
        extra={"path": cut.path, "offset": cut.offset, "size_bytes": cut.size_bytes},
    )
    return cut


def _make_durable(files: FileOps, directory: Path, entry: Entry, span: tuple[int, int]) -> None:
    """Make what was found outlive the next power cut: answers are given from it from now on.

    A process that was killed, or that ended because a sync failed, leaves its last write in the
    page cache only. After a failed sync the cache no longer knows that it is dirty, so the bytes
    are written again. What lies before was synced before the last write began.
    """
    offset, size = span
    fd = files.open(entry.path or Path(), write=True)
    try:
        write_whole(files, fd, files.pread(fd, size, offset), offset)
        files.fdatasync(fd)
    finally:
        files.close(fd)
    files.fsync_dir(directory)
