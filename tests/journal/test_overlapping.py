"""Appends in flight: begun, told the end of, and what goes wrong between."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import InvariantError, JournalBroken, JournalFull
from gateway.journal.files import Flight, RealFiles
from gateway.journal.port import OverlappedAppends
from gateway.journal.segments import SegmentJournal
from tests.support.journals import SMALL, build_next
from tests.support.overlapped import Readers, overlap


class ScriptedFlight:
    """The real one; its next begin or end goes as told, behind what the disk did."""

    def __init__(self, files: ScriptedFiles) -> None:
        self._real = RealFiles().open_flight()
        self._files = files

    @property
    def fd(self) -> int:
        return self._real.fd

    @property
    def is_under_way(self) -> bool:
        return self._real.is_under_way

    def begin(self, fd: int, data: memoryview, offset: int) -> None:
        number, self._files.begin_error = self._files.begin_error, 0
        if number:
            raise OSError(number, "scripted")
        self._files.begun += 1
        self._real.begin(fd, data, offset)

    def end(self, *, wait: bool = False) -> int | None:
        written = self._real.end(wait=wait)
        number, self._files.end_error = self._files.end_error, 0
        if number:
            raise OSError(number, "scripted")
        if self._files.is_short and written is not None:
            self._files.is_short = False
            return written - 4096
        return written

    def close(self) -> None:
        self._real.close()


class ScriptedFiles(RealFiles):
    """Files whose flights fail on demand, and whose writes find no room as often as told."""

    def __init__(self) -> None:
        self.begun = 0
        self.begin_error = 0
        self.end_error = 0
        self.is_short = False
        self.full = 0

    def open_flight(self) -> Flight:
        return ScriptedFlight(self)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self.full:
            self.full -= 1
            raise OSError(errno.ENOSPC, "scripted")
        return super().pwrite(fd, data, offset)


class Rig:
    """A journal with appends in flight."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = ScriptedFiles()
        self.readers = Readers()
        self.journal = SegmentJournal.open(folder, SMALL, files=self.files)
        appends = overlap(self.journal, self.readers)
        assert appends is not None
        self.appends: OverlappedAppends = appends

    def append(self) -> bytes:
        """The next group, to its end."""
        position, group = build_next(self.journal)
        if self.appends.begin(position, group):
            self.readers.wait()
            assert self.appends.finish()
        return group

    def reopened(self) -> list[bytes]:
        """What a restart finds."""
        self.journal.close()
        again = SegmentJournal.open(self.folder, SMALL)
        try:
            return [bytes(group) for group in again.read(0)]
        finally:
            again.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "journal")
    yield made
    made.journal.close()


def test_the_head_moves_at_the_end_not_before(rig: Rig) -> None:
    before = rig.journal.head()
    position, group = build_next(rig.journal)
    assert rig.appends.begin(position, group)
    assert rig.journal.head() == before
    rig.readers.wait()
    assert rig.appends.finish()
    assert rig.journal.head().position == position + len(group)
    assert rig.reopened() == [group]


def test_one_at_a_time(rig: Rig) -> None:
    position, group = build_next(rig.journal)
    assert rig.appends.begin(position, group)
    for again in (rig.appends.begin, rig.journal.append):
        with pytest.raises(InvariantError):
            again(position, group)
    rig.readers.wait()
    assert rig.appends.finish()
    assert not rig.appends.finish(), "there is nothing under way"


def test_segments_change_between_flights(rig: Rig) -> None:
    made = [rig.append() for _ in range(40)]
    assert rig.journal.head().position > 2 * SMALL.segment_bytes
    assert rig.files.begun == 40
    assert rig.reopened() == made


def test_a_failed_disk_is_the_end_of_all_appends(rig: Rig) -> None:
    made = [rig.append()]
    rig.files.end_error = errno.EIO
    with pytest.raises(JournalBroken):
        rig.append()
    with pytest.raises(JournalBroken):
        rig.append()
    assert rig.reopened()[:1] == made


@pytest.mark.parametrize("how", ["no room", "short"])
def test_an_end_without_room_is_written_again_in_steps(rig: Rig, how: str) -> None:
    rig.files.end_error = errno.ENOSPC if how == "no room" else 0
    rig.files.is_short = how == "short"
    made = [rig.append(), rig.append()]
    assert rig.files.begun == 2
    assert rig.reopened() == made


