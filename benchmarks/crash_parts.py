"""The simulator's inhabitants: a disk that may die, validators, an operator.

Devices speak the link with the reference client's own handshake and frames; bytes travel on a
`Wire`. Nothing here decides what happens next: that is benchmarks/crash_schedule.py.
"""

from __future__ import annotations

import errno
import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.crash_flight import LAND, SimFlight
from benchmarks.crash_recount import TapKey, Told
from benchmarks.crash_virtual import VirtualLoop, VirtualTime, Wire
from fastpath.types import TapFlag
from gateway.errors import WireError
from gateway.link import frames
from gateway.link.codes import FRAME_MAX_BYTES, WireCode
from gateway.link.frames import Answer, Frame, TapEvent
from gateway.link.handshake import ClientHandshake, FrameSplitter, SealedLink
from tests.support.faultfs import Fault, FaultFiles, ForgetfulDisk

CHANGES = frozenset(
    {
        *("pwrite", "pwrite_synced", "fdatasync", "allocate"),
        *("rename", "unlink", "fsync_dir", "make_dir"),
        LAND,
    }
)
OPENED = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
EXPECTED_CODES = frozenset(
    {WireCode.JOURNAL_FULL, WireCode.BUSY, WireCode.SHUTTING_DOWN, WireCode.FRAME_TRUNCATED}
)
"""What an honest device may be told: no room, and a frame that took too long."""


class Gone(BaseException):
    """The process or the machine is gone: no handler of the gateway may catch it."""


