"""The body of a snapshot file, read and hashed ahead in a thread while its taker builds indexes.

Past the page cache where the filesystem can: a snapshot of gigabytes is read once, and pages kept
of it would push out everything else. Must not import the journal.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

PIECE_BYTES = 4 << 20
PIECES = 3
"""One is read or hashed, one waits, one is being taken."""

_Piece = tuple[memoryview, mmap.mmap]


class BodyReader:
    """Gives a file's bytes from `skip_bytes` on, in order. Made by `open_body`.

    Thread: `read_into` and `finish` from one thread; reading and hashing happen in another one.
    """

    def __init__(self, path: Path, skip_bytes: int) -> None:
        self.size_bytes = 0
        self._fd, self._direct = _open(path)
        self._path = path
        self._skip = skip_bytes
        self._sha256 = hashlib.sha256()
        self._full: SimpleQueue[_Piece | Exception | None] = SimpleQueue()
        self._free: SimpleQueue[mmap.mmap | None] = SimpleQueue()
        for _ in range(PIECES):
            self._free.put(mmap.mmap(-1, PIECE_BYTES))
        self._taken: _Piece | None = None
        self._ended = False
        self._thread = Thread(target=self._run, name="snapshot-reader", daemon=True)
        self._thread.start()

    def read_into(self, buffer: memoryview) -> None:
        """Fill the buffer with what comes next. Raises: OSError; EOFError: there is not so much."""
        done, wanted = 0, buffer.nbytes
        while done < wanted:
            data, piece = self._taken or self._next()
            some = min(len(data), wanted - done)
            buffer[done : done + some] = data[:some]
            done += some
            self._taken = (data[some:], piece) if some < len(data) else None
            if self._taken is None:
                self._free.put(piece)
        self.size_bytes += wanted

    def finish(self) -> bytes:
        """SHA-256 of everything up to the end of the file. Raises: EOFError: some was not read."""
        if self._taken is not None or self._take() is not None:
            raise EOFError("there is more than was asked for")
        self._thread.join()
        return self._sha256.digest()

    def close(self) -> None:
        """End the thread, close the file."""
        self._free.put(None)
        self._thread.join()
        os.close(self._fd)

    def _next(self) -> _Piece:
        taken = self._take()
        if taken is None:
            raise EOFError("the body ends too early")
        return taken

    def _take(self) -> _Piece | None:
        got = None if self._ended else self._full.get()
        self._ended = not isinstance(got, tuple)
        if isinstance(got, Exception):
            raise got
        return got

    def _run(self) -> None:
        try:
            self._read_all()
        except Exception as error:  # noqa: BLE001 - handed to the thread that takes the pieces
            self._full.put(error)

    def _read_all(self) -> None:
        offset = 0
        while (piece := self._free.get()) is not None:
            got = self._read_piece(piece, offset)
            data = memoryview(piece)[min(self._skip, got) if offset == 0 else 0 : got]
            self._sha256.update(data)
            if len(data):
                self._full.put((data, piece))
            offset += got
            if got < PIECE_BYTES:
                self._full.put(None)
                return

    def _read_piece(self, piece: mmap.mmap, offset: int) -> int:
        """A whole piece; less only at the end of the file."""
        done = 0
        while done < PIECE_BYTES:
            got = self._read(memoryview(piece)[done:], offset + done)
            done += got
            if got == 0 or (self._direct and done % mmap.PAGESIZE):
                break
        return done

    def _read(self, room: memoryview, offset: int) -> int:
        try:
            return os.preadv(self._fd, [room], offset)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
        # It said that it can, and cannot after all: from here on like any other file.
        os.close(self._fd)
        self._fd, self._direct = os.open(self._path, os.O_RDONLY), False
        return os.preadv(self._fd, [room], offset)


def _open(path: Path) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.open(path, os.O_RDONLY), False


@contextmanager
def open_body(path: Path, skip_bytes: int) -> Iterator[BodyReader]:
    """A reader of what lies behind the first `skip_bytes`. Raises: OSError."""
    reader = BodyReader(path, skip_bytes)
    try:
        yield reader
    finally:
        reader.close()
