"""What the journal asks of a file system, and the real one.

Everything the segments do to a disk goes through `FileOps`, so that the tests can put a disk
behind it that drops unsynced writes, tears and fails. Must not import anything else of the gateway.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

try:
    from gateway.journal._flight import Flight as RealFlight
except ImportError:  # only Linux has it
    RealFlight = None  # type: ignore[assignment, misc]

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""errno values that mean: nothing is broken, there is just no room."""
NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})
"""No more open files: nothing was opened, so nothing was written either."""
OTHERS = stat.S_IRWXO


class Flight(Protocol):
    """One synced write that goes on while its caller does something else."""

    @property
    def fd(self) -> int:
        """Readable when the write has ended."""

    @property
    def is_under_way(self) -> bool: ...

    def begin(self, fd: int, data: memoryview, offset: int) -> None:
        """Raises OSError: nothing has begun."""

    def end(self, *, wait: bool = False) -> int | None:
        """Bytes written and durable; None = it is still under way. Raises OSError, as `pwrite` or
        the sync behind it would.
        """

    def close(self) -> None: ...


class FileOps(Protocol):
    """File operations by number; each raises OSError as the system call would."""

    def make_dir(self, path: Path) -> None:
        """Make a folder and its parents, durably; fine if it is there. Nothing in it is for others:
        it names every movement of every account.
        """

    def list_dir(self, path: Path) -> list[str]: ...

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> int: ...

    def close(self, fd: int) -> None: ...

    def size(self, fd: int) -> int: ...

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Fewer bytes than asked only at the end of the file."""

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Bytes written: fewer than given when the room ends."""

    def allocate(self, fd: int, size: int) -> None:
        """Make the file `size` long with its blocks reserved."""

    def fdatasync(self, fd: int) -> None: ...

    def fsync_dir(self, path: Path) -> None: ...

    def rename(self, source: Path, target: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...

    def set_read_only(self, path: Path) -> None: ...

    def used_percent(self, path: Path) -> int:
        """How full the file system is, as df counts it."""

    def lock(self, path: Path) -> int:
        """Make the file and lock it for this process. Raises BlockingIOError: another has it."""

    def lock_owner(self, path: Path) -> str:
        """What the lock's owner wrote into it: its process id."""


def _open_to_read(path: Path) -> int:
    """Past the page cache, if the file system takes that at a read too and not only here."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as buffer:
            os.preadv(fd, [buffer], 0)
    except OSError:
        os.close(fd)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return fd


class RealFiles:
    """The machine's own file system."""

    def make_dir(self, path: Path) -> None:
        missing = [p for p in (path, *path.parents) if not p.exists()]
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode
        if mode & OTHERS:  # of before, or of another's hand
            with suppress(PermissionError):
                path.chmod(mode & ~OTHERS)
        for made in missing:
            self.fsync_dir(made.parent)

    def list_dir(self, path: Path) -> list[str]:
        return os.listdir(path)

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> int:
        flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC
        return os.open(path, flags | (os.O_CREAT | os.O_TRUNC if create else 0), 0o600)

    def open_direct(self, path: Path) -> int:
        """For writes past the page cache, in whole blocks. Raises OSError: not every file system
        has them."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        data = os.pread(fd, size, offset)
        while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
            data += more
        return data

    def pieces(self, path: Path, size: int) -> Iterator[memoryview]:
        """The whole file, piece by piece, each there until the next one is asked for.

        Past the page cache where the file system can do it: pages that nobody reads again cost five
        times what the hash of them does. size: of a piece, in bytes; a multiple of 4,096.
        """
        with ExitStack() as opened:
            fd = _open_to_read(path)
            opened.callback(os.close, fd)
            view = opened.enter_context(memoryview(opened.enter_context(mmap.mmap(-1, size))))
            offset, read = 0, size
            while read == size:
                read = os.preadv(fd, [view], offset)
                offset += read
                with view[:read] as piece:
                    yield piece

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def allocate(self, fd: int, size: int) -> None:
        os.posix_fallocate(fd, 0, size)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    if hasattr(os, "RWF_DSYNC"):

        def pwrite_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
            """pwrite and fdatasync of what was written, in one system call.

            An error does not say which of the two failed.
            """
            return os.pwritev(fd, [data], offset, os.RWF_DSYNC)

    def open_flight(self) -> Flight:
        """Raises OSError: not on this machine."""
        if RealFlight is None:
            raise OSError(errno.ENOSYS, "no writes in flight here")
        return RealFlight()

    def fsync_dir(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def set_read_only(self, path: Path) -> None:
        os.chmod(path, 0o400)

    def used_percent(self, path: Path) -> int:
        found = os.statvfs(path)
        used = found.f_blocks - found.f_bfree
        return -(-100 * used // max(1, used + found.f_bavail))

    def lock(self, path: Path) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        return fd

    def lock_owner(self, path: Path) -> str:
        return path.read_text("ascii").strip()
