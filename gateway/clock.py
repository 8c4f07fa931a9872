"""The one place that reads the clock and makes time-ordered operation ids.

Instants are int microseconds UTC. What decides fares is given its instant and never asks here.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid

US_PER_S = 1_000_000


def now_us() -> int:
    """Wall clock, UTC."""
    return time.time_ns() // 1_000


def monotonic_us() -> int:
    """For durations only; has no date."""
    return time.monotonic_ns() // 1_000


class OperationIds:
    """Makes UUIDv7 values that rise within this process, even when the clock steps back.

    48 bits of milliseconds, 12 bits of counter, 62 random bits.
    Source: RFC 9562, section 5.7 and method 1 of section 6.2.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def make(self, at_us: int) -> bytes:
        """16 bytes, for an operation begun at `at_us`."""
        with self._lock:
            self._last = max((at_us // 1_000) << 12, self._last + 1)
            stamp = self._last
        high = (stamp >> 12) << 16 | 0x7000 | (stamp & 0xFFF)
        low = 0x8000_0000_0000_0000 | int.from_bytes(os.urandom(8)) >> 2
        return (high << 64 | low).to_bytes(16)


def derived_operation_id(at_us: int, *parts: str) -> bytes:
    """The id of an operation that follows from something: the same parts give the same id.

    Args: at_us: an instant that belongs to it for ever (a due date, a cut-over), since ids are
        ordered by time and those beyond the answer horizon are refused. parts: what it is.
    Returns: a UUIDv7 with that instant; the other 74 bits are a hash of the parts.
    """
    text = "\0".join(parts).encode()
    bits = int.from_bytes(hashlib.sha256(text).digest()[:10])
    high = (at_us // 1_000) << 16 | 0x7000 | bits >> 64 & 0xFFF
    low = 0x8000_0000_0000_0000 | bits & (1 << 62) - 1
    return (high << 64 | low).to_bytes(16)


_IDS = OperationIds()


def new_operation_id() -> bytes:
    """A fresh operation id: the same id always means the same operation."""
    return _IDS.make(now_us())


def parse_operation_id(text: str) -> bytes:
    """Read an id as people write it: 32 hex digits, with or without hyphens.

    Raises: ValueError.
    """
    return uuid.UUID(text).bytes


def format_operation_id(operation_id: bytes) -> str:
    """The hyphenated form, as commands print it."""
    return str(uuid.UUID(bytes=operation_id))
