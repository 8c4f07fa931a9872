"""Validators that lose their gateway together and come back as docs/protocol.md section 8 says.

Each waits uniformly between 0 and 4 s, connects, goes through the handshake, sends a heartbeat and
uploads the taps it took alone in one batch; busy and lost connections are tried again after the
pauses of the protocol. One thread over uvloop. Must not import the gateway's server.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from fastpath.types import TapKind
from gateway.bench.opening import TOKEN_BYTES
from gateway.clock import now_us
from gateway.link.codes import (
    FRAME_MAX_BYTES,
    NONCE_BYTES,
    PROTOCOL_VERSION,
    TAG_BYTES,
    Algorithm,
    DeviceMode,
    FrameType,
)
from gateway.link.frames import Heartbeat, Hello, TapBatch, TapEvent
from gateway.link.handshake import (
    FrameSplitter,
    SealedLink,
    derive_device_key,
    derive_session_keys,
    frame_bytes,
)
from gateway.link.validator import (
    BUSY_PAUSE_S,
    DEVICE_OPENED,
    OFFLINE,
    VERDICT_RETRY,
    compute_backoff_s,
)

AT_ONCE = 64
"""Handshakes under way while the fleet gathers before a run; nobody measures then."""
RIDE_US = 20 * 60 * 1_000_000
KEPT_US = 2 * RIDE_US
REASON_REFUSED = 16
BATCH_COUNTER = 3
"""Behind auth and heartbeat: the batch is encoded before the run."""
GATHER_S = 60.0


@dataclass(slots=True)
class Fleet:
    """Counts of one return of all devices."""

    address: tuple[str, int]
    back: int = 0
    answered: int = 0
    accepted: int = 0
    attempts: int = 0
    again: int = 0
    handshake_s: list[float] = field(default_factory=list)
    missing: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def clear(self, missing: int) -> None:
        """Before a return of so many."""
        self.back = self.answered = self.accepted = self.attempts = self.again = 0
        self.handshake_s, self.missing, self.done = [], missing, asyncio.Event()

    def settled(self) -> None:
        """One device has nothing left to do."""
        self.missing -= 1
        if self.missing == 0:
            self.done.set()


class Device(asyncio.Protocol):
    """One validator: its connection, and the taps it has to upload."""

    def __init__(self, fleet: Fleet, device_id: int, master_key: bytes) -> None:
        self.device_id = device_id
        self.boot = random.getrandbits(63) | 1
        self.next_seq = 1
        self.kept: tuple[TapEvent, ...] = ()
        self._batch = b""
        self._fleet = fleet
        self._key = derive_device_key(master_key, device_id, 1)
        self._transport: asyncio.Transport | None = None
        self._stale: asyncio.Transport | None = None
        self._link: SealedLink | None = None
        self._hello: Hello | None = None
        self._in_session = False
        self._attempt = 0
        self._began = 0.0

    def keep(self, tokens: Sequence[bytes], stops: Sequence[int]) -> None:
        """Take rides of these riders alone: in and out each, at two stops."""
        first_us = now_us() - KEPT_US
        flags = OFFLINE | DEVICE_OPENED
        taps: list[TapEvent] = []
        for at, token in enumerate(tokens):
            for place, kind in enumerate((TapKind.CHECK_IN, TapKind.CHECK_OUT)):
                stop = stops[(self.device_id + at + place) % len(stops)]
                ts_us = first_us + at + place * RIDE_US
                seq = self.next_seq + len(taps)
                taps.append(TapEvent(self.boot, seq, int(kind), token, stop, ts_us, flags))
        self.next_seq += len(taps)
        self.kept = tuple(taps)
        self._batch = TapBatch(BATCH_COUNTER, self.kept).encode()
        self._say_hello()

    def _say_hello(self) -> None:
        """Of the next connection."""
        nonce, offered = os.urandom(NONCE_BYTES), (Algorithm.BLAKE2B,)
        self._hello = Hello(
            *(0, PROTOCOL_VERSION, self.device_id, 1, self.boot, nonce, offered, "fleet")
        )

    async def gather(self) -> None:
        """Come in session for the first time."""
        await self._connect()

    def lose(self) -> None:
        """The link is dead; come back as the protocol says. A link that is cut sends no reset: the
        gateway hears of the end of the old connection when the device is back."""
        self._stale, self._transport = self._transport, None
        self._attempt = 0
        self._later(compute_backoff_s(0, random.random()))

    def close(self) -> None:
        """For good."""
        self._fleet.missing = -1
        if self._transport is not None:
            self._transport.abort()

    def _later(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, lambda: loop.create_task(self._return()))

    async def _return(self) -> None:
        self._fleet.attempts += 1
        if self._stale is not None:
            self._stale.abort()
            self._stale = None
        try:
            await self._connect()
        except OSError:
            self._fail()

    def _fail(self) -> None:
        self._attempt += 1
        self._later(compute_backoff_s(self._attempt, random.random()))

    async def _connect(self) -> None:
        self._began = time.monotonic()
        self._link, self._in_session, self._splitter = None, False, FrameSplitter()
        if self._hello is None:
            self._say_hello()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, *self._fleet.address)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        assert self._hello is not None
        self._send(frame_bytes(self._hello.encode()))
        self._said, self._hello = self._hello, None

    def data_received(self, data: bytes) -> None:
        self._splitter.feed(data)
        while (body := self._splitter.next_body()) is not None:
            self._take(body)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None and self._fleet.missing > 0 and not self._in_session:
            self._transport = None
            self._fail()

    def _take(self, body: bytes) -> None:
        if self._link is None:
            self._prove(_fields(body))
        elif not self._in_session:
            if _fields(body)[0] != FrameType.WELCOME:
                raise RuntimeError("the gateway does not let the fleet in")
            self._in_session = True
            self._enter()
        else:
            self._read(_fields(body))

    def _prove(self, challenge: list[Any]) -> None:
        """Answer a challenge: version, nonce, algorithm behind type and counter."""
        if challenge[0] != FrameType.CHALLENGE:
            raise RuntimeError("the gateway does not challenge the fleet")
        keys = derive_session_keys(self._key, self._said, challenge[3], Algorithm.BLAKE2B)
        link = self._link = SealedLink(keys, is_server=False)
        self._splitter.limit_bytes = FRAME_MAX_BYTES
        self._send(link.seal(msgpack.packb((int(FrameType.AUTH), link.next_counter()))))

    def _enter(self) -> None:
        """In session: a heartbeat, and what was kept."""
        fleet, link = self._fleet, self._link
        assert link is not None
        fleet.back += 1
        fleet.handshake_s.append(time.monotonic() - self._began)
        beat = Heartbeat(link.next_counter(), now_us(), len(self.kept), DeviceMode.NORMAL)
        self._send(link.seal(beat.encode()))
        if self.kept:
            self._upload()
        else:
            fleet.settled()

    def _upload(self) -> None:
        link = self._link
        if link is None or not self._in_session:
            return
        counter = link.next_counter()
        batch = self._batch
        if counter != BATCH_COUNTER or not batch:
            batch = TapBatch(counter, self.kept).encode()
        self._batch = b""
        self._send(link.seal(batch))

    def _read(self, row: list[Any]) -> None:
        if row[0] == FrameType.BATCH_ANSWER:
            self._settle(row[3])
        elif row[0] == FrameType.ERROR:
            self._busy()

    def _settle(self, answers: Sequence[Sequence[int]]) -> None:
        """Answers as on the wire: boot, seq, verdict, reason ..."""
        fleet = self._fleet
        left = {seq for _, seq, verdict, *_ in answers if verdict == VERDICT_RETRY}
        fleet.answered += len(answers) - len(left)
        fleet.accepted += sum(answer[3] < REASON_REFUSED for answer in answers)
        self.kept = tuple(tap for tap in self.kept if tap.seq in left)
        if self.kept:
            self._busy()
        else:
            fleet.settled()

    def _busy(self) -> None:
        self._fleet.again += 1
        pause_s = BUSY_PAUSE_S * (1 + random.random())
        asyncio.get_running_loop().call_later(pause_s, self._upload)

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _fields(body: bytes) -> list[Any]:
    """A frame's fields, without its checks and its tag's: they would cost this core more than the
    rest of a device, and the load beside the fleet checks them."""
    row: list[Any] = msgpack.unpackb(body[:-TAG_BYTES])
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who comes back, and whom they let ride meanwhile."""

    address: tuple[str, int]
    devices: range
    master_key: bytes = field(repr=False)
    tokens: bytes = field(repr=False)
    stops: tuple[int, ...]
    taps_each: int = 20


