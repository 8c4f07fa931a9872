"""Appends past the page cache: the file is the same as by ordinary writes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal.appending import BLOCK, SyncedAppends, block_end
from gateway.journal.files import RealFiles
from gateway.journal.keeper import file_sha256
from tests.support.faultfs import FaultFiles

FILE_BYTES = 64 * BLOCK
WRITE_BYTES_MAX = 5 * BLOCK
STALE = b"\xee"


class Watched(RealFiles):
    """Notes the offset and length of synced writes; the next of them fails as told."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int]] = []
        self.fails_with = 0
        self.is_short = False

    def pwrite_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.written.append((offset, len(data)))
        number, self.fails_with = self.fails_with, 0
        if number:
            raise OSError(number, "scripted")
        if self.is_short:
            self.is_short = False
            return super().pwrite_synced(fd, data[:BLOCK], offset)
        return super().pwrite_synced(fd, data, offset)


class CachedOnly(Watched):
    """A file system without direct writes."""

    def open_direct(self, path: Path) -> int:
        raise OSError(errno.EINVAL, "not here")


@contextmanager
def opened(files: Watched, path: Path) -> Iterator[tuple[SyncedAppends, int]]:
    if not path.exists():
        path.write_bytes(bytes(FILE_BYTES))
    fd = files.open(path, write=True)
    try:
        with closing(SyncedAppends(files, path, fd, WRITE_BYTES_MAX)) as appends:
            yield appends, fd
    finally:
        files.close(fd)


def has_direct(folder: Path) -> bool:
    path = folder / "probe"
    path.write_bytes(bytes(BLOCK))
    try:
        os.close(RealFiles().open_direct(path))
    except OSError:
        return False
    return True


steps = st.lists(
    st.tuples(
        st.integers(1, WRITE_BYTES_MAX),  # bytes
        st.sampled_from([0, 0, 8, 56, BLOCK]),  # left out before
        st.sampled_from(["on", "on", "on", "again", "other"]),  # opened again; written otherwise
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(plan=steps, cached=st.booleans())
def test_the_file_is_what_ordinary_writes_make(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, int, str]], cached: bool
) -> None:
    path = tmp_path_factory.mktemp("appends") / "file"
    files = CachedOnly() if cached else Watched()
    expected = bytearray(FILE_BYTES)
    at = 0
    for number, (size, gap, how) in enumerate(plan):
        at += gap
        if at + size > FILE_BYTES:
            break
        data = bytes([number + 1]) * size
        expected[at : at + size] = data
        with opened(files, path) as (appends, fd):
            if how == "other":
                files.pwrite(fd, data, at)
                appends.forget()
            else:
                assert appends.write(data, at)
            at += size
            if how == "on" and at + size <= FILE_BYTES:
                expected[at : at + size] = data
                assert appends.write(data, at)
                at += size
        if path.exists():
            assert path.read_bytes() == expected


def test_whole_blocks_go_out_and_what_was_there_stays(tmp_path: Path) -> None:
    if not has_direct(tmp_path):
        pytest.skip("this file system has no direct writes")
    files, path = Watched(), tmp_path / "file"
    path.write_bytes(b"head" + bytes(FILE_BYTES - 4))
    with opened(files, path) as (appends, _):
        assert appends.write(b"a" * 100, 8)
        assert appends.write(b"b" * BLOCK, 108)
        assert appends.write(b"c", BLOCK + 200)
    assert files.written == [(0, BLOCK), (0, 2 * BLOCK), (BLOCK, BLOCK)]
    assert path.read_bytes()[: BLOCK + 201] == (
        b"head" + bytes(4) + b"a" * 100 + b"b" * BLOCK + bytes(92) + b"c"
    )


def test_what_a_torn_group_left_in_the_last_block_is_gone(tmp_path: Path) -> None:
    """Only in that block: what lies behind it is the recovery's to clear."""
    if not has_direct(tmp_path):
        pytest.skip("this file system has no direct writes")
    path = tmp_path / "file"
    path.write_bytes(STALE * FILE_BYTES)
    with opened(Watched(), path) as (appends, _):
        assert appends.write(b"a" * 10, 0)
    assert path.read_bytes() == b"a" * 10 + bytes(BLOCK - 10) + STALE * (FILE_BYTES - BLOCK)


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EINVAL, 0], ids=["room", "not here", "short"]
)
def test_nothing_is_believed_of_a_write_that_did_not_work(tmp_path: Path, number: int) -> None:
    files, path = Watched(), tmp_path / "file"
    with opened(files, path) as (appends, fd):
        assert appends.write(b"a" * 100, 0)
        files.fails_with, files.is_short = number, number == 0
        assert not appends.write(b"b" * 2 * BLOCK, 100)
        files.pwrite(fd, b"b" * 2 * BLOCK, 100)  # as the writer does then
        files.fdatasync(fd)
        appends.forget()
        assert appends.write(b"c" * 100, 100 + 2 * BLOCK)
    assert path.read_bytes()[: 200 + 2 * BLOCK] == b"a" * 100 + b"b" * 2 * BLOCK + b"c" * 100


def test_a_disk_that_failed_is_said(tmp_path: Path) -> None:
    files = Watched()
    with opened(files, tmp_path / "file") as (appends, _):
        files.fails_with = errno.EIO
        with pytest.raises(OSError, match="scripted"):
            appends.write(b"a", 0)


def test_block_ends() -> None:
    assert [block_end(at) for at in (0, 1, BLOCK, BLOCK + 1)] == [0, BLOCK, BLOCK, 2 * BLOCK]


@pytest.mark.parametrize("size", [0, 1, BLOCK, 3 * BLOCK, 5 * BLOCK + 7])
def test_a_file_is_hashed_as_it_is(tmp_path: Path, size: int) -> None:
    """Past the page cache and through it; right behind writes of both kinds."""
    path = tmp_path / "file"
    data = os.urandom(size)
    path.write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert file_sha256(RealFiles(), path) == expected
    assert file_sha256(FaultFiles(RealFiles()), path) == expected
    assert b"".join(bytes(one) for one in RealFiles().pieces(path, BLOCK)) == data


class SaysLate(Watched):
    """A file system that opens for direct writes and then refuses each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.direct: list[int] = []

    def open_direct(self, path: Path) -> int:
        fd = super().open_direct(path)
        self.direct.append(fd)
        return fd

    def pwrite_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.fails_with = errno.EINVAL if fd in self.direct else 0
        return super().pwrite_synced(fd, data, offset)


def test_direct_writes_that_are_refused_are_tried_once(tmp_path: Path) -> None:
    if not has_direct(tmp_path):
        pytest.skip("this file system has no direct writes")
    files, path = SaysLate(), tmp_path / "file"
    with opened(files, path) as (appends, fd):
        assert not appends.write(b"a" * 10, 0)
        files.pwrite(fd, b"a" * 10, 0)
        appends.forget()
        assert appends.write(b"b" * 10, 10)
    assert files.written == [(0, BLOCK), (10, 10)]
    assert path.read_bytes()[:20] == b"a" * 10 + b"b" * 10
