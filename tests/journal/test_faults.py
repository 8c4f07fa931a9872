"""Disks that fill up, fail and are slow; two writers; what a segment keeps in reserve."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastpath import _journal as codec
from gateway.errors import ConfigError, Corrupt, Fenced, JournalBroken, JournalError, JournalFull
from gateway.journal.files import RealFiles
from gateway.journal.roots import load_root
from gateway.journal.segment import segment_name
from gateway.journal.segments import DiskState, SegmentJournal, SegmentOptions
from tests.support.faultfs import Fault, FaultFiles, SimDisk
from tests.support.journals import SMALL, build_next, fill, make_journal, read_all

SEG = SMALL.segment_bytes
REPO = Path(__file__).parents[2]


@pytest.fixture(params=["real", "simulated"])
def disk(request: pytest.FixtureRequest) -> RealFiles | SimDisk:
    return RealFiles() if request.param == "real" else SimDisk()


def open_with(folder: Path, disk: RealFiles | SimDisk, *faults: Fault) -> SegmentJournal:
    """Faults begin when the journal is open."""
    synced = any(fault.operation == "pwrite_synced" for fault in faults)
    files = FaultFiles(disk, synced=synced)
    journal = SegmentJournal.open(folder, SMALL, files=files)
    files.faults += faults
    return journal


def reread(folder: Path, disk: RealFiles | SimDisk) -> list[bytes]:
    journal = SegmentJournal.open(folder, SMALL, files=disk)
    try:
        return [bytes(group) for group in journal.read(0)]
    finally:
        journal.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("pwrite", errno.ENOSPC, after=2, times=1),
        Fault("pwrite", errno.EDQUOT, after=2, times=1),
        Fault("pwrite", after=2, times=1, short=0),
        Fault("pwrite", after=2, times=1, short=1),
        Fault("pwrite", after=2, times=1, short=200),
    ],
    ids=lambda fault: f"{errno.errorcode.get(fault.number, 'short')}-{fault.short}",
)
def test_no_room_leaves_nothing_and_the_caller_may_go_on(
    tmp_path: Path, disk: RealFiles | SimDisk, fault: Fault
) -> None:
    fault.seen = 0
    folder = tmp_path / "journal"
    journal = open_with(folder, disk, fault)
    made = fill(journal, 2)
    head = journal.head()
    with pytest.raises(JournalFull):
        journal.append(*build_next(journal))
    assert journal.head() == head
    assert [bytes(g) for g in journal.read(0)] == made
    fd = disk.open(folder / segment_name(0))
    assert codec.find_nonzero(disk.pread(fd, SEG, head.position)) == -1
    disk.close(fd)
    made += fill(journal, 20)
    journal.close()
    assert reread(folder, disk) == made


@pytest.mark.parametrize("operation", ["pwrite", "fdatasync", "pwrite_synced"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_an_io_error_ends_all_appends(
    tmp_path: Path, disk: RealFiles | SimDisk, operation: str, number: int
) -> None:
    folder = tmp_path / "journal"
    journal = open_with(folder, disk, Fault(operation, number, after=3, times=1))
    made = fill(journal, 3)
    head = journal.head()
    failed = build_next(journal)
    with pytest.raises(JournalBroken):
        journal.append(*failed)
    for _ in range(3):
        with pytest.raises(JournalBroken, match="nothing can be appended"):
            journal.append(*failed)
    assert journal.head() == head
    journal.close()
    assert reread(folder, disk) in (made, [*made, failed[1]])


def test_a_failed_sync_with_no_room_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    """ENOSPC from a sync: the pages are already marked clean, nobody knows what is there."""
    journal = open_with(tmp_path / "j", RealFiles(), Fault("fdatasync", errno.ENOSPC, times=1))
    with pytest.raises(JournalBroken):
        journal.append(*build_next(journal))
    journal.close()


def test_a_short_write_that_cannot_be_taken_back_breaks_the_journal(tmp_path: Path) -> None:
    faults = (Fault("pwrite", times=1, short=150), Fault("pwrite", errno.EIO, after=0, times=1))
    journal = open_with(tmp_path / "j", RealFiles(), *faults)
    with pytest.raises(JournalBroken, match="could not be taken back"):
        journal.append(*build_next(journal))
    journal.close()
    assert read_all(tmp_path / "j") == []


def test_when_the_disk_is_full_taps_go_on_in_the_reserve(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    disk = SimDisk()
    journal = SegmentJournal.open(folder, SMALL, files=disk)
    made = fill(journal, 2)
    assert journal.disk_state() is DiskState.OK
    disk.capacity_bytes = 2 * SEG + 1000
    while journal.head().position < 2 * SEG - SMALL.group_bytes_max:
        made += fill(journal, 1)
    assert journal.disk_state() is DiskState.REFUSE_COMMANDS
    head = journal.head()
    assert journal.place(head.position) > 2 * SEG
    for _ in range(3):
        with pytest.raises(JournalFull):
            journal.append(*build_next(journal))
    assert journal.head() == head
    assert [bytes(g) for g in journal.read(0)] == made
    disk.capacity_bytes = None
    made += fill(journal, 30)
    assert journal.disk_state() is DiskState.OK
    journal.close()
    assert reread(folder, disk) == made


def test_the_reserve_comes_back_by_itself_in_the_background(tmp_path: Path) -> None:
    options = SegmentOptions(SEG, 2048, background=True)
    files = FaultFiles(RealFiles(), Fault("allocate", errno.ENOSPC, after=2, times=2))
    journal = SegmentJournal.open(tmp_path / "j", options, files=files)
    while journal.head().position < SEG:
        fill(journal, 1)
    writer = journal._writer
    assert writer is not None
    writer.keeper.settle()
    assert journal.disk_state() is DiskState.REFUSE_COMMANDS
    while journal.head().position < 3 * SEG:
        try:
            fill(journal, 1)
        except JournalFull:
            assert files.faults[0].seen <= 4
    writer.keeper.settle()
    assert writer.keeper.has_reserve
    journal.close()


@pytest.mark.parametrize("operation", ["pwrite", "fdatasync", "open"])
def test_errors_while_rolling_to_the_next_segment(tmp_path: Path, operation: str) -> None:
    folder = tmp_path / "journal"
    files = FaultFiles(RealFiles())
    journal = SegmentJournal.open(folder, SMALL, files=files)
    made = []
    while journal.place(journal.head().position) < SEG:
        made += fill(journal, 1)
    files.faults.append(Fault(operation, errno.EIO, times=1))
    with pytest.raises(JournalBroken):
        fill(journal, 1)
    journal.close()
    assert read_all(folder) == made


@pytest.mark.parametrize("fault", [("pwrite", errno.ENOSPC), ("open", errno.EMFILE)])
def test_no_room_for_the_next_head(tmp_path: Path, fault: tuple[str, int]) -> None:
    folder = tmp_path / "journal"
    files = FaultFiles(RealFiles())
    journal = SegmentJournal.open(folder, SMALL, files=files)
    made = []
    while journal.place(journal.head().position) < SEG:
        made += fill(journal, 1)
    files.faults.append(Fault(*fault, times=1))
    with pytest.raises(JournalFull):
        fill(journal, 1)
    made += fill(journal, 2)
    journal.close()
    assert read_all(folder) == made


def test_a_real_file_size_limit(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in the middle of a group: the kernel itself writes short."""
    folder = tmp_path / "journal"
    journal = SegmentJournal.open(folder, SMALL)
    made = fill(journal, 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.head().position + 100, hard))
    try:
        for _ in range(3):
            with pytest.raises(JournalFull):
                fill(journal, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    made += fill(journal, 3)
    journal.close()
    assert read_all(folder) == made


FULL_DISK = """
import sys
from gateway.errors import JournalFull
from gateway.journal.segments import DiskState, SegmentJournal, SegmentOptions
from tests.support.journals import build_next
journal = SegmentJournal.open(sys.argv[1], SegmentOptions(65536, 8192, background=False))
count = 0
try:
    while count < 10_000:
        journal.append(*build_next(journal))
        count += 1
except JournalFull:
    assert journal.disk_state() is DiskState.REFUSE_COMMANDS
    assert len(list(journal.read(0))) == count
    print("full after", count)
journal.close()
journal = SegmentJournal.open(sys.argv[1], read_only=True)
assert len(list(journal.read(0))) == count
"""


def test_a_really_full_disk(tmp_path: Path) -> None:
    """A tmpfs of 300 KiB, mounted in a namespace of its own."""
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size=300k faregate {tmp_path} && exec "
    probe = [unshare or "unshare", "-rm", "sh", "-c", mount + "true"]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs unshare and the right to mount a tmpfs in a user namespace")
    run = [*probe[:-1], mount + '"$@"', "sh", sys.executable, "-c", FULL_DISK, str(tmp_path / "j")]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=REPO, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("full after"), done.stdout


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    journal = SegmentJournal.open(tmp_path, SMALL)
    code = f"""
from gateway.errors import Fenced
from gateway.journal.segments import SegmentJournal
try:
    SegmentJournal.open({str(tmp_path)!r})
except Fenced as error:
    print(error.detail)
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=REPO, timeout=60)
    assert f"process {os.getpid()} writes the journal" in done.stdout
    fill(journal, 1)
    journal.close()
    assert len(read_all(tmp_path)) == 1


def test_a_refused_start_gives_the_lock_back(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    make_journal(folder, 40)
    path = folder / segment_name(0)
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:5000] + b"\xff" + whole[5001:])
    with pytest.raises(Corrupt):
        SegmentJournal.open(folder, SMALL)
    path.write_bytes(whole)
    assert len(read_all(folder)) == 40


def test_an_unreadable_disk_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    make_journal(folder, 3)
    files = FaultFiles(RealFiles(), Fault("pread", errno.EIO))
    with pytest.raises(JournalBroken):
        SegmentJournal.open(folder, SMALL, files=files)
    with pytest.raises(JournalFull):
        SegmentJournal.open(tmp_path / "new", SMALL, files=SimDisk(capacity_bytes=1000))


@pytest.mark.parametrize(
    ("segment_bytes", "group_bytes_max"),
    [(4096, 128), (16384 + 8, 2048), (16384, 16384), (16384, 64), (0, 128)],
)
def test_sizes_that_cannot_work(tmp_path: Path, segment_bytes: int, group_bytes_max: int) -> None:
    with pytest.raises(ConfigError):
        SegmentJournal.open(tmp_path, SegmentOptions(segment_bytes, group_bytes_max))


def test_disk_states_by_percent(tmp_path: Path) -> None:
    disk = SimDisk()
    journal = SegmentJournal.open(tmp_path, SMALL, files=disk)
    used = 2 * SEG
    expected = {used * 2: DiskState.OK, used * 5 // 4: DiskState.WARN, used: "refuse_commands"}
    for capacity, state in expected.items():
        disk.capacity_bytes = capacity
        assert journal.disk_state() == state
    journal.close()


def test_closed_segments_are_sealed(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    options = SegmentOptions(SEG, 2048, signing_key=key, background=False)
    made = make_journal(tmp_path, 50, options)
    roots = [load_root(path.read_bytes()) for path in sorted(tmp_path.glob("*.root"))]
    assert len(roots) >= 2
    for path in sorted(tmp_path.glob("*.seg"))[: len(roots)]:
        assert path.stat().st_mode & 0o777 == 0o400
    assert sum(root.totals.group_count for root in roots) < len(made)
    views = [codec.view_group(g) for g in made if codec.view_group(g).position < SEG]
    first = roots[0]
    assert first.is_signed_by(key.public_key())
    assert not first.is_signed_by(Ed25519PrivateKey.generate().public_key())
    assert first.totals.record_count == sum(view.record_count for view in views)
    assert first.totals.amount_total_minor == sum(view.amount_total_minor for view in views)
    assert first.totals.fare_total_minor == sum(view.fare_total_minor for view in views)
    assert roots[1].previous_hash == first.chain_hash
    assert roots[1].first_seq == first.next_seq


def test_a_changed_root_is_no_root(tmp_path: Path) -> None:
    make_journal(tmp_path, 30)
    data = next(tmp_path.glob("*.root")).read_bytes()
    assert load_root(data).dump() == data
    for at in range(len(data)):
        with pytest.raises(ValueError, match=r"."):
            load_root(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_shrinking_leaves_roots_and_the_chain(tmp_path: Path) -> None:
    made = make_journal(tmp_path, 60)
    journal = SegmentJournal.open(tmp_path, SMALL)
    assert journal.shrink(SEG - 5000) == 0
    assert journal.shrink(2 * SEG) == 2
    assert journal.shrink(2 * SEG) == 0
    with pytest.raises(JournalError, match="past retention"):
        list(journal.read(0))
    with pytest.raises(JournalError, match="past retention"):
        journal.read_record(4096 + 128)
    kept = [g for g in made if codec.view_group(g).position > 2 * SEG]
    assert [bytes(g) for g in journal.read(2 * SEG)] == kept
    kept += fill(journal, 20)
    head = journal.head()
    journal.close()
    again = SegmentJournal.open(tmp_path, SMALL)
    assert again.head() == head
    assert again.shrink(head.position) >= 1
    again.close()
    reader = SegmentJournal.open(tmp_path, read_only=True)
    assert reader.head() == head
    reader.close()


def test_shrinking_keeps_a_segment_that_does_not_fit_its_root(tmp_path: Path) -> None:
    make_journal(tmp_path, 40)
    journal = SegmentJournal.open(tmp_path, SMALL)
    path = tmp_path / segment_name(0)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(6000)
        file.write(b"\xee\xee")
    with pytest.raises(Corrupt):
        journal.shrink(3 * SEG)
    assert path.exists()
    journal.close()


def test_a_reader_may_not_write_or_shrink(tmp_path: Path) -> None:
    make_journal(tmp_path, 3)
    reader = SegmentJournal.open(tmp_path, read_only=True)
    with pytest.raises(Fenced):
        reader.append(*build_next(reader))
    with pytest.raises(Fenced):
        reader.shrink(SEG)
    reader.close()


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = SegmentJournal.open(tmp_path, SMALL)
    position, group = build_next(journal)
    journal.close()
    journal.close()
    with pytest.raises(JournalBroken):
        journal.append(position, group)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_append_does_not_wait_for_a_keeper_that_died(tmp_path: Path) -> None:
    class Broken(RealFiles):
        armed = False

        def allocate(self, fd: int, size: int) -> None:
            if self.armed:
                raise RuntimeError("a fault of the program")
            super().allocate(fd, size)

    files = Broken()
    options = SegmentOptions(SEG, 2048, background=True)
    journal = SegmentJournal.open(tmp_path, options, files=files)
    writer = journal._writer
    assert writer is not None
    writer.keeper.settle()
    files.armed = True
    made: list[bytes] = []
    with pytest.raises((RuntimeError, JournalBroken)):
        fill_into(made, journal, 200)
    journal.close()
    assert read_all(tmp_path) == made


def fill_into(made: list[bytes], journal: SegmentJournal, groups: int) -> None:
    while len(made) < groups:
        made += fill(journal, 1)


class SyncedWrites(RealFiles):
    """Fails, or shortens, the first synced writes; counts what happened after."""

    def __init__(self, code: int, *, short: bool = False) -> None:
        self.code = code
        self.short = short
        self.left = 1
        self.synced = 0

    def pwrite_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self.left and self.short:
            self.left -= 1
            return self.pwrite(fd, bytes(data)[:10], offset)
        if self.left:
            self.left -= 1
            raise OSError(self.code, "scripted")
        return super().pwrite_synced(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        self.synced += 1
        super().fdatasync(fd)


def test_an_append_is_a_synced_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    real = os.pwritev

    def noted(fd: int, buffers: list[bytes], offset: int, flag: int = 0) -> int:
        flags.append(flag)
        return real(fd, buffers, offset, flag)

    journal = SegmentJournal.open(tmp_path / "j", SMALL)
    monkeypatch.setattr(os, "pwritev", noted)
    journal.append(*build_next(journal))
    journal.close()
    assert flags
    assert set(flags) == {os.RWF_DSYNC}


@pytest.mark.parametrize(
    "fault",
    [(errno.ENOSPC, False), (errno.EOPNOTSUPP, False), (0, True)],
    ids=["no room", "not supported", "short"],
)
def test_synced_write_that_did_not_work_is_done_in_two_steps(
    tmp_path: Path, fault: tuple[int, bool]
) -> None:
    files = SyncedWrites(fault[0], short=fault[1])
    journal = SegmentJournal.open(tmp_path / "j", SMALL, files=files)
    before = files.synced
    journal.append(*build_next(journal))
    assert files.synced == before + 1
    journal.append(*build_next(journal))
    assert files.synced == before + 1
    journal.close()
    assert len(reread(tmp_path / "j", RealFiles())) == 2


def test_nothing_is_appended_after_a_synced_write_failed(tmp_path: Path) -> None:
    journal = SegmentJournal.open(tmp_path / "j", SMALL, files=SyncedWrites(errno.EIO))
    for _ in range(2):
        with pytest.raises(JournalBroken):
            journal.append(*build_next(journal))
    journal.close()
