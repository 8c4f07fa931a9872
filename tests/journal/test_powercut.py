"""What was acknowledged before the power went is there after recovery, and nothing half.

The disk is simulated (tests/support/faultfs.py): it keeps what was synced, and of the rest what
chance keeps. A seed says everything; Hypothesis prints it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import JournalError, JournalFull
from gateway.journal.files import FileOps
from gateway.journal.segments import SegmentJournal, SegmentOptions
from gateway.journal.verify import verify_journal
from tests.support.faultfs import Fault, FaultFiles, NoDsync, NoSync, SimDisk
from tests.support.journals import Bank, build_next

FOLDER = Path("/journal")
EXAMPLES = int(os.environ.get("FAREGATE_POWER_CUTS", "60"))
"""How many runs; raise it for a long proof."""
OPTIONS = SegmentOptions(segment_bytes=16384, group_bytes_max=4096, background=False)
CHANGES = frozenset(
    {
        *("pwrite", "pwrite_synced", "fdatasync", "allocate"),
        *("rename", "unlink", "fsync_dir", "make_dir"),
    }
)


class PowerCutError(Exception):
    """Raised out of a file operation: the machine is gone."""


class CutAfter(FaultFiles):
    """The power goes at the n-th operation that changes the disk; a write may be under way."""

    def __init__(self, behind: FileOps, countdown: int, *, offers: int) -> None:
        super().__init__(behind, synced=offers >= 1, direct=offers >= 2)
        self.countdown = countdown

    def _meet(self, operation: str) -> Fault | None:
        if operation in CHANGES:
            if self.countdown == 0:
                raise PowerCutError
            self.countdown -= 1
        return None

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self.countdown == 0:
            self.behind.pwrite(fd, data, offset)  # it may have reached the disk, in part
        return super().pwrite(fd, data, offset)

    def write_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self.countdown == 0:
            self.behind.pwrite(fd, data, offset)
        return super().write_synced(fd, data, offset)


class LostError(AssertionError):
    """The proof failed: something acknowledged is gone, or something is there that nobody sent."""


class Client:
    """Appends groups through many lives of one disk and remembers what it was promised."""

    def __init__(self, rng: random.Random, wrap: Callable[[FileOps], FileOps]) -> None:
        self.rng = rng
        self.offers = rng.randrange(3)
        """0 plain writes only, 1 synced ones as well, 2 also past the page cache."""
        self.disk = SimDisk()
        self.wrap = wrap
        self.acknowledged: list[bytes] = []
        self.under_way: bytes | None = None

    def live(self, operations: int, groups: int) -> None:
        """One life: recover, compare, append, until the power goes."""
        files = self.wrap(CutAfter(self.disk, operations, offers=self.offers))
        try:
            journal = SegmentJournal.open(FOLDER, OPTIONS, files=files)
            self.compare(journal)
            self.append(journal, groups)
        except PowerCutError:
            pass
        self.disk.cut_power(self.rng)

    def compare(self, journal: SegmentJournal) -> None:
        """All of what was acknowledged, then at most the group that was under way."""
        found = [bytes(group) for group in journal.read(0)]
        allowed = [self.acknowledged]
        if self.under_way is not None:
            allowed.append([*self.acknowledged, self.under_way])
        if found not in allowed:
            raise LostError(f"{len(self.acknowledged)} acknowledged, {len(found)} found")
        self.acknowledged, self.under_way = found, None

    def append(self, journal: SegmentJournal, groups: int) -> None:
        bank = Bank()
        for _ in range(groups):
            position, self.under_way = build_next(journal, bank, records=self.rng.randint(1, 12))
            try:
                journal.append(position, self.under_way)
            except JournalFull:
                self.under_way = None
                continue
            self.acknowledged.append(self.under_way)
            self.under_way = None

    def finish(self) -> None:
        """A last start on a quiet disk."""
        journal = SegmentJournal.open(FOLDER, OPTIONS, files=self.disk)
        self.compare(journal)
        journal.close()
        assert verify_journal(FOLDER, files=self.disk).is_sound


def run_lives(seed: int, wrap: Callable[[FileOps], FileOps] = lambda files: files) -> Client:
    rng = random.Random(seed)
    client = Client(rng, wrap)
    for _ in range(rng.randint(1, 6)):
        client.live(operations=rng.randint(0, 120), groups=rng.randint(0, 40))
    client.finish()
    return client


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**64))
def test_nothing_acknowledged_is_lost(seed: int) -> None:
    run_lives(seed)


def test_every_operation_may_be_the_last() -> None:
    """The power goes after 0, 1, 2, ... operations of a run that begins and closes segments."""
    furthest = 0
    for operations in range(0, 330, 5):
        client = Client(random.Random(operations), lambda files: files)
        client.live(operations, groups=60)
        client.finish()
        furthest = max(furthest, len(client.acknowledged))
    assert furthest == 60


def test_full_disks_and_power_cuts_together() -> None:
    for seed in range(25):

        def wrap(files: FileOps, seed: int = seed) -> FileOps:
            short = [
                Fault(operation, after=seed, times=2, short=seed * 7)
                for operation in ("pwrite", "pwrite_synced")
            ]
            full = Fault("allocate", 28, after=seed % 3, times=1)
            return FaultFiles(files, *short, full, synced=seed % 3 > 0, direct=seed % 3 == 2)

        rng = random.Random(seed)
        client = Client(rng, wrap)
        for _ in range(3):
            try:
                client.live(rng.randint(10, 120), 30)
            except JournalFull:  # no room for the very first segment
                client.disk.cut_power(rng)
        client.finish()


def test_a_synced_write_makes_its_own_bytes_durable_and_no_others() -> None:
    disk, rng = SimDisk(), random.Random(1)
    disk.make_dir(FOLDER)
    fd = disk.open(FOLDER / "f", write=True, create=True)
    disk.fsync_dir(FOLDER)
    disk.pwrite(fd, b"abcdefgh", 0)
    disk.pwrite_synced(fd, b"XY", 3)
    node = disk._open[fd][0]
    assert node.live == b"abcXYfgh"
    assert node.durable == b"\0\0\0XY"
    assert node.pending == [(0, b"abc"), (5, b"fgh")]
    disk.cut_power(rng)
    assert disk.content(FOLDER / "f")[3:5] == b"XY"


def count_caught(wrap: Callable[[FileOps], FileOps]) -> int:
    caught = 0
    for seed in range(30):
        try:
            run_lives(seed, wrap)
        except (LostError, JournalError):
            caught += 1
    return caught


def test_the_proof_catches_a_journal_that_does_not_sync() -> None:
    """The mutation check: without fdatasync most runs must fail, or the proof proves nothing."""
    assert count_caught(lambda files: files) == 0
    assert count_caught(NoSync) > 15


def test_the_proof_catches_synced_writes_that_are_not() -> None:
    assert count_caught(NoDsync) > 10


def test_the_proof_catches_folders_that_are_not_synced() -> None:
    class NoFolderSync(FaultFiles):
        def fsync_dir(self, path: Path) -> None:
            self.calls.append("fsync_dir")

    assert count_caught(NoFolderSync) > 3
