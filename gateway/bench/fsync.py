"""What a bare durable write costs here and now: one block by pwrite and fdatasync.

The floor under every durable tap, measured on the journal's own filesystem around a run.
Must not import the journal.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from gateway.bench._histogram import Histogram

MEMORY_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})
FILE_BYTES = 16 << 20


def measure_fsync(
    folder: Path, *, block_bytes: int = 4096, seconds: float = 1.0, per_s: float = 0.0
) -> Histogram:
    """Write blocks one behind the other, each made durable; nanoseconds of pwrite and fdatasync.

    The file is written out before, as a preallocated segment is: no write grows it. per_s: so many
    at equal distances and no more; 0 = back to back.
    """
    taken = Histogram()
    block = os.urandom(block_bytes)
    with tempfile.TemporaryFile(dir=folder) as file:
        number = file.fileno()
        _lay_out(number)
        until_ns = time.monotonic_ns() + round(seconds * 1e9)
        begin_ns, offset = time.monotonic_ns(), 0
        gap_ns = round(1e9 / per_s) if per_s else 0
        due_ns = begin_ns
        while begin_ns < until_ns:
            if begin_ns < due_ns:
                time.sleep((due_ns - begin_ns) / 1e9)
                begin_ns = time.monotonic_ns()
            due_ns += gap_ns
            os.pwrite(number, block, offset)
            os.fdatasync(number)
            end_ns = time.monotonic_ns()
            taken.record(end_ns - begin_ns)
            begin_ns, offset = end_ns, (offset + block_bytes) % (FILE_BYTES - block_bytes)
    return taken


def _lay_out(number: int) -> None:
    for offset in range(0, FILE_BYTES, 1 << 20):
        os.pwrite(number, bytes(1 << 20), offset)
    os.fsync(number)


def find_filesystem(folder: Path) -> str:
    """The type of the filesystem a folder lies on ("ext4", "tmpfs" ...), from /proc/mounts."""
    path = str(folder.resolve())
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, mount, found, *_rest = line.split()
        inside = mount in ("/", path) or path.startswith(mount + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, found
    return kind
