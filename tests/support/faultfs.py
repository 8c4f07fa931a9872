"""A disk that keeps only what it promised, and faults put into any file operations.

`SimDisk` lives in memory. Writes, sizes and directory entries stay pending until their sync; at a
power cut each pending write is cut into sectors of 512 or 4096 bytes and each sector survives or
not by itself: dropped, torn and reordered writes at once. Directory changes survive as a prefix.
A synced write (RWF_DSYNC) makes its own bytes durable and no others; one past the page cache
(O_DIRECT) has to begin and end with a block.
`FaultFiles` wraps a SimDisk or the real file system: errors, short writes, delays on the n-th call.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gateway.journal.files import FileOps

BLOCK = 4096
Write = Callable[[int, bytes | bytearray | memoryview, int], int]


@dataclass(slots=True)
class Inode:
    """`live` is what processes see; `durable` what surely outlives a power cut."""

    durable: bytearray = field(default_factory=bytearray)
    live: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    read_only: bool = False

    def write(self, offset: int, data: bytes) -> None:
        grow(self.live, offset + len(data))
        self.live[offset : offset + len(data)] = data
        self.pending.append((offset, data))

    def sync(self) -> None:
        self.durable = bytearray(self.live)
        self.pending.clear()

    def write_synced(self, offset: int, data: bytes) -> None:
        """These bytes are durable, and nothing that waits for a sync elsewhere in the file is."""
        end = offset + len(data)
        self.write(offset, data)
        self.pending = [
            piece for waiting in self.pending for piece in outside(waiting, offset, end)
        ]
        grow(self.durable, end)
        self.durable[offset:end] = data

    def cut_power(self, rng: random.Random, sector: int) -> None:
        """Each sector of each pending write survives with a chance drawn for this file."""
        chance = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for offset, data in self.pending:
            for begin, end in sectors(offset, len(data), sector):
                if rng.random() < chance:
                    grow(self.durable, end)
                    self.durable[begin:end] = data[begin - offset : end - offset]
        self.live = bytearray(self.durable)
        self.pending.clear()


def grow(data: bytearray, size: int) -> None:
    data.extend(bytes(max(0, size - len(data))))


def outside(write: tuple[int, bytes], begin: int, end: int) -> list[tuple[int, bytes]]:
    """What of a write lies before or behind [begin, end)."""
    offset, data = write
    before, behind = data[: max(0, begin - offset)], data[max(0, end - offset) :]
    pieces = [(offset, before), (offset + len(data) - len(behind), behind)]
    return [piece for piece in pieces if piece[1]]


def sectors(offset: int, size: int, sector: int) -> list[tuple[int, int]]:
    """[begin, end) pieces of a write, cut at multiples of `sector`."""
    end = offset + size
    cuts = [offset, *range((offset // sector + 1) * sector, end, sector), end]
    return list(pairwise(cuts))


@dataclass(slots=True)
class Folder:
    """Names of one folder, and the changes to it that no fsync has made durable yet."""

    durable: dict[str, Inode] = field(default_factory=dict)
    live: dict[str, Inode] = field(default_factory=dict)
    pending: list[Callable[[dict[str, Inode]], None]] = field(default_factory=list)

    def change(self, act: Callable[[dict[str, Inode]], None]) -> None:
        act(self.live)
        self.pending.append(act)

    def sync(self) -> None:
        for act in self.pending:
            act(self.durable)
        self.pending.clear()

    def cut_power(self, rng: random.Random) -> None:
        for act in self.pending[: rng.randint(0, len(self.pending))]:
            act(self.durable)
        self.live = dict(self.durable)
        self.pending.clear()


class SimDisk:
    """FileOps in memory. One thread at a time; `capacity_bytes` bounds the sum of file sizes."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.folders: dict[Path, Folder] = {}
        self._open: dict[int, tuple[Inode, bool]] = {}
        self._direct: set[int] = set()
        self._next_fd = 1000
        self._locks: dict[int, Path] = {}

    def cut_power(self, rng: random.Random) -> None:
        """Every process ends; what was not synced survives by chance."""
        self.end_processes()
        sector = rng.choice((512, 4096))
        for folder in self.folders.values():
            seen = {id(node): node for node in (*folder.live.values(), *folder.durable.values())}
            folder.cut_power(rng)
            for node in seen.values():
                node.cut_power(rng, sector)

    def end_processes(self) -> None:
        """Every process ends; the operating system lives on and keeps what it was given."""
        self._open.clear()
        self._direct.clear()
        self._locks.clear()

    def content(self, path: Path) -> bytearray:
        """The bytes of a file, to be read or damaged by a test."""
        return self._find(path).live

    def make_dir(self, path: Path) -> None:
        self.folders.setdefault(path, Folder())

    def list_dir(self, path: Path) -> list[str]:
        return sorted(self._folder(path).live)

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> int:
        if create:
            node = Inode()
            self._folder(path.parent).change(lambda names: names.update({path.name: node}))
        found = self._find(path)
        if write and found.read_only:
            raise PermissionError(errno.EACCES, "read only", str(path))
        return self._give(found, write)

    def open_direct(self, path: Path) -> int:
        fd = self.open(path, write=True)
        self._direct.add(fd)
        return fd

    def _give(self, node: Inode, write: bool) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = (node, write)
        return self._next_fd

    def close(self, fd: int) -> None:
        self._locks.pop(fd, None)
        self._direct.discard(fd)
        del self._open[fd]

    def size(self, fd: int) -> int:
        return len(self._open[fd][0].live)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self._open[fd][0].live[offset : offset + size])

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self._writable(fd, offset, len(data)).write(offset, bytes(data))
        return len(data)

    def pwrite_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self._writable(fd, offset, len(data)).write_synced(offset, bytes(data))
        return len(data)

    def _writable(self, fd: int, offset: int, size: int) -> Inode:
        node, writable = self._open[fd]
        if not writable:
            raise OSError(errno.EBADF, "not open for writing")
        if fd in self._direct and (offset % BLOCK or size % BLOCK):
            raise AssertionError(f"a direct write of {size} bytes at {offset}")
        self._charge(node, offset + size)
        return node

    def leave(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """What a write that was under way at the end left behind: as much of it as this."""
        self._open[fd][0].write(offset, bytes(data))

    def allocate(self, fd: int, size: int) -> None:
        node = self._open[fd][0]
        self._charge(node, size)
        node.write(len(node.live), bytes(max(0, size - len(node.live))))

    def _charge(self, node: Inode, size: int) -> None:
        if self.capacity_bytes is not None and size > len(node.live):
            used = sum(len(n.live) for f in self.folders.values() for n in f.live.values())
            if used + size - len(node.live) > self.capacity_bytes:
                raise OSError(errno.ENOSPC, "the simulated disk is full")

    def fdatasync(self, fd: int) -> None:
        self._open[fd][0].sync()

    def fsync_dir(self, path: Path) -> None:
        self._folder(path).sync()

    def rename(self, source: Path, target: Path) -> None:
        node = self._find(source)

        def act(names: dict[str, Inode]) -> None:
            names.pop(source.name, None)
            names[target.name] = node

        self._folder(source.parent).change(act)

    def unlink(self, path: Path) -> None:
        self._find(path)

        def act(names: dict[str, Inode]) -> None:
            names.pop(path.name, None)

        self._folder(path.parent).change(act)

    def set_read_only(self, path: Path) -> None:
        self._find(path).read_only = True

    def used_percent(self, path: Path) -> int:
        used = sum(len(n.live) for f in self.folders.values() for n in f.live.values())
        return 0 if self.capacity_bytes is None else 100 * used // self.capacity_bytes

    def lock(self, path: Path) -> int:
        if path in self._locks.values():
            raise BlockingIOError(errno.EAGAIN, "locked")
        fd = self._give(Inode(), True)
        self._locks[fd] = path
        return fd

    def lock_owner(self, path: Path) -> str:
        return "simulated"

    def _folder(self, path: Path) -> Folder:
        if path not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        return self.folders[path]

    def _find(self, path: Path) -> Inode:
        found = self._folder(path.parent).live.get(path.name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return found


class ForgetfulDisk(SimDisk):
    """A sync that fails leaves its pages marked clean, as Linux does: no later sync writes them."""

    def forget(self) -> None:
        """What a failed sync does to everything that was waiting."""
        for folder in self.folders.values():
            for node in folder.live.values():
                node.pending.clear()

    def lose(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """What a synced write whose second half fails does: readers see it, no sync writes it."""
        node = self._open[fd][0]
        node.write(offset, bytes(data))
        node.pending = [
            piece
            for waiting in node.pending
            for piece in outside(waiting, offset, offset + len(data))
        ]

    def fdatasync(self, fd: int) -> None:
        """Only what was written since is written out."""
        node = self._open[fd][0]
        for offset, data in node.pending:
            end = offset + len(data)
            grow(node.durable, end)
            node.durable[offset:end] = data
        node.pending.clear()


@dataclass(slots=True)
class Fault:
    """What goes wrong with one operation (`pwrite`, `pwrite_synced`, `fdatasync`, ...).

    after: how many calls succeed first; times: how many then fail (-1 = all).
    short: writes only: this many bytes are written and no error is raised.
    """

    operation: str
    number: int = 0
    after: int = 0
    times: int = -1
    short: int | None = None
    delay_s: float = 0.0
    seen: int = 0

    def strikes(self) -> bool:
        self.seen += 1
        past = self.seen - self.after
        return past > 0 and (self.times < 0 or past <= self.times)


class FaultFiles:
    """FileOps that fail as told; everything else goes to the operations behind.

    synced: whether there are synced writes; a file system that has none offers `pwrite` alone.
    direct: whether there are writes past the page cache.
    """

    def __init__(
        self, behind: FileOps, *faults: Fault, synced: bool = False, direct: bool = False
    ) -> None:
        self.behind = behind
        self.faults = list(faults)
        self.calls: list[str] = []
        self.pwrite_synced: Write | None = self.write_synced if synced else None
        self.offers_direct = direct
        self._direct: set[int] = set()

    def _meet(self, operation: str) -> Fault | None:
        self.calls.append(operation)
        for fault in self.faults:
            if fault.operation == operation and fault.strikes():
                time.sleep(fault.delay_s)
                if fault.number:
                    raise OSError(fault.number, f"injected into {operation}")
                return fault
        return None

    def make_dir(self, path: Path) -> None:
        self._meet("make_dir")
        self.behind.make_dir(path)

    def list_dir(self, path: Path) -> list[str]:
        self._meet("list_dir")
        return self.behind.list_dir(path)

    def open(self, path: Path, *, write: bool = False, create: bool = False) -> int:
        self._meet("open")
        return self.behind.open(path, write=write, create=create)

    def open_direct(self, path: Path) -> int:
        if not self.offers_direct:
            raise OSError(errno.EINVAL, "no direct writes")
        self._meet("open_direct")
        fd: int = self.behind.open_direct(path)  # type: ignore[attr-defined]
        self._direct.add(fd)
        return fd

    def close(self, fd: int) -> None:
        self._direct.discard(fd)
        self.behind.close(fd)

    def size(self, fd: int) -> int:
        return self.behind.size(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._meet("pread")
        return self.behind.pread(fd, size, offset)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        fault = self._meet("pwrite")
        if fault is not None and fault.short is not None:
            return self.behind.pwrite(fd, memoryview(data)[: fault.short], offset)
        return self.behind.pwrite(fd, data, offset)

    def write_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        fault = self._meet("pwrite_synced")
        if fault is not None and fault.short is not None:
            short = fault.short - fault.short % BLOCK if fd in self._direct else fault.short
            data = memoryview(data)[:short]  # what is written is synced all the same
        at_once: Write | None = getattr(self.behind, "pwrite_synced", None)
        if at_once is not None:
            return at_once(fd, data, offset)
        written = self.behind.pwrite(fd, data, offset)
        self.behind.fdatasync(fd)
        return written

    def allocate(self, fd: int, size: int) -> None:
        self._meet("allocate")
        self.behind.allocate(fd, size)

    def fdatasync(self, fd: int) -> None:
        self._meet("fdatasync")
        self.behind.fdatasync(fd)

    def fsync_dir(self, path: Path) -> None:
        self._meet("fsync_dir")
        self.behind.fsync_dir(path)

    def rename(self, source: Path, target: Path) -> None:
        self._meet("rename")
        self.behind.rename(source, target)

    def unlink(self, path: Path) -> None:
        self._meet("unlink")
        self.behind.unlink(path)

    def set_read_only(self, path: Path) -> None:
        self._meet("set_read_only")
        self.behind.set_read_only(path)

    def used_percent(self, path: Path) -> int:
        return self.behind.used_percent(path)

    def lock(self, path: Path) -> int:
        self._meet("lock")
        return self.behind.lock(path)

    def lock_owner(self, path: Path) -> str:
        return self.behind.lock_owner(path)


class NoSync(FaultFiles):
    """A build whose fdatasync does nothing: the mutation that every power-cut proof must catch."""

    def fdatasync(self, fd: int) -> None:
        self.calls.append("fdatasync")


class NoDsync(FaultFiles):
    """A build that forgot RWF_DSYNC: its synced writes are writes."""

    def __init__(self, behind: FileOps) -> None:
        super().__init__(behind, synced=True, direct=True)

    def write_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        return self.pwrite(fd, data, offset)
