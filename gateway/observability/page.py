"""The shared-memory page: what a data plane shows of itself without being asked.

An mmapped file of int64 slots. One process writes (each slot alone is atomic; no locks, no system
calls), any number read; a dead or stuck writer leaves its last numbers behind, and that is the
point. A new writer puts a new file in place of the old one, so its counters begin at 0.
Must not import anything of the gateway but errors.

The numbers of the slots are the interface to the compiled engine: never renumber, only add.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from gateway.errors import EnvironmentFault

MAGIC: Final = int.from_bytes(b"FGPAGE01", "little")
SLOT_BYTES: Final = 8
SLOT_COUNT: Final = 1024

# fmt: off
MAGIC_SLOT: Final = 0
SLOTS: Final = 1               # number of slots in this page
PID: Final = 2
STATE: Final = 3               # PlaneState
STARTED_US: Final = 4
HEARTBEAT_US: Final = 5        # wall clock, set at least once a second by the loop
LOOP_US: Final = 6             # length of the last turn of the loop
LOOP_MAX_US: Final = 7         # longest turn since the start
JOURNAL_POSITION: Final = 8    # byte address behind the last durable group
DURABLE_SEQ: Final = 9         # last durable record
DENYLIST_VERSION: Final = 10
SESSIONS: Final = 11           # validator sessions now open
SESSIONS_TOTAL: Final = 12     # sessions whose hello succeeded
SESSIONS_REFUSED: Final = 13
QUEUED_TAPS: Final = 14        # read, decided, waiting for their commit
COMMIT_STATE: Final = 15       # CommitState
COMMIT_SINCE_US: Final = 16    # wall clock when the running commit began
COMMITS: Final = 17
COMMIT_BYTES: Final = 18
COMMIT_RECORDS: Final = 19
COMMIT_THREAD: Final = 20      # 0 commits in the loop, 1 in the helper thread
DISK_STATE: Final = 21         # DiskState
DISK_FREE_BYTES: Final = 22
DISK_TOTAL_BYTES: Final = 23
ACCOUNTS: Final = 24
MEDIA: Final = 25
CELLS: Final = 26
WINDOWS: Final = 27
OPERATIONS: Final = 28
MEMORY_BYTES: Final = 29       # what the engine's tables occupy
ENGINE_VERSION: Final = 30
STRUCT_VERSION: Final = 31
SERVICE_MODE: Final = 32       # 0 normal, else the mode sent to validators
DUPLICATES: Final = 33         # taps answered from memory
RECOVERY_US: Final = 34        # how long the start took
RECOVERED_RECORDS: Final = 35  # records read after the snapshot
RECOVERED_CUT_BYTES: Final = 36  # torn tail cut off
BYTES_IN: Final = 37
BYTES_OUT: Final = 38
ROLLBACKS: Final = 39          # groups undone because the journal had no room
LINK_PORT: Final = 40          # the port in use (configuration may say 0)
DEVICES: Final = 41            # active devices known
LIMITS_KEY: Final = 42         # limits of identity tiers in force, as int64; 0 = none
# fmt: on

TARIFF_KEYS: Final = 64  # + tariff slot: key of the version in force, as int64; 0 = none
TARIFF_SLOTS: Final = 16
TARIFF_VERSIONS: Final = 80  # + tariff slot: versions loaded

TAPS: Final = 128  # + kind * 64 + reason
TAP_KINDS: Final = 8
REASONS: Final = 64
FRAME_ERRORS: Final = 640  # + link error number
FRAME_ERROR_KINDS: Final = 64
COMMANDS: Final = 704  # + reason

LATENCY: Final = 768  # + bucket: frame read until its answer is handed to the socket
LATENCY_SUM_US: Final = 864
COMMIT: Final = 872  # + bucket: one durable commit (write and sync)
COMMIT_SUM_US: Final = 968
BUCKETS: Final = 96


class PlaneState(IntEnum):
    """What the data plane is doing."""

    STARTING = 0
    READY = 1
    DRAINING = 2
    STOPPED = 3
    BROKEN = 4


class CommitState(IntEnum):
    """The current commit."""

    IDLE = 0
    WRITING = 1


class DiskState(IntEnum):
    """Room on the journal's disk."""

    OK = 0
    WARN = 1
    NO_COMMANDS = 2
    """Commands are refused; taps go on in the reserve."""
    FULL = 3


