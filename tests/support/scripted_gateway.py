"""A gateway for the tests of clients: the real handshake and framing, answers from a script.

It remembers the answer of each (boot, seq), as the real one does; `reply` may be replaced to be
silent, refuse, or answer anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.errors import WireError
from gateway.link import frames
from gateway.link.codes import PREFERENCE, Algorithm, wire_code
from gateway.link.denylist import Denylist
from gateway.link.frames import Answer, Frame, TapEvent
from gateway.link.handshake import (
    FrameSplitter,
    SealedLink,
    derive_device_key,
    frame_bytes,
)
from gateway.link.listing import Cutter, build_payload
from tests.support.handshake import ServerHandshake

MASTER = bytes.fromhex("5b" * 16 + "a7" * 16)
DEVICE_ID = 42
DEVICE_KEY = derive_device_key(MASTER, DEVICE_ID, 1)
NOW_US = 1_780_000_000_000_000
DENY_TOKEN = b"denied token 016"

Reply = Callable[["Peer", Frame], Iterable[Frame]]


def find_key(device_id: int, version: int) -> bytes | None:
    """Device 42 may come in with version 1."""
    known = (device_id, version) == (DEVICE_ID, 1)
    return derive_device_key(MASTER, device_id, version) if known else None


def answer_tap(peer: Peer, tap: TapEvent) -> Answer:
    """Fares are 100 times the kind; tokens of zeros are unknown; the first answer stands."""
    answers = peer.gateway.answers
    key = (tap.boot, tap.seq)
    if key not in answers:
        known = tap.token != bytes(16)
        answers[key] = Answer(
            *(tap.boot, tap.seq, int(known), 0 if known else 25, 100 * tap.kind if known else 0),
            *(5000, 0, 0, 0, tap.device_ts_us, 4096 + len(answers), tap.kind),
        )
    return answers[key]


def answer_like_a_gateway(peer: Peer, frame: Frame) -> Iterable[Frame]:
    """What the real one would send, with made-up money."""
    number = peer.link.next_counter
    match frame:
        case frames.Tap():
            yield frames.TapAnswer(number(), answer_tap(peer, frame.tap))
        case frames.TapBatch():
            answers = tuple(answer_tap(peer, tap) for tap in frame.taps)
            yield frames.BatchAnswer(number(), frame.counter, answers)
        case frames.Passage():
            answer = Answer(frame.boot, frame.seq, 1, 0, -300, 5300, 0, 0, 0, NOW_US, 9000, 5)
            yield frames.PassageAnswer(number(), answer)
        case frames.Heartbeat():
            version, echo = peer.gateway.denylist.version, frame.device_time_us
            yield frames.HeartbeatAnswer(number(), NOW_US, echo, 0, ((0, 77),), version, 1)
        case frames.DenylistRequest():
            for piece in Cutter(peer.gateway.denylist, lambda _: b"").cut(frame.have_version):
                yield frames.decode(build_payload(number(), piece))
        case frames.ModeChange():
            yield frames.ModeAnswer(number(), frame.counter, frame.mode)
        case frames.ContextChange():
            yield frames.ContextAnswer(number(), frame.boot, frame.seq, True)


@dataclass(slots=True)
class Peer:
    """One connection in session."""

    gateway: ScriptedGateway
    link: SealedLink
    writer: asyncio.StreamWriter

    def send(self, frame: Frame) -> None:
        """Send a frame of the session."""
        self.writer.write(self.link.seal(frame.encode()))


@dataclass(slots=True)
class ScriptedGateway:
    """Listens on loopback; `received` holds every frame of every session in order."""

    reply: Reply = field(default=answer_like_a_gateway)
    preference: tuple[Algorithm, ...] = PREFERENCE
    heartbeat_s: int = 30
    port: int = 0
    received: list[Frame] = field(default_factory=list)
    answers: dict[tuple[int, int], Answer] = field(default_factory=dict)
    denylist: Denylist = field(default_factory=lambda: Denylist(7, [DENY_TOKEN]))
    peers: list[Peer] = field(default_factory=list)
    step: int = 65536
    """Bytes written at a time by the handshake: 1 tries readers that expect whole frames."""
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> ScriptedGateway:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close the listener and cut every connection."""
        if self._server is not None:
            self._server.close()
        for peer in self.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0)

    def of_type(self, kind: type[Frame]) -> list[Frame]:
        """What came in of one type."""
        return [frame for frame in self.received if isinstance(frame, kind)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            try:
                await self._session(reader, writer)
            except WireError as error:
                refusal = frames.error_frame(wire_code(error), counter=0)
                writer.write(frame_bytes(refusal.encode()))
        writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter, handshake = (
            FrameSplitter(65536),
            ServerHandshake(find_key, preference=self.preference),
        )
        link: SealedLink | None = None
        peer: Peer | None = None
        while data := await reader.read(65536):
            splitter.feed(data)
            while (body := splitter.next_body()) is not None:
                if handshake.keys is None:
                    challenge = handshake.on_hello(body, NOW_US)
                    for at in range(0, len(challenge), self.step):
                        writer.write(challenge[at : at + self.step])
                        await writer.drain()
                elif link is None or peer is None:
                    link = handshake.on_auth(body)
                    peer = Peer(self, link, writer)
                    self.peers.append(peer)
                    peer.send(self._welcome(link))
                else:
                    frame = link.open(body)
                    self.received.append(frame)
                    for answer in self.reply(peer, frame):
                        peer.send(answer)

    def _welcome(self, link: SealedLink) -> frames.Welcome:
        top = max((seq for _, seq in self.answers), default=0)
        tariffs = ((0, 77, bytes(32)),)
        version, number = self.denylist.version, link.next_counter()
        return frames.Welcome(
            number, NOW_US, 5, self.heartbeat_s, top, top + 1, tariffs, version, 1, 256, 65536, 1
        )
