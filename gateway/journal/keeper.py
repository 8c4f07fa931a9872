"""Housekeeping beside the appends: the next segment made ready, closed ones sealed with a root.

Files are filled with zeros ahead, not just allocated: an append into written blocks changes no
metadata (8 KiB, synced: 0.18 ms, 99th percentile 0.6; into allocated blocks 0.44 and 4 to 7 ms).
The zeros go past the page cache and are not synced: 64 KiB every 1.25 ms so leave the appends
beside them as they are; with a sync each, or left to the page cache, their 99th percentile becomes
7 ms. A larger piece keeps the disk, and the core that hands it over, from them for longer: 1 MiB
for 0.6 to 0.9 ms. An append never waits for a whole file of zeros: a segment is taken as far as it
is filled, and the rest is filled ahead of the appends while it is in use.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import mmap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.journal.files import FileOps
from gateway.journal.roots import Root
from gateway.journal.segment import root_name, segment_name

log = logging.getLogger(__name__)

DIRECT_BYTES = 64 << 10
DIRECT_PAUSE_S = 0.00125
SYNCED_BYTES = 64 << 10
"""Where the file system writes only through its cache: small pieces, each durable at once."""
SYNCED_PAUSE_S = 0.001
CALM_TIMES = 3
"""So much longer are the pauses while one segment is in reserve, or the first grows twice as fast
as the one in use fills up."""
AHEAD_BYTES = 1 << 20
"""So far before the appends the rest of a segment in use is filled."""
NO_PIECE = 1 << 62
HASH_BYTES = 64 << 10
HASH_PAUSE_S = 0.00025
HASH_CALM_PAUSE_S = 0.00125
"""48 MB a second: more than a city writes, and a thirtieth of a core."""
CLOSED_MAX = 4
"""With more closed segments than that waiting for their root the pauses are short."""
RETRY_S = 1.0


def write_whole(files: FileOps, fd: int, data: bytes | memoryview, offset: int) -> None:
    """pwrite until all is written; a short write without an error counts as no room."""
    if files.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, "short write")


def zero_fill(files: FileOps, fd: int, span: tuple[int, int]) -> None:
    """Write zeros from span[0] to span[1], synced."""
    offset, end = span
    zeros = bytes(min(DIRECT_BYTES, max(0, end - offset)))
    while offset < end:
        size = min(len(zeros), end - offset)
        write_whole(files, fd, zeros[:size], offset)
        offset += size
    files.fdatasync(fd)


class Zeros:
    """Writes zeros into one file, piece by piece: past the page cache where that can be done, else
    each piece with a sync of its own. Close it.
    """

    def __init__(self, files: FileOps, path: Path) -> None:
        self._files = files
        try:
            self._fd = files.open_direct(path)  # type: ignore[attr-defined]
            self.is_direct = True
        except (AttributeError, OSError):
            self._fd = files.open(path, write=True)
            self.is_direct = False
        self.piece_bytes = DIRECT_BYTES if self.is_direct else SYNCED_BYTES
        self.pause_s = DIRECT_PAUSE_S if self.is_direct else SYNCED_PAUSE_S
        self._zeros = mmap.mmap(-1, self.piece_bytes)  # begins with a page, as direct writes want

    def write(self, offset: int, end: int) -> None:
        """At most one piece. Raises OSError."""
        with memoryview(self._zeros) as zeros, zeros[: end - offset] as piece:
            at_once = getattr(self._files, "pwrite_synced", None)
            if self.is_direct or at_once is None:
                write_whole(self._files, self._fd, piece, offset)
            elif at_once(self._fd, piece, offset) != len(piece):
                raise OSError(errno.ENOSPC, "short write")
        if not self.is_direct and at_once is None:
            self._files.fdatasync(self._fd)

    def sync(self) -> None:
        """Make all of it durable. Raises OSError."""
        self._files.fdatasync(self._fd)

    def close(self) -> None:
        self._files.close(self._fd)
        self._zeros.close()


def write_file(files: FileOps, path: Path, data: bytes) -> None:
    """A small file, there whole or not at all."""
    spare = path.with_name(path.name + ".tmp")
    fd = files.open(spare, write=True, create=True)
    try:
        write_whole(files, fd, data, 0)
        files.fdatasync(fd)
    finally:
        files.close(fd)
    files.rename(spare, path)
    files.fsync_dir(path.parent)


def file_sha256(files: FileOps, path: Path, pause: Callable[[], None] | None = None) -> str:
    """SHA-256 of a whole file, in hex; with `pause` piece by piece."""
    digest = hashlib.sha256()
    pieces = getattr(files, "pieces", None) or partial(_pieces, files)
    for piece in pieces(path, HASH_BYTES):
        digest.update(piece)
        if pause is not None:
            pause()
    return digest.hexdigest()


def _pieces(files: FileOps, path: Path, size: int) -> Iterator[bytes]:
    """The whole file by ordinary reads."""
    fd = files.open(path)
    try:
        offset = 0
        while data := files.pread(fd, size, offset):
            yield data
            offset += len(data)
    finally:
        files.close(fd)


@dataclass(frozen=True, slots=True)
class Closed:
    """A segment that will not be written any more; `root` still without hash and signature."""

    path: Path
    root: Root


class _EndingError(Exception):
    """The keeper was closed while it prepared a segment."""


class Keeper:
    """Keeps prepared segments in reserve and seals closed ones.

    Args: reserve: how many; a burst may write them all before blocks cost more.
    With `background` in a thread of its own; without, in the calls themselves, so that a simulated
    run is the same each time. Errors in the background are logged; those that matter for an
    append come up in `take`.
    """

    def __init__(
        self,
        files: FileOps,
        directory: Path,
        segment_bytes: int,
        *,
        signing_key: Ed25519PrivateKey | None = None,
        background: bool = True,
        reserve: int = 1,
    ) -> None:
        self._files = files
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._key = signing_key
        self._changed = threading.Condition()
        self._reserve = reserve if background else 1
        self._next: int | None = None
        """The base that is taken next."""
        self._ready: deque[tuple[int, int]] = deque()
        """(base, how far it is filled) of those that lie ready, the next one first."""
        self._fault: OSError | None = None
        self._closed: list[Closed] = []
        self._used_bytes = 0
        """How far the segment in use is written, or will be in a moment; set by the writer."""
        self._in_use: Path | None = None
        """The segment in use while it is not filled to its end."""
        self._filled_bytes = 0
        """How far that one is filled."""
        self._made_bytes = 0
        """The same of the one in the making."""
        self._piece_from = NO_PIECE
        """Where the zeros begin that the thread writes into the segment in use right now."""
        self._hurry = False
        self._needed = False
        self._ending = False
        self._busy = False
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._run, name="journal-keeper", daemon=True)
            self._thread.start()

    @property
    def has_reserve(self) -> bool:
        """Whether a prepared segment lies ready, or nothing yet speaks against one."""
        return self._fault is None or bool(self._ready)

    def _missing(self) -> int | None:
        """The base of the segment to make; None = there are enough."""
        if self._next is None or len(self._ready) >= self._reserve:
            return None
        return self._next + len(self._ready) * self._segment_bytes

    def want(self, base: int, *, ready: bool = False) -> None:
        """Have the segment of `base` and those behind it made ready; `ready`: it already is."""
        with self._changed:
            self._next = base
            if ready:
                self._ready.append((base, self._segment_bytes))
            self._fault = None
            self._changed.notify_all()
        if self._thread is None:
            self._work()

    def seal(self, closed: Closed) -> None:
        """Give a closed segment its root and take away the right to write it."""
        with self._changed:
            self._closed.append(closed)
            self._changed.notify_all()
        if self._thread is None:
            self._work()

    def take(self, base: int, *, whole: bool = True) -> Path:
        """The prepared segment of `base`, waiting for it if need be.

        Args: whole: wait until all of it is filled, else only until it is there.
        Raises OSError: ENOSPC and its like when there is no room for one.
        """
        path = self._directory / segment_name(base)
        with self._changed:
            self._hurry, self._needed = True, not whole
            self._fault = None
            self._changed.notify_all()
            while self._thread is not None and not self._ready and self._fault is None:
                self._changed.wait()
            self._hurry = self._needed = False
        if not self._ready and self._thread is None:
            self._work()
        if not self._ready or self._ready[0][0] != base:
            raise self._fault or OSError(errno.EIO, "no segment was prepared")
        return path

    def use(self, path: Path) -> None:
        """Say that the segment just taken is written from now on; call before the next `want`."""
        with self._changed:
            self._used_bytes, self._next = 0, None
            _, self._filled_bytes = self._ready.popleft()
            part = self._thread is not None and self._filled_bytes < self._segment_bytes
            self._in_use = path if part else None
            self._changed.notify_all()

    def claim(self, end: int) -> None:
        """Call before writing the segment in use up to here: no zeros go below that any more.

        Cost: two words; waits for one piece of zeros if the appends have just run into it. Both
        sides first say what they are about to write, then look at what the other has said.
        """
        self._used_bytes = end
        if end > self._piece_from:
            with self._changed:
                while end > self._piece_from:
                    self._changed.wait()

    def settle(self) -> None:
        """Wait until nothing is left to do (or cannot be done)."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            while self._thread is not None and (self._busy or not self._is_idle()):
                self._changed.wait()
            self._hurry = False

    def close(self) -> None:
        """End the thread; what was not prepared or sealed yet is done at the next start."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        try:
            while self._await_work():
                self._work()
        except BaseException as error:  # whoever waits for this thread must not wait for ever
            with self._changed:
                self._busy, self._closed, self._in_use = False, [], None
                self._piece_from = NO_PIECE
                self._fault = OSError(errno.EIO, f"the journal's keeper died: {error!r}")
                self._thread = None
                self._changed.notify_all()
            raise

    def _await_work(self) -> bool:
        """Sleep until there is something to do, or to try again; False = the end."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            while not self._ending and self._is_idle():
                retry = RETRY_S if self._missing() is not None else None
                if not self._changed.wait(retry):
                    break
            self._busy = True
            return not self._ending

    def _is_idle(self) -> bool:
        nothing_wanted = self._missing() is None or self._fault is not None
        return not self._closed and self._in_use is None and nothing_wanted

    def _work(self) -> None:
        """Everything that waits, once. The segment in use first; but an append may be waiting for
        the reserve."""
        if self._in_use is not None and not self._needed:
            self._fill_ahead(self._in_use)
        if (base := self._missing()) is not None:
            self._prepare(base)
        if self._closed:
            self._seal_now(self._closed[0])
            with self._changed:
                self._closed.pop(0)

    def _prepare(self, base: int) -> None:
        try:
            self._make(base)
        except _EndingError:
            return
        except OSError as error:
            log.warning("journal_reserve_missing", extra={"base": base, "error": str(error)})
            with self._changed:
                self._fault = error
                self._changed.notify_all()
            return
        with self._changed:
            self._ready.append((base, self._made_bytes))
            self._fault = None
            self._changed.notify_all()

    def _make(self, base: int) -> None:
        path = self._directory / segment_name(base)
        spare = path.with_name(path.name + ".tmp")
        fd = self._files.open(spare, write=True, create=True)
        try:
            self._files.allocate(fd, self._segment_bytes)
            self._fill(spare)
        except (OSError, _EndingError):
            self._files.unlink(spare)
            raise
        finally:
            self._files.close(fd)
        self._files.rename(spare, path)
        self._files.fsync_dir(self._directory)

    def _fill(self, path: Path) -> None:
        """Fill a new file, as far as there is time for."""
        self._made_bytes = 0
        zeros = Zeros(self._files, path)
        try:
            while self._made_bytes < self._segment_bytes:
                end = min(self._made_bytes + zeros.piece_bytes, self._segment_bytes)
                zeros.write(self._made_bytes, end)
                self._made_bytes = end
                self._pause_filling(zeros.pause_s)
                if self._needed:
                    break
            zeros.sync()
        finally:
            zeros.close()

    def _pause_filling(self, pause_s: float) -> None:
        """Leave the disk to the appends for a moment."""
        if self._ending:
            raise _EndingError
        calm = bool(self._ready) or self._made_bytes > 2 * self._used_bytes
        if self._thread is not None and not self._hurry:
            with self._changed:
                self._changed.wait(CALM_TIMES * pause_s if calm else pause_s)

    def _fill_ahead(self, path: Path) -> None:
        """Fill the rest of the segment in use, in front of the appends; stops when it is not in use
        any more or the next one is needed.
        """
        zeros = Zeros(self._files, path)
        try:
            while (span := self._next_piece(path, zeros.piece_bytes)) is not None:
                zeros.write(*span)
                self._piece_done(path, span[1])
                self._pause_ahead(zeros.pause_s)
        except OSError as error:
            log.warning("journal_fill_failed", extra={"path": str(path), "error": str(error)})
            self._piece_done(path, self._segment_bytes)
        finally:
            zeros.close()

    def _next_piece(self, path: Path, size: int) -> tuple[int, int] | None:
        """Claim the next piece of zeros; None = there is none to write, or no time for it."""
        with self._changed:
            while self._in_use == path and not (self._ending or self._needed):
                ahead = self._used_bytes + AHEAD_BYTES
                start = max(self._filled_bytes, -(-ahead // size) * size)
                if start >= self._segment_bytes:
                    self._in_use = None
                    break
                self._piece_from = start
                # The writer takes no lock: it may have gone past here since.
                if self._used_bytes <= start:
                    return start, min(start + size, self._segment_bytes)
                self._piece_from = NO_PIECE
                self._changed.notify_all()
        return None

    def _piece_done(self, path: Path, end: int) -> None:
        with self._changed:
            self._piece_from = NO_PIECE
            if self._in_use == path:
                self._filled_bytes = end
            self._changed.notify_all()

    def _pause_ahead(self, pause_s: float) -> None:
        with self._changed:
            if not (self._hurry or self._ending):
                self._changed.wait(pause_s)

    def _breathe(self) -> None:
        """A segment's hash is 0.15 s of computing: on one core, answers would wait for it."""
        if self._thread is not None and not (self._ending or self._hurry):
            calm = len(self._closed) <= CLOSED_MAX
            time.sleep(HASH_CALM_PAUSE_S if calm else HASH_PAUSE_S)

    def _seal_now(self, closed: Closed) -> None:
        try:
            self._files.set_read_only(closed.path)
            root = seal_root(self._files, closed, self._key, self._breathe)
            log.info("journal_segment_closed", extra={"base": root.base})
        except OSError as error:
            log.warning(
                "journal_root_missing", extra={"base": closed.root.base, "error": str(error)}
            )


def seal_root(
    files: FileOps,
    closed: Closed,
    key: Ed25519PrivateKey | None,
    pause: Callable[[], None] | None = None,
) -> Root:
    """Write the root of a closed segment next to it; `pause` after each piece that was hashed."""
    fields = {name: getattr(closed.root, name) for name in Root.__slots__}
    root = Root(**fields | {"file_sha256": file_sha256(files, closed.path, pause)}).signed(key)
    write_file(files, closed.path.with_name(root_name(root.base)), root.dump())
    return root
