"""The reserve: whole when there is time, what is there when an append needs it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.journal.files import RealFiles
from gateway.journal.keeper import FILL_BYTES, Keeper

SEGMENT_BYTES = 8 << 20


class HeldFiles(RealFiles):
    """Counts what is filled; the second piece waits for a permission."""

    def __init__(self) -> None:
        self.pieces = 0
        self.begun = threading.Event()
        self.gate = threading.Event()

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
    assert pieces == SEGMENT_BYTES // FILL_BYTES
    assert path.stat().st_size == SEGMENT_BYTES