class Yard:
    """All devices of a crew. Riders of one return are not used again in the next."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self.fleet = Fleet(crew.address)
        self._devices = [Device(self.fleet, at, crew.master_key) for at in crew.devices]
        self._used = 0

    async def gather(self) -> None:
        """Everybody in session, without taps."""
        self.fleet.clear(len(self._devices))
        for at in range(0, len(self._devices), AT_ONCE):
            await asyncio.gather(*(one.gather() for one in self._devices[at : at + AT_ONCE]))
        await asyncio.wait_for(self.fleet.done.wait(), GATHER_S)

    def keep(self) -> None:
        """Every device takes its taps alone."""
        for device in self._devices:
            device.keep(self._riders(self._crew.taps_each // 2), self._crew.stops)

    async def come_back(self) -> dict[str, float]:
        """Lose everybody at once; what came of it when the last tap was answered."""
        fleet = self.fleet
        fleet.clear(len(self._devices))
        began, cpu = time.monotonic(), time.process_time()
        for device in self._devices:
            device.lose()
        await fleet.done.wait()
        span_s = time.monotonic() - began
        waits = sorted(fleet.handshake_s)
        return {
            "devices": fleet.back,
            "attempts": fleet.attempts,
            "offline_taps": fleet.answered,
            "accepted": fleet.accepted,
            "sent_again": fleet.again,
            "span_s": round(span_s, 2),
            "handshake_p50_ms": round(waits[len(waits) // 2] * 1000, 1),
            "fleet_cpu": round((time.process_time() - cpu) / span_s, 3),
        }

    def close(self) -> None:
        """End all sessions."""
        for device in self._devices:
            device.close()

    def _riders(self, count: int) -> list[bytes]:
        tokens, riders = self._crew.tokens, len(self._crew.tokens) // TOKEN_BYTES
        found = []
        for number in range(self._used, self._used + count):
            at = number % riders * TOKEN_BYTES
            found.append(tokens[at : at + TOKEN_BYTES])
        self._used += count
        return found
