"""The cold frames of a session: lists, tariffs, modes, places. The hot ones never come here, and a
heartbeat only if it is no sound one: `Engine.tell` has what the others are answered with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgpack

from gateway.link import frames
from gateway.link.codes import TARIFF_PART_MAX_BYTES, DeviceMode, WireCode, wire_error
from gateway.link.denylist import Denylist

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fastpath.api import Session

CLOSED_MODES = frozenset(
    {
        DeviceMode.SERVICE,
        DeviceMode.CLOSED,
        DeviceMode.OUT_OF_SERVICE,
        DeviceMode.FAULT,
        DeviceMode.MAINTENANCE,
    }
)
"""Modes in which a device's taps are refused as out_of_service."""


@dataclass(frozen=True, slots=True)
class LoadedTariff:
    """A tariff that devices may fetch. signature: over slot, key and digest."""

    slot: int
    key: int
    digest: bytes
    blob: bytes
    signature: bytes


@dataclass(slots=True)
class LinkState:
    """What all sessions share."""

    denylist: Denylist
    clock: Callable[[], int]
    sign: Callable[[bytes], bytes]
    acked_seq: Callable[[int, int], int]
    """(device, boot) -> every sequence number up to here has been seen."""
    next_seq: Callable[[int, int], int]
    """(device, boot) -> the number after the highest one seen."""
    tariffs: dict[int, LoadedTariff] = field(default_factory=dict)
    mode: DeviceMode = DeviceMode.NORMAL
    config_version: int = 1

    def tariff_rows(self) -> tuple[tuple[int, int, bytes], ...]:
        """[slot, key, hash] of every tariff that may be fetched."""
        return tuple(
            (t.slot, t.key, t.digest)
            for t in sorted(self.tariffs.values(), key=lambda t: (t.slot, t.key))
        )

    def heartbeat_answer(
        self, counter: int, now_us: int, device_time_us: int, acked_seq: int
    ) -> frames.HeartbeatAnswer:
        """The newest versions; only the arguments differ between sessions."""
        return frames.HeartbeatAnswer(
            counter=counter,
            server_time_us=now_us,
            device_time_us=device_time_us,
            acked_seq=acked_seq,
            tariffs=tuple((t.slot, t.key) for t in self.tariffs.values()),
            denylist_version=self.denylist.version,
            config_version=self.config_version,
        )


@dataclass(slots=True)
class Place:
    """Where a device is and what it does, as it last said."""

    boot: int
    mode: int = DeviceMode.NORMAL
    context_seq: int = 0
    vehicle: str = ""
    line: int = 0
    released_seq: int = 0


def signer(key: Ed25519PrivateKey | None) -> Callable[[bytes], bytes]:
    """Ed25519 over what is given; without a key signatures are empty."""
    return key.sign if key is not None else lambda _: b""


def tariff_message(slot: int, key: int, digest: bytes) -> bytes:
    """What the signature of a tariff covers."""
    return b"faregate tariff" + bytes([slot]) + key.to_bytes(8) + digest


class LinkService:
    """Answers cold frames of one session; returns the frames to send back, in order.

    want_denylist(have_version) has the device brought to the newest list, in its own time.
    """

    def __init__(
        self,
        state: LinkState,
        session: Session,
        place: Place,
        want_denylist: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._state = state
        self._session = session
        self._want_denylist = want_denylist
        self.place = place

    def answer(self, payload: bytes) -> list[frames.Frame]:
        """Raises: WireError: not a frame a device sends inside a session."""
        frame = frames.decode(payload)
        match frame:
            case frames.Heartbeat():
                return [self._heartbeat(frame)]
            case frames.DenylistRequest():
                self._want_denylist(frame.have_version)
                return []
            case frames.TariffRequest():
                return [self._tariff(frame)]
            case frames.ModeChange():
                return [self._mode(frame)]
            case frames.ContextChange():
                return [self._context(frame)]
            case frames.Ack():
                self.place.released_seq = max(self.place.released_seq, frame.upto_seq)
                return []
            case frames.ModeAnswer() | frames.Error() | frames.Bye():
                return []
        raise wire_error(WireCode.UNKNOWN_FRAME, f"{type(frame).__name__} is not for a server")

    def _heartbeat(self, beat: frames.Heartbeat) -> frames.Frame:
        state, session = self._state, self._session
        session.queue_depth = beat.queue_depth
        acked_seq = state.acked_seq(session.device_id, self.place.boot)
        return state.heartbeat_answer(
            session.next_counter(), state.clock(), beat.device_time_us, acked_seq
        )

    def _tariff(self, request: frames.TariffRequest) -> frames.Frame:
        tariff = self._state.tariffs.get(request.key)
        if tariff is None or tariff.slot != request.slot or request.offset > len(tariff.blob):
            raise wire_error(WireCode.OUT_OF_RANGE, "no such tariff, or an offset behind its end")
        return frames.TariffPart(
            counter=self._session.next_counter(),
            slot=tariff.slot,
            key=tariff.key,
            total_bytes=len(tariff.blob),
            offset=request.offset,
            data=tariff.blob[request.offset : request.offset + TARIFF_PART_MAX_BYTES],
            signature=tariff.signature,
        )

    def _mode(self, change: frames.ModeChange) -> frames.Frame:
        self.place.mode = change.mode
        self._session.in_service = change.mode not in CLOSED_MODES
        return frames.ModeAnswer(
            counter=self._session.next_counter(), request_counter=change.counter, mode=change.mode
        )

    def _context(self, change: frames.ContextChange) -> frames.Frame:
        place = self.place
        applied = change.seq > place.context_seq
        if applied:
            place.context_seq, place.vehicle, place.line = change.seq, change.vehicle, change.line
            self._session.stop = change.stop
        return frames.ContextAnswer(
            counter=self._session.next_counter(), boot=change.boot, seq=change.seq, applied=applied
        )


def pack_news(state: LinkState) -> bytes:
    """What all heartbeat answers end with (Engine.tell): tariffs, deny list, configuration."""
    news = state.heartbeat_answer(0, 0, 0, 0).as_row()[4:]
    return b"".join(msgpack.packb(field) for field in news)


def pack_busy() -> tuple[bytes, bytes]:
    """The error `busy` around its request counter (Engine.tell)."""
    row = frames.error_frame(WireCode.BUSY, counter=0).as_row()
    before, behind = (b"".join(map(msgpack.packb, part)) for part in (row[1:3], row[4:]))
    return before, behind
