"""Finding out what a journal folder holds, and whether it is what was written into it.

Recovery and `journal verify` walk the same code: they differ in what `report` does with a finding.
Recovery raises it (`refuse`), verify collects it and goes on. Nothing here writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastpath import records as codec
from gateway.errors import ConfigError, Corrupt
from gateway.journal.files import FileOps
from gateway.journal.roots import Root, Totals, load_root
from gateway.journal.segment import (
    SEGMENT_HEAD_BYTES,
    BadHeadError,
    ForeignFormatError,
    SegmentFile,
    SegmentHead,
    align,
    parse_name,
    root_name,
    segment_name,
)

FAULTS = {
    codec.SHORT: "the group is not whole",
    codec.BAD_HEAD: "the group's head is damaged",
    codec.BAD_POSITION: "the group names another position than its own",
    codec.BAD_CRC: "the group's checksum is wrong",
    codec.BAD_CHAIN: "the group does not follow the one before it: its previous hash differs",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written. `severity`: "error"; "note" for what may be."""

    fault: str
    path: str
    offset: int
    detail: str
    severity: str = "error"


Report = Callable[[Finding], None]


def refuse(finding: Finding) -> None:
    """The report of recovery. Raises Corrupt for anything but a note."""
    if finding.severity == "error":
        said = f"{finding.detail} ({finding.path}, offset {finding.offset})"
        raise Corrupt(detail=said, path=finding.path, offset=finding.offset)


@dataclass(slots=True)
class Entry:
    """One segment: file, root, or both. `head` is None for one that was prepared but not used."""

    base: int
    path: Path | None = None
    head: SegmentHead | None = None
    root_path: Path | None = None
    root: Root | None = None
    head_fault: str = ""

    @property
    def used(self) -> bool:
        return self.head is not None or self.root is not None

    @property
    def first_seq(self) -> int:
        return self.head.first_seq if self.head else self.root.first_seq if self.root else 0

    @property
    def previous_hash(self) -> bytes:
        if self.head is not None:
            return self.head.previous_hash
        return bytes.fromhex(self.root.previous_hash) if self.root else codec.NO_HASH


@dataclass(slots=True)
class Inventory:
    """What is in the folder, oldest first; `spares` were never used, or lost their head."""

    segment_bytes: int
    used: list[Entry] = field(default_factory=list)
    spares: list[Entry] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)

    @property
    def journal_id(self) -> bytes | None:
        for entry in self.used:
            if entry.head is not None:
                return entry.head.journal_id
            if entry.root is not None:
                return bytes.fromhex(entry.root.journal_id)
        return None


def take_inventory(
    files: FileOps, directory: Path, segment_bytes: int | None, report: Report
) -> Inventory:
    """Read names, heads and roots, and check that they make one journal.

    Args: segment_bytes: what is configured; None = what the journal itself says.
    Raises: ConfigError: the two differ.
    """
    entries, leftovers = _list_entries(files, directory, report)
    for entry in entries.values():
        _read_entry(files, entry, report)
    ordered = [entries[base] for base in sorted(entries)]
    own = _own_segment_bytes(ordered)
    size = segment_bytes or own
    if own not in (0, size):
        said = f"segments of {size} bytes are configured, but the journal in {directory} has {own}"
        raise ConfigError(detail=said)
    inventory = Inventory(size, leftovers=leftovers)
    last_used = max((i for i, entry in enumerate(ordered) if entry.used), default=-1)
    inventory.used = ordered[: last_used + 1]
    inventory.spares = ordered[last_used + 1 :]
    _check_order(directory, ordered, size, report)
    for entry in inventory.used:
        _check_entry(entry, inventory, report)
    return inventory


def _list_entries(
    files: FileOps, directory: Path, report: Report
) -> tuple[dict[int, Entry], list[Path]]:
    entries: dict[int, Entry] = {}
    leftovers: list[Path] = []
    for name in sorted(files.list_dir(directory)):
        path = directory / name
        if name.endswith(".tmp"):
            leftovers.append(path)
        elif found := parse_name(name):
            entry = entries.setdefault(found[0], Entry(found[0]))
            if found[1] == "seg":
                entry.path = path
            else:
                entry.root_path = path
        elif ".seg" in name or ".root" in name:
            report(Finding("name", str(path), 0, "this is no name of a segment"))
    return entries, leftovers


