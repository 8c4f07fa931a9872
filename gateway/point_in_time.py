"""A restored data folder taken back to an instant: what the journal held then, and nothing later.

The journal is cut behind the last group that was made until the instant, snapshots of a later
state go, and so does the ledger, which is built anew from the journal. The registry is the copy of
the backup: it has no history of its own, so take the first backup after the instant.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastpath.records import view_group
from gateway.engine.snapshot import iter_infos
from gateway.errors import FareGatewayError
from gateway.journal.segment import parse_name
from gateway.journal.segments import SegmentJournal


class PointInTimeError(FareGatewayError):
    """The journal cannot be taken back to this instant."""

    default_code = "BACKUP_INSTANT"


@dataclass(frozen=True, slots=True)
class CutPoint:
    """Where a journal was cut. last_us: when the last group that stayed was made, 0 = none."""

    position: int
    last_us: int
    groups_kept: int
    groups_dropped: int
    records_dropped: int
    snapshots_dropped: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def take_back(folder: Path, until_us: int) -> CutPoint:
    """Take a data folder that nobody serves back to an instant (UTC).

    Raises: PointInTimeError: the journal begins after it. Corrupt.
    """
    journal = SegmentJournal.open(folder / "journal", read_only=True)
    try:
        point = _find(journal, until_us)
        size = journal.options.segment_bytes
    finally:
        journal.close()
    _cut(folder / "journal", point.position, size)
    dropped = _drop_snapshots(folder / "snapshots", point.position)
    for path in folder.glob("ledger.*"):
        path.unlink()
    return CutPoint(**(asdict(point) | {"snapshots_dropped": dropped}))


def _find(journal: SegmentJournal, until_us: int) -> CutPoint:
    """Behind the last group before the first one that was made later.

    Instants of groups rise but for steps of the clock; the first later one counts, so that nothing
    that is kept came after something that is not.
    """
    position = last_us = kept = dropped = records = 0
    for raw in journal.read(journal.start_before(0)):
        group = view_group(raw)
        if dropped or group.ts_us > until_us:
            dropped += 1
            records += group.record_count
            continue
        kept += 1
        position, last_us = group.position + group.length_bytes, group.ts_us
    if not kept:
        raise PointInTimeError(detail="the journal of this backup begins after that instant")
    return CutPoint(position, last_us, kept, dropped, records)


def _cut(directory: Path, position: int, segment_bytes: int) -> None:
    """Zeros from the position on; files behind it go, and so does the root of a file that is open
    again.
    """
    for path in sorted(directory.iterdir()):
        named = parse_name(path.name)
        if named is None:
            continue
        base, kind = named
        is_behind = base >= position
        is_open_again = base < position < base + segment_bytes
        if is_behind or (is_open_again and kind != "seg"):
            path.unlink()
        elif is_open_again:
            _empty_from(path, position - base)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _empty_from(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.truncate(offset)
        file.truncate(size)
        os.fsync(file.fileno())


def _drop_snapshots(directory: Path, position: int) -> int:
    later = [info.path for info in iter_infos(directory) if info.position > position]
    for path in later:
        path.unlink()
    return len(later)