class MortalFiles(FaultFiles):
    """A disk under a process that may end in the middle of any operation.

    offers: 0 plain writes only, 1 synced writes as well, 2 also past the page cache, 3 also such
    that end later.
    """

    def __init__(self, disk: ForgetfulDisk, rng: random.Random, *, offers: int) -> None:
        super().__init__(disk, synced=offers >= 1, direct=offers >= 2)
        self.disk = disk
        self.rng = rng
        self.offers_flights = offers >= 3
        self.flight: SimFlight | None = None
        self.loop: VirtualLoop | None = None
        """Of the process that lives: it is told when a write has ended."""
        self.sync_failed = False
        """The error of a sync is told to whoever syncs next, until the process has ended."""
        self.countdown: int | None = None
        self.dead = False

    def open_flight(self) -> SimFlight:
        """Raises OSError: not on this machine."""
        if not self.offers_flights:
            raise OSError(errno.ENOSYS, "no writes in flight here")
        self.flight = SimFlight(self, self._loop_of_process)
        return self.flight

    def _loop_of_process(self) -> VirtualLoop:
        if self.loop is None:
            raise Gone
        return self.loop

    @property
    def is_flying(self) -> bool:
        """Whether a write is under way and has not landed yet."""
        aloft = self.flight.aloft if self.flight is not None else None
        return aloft is not None and aloft.result is None

    def land_at_us(self) -> int:
        """When it lands. Precondition: is_flying."""
        aloft = self.flight.aloft if self.flight is not None else None
        return aloft.ends_us if aloft is not None else 0

    def meet(self, operation: str) -> Fault | None:
        """For the flight: whether this operation fails, or is the end."""
        return self._meet(operation)

    def end_process(self, *, power: bool) -> None:
        """What was under way when it ended."""
        if self.flight is not None:
            self.flight.end_process(power=power)
        self.flight = None

    def _meet(self, operation: str) -> Fault | None:
        if self.dead:
            raise Gone
        if operation in CHANGES and self.countdown is not None:
            if self.countdown == 0:
                self.dead = True
                raise Gone
            self.countdown -= 1
        self.calls.clear()
        return super()._meet(operation)

    def fdatasync(self, fd: int) -> None:
        if self.sync_failed:
            raise OSError(errno.EIO, "an earlier sync of this file failed")
        try:
            super().fdatasync(fd)
        except OSError:
            self.sync_failed = True
            self.disk.forget()
            raise

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        if self.countdown == 0 and not self.dead:
            part = self.rng.choice((0, len(data) // 2, len(data)))
            self.disk.leave(fd, memoryview(data)[:part], offset)
        return super().pwrite(fd, data, offset)

    def write_synced(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """An error may come of the write or of the sync: readers may see it, no disk has it."""
        if self.sync_failed:
            raise OSError(errno.EIO, "an earlier sync of this file failed")
        if self.countdown == 0 and not self.dead:
            part = self.rng.choice((0, len(data) // 2, len(data)))
            self.disk.leave(fd, memoryview(data)[:part], offset)
        try:
            return super().write_synced(fd, data, offset)
        except OSError as error:
            part = self.rng.choice((0, len(data) // 2, *[len(data)] * 3))  # mostly the sync failed
            self.disk.lose(fd, memoryview(data)[:part], offset)
            if error.errno == errno.EIO:
                self.sync_failed = True
                self.disk.forget()
            raise


def answer_row(answer: Answer) -> tuple[int, ...]:
    """An answer as the recount compares it."""
    return (
        answer.verdict,
        answer.reason,
        answer.fare_minor,
        answer.balance_minor,
        answer.period_paid_minor,
        answer.rules,
        answer.other_stop,
        answer.fare_ts_us,
        answer.kind,
    )


@dataclass(slots=True)
class Passage:
    """A report that a rider did not go through."""

    seq: int
    original: TapEvent
    device_ts_us: int


@dataclass(slots=True)
class Device:
    """One validator: numbers its taps, keeps them until they are answered."""

    device_id: int
    key: bytes
    boot: int
    clock_off_us: int = 0
    next_seq: int = 1
    unanswered: dict[tuple[int, int], TapEvent | Passage] = field(default_factory=dict)
    answered: deque[TapEvent] = field(default_factory=lambda: deque(maxlen=40))
    links: list[DeviceLink] = field(default_factory=list)

    def new_tap(self, time: VirtualTime, **fields: Any) -> TapEvent:
        """The next tap, kept until answered."""
        event = TapEvent(
            boot=self.boot,
            seq=self.next_seq,
            device_ts_us=max(0, time.wall_us + self.clock_off_us),
            **fields,
        )
        self.next_seq += 1
        self.unanswered[event.boot, event.seq] = event
        return event

    def new_passage(self, time: VirtualTime, original: TapEvent) -> Passage:
        """A report about an answered tap."""
        report = Passage(self.next_seq, original, time.wall_us)
        self.next_seq += 1
        self.unanswered[self.boot, report.seq] = report
        return report

    def reboot(self, boot: int) -> None:
        """A power cycle of the device: a new epoch; what was kept is uploaded under the old one."""
        self.boot, self.next_seq = boot, 1
        for link in self.links:
            link.wire.cut()
        # Reports name their own boot in the frame; without their session they are given up.
        for key in [k for k, one in self.unanswered.items() if isinstance(one, Passage)]:
            del self.unanswered[key]

    def take(self, answer: Answer, told: Told) -> None:
        """Note an answer; forget what it answers when it is final."""
        key = (answer.boot, answer.seq)
        if answer.position:
            identity: TapKey = (self.device_id, answer.boot, answer.seq)
            told.tap(identity, answer.position, answer_row(answer))
        elif answer.verdict == 3:
            return
        kept = self.unanswered.pop(key, None)
        if isinstance(kept, TapEvent) and answer.position:
            self.answered.append(kept)


class DeviceLink:
    """A device's end of one connection."""

    def __init__(self, device: Device, wire: Wire, rng: random.Random, told: Told) -> None:
        self.device = device
        self.wire = wire
        self.told = told
        self.errors: list[WireCode] = []
        self._link: SealedLink | None = None
        self._splitter = FrameSplitter()
        self._handshake = ClientHandshake(
            device_id=device.device_id,
            device_key=device.key,
            boot_epoch=device.boot,
            random=rng.randbytes,
        )
        self.ready = False
        wire.up += self._handshake.hello()
        device.links.append(self)

    def drop(self) -> None:
        """Forget the connection."""
        if self in self.device.links:
            self.device.links.remove(self)

    def send(self, *frames_: Frame) -> None:
        """Put frames on the wire."""
        if self._link is not None:
            for frame in frames_:
                self.wire.up += self._link.seal(frame.encode())

    def counter(self) -> int:
        """For the next frame. Precondition: ready."""
        return self._link.next_counter() if self._link is not None else 0

    def tap(self, event: TapEvent | Passage) -> None:
        """Send a tap or a report."""
        if isinstance(event, TapEvent):
            self.send(frames.Tap(self.counter(), event))
            return
        original = event.original
        self.send(
            frames.Passage(
                self.counter(),
                self.device.boot,
                event.seq,
                original.boot,
                original.seq,
                False,
                event.device_ts_us,
            )
        )

    def batch(self, events: list[TapEvent]) -> None:
        """Upload kept taps."""
        self.send(frames.TapBatch(self.counter(), tuple(events)))

    def receive(self, size: int) -> None:
        """Take bytes that arrived."""
        self._splitter.feed(self.wire.take_down(size))
        while (body := self._splitter.next_body()) is not None:
            try:
                self._body(body)
            except WireError as error:
                self._refused(error)
                return

    def _refused(self, error: WireError) -> None:
        """A handshake that was turned away; anything but a polite one is recorded."""
        code = WireCode[error.code.removeprefix("WIRE_")]
        if code not in EXPECTED_CODES:
            self.errors.append(code)
        self.wire.cut()

    def _body(self, body: bytes) -> None:
        if self._link is None:
            auth, self._link = self._handshake.on_challenge(body)
            self._splitter.limit_bytes = FRAME_MAX_BYTES
            self.wire.up += auth
        elif not self.ready:
            self._handshake.on_welcome(self._link, body)
            self.ready = True
        else:
            self._frame(self._link.open(body))

    def _frame(self, frame: Frame) -> None:
        match frame:
            case frames.TapAnswer() | frames.PassageAnswer():
                self.device.take(frame.answer, self.told)
            case frames.BatchAnswer():
                for answer in frame.answers:
                    self.device.take(answer, self.told)
            case frames.Error() if frame.code not in EXPECTED_CODES:
                self.errors.append(WireCode(frame.code))


def as_upload(event: TapEvent, *, opened: bool) -> TapEvent:
    """The same tap, decided by the device alone meanwhile."""
    flags = event.flags | (OPENED if opened else TapFlag.OFFLINE)
    return replace(event, flags=int(flags), attempt=min(255, event.attempt + 1))


def wires_of(devices: list[Device]) -> list[DeviceLink]:
    """All connections, in an order that a seed reproduces."""
    return [link for device in devices for link in device.links]