def _read_entry(files: FileOps, entry: Entry, report: Report) -> None:
    if entry.root_path is not None:
        try:
            entry.root = load_root(_read_file(files, entry.root_path))
        except ValueError as error:
            report(Finding("root", str(entry.root_path), 0, f"the root cannot be used: {error}"))
    if entry.path is None:
        return
    segment = SegmentFile(files, entry.path, entry.base, SEGMENT_HEAD_BYTES)
    try:
        entry.head = segment.read_head()
    except ForeignFormatError as error:
        entry.head_fault = str(error)
        report(Finding("version", str(entry.path), 0, entry.head_fault))
    except BadHeadError as error:
        entry.head_fault = str(error)
    finally:
        segment.close()


def _read_file(files: FileOps, path: Path) -> bytes:
    fd = files.open(path)
    try:
        return files.pread(fd, files.size(fd), 0)
    finally:
        files.close(fd)


def _own_segment_bytes(entries: list[Entry]) -> int:
    for entry in entries:
        if entry.head is not None:
            return entry.head.segment_bytes
        if entry.root is not None:
            return entry.root.segment_bytes
    return 0


def _check_order(directory: Path, entries: list[Entry], size: int, report: Report) -> None:
    """Without gaps from 0 on, and segment files only behind the ones that shrank."""
    expected = 0
    kept = False
    for entry in entries:
        name = entry.path or directory / root_name(entry.base)
        if size and entry.base % size:
            report(Finding("name", str(name), 0, f"no multiple of the segment size {size}"))
            continue
        if entry.base > expected:
            missing = directory / segment_name(expected)
            report(Finding("missing", str(missing), 0, f"segment is missing before {name.name}"))
        if entry.path is None and kept:
            missing = directory / segment_name(entry.base)
            report(
                Finding("missing", str(missing), 0, "segment is missing, only its root is there")
            )
        kept = kept or entry.path is not None
        expected = entry.base + size


def _check_entry(entry: Entry, inventory: Inventory, report: Report) -> None:
    where = str(entry.path or "")
    if entry.path is not None and entry.head is None:
        what = entry.head_fault or "the segment's head is empty but later segments are in use"
        report(Finding("segment_head", where, 0, what))
        return
    head, root = entry.head, entry.root
    if head is not None:
        if head.base != entry.base:
            said = f"the file holds the segment of position {head.base}"
            report(Finding("segment_head", where, 8, said))
        if head.journal_id != inventory.journal_id:
            report(Finding("journal_id", where, 16, "the segment belongs to another journal"))
        if head.segment_bytes != inventory.segment_bytes:
            said = f"segments of {head.segment_bytes} bytes, not {inventory.segment_bytes}"
            report(Finding("segment_bytes", where, 80, said))
    if root is not None and (root.base, root.journal_id) != (
        entry.base,
        (inventory.journal_id or b"").hex(),
    ):
        report(Finding("root", root_name(entry.base), 0, "the root belongs to another segment"))


@dataclass(slots=True)
class Cursor:
    """Where a walk stands: the end of the last group and what must follow. None = not known."""

    position: int = 0
    next_seq: int | None = 1
    chain_hash: bytes | None = codec.NO_HASH

    def advance(self, view: codec.GroupView, group: memoryview) -> None:
        self.position = align(view.position + view.length_bytes)
        self.next_seq = view.first_seq + view.record_count
        self.chain_hash = hashlib.sha256(group).digest()


Visit = Callable[[memoryview, codec.GroupView], None]


@dataclass(slots=True)
class Tail:
    """How a segment ends: everything sound lies before `end`."""

    end: int
    fault: int = codec.EMPTY
    totals: Totals = field(default_factory=Totals)


def check_link(entry: Entry, cursor: Cursor, report: Report) -> None:
    """Whether a segment (or its root) goes on where the cursor stands; moves the cursor to it."""
    where = str(entry.path or root_name(entry.base))
    if cursor.chain_hash not in (None, entry.previous_hash):
        said = "the segment does not follow the one before it: its previous hash differs"
        report(Finding("chain", where, 32, said))
    if cursor.next_seq not in (None, entry.first_seq):
        said = f"records go on with {entry.first_seq} where {cursor.next_seq} was expected"
        report(Finding("seq", where, 64, said))
    cursor.position = entry.base
    cursor.next_seq = entry.first_seq
    cursor.chain_hash = entry.previous_hash


