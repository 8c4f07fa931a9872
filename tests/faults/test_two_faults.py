"""First the process dies, later the power goes: what a recovery found and served must stay.

A group that was written but never synced is in the page cache when the next process starts. That
process answers repeats from it, so it has to make it durable first; after a failed sync the kernel
no longer knows that the pages are dirty, so it has to write them again.
"""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from fastpath.api import StoreHandle
from gateway.engine.recovery import recover
from gateway.engine.snapshot import iter_infos
from gateway.engine.snapshotter import Follower, Schedule, Snapshotter
from gateway.errors import Corrupt, JournalBroken
from gateway.journal.scan import Witness
from gateway.journal.segments import SegmentJournal, SegmentOptions
from tests.support.faultfs import Fault, FaultFiles, ForgetfulDisk, Inode, SimDisk
from tests.support.journals import SMALL, Bank, build_next, fill

FOLDER = Path("/journal")
SEEDS = range(12)


def open_journal(disk: SimDisk, options: SegmentOptions = SMALL) -> SegmentJournal:
    return SegmentJournal.open(FOLDER, options, files=disk)


@pytest.mark.parametrize("disk_type", [SimDisk, ForgetfulDisk])
@pytest.mark.parametrize("groups", [0, 3, 13, 14, 15])
def test_what_recovery_found_survives_a_later_power_cut(
    disk_type: type[SimDisk], groups: int
) -> None:
    kept = 0
    for seed in SEEDS:
        disk = disk_type()
        files = FaultFiles(disk)
        journal = SegmentJournal.open(FOLDER, SMALL, files=files)
        fill(journal, groups)
        files.faults.append(Fault("fdatasync", errno.EIO))
        with pytest.raises(JournalBroken):
            journal.append(*build_next(journal))
        if isinstance(disk, ForgetfulDisk):
            disk.forget()
        disk.end_processes()
        found = open_journal(disk).head()
        disk.cut_power(random.Random(seed))
        assert open_journal(disk).head().position >= found.position
        kept += 1
    assert kept == len(SEEDS)


def test_a_name_that_was_not_synced_is_before_anything_is_written_under_it() -> None:
    """Killed between rename and sync of the folder: the file is there, its name may not stay."""
    for seed in SEEDS:
        disk = SimDisk()
        journal = open_journal(disk)
        fill(journal, 1)
        disk.end_processes()
        _forget_names(disk)
        journal = open_journal(disk)
        made = fill(journal, 3)
        disk.cut_power(random.Random(seed))
        assert [bytes(group) for group in open_journal(disk).read(0)][-3:] == made


def _forget_names(disk: SimDisk) -> None:
    """As if the folder had never been synced."""
    folder = disk.folders[FOLDER]
    names: dict[str, Inode] = dict(folder.live)
    folder.durable.clear()
    folder.pending[:] = [lambda held: held.update(names)]


def break_sync_then_snapshot_then_cut(
    snapshots: Path, groups: int, *, with_mark: bool
) -> tuple[SimDisk, int]:
    """A sync fails, the snapshotter reads what the page cache still holds, the power goes.

    Returns: the disk, and what the writer had said is durable.
    """
    disk, bank = ForgetfulDisk(), Bank()
    files = FaultFiles(disk)
    journal = SegmentJournal.open(FOLDER, SMALL, files=files)
    fill(journal, groups, bank)
    durable = journal.place(journal.head().position)
    known = journal.head().position
    files.faults.append(Fault("fdatasync", errno.EIO, times=1))
    with pytest.raises(JournalBroken):
        journal.append(*build_next(journal, bank))
    disk.forget()
    reader = SegmentJournal.open(FOLDER, SMALL, read_only=True, files=disk)
    mark = durable if with_mark else None
    follower = Follower.start(StoreHandle(), snapshots)
    looking = Snapshotter(follower, snapshots, Schedule(every_us=1), durable=lambda: mark)
    looking.step(reader)
    looking.write()
    reader.close()
    disk.cut_power(random.Random(1))
    return disk, known


def start_again(disk: SimDisk, snapshots: Path) -> tuple[int, int]:
    """Where the newest snapshot and the journal end. Raises: Corrupt: start is refused."""

    def open_to_write(from_position: int, witnesses: tuple[Witness, ...]) -> SegmentJournal:
        return SegmentJournal.open(
            FOLDER, SMALL, from_position=from_position, witnesses=witnesses, files=disk
        )

    recovery = recover(StoreHandle(), snapshots, open_to_write)
    return recovery.snapshot_position, recovery.journal.head().position


@pytest.mark.parametrize("groups", [3, 13, 14, 15])
def test_a_snapshot_never_holds_what_only_the_page_cache_had(tmp_path: Path, groups: int) -> None:
    disk, known = break_sync_then_snapshot_then_cut(tmp_path, groups, with_mark=True)
    assert [info.position for info in iter_infos(tmp_path)] == [known]
    assert start_again(disk, tmp_path) == (known, known)


def test_without_the_mark_the_next_start_would_be_refused(tmp_path: Path) -> None:
    disk, _ = break_sync_then_snapshot_then_cut(tmp_path, 3, with_mark=False)
    with pytest.raises(Corrupt, match="but snapshot has seen it up to"):
        start_again(disk, tmp_path)
