"""The reserve: whole when there is time, what is there when an append needs it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.journal.files import RealFiles
from gateway.journal.keeper import SYNCED_BYTES, Keeper, Zeros
from gateway.journal.segment import segment_name

SEGMENT_BYTES = 8 << 20


class HeldFiles(RealFiles):
    """Counts what is filled; the second piece waits for a permission. No writes past the cache."""

    def open_direct(self, path: Path) -> int:
        raise OSError(22, "not here")

    def __init__(self) -> None:
        self.pieces = 0
        self.begun = threading.Event()
        self.gate = threading.Event()

    def pwrite_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        return self.pwrite(fd, data, offset)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.pieces += 1
        if self.pieces == 2:
            self.begun.set()
            self.gate.wait(20)
        return super().pwrite(fd, data, offset)


def take(folder: Path, *, whole: bool) -> tuple[Path, int]:
    """The segment, and how many pieces were filled when it was had."""
    files = HeldFiles()
    keeper = Keeper(files, folder, SEGMENT_BYTES)
    with ThreadPoolExecutor(1) as pool:
        keeper.want(0)
        assert files.begun.wait(20)
        taken = pool.submit(keeper.take, 0, whole=whole)
        until = time.monotonic() + 20
        while not keeper._hurry and time.monotonic() < until:
            time.sleep(0.001)
        files.gate.set()
        path = taken.result(20)
    pieces = files.pieces
    keeper.close()
    return path, pieces


def test_who_needs_it_waits_for_one_piece_and_not_for_all(tmp_path: Path) -> None:
    path, pieces = take(tmp_path, whole=False)
    assert pieces == 2
    data = path.read_bytes()
    assert len(data) == SEGMENT_BYTES, "the rest is allocated"
    assert not any(data), "and reads as zeros"


def test_at_the_start_there_is_time_for_all(tmp_path: Path) -> None:
    path, pieces = take(tmp_path, whole=True)
    assert pieces == SEGMENT_BYTES // SYNCED_BYTES
    assert path.stat().st_size == SEGMENT_BYTES


# --- the rest of a segment that was taken before it was whole


def taken_in_part(files: HeldFiles, folder: Path) -> tuple[Keeper, Path]:
    """A segment in use of which two pieces are filled; the others wait for `files.gate`."""
    keeper = Keeper(files, folder, SEGMENT_BYTES)
    keeper.want(0)
    assert files.begun.wait(20)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(keeper.take, 0, whole=False)
        until = time.monotonic() + 20
        while not keeper._needed and time.monotonic() < until:
            time.sleep(0.001)
        files.gate.set()
        return keeper, taken.result(20)


class NotingFiles(HeldFiles):
    """Notes where zeros are written; can hold a piece up."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[int] = []
        self.hold_from = 1 << 62
        self.held, self.let_go = threading.Event(), threading.Event()

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.spans.append(offset)
        if offset >= self.hold_from and self.gate.is_set():
            self.held.set()
            self.let_go.wait(20)
        return super().pwrite(fd, data, offset)


def test_the_rest_of_a_segment_in_use_is_filled_ahead_of_the_appends(tmp_path: Path) -> None:
    files = NotingFiles()
    keeper, path = taken_in_part(files, tmp_path)
    files.spans.clear()
    keeper.claim(2 << 20)
    keeper.use(path)
    keeper.claim(3 << 20)
    keeper.settle()
    keeper.close()
    assert files.spans[-1] == SEGMENT_BYTES - SYNCED_BYTES
    later = [offset for offset in files.spans if offset >= 4 << 20]
    assert later == list(range(4 << 20, SEGMENT_BYTES, SYNCED_BYTES))


def test_a_segment_that_is_whole_is_left_alone(tmp_path: Path) -> None:
    files = NotingFiles()
    files.gate.set()
    keeper = Keeper(files, tmp_path, SEGMENT_BYTES)
    keeper.want(0)
    path = keeper.take(0)
    files.spans.clear()
    keeper.use(path)
    keeper.settle()
    keeper.close()
    assert files.spans == []


def test_an_append_that_runs_into_a_piece_of_zeros_waits_for_it(tmp_path: Path) -> None:
    files = NotingFiles()
    keeper, path = taken_in_part(files, tmp_path)
    files.hold_from = 2 << 20
    keeper.use(path)
    assert files.held.wait(20)
    before = files.spans[-1]
    keeper.claim(before)
    with ThreadPoolExecutor(1) as pool:
        append = pool.submit(keeper.claim, before + 1)
        time.sleep(0.05)
        assert not append.done()
        files.hold_from = 1 << 62
        files.let_go.set()
        append.result(20)
    keeper.settle()
    keeper.close()
    assert files.spans.count(before) == 1