def bucket_of(us: int) -> int:
    """Bucket of a duration: four a doubling, exact below 8 us, the last one open (from 29 s).

    The same in C, with e = 63 - clzll(us):
    us < 4 ? us : 4 * (e - 1) + ((us >> (e - 2)) & 3), at most 95.
    """
    if us < 4:
        return max(us, 0)
    exponent = us.bit_length() - 1
    return min(4 * (exponent - 1) + ((us >> (exponent - 2)) & 3), BUCKETS - 1)


def bucket_floor_us(bucket: int) -> int:
    """Smallest duration in a bucket; the next bucket's floor is its exclusive end."""
    if bucket < 4:
        return bucket
    octave, quarter = divmod(bucket, 4)
    return (4 + quarter) << (octave - 1)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A copy of one histogram of the page."""

    counts: tuple[int, ...]
    sum_us: int

    @property
    def count(self) -> int:
        """Observations."""
        return sum(self.counts)

    def below_us(self, bound_us: int) -> int:
        """Observations shorter than a bound that is a bucket's floor."""
        return sum(self.counts[: bucket_of(bound_us)])

    def quantile_us(self, part: float) -> int:
        """Upper end of the bucket that this part (0-1) of the observations reaches; 0 = none."""
        wanted, seen = part * self.count, 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return bucket_floor_us(bucket + 1)
        return 0


class Page:
    """The writer's side. `slots` is a writable view of int64, also for a typed memoryview in C."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path = path
        self._mapped = mapped
        self.slots: memoryview = memoryview(mapped).cast("q")

    @classmethod
    def create(cls, path: Path) -> Page:
        """Put a new page at `path` in one step; readers of the old one notice and reopen.

        Raises: EnvironmentFault.
        """
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        head = struct.pack("<qqq", MAGIC, SLOT_COUNT, os.getpid())
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(head.ljust(SLOT_COUNT * SLOT_BYTES, b"\0"))
            with fresh.open("r+b") as file:
                mapped = mmap.mmap(file.fileno(), SLOT_COUNT * SLOT_BYTES)
            fresh.replace(path)
        except OSError as error:
            raise EnvironmentFault(
                detail=f"cannot make the status page {path}: {error.strerror}"
            ) from error
        return cls(path, mapped)

    def close(self) -> None:
        """Let the mapping go. The file stays, with the last numbers in it."""
        self.slots.release()
        self._mapped.close()


class PageReader:
    """The readers' side: follows the page from one writer to the next."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> PageView | None:
        """A copy of the page; None when there is none that can be read."""
        try:
            with self.path.open("rb") as file:
                view = PageView(_copy_slots(file.fileno()))
        except (OSError, ValueError):  # ValueError: shorter than a page
            return None
        return view if view[MAGIC_SLOT] == MAGIC else None


def _copy_slots(fd: int) -> tuple[int, ...]:
    """Slot by slot through a mapping: each is one aligned load, so none is torn."""
    with (
        mmap.mmap(fd, SLOT_COUNT * SLOT_BYTES, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as raw,
        raw.cast("q") as slots,
    ):
        return tuple(slots)


class PageView:
    """One copy of all slots."""

    def __init__(self, slots: tuple[int, ...]) -> None:
        self._slots = slots

    def __getitem__(self, slot: int) -> int:
        return self._slots[slot]

    def run(self, first: int, count: int) -> tuple[int, ...]:
        """Several slots in a row."""
        return self._slots[first : first + count]

    def histogram(self, first: int, sum_slot: int) -> Histogram:
        """LATENCY with LATENCY_SUM_US, or COMMIT with COMMIT_SUM_US."""
        return Histogram(self.run(first, BUCKETS), self[sum_slot])

    def tariff_key(self, slot: int) -> int:
        """Key of the tariff in force, unsigned; 0 = none."""
        return self[TARIFF_KEYS + slot] & 0xFFFF_FFFF_FFFF_FFFF

    def limits_key(self) -> int:
        """Key of the limits of identity tiers in force, unsigned; 0 = none."""
        return self[LIMITS_KEY] & 0xFFFF_FFFF_FFFF_FFFF

    def writer_lives(self) -> bool:
        """Whether the process that wrote the page still exists."""
        pid = self[PID]
        if pid <= 0:
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
