"""A write of the simulated disk that goes on while the gateway does something else.

It ends when virtual time says so: well, short, or with an error; or the process or the machine ends
before it does. The bytes are read when they land: whoever changes them meanwhile has changed them.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from benchmarks.crash_virtual import VirtualLoop
from tests.support.faultfs import BLOCK, Fault, ForgetfulDisk

DELAYS_US = (0, 120, 120, 5_000, 300_000, 2_000_000)
"""How long a write takes; the last one is that of a disk which stands still for a while."""
FD = 500
NOT_BEGUN = 0.03
"""How often the kernel has no room for another one: it has to be done otherwise."""
BEGIN, LAND = "begin_flight", "land_flight"


class Ground(Protocol):
    """What a flight asks of the disk under it (benchmarks.crash_parts.MortalFiles)."""

    disk: ForgetfulDisk
    rng: random.Random
    sync_failed: bool

    def meet(self, operation: str) -> Fault | None:
        """Raises OSError: it fails. Raises Gone: the process ends here."""


@dataclass(slots=True)
class Aloft:
    """What is under way."""

    fd: int
    data: memoryview
    offset: int
    ends_us: int
    result: int | OSError | None = None


class SimFlight:
    """At most one write under way (gateway.journal.files.Flight)."""

    fd = FD

    def __init__(self, ground: Ground, loop: Callable[[], VirtualLoop]) -> None:
        self._ground = ground
        self._loop = loop
        self.aloft: Aloft | None = None

    @property
    def is_under_way(self) -> bool:
        return self.aloft is not None

    def begin(self, fd: int, data: memoryview, offset: int) -> None:
        """Raises OSError: nothing has begun."""
        ground, loop = self._ground, self._loop()
        ground.meet(BEGIN)
        if self.aloft is not None or offset % BLOCK or len(data) % BLOCK:
            raise AssertionError(f"a second write, or {len(data)} bytes at {offset}")
        if ground.rng.random() < NOT_BEGUN:
            raise OSError(errno.EAGAIN, "no room for a write in flight")
        delay_us = ground.rng.choice(DELAYS_US)
        self.aloft = Aloft(fd, data, offset, loop.now_us + delay_us)
        loop.call_later(delay_us / 1e6, self._land, self.aloft)

    def end(self, *, wait: bool = False) -> int | None:
        """Bytes written and durable; None = it is still under way. Raises OSError."""
        aloft = self.aloft
        if aloft is None:
            raise AssertionError("the end of what never began")
        if aloft.result is None and wait:
            self._land(aloft)
        if aloft.result is None:
            return None
        self.aloft = None
        aloft.data.release()
        if isinstance(aloft.result, OSError):
            raise aloft.result
        return aloft.result

    def close(self) -> None:
        """What is under way comes to its end."""
        if self.aloft is not None and self.aloft.result is None:
            self._land(self.aloft)

    # --- what becomes of it ---------------------------------------------------------------------

    def _land(self, aloft: Aloft) -> None:
        """It is durable, or has failed: the loop is told. Raises Gone: it was just about to."""
        if aloft is not self.aloft or aloft.result is not None:
            return
        aloft.result = self._written(aloft)
        self._loop().tell_reader(FD)

    def _written(self, aloft: Aloft) -> int | OSError:
        ground, data = self._ground, bytes(aloft.data)
        try:
            if ground.sync_failed:
                raise OSError(errno.EIO, "an earlier sync of this file failed")
            fault = ground.meet(LAND)
        except OSError as error:
            self._lose(aloft, data, error.errno)
            return error
        if fault is not None and fault.short is not None:
            data = data[: fault.short - fault.short % BLOCK]
        return ground.disk.pwrite_synced(aloft.fd, data, aloft.offset)

    def _lose(self, aloft: Aloft, data: bytes, number: int | None) -> None:
        """An error of the write or of its sync: readers may see it, no disk has it."""
        ground = self._ground
        part = ground.rng.choice((0, len(data) // 2, *[len(data)] * 3))
        ground.disk.lose(aloft.fd, data[:part], aloft.offset)
        if number == errno.EIO:
            ground.sync_failed = True
            ground.disk.forget()

    def end_process(self, *, power: bool) -> None:
        """The process is gone: the kernel brings the write to its end, or the power goes first and
        leaves what it will. Precondition: the descriptor is still open.
        """
        aloft, self.aloft = self.aloft, None
        if aloft is None or aloft.result is not None:
            return
        data = bytes(aloft.data)
        if power:
            self._ground.disk.leave(aloft.fd, data, aloft.offset)
        elif self._ground.rng.random() < 0.9:
            self._ground.disk.pwrite_synced(aloft.fd, data, aloft.offset)
        else:
            self._lose(aloft, data, errno.EIO)