def check_root_end(entry: Entry, cursor: Cursor) -> None:
    """Move the cursor over a segment by its root alone."""
    if entry.root is not None:
        cursor.position = entry.root.end_position
        cursor.next_seq = entry.root.next_seq
        cursor.chain_hash = bytes.fromhex(entry.root.chain_hash)


def walk_segment(
    segment: SegmentFile, cursor: Cursor, report: Report, visit: Visit | None = None
) -> Tail:
    """Walk the groups of one segment from its start, moving the cursor.

    Stops at the first place without a sound group. When a sound group lies behind it, what is
    between is reported as damage, and the walk goes on there (if `report` returns).
    """
    offset = SEGMENT_HEAD_BYTES
    totals = Totals()
    while True:
        group = segment.group_at(offset, cursor.chain_hash)
        if isinstance(group, memoryview):
            offset = _step(segment, offset, group, (cursor, totals, visit), report)
            continue
        behind = offset if group == codec.BAD_CHAIN else segment.find_group(offset)
        if behind is None:
            if (form := segment.find_foreign(offset)) is not None:
                said = f"a group of format {form}: another version of this program wrote it"
                report(Finding("version", str(segment.path), offset, said))
            return Tail(offset, group, totals)
        segment.refresh()
        if isinstance(segment.group_at(offset, cursor.chain_hash), memoryview):
            continue  # a live writer has just finished it
        said = FAULTS.get(group, "a group is missing: the bytes are zero")
        if behind > offset:
            said += f"; the next sound group begins at offset {behind}"
        report(Finding("group", str(segment.path), offset, said))
        cursor.chain_hash = cursor.next_seq = None
        offset = behind


def _step(
    segment: SegmentFile,
    offset: int,
    group: memoryview,
    state: tuple[Cursor, Totals, Visit | None],
    report: Report,
) -> int:
    cursor, totals, visit = state
    view = codec.view_group(group)
    if cursor.next_seq not in (None, view.first_seq):
        said = f"records go on with {view.first_seq} where {cursor.next_seq} was expected"
        report(Finding("seq", str(segment.path), offset, said))
    end = offset + view.length_bytes
    cursor.advance(view, group)
    totals.add(view)
    if visit is not None:
        visit(group, view)
    return align(end)


def check_closed(segment: SegmentFile, tail: Tail, report: Report) -> None:
    """A segment with a used one behind it: whole, and nothing but zeros after its last group."""
    size = segment.file_bytes()
    if size != segment.segment_bytes:
        said = f"a closed segment has {size} bytes instead of {segment.segment_bytes}"
        report(Finding("size", str(segment.path), min(size, tail.end), said))
    if tail.fault != codec.EMPTY:
        report(Finding("group", str(segment.path), tail.end, FAULTS[tail.fault]))
        return
    stray = segment.find_nonzero(tail.end)
    if stray is not None:
        said = "bytes after the last group of a closed segment are not zero"
        report(Finding("stray", str(segment.path), stray, said))


@dataclass(frozen=True, slots=True)
class Witness:
    """Somebody who has seen the journal up to a position: a snapshot, a projection."""

    name: str
    position: int
    chain_hash: bytes | None = None


class WitnessCheck:
    """Compares witnesses with the groups that end where they say."""

    def __init__(self, witnesses: tuple[Witness, ...]) -> None:
        self.open: Mapping[int, list[Witness]] = {}
        by_position: dict[int, list[Witness]] = {}
        for witness in witnesses:
            if witness.position > 0:
                by_position.setdefault(witness.position, []).append(witness)
        self.open = by_position

    def compare(self, cursor: Cursor, path: Path, report: Report) -> None:
        """At the end of a group. Cost: one dict look-up."""
        for witness in self.open.get(cursor.position, ()):
            if witness.chain_hash not in (None, cursor.chain_hash):
                said = f"the group that ends here is not the one {witness.name} has seen"
                offset = cursor.position - int(path.stem)
                report(Finding("witness", str(path), offset, said))

    def check_head(self, head: int, path: Path, offset: int, report: Report) -> None:
        """After the walk: nobody may have seen more than there is."""
        for position, seen in self.open.items():
            if position > head:
                said = (
                    f"the journal ends at {head}, but {seen[0].name} has seen it up to {position}"
                )
                report(Finding("tail_lost", str(path), offset, said))