def test_without_room_for_either_nothing_of_it_is_there(rig: Rig) -> None:
    made = [rig.append()]
    rig.files.end_error, rig.files.full = errno.ENOSPC, 1
    with pytest.raises(JournalFull):
        rig.append()
    made.append(rig.append())
    assert rig.reopened() == made


def test_what_cannot_begin_is_waited_for(rig: Rig) -> None:
    rig.files.begin_error = errno.EAGAIN
    position, group = build_next(rig.journal)
    assert not rig.appends.begin(position, group)
    assert rig.journal.head().position == position + len(group)
    made = [group, rig.append()]
    assert rig.files.begun == 1
    assert rig.reopened() == made


def test_a_file_system_that_says_so_late_is_not_asked_again(rig: Rig) -> None:
    rig.files.end_error = errno.EINVAL
    made = [rig.append(), rig.append()]
    assert rig.files.begun == 1
    assert rig.reopened() == made


def test_closing_waits_for_what_is_under_way(rig: Rig) -> None:
    position, group = build_next(rig.journal)
    assert rig.appends.begin(position, group)
    rig.appends.close()
    assert rig.readers.fds == {}
    assert rig.reopened() == [group]


def test_the_end_of_the_process_leaves_all_or_nothing(tmp_path: Path) -> None:
    for number in range(8):
        folder = tmp_path / str(number)
        SegmentJournal.open(folder, SMALL).close()
        child = os.fork()
        if child == 0:
            rig = Rig(folder)
            rig.append()
            position, group = build_next(rig.journal)
            rig.appends.begin(position, group)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        again = SegmentJournal.open(folder, SMALL)
        assert len(list(again.read(0))) in (1, 2)
        again.close()


def test_a_machine_without_flights_appends_as_before(tmp_path: Path) -> None:
    class Without(RealFiles):
        def open_flight(self) -> Flight:
            raise OSError(errno.ENOSYS, "not here")

    journal = SegmentJournal.open(tmp_path, SMALL, files=Without())
    assert overlap(journal, Readers()) is None
    journal.append(*build_next(journal))
    journal.close()


def test_a_flight_carries_one_write_and_says_when(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    files = RealFiles()
    fd, flight = files.open(path, write=True), files.open_flight()
    with pytest.raises(ValueError, match="no write"):
        flight.end()
    try:
        flight.begin(fd, memoryview(b"x" * 100), 8)  # through the cache it ends at once
        with pytest.raises(ValueError, match="under way"):
            flight.begin(fd, memoryview(b"y"), 0)
        assert flight.end(wait=True) == 100
        with pytest.raises(OSError, match="Bad file"):
            flight.begin(-1, memoryview(b"z"), 0)
        assert not flight.is_under_way
    finally:
        flight.close()
        flight.close()
        files.close(fd)
    with pytest.raises(ValueError, match="closed"):
        flight.begin(fd, memoryview(b"x"), 0)
    assert path.read_bytes()[:110] == bytes(8) + b"x" * 100 + bytes(2)


def flushes(path: Path) -> int:
    """How often the disk under a file was told to keep what it cached; -1 = nobody counts it."""
    device = os.stat(path).st_dev
    stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    numbers = stat.read_text().split() if stat.exists() else []
    return int(numbers[15]) if len(numbers) > 15 else -1


def test_the_kernel_is_asked_for_synced_writes(tmp_path: Path) -> None:
    """As many flushes of the disk as by ordinary synced writes; a flight that is not synced has
    none.
    """
    path, count = tmp_path / "file", 100
    files = RealFiles()
    path.write_bytes(bytes(4096 * count))
    try:
        fd = files.open_direct(path)
    except OSError:
        pytest.skip("this file system has no direct writes")
    flight = files.open_flight()
    block = mmap.mmap(-1, 4096)
    with memoryview(block) as view:
        before = flushes(path)
        for at in range(count):
            files.pwrite_synced(fd, view, 4096 * at)
        between = flushes(path)
        for at in range(count):
            flight.begin(fd, view, 4096 * at)
            assert flight.end(wait=True) == 4096
        behind = flushes(path)
    flight.close()
    files.close(fd)
    block.close()
    if before < 0 or between - before < count:
        pytest.skip("this disk has no cache to flush, or does not count it")
    assert behind - between >= count