def test_zeros_never_touch_what_was_appended(tmp_path: Path) -> None:
    """An append as fast as it can beside the filling; every byte is still there."""
    files = HeldFiles()
    keeper, path = taken_in_part(files, tmp_path)
    keeper.use(path)
    fd, at, numbers = files.open(path, write=True), 0, iter(range(1, 1 << 30))
    sizes = (100, 3_000, 70_000, 900_000, 2_000_000)
    written = bytearray()
    while at < SEGMENT_BYTES:
        number = next(numbers)
        piece = number.to_bytes(4) * (sizes[number % len(sizes)] // 4)
        piece = piece[: SEGMENT_BYTES - at]
        keeper.claim(at + len(piece))
        files.pwrite(fd, piece, at)
        written += piece
        at += len(piece)
        time.sleep(0.0005)
    keeper.settle()
    keeper.close()
    files.close(fd)
    assert path.read_bytes() == bytes(written)


def test_a_disk_that_fails_ends_the_filling_and_no_append(tmp_path: Path) -> None:
    class Failing(HeldFiles):
        def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
            if self.gate.is_set() and offset > SYNCED_BYTES:
                raise OSError(5, "no")
            return super().pwrite(fd, data, offset)

    keeper, path = taken_in_part(Failing(), tmp_path)
    keeper.use(path)
    keeper.settle()
    keeper.claim(SEGMENT_BYTES)
    keeper.close()


def test_the_next_one_is_made_when_this_one_is_filled(tmp_path: Path) -> None:
    files = HeldFiles()
    keeper, path = taken_in_part(files, tmp_path)
    keeper.use(path)
    keeper.want(SEGMENT_BYTES)
    following = keeper.take(SEGMENT_BYTES)
    keeper.close()
    assert following.stat().st_size == SEGMENT_BYTES


# --- more than one in reserve


def make_ready(folder: Path, reserve: int) -> Keeper:
    keeper = Keeper(RealFiles(), folder, 4 * SYNCED_BYTES, reserve=reserve)
    keeper.want(0)
    keeper.settle()
    return keeper


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_so_many_lie_ready_and_what_is_taken_is_made_again(tmp_path: Path) -> None:
    size = 4 * SYNCED_BYTES
    keeper = make_ready(tmp_path, 3)
    assert names(tmp_path) == [segment_name(size * n) for n in range(3)]
    for number in range(4):
        path = keeper.take(size * number)
        assert path.name == segment_name(size * number)
        assert path.stat().st_size == size
        keeper.use(path)
        keeper.want(size * (number + 1))
    keeper.settle()
    keeper.close()
    assert names(tmp_path) == [segment_name(size * n) for n in range(7)]


def test_a_segment_taken_twice_because_it_could_not_be_begun(tmp_path: Path) -> None:
    keeper = make_ready(tmp_path, 2)
    assert keeper.take(0) == keeper.take(0)
    keeper.close()


def test_one_ready_is_reserve_enough_when_there_is_no_room_for_more(tmp_path: Path) -> None:
    class Full(RealFiles):
        made = 0

        def allocate(self, fd: int, size: int) -> None:
            self.made += 1
            if self.made > 1:
                raise OSError(28, "no room")
            super().allocate(fd, size)

    keeper = Keeper(Full(), tmp_path, 4 * SYNCED_BYTES, reserve=2)
    keeper.want(0)
    keeper.settle()
    assert keeper.has_reserve
    keeper.use(keeper.take(0))
    keeper.want(4 * SYNCED_BYTES)
    keeper.settle()
    assert not keeper.has_reserve
    keeper.close()


def test_without_a_thread_there_is_one(tmp_path: Path) -> None:
    keeper = Keeper(RealFiles(), tmp_path, 4 * SYNCED_BYTES, background=False, reserve=3)
    keeper.want(0)
    keeper.close()
    assert names(tmp_path) == [segment_name(0)]


def test_zeros_past_the_page_cache_or_through_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for files in (RealFiles(), HeldFiles()):
        if isinstance(files, HeldFiles):
            files.gate.set()
        path.write_bytes(b"x" * (3 << 20))
        zeros = Zeros(files, path)
        for at in range(4096, 2 << 20, zeros.piece_bytes):
            zeros.write(at, min(at + zeros.piece_bytes, 2 << 20))
        zeros.sync()
        zeros.close()
        assert path.read_bytes() == b"x" * 4096 + bytes((2 << 20) - 4096) + b"x" * (1 << 20)
