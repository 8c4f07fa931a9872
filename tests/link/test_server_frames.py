"""What a peer may send that it should not: always a coded error, never a stall for others, never a
lost process.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastpath.types import Reason, TapKind
from gateway.link import frames, server
from gateway.link.codes import TAG_BYTES, WireCode
from gateway.link.handshake import ClientHandshake, SealedLink, frame_bytes
from gateway.observability import page as slots
from tests.support.plane import Running, make_folder, running

TOLD = (
    frames.Error
    | frames.ModeAnswer
    | frames.ContextAnswer
    | frames.DenylistDelta
    | frames.TapAnswer
    | frames.PassageAnswer
    | frames.BatchAnswer
)
"""What a server may say to a device in session."""


class Raw:
    """A device that can misbehave: the handshake is right, the rest is up to the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.link: SealedLink

    @classmethod
    async def connect(cls, hands: Running) -> Raw:
        raw = cls(*await asyncio.open_connection("127.0.0.1", hands.port))
        hands.sessions.append(raw.writer)  # type: ignore[arg-type]
        return raw

    async def greet(self, hands: Running, device_id: int = 1) -> Raw:
        handshake = _handshake(hands, device_id)
        self.writer.write(handshake.hello())
        auth, self.link = handshake.on_challenge(await self.body())
        self.writer.write(auth)
        handshake.on_welcome(self.link, await self.body())
        return self

    async def body(self) -> bytes:
        async with asyncio.timeout(20):
            length = int.from_bytes(await self.reader.readexactly(4))
            return await self.reader.readexactly(length)

    async def error(self) -> frames.Error:
        """The next frame, which must be an error."""
        body = await self.body()
        frame = frames.decode(body[:-TAG_BYTES])
        assert isinstance(frame, frames.Error)
        return frame

    async def ends(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read() == b""

    def send(self, payload: bytes) -> None:
        self.writer.write(self.link.seal(payload))

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


def _handshake(
    hands: Running, device_id: int = 1, *, version: int = 1, key: bytes | None = None
) -> ClientHandshake:
    identity = hands.identity(device_id, version=version)
    return ClientHandshake(
        device_id=device_id,
        device_key=key or identity.device_key,
        boot_epoch=7,
        key_version=version,
    )


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncIterator[Running]:
    config = make_folder(tmp_path / "gateway", link__half_frame_timeout_s="1")
    async with running(config) as plane:
        yield plane


async def test_oversized_before_and_in_session(hands: Running) -> None:
    stranger = await Raw.connect(hands)
    stranger.writer.write(struct.pack(">I", 513) + b"x")
    assert (await stranger.error()).code == WireCode.FRAME_TOO_LONG
    assert await stranger.ends()
    device = await (await Raw.connect(hands)).greet(hands)
    device.writer.write(struct.pack(">I", 65_537))
    assert (await device.error()).code == WireCode.FRAME_TOO_LONG
    assert await device.ends()
    assert hands.plane.page[slots.FRAME_ERRORS + WireCode.FRAME_TOO_LONG] == 2


@pytest.mark.parametrize("length", [0, 1, TAG_BYTES])
async def test_frames_too_short_for_a_payload(hands: Running, length: int) -> None:
    device = await (await Raw.connect(hands)).greet(hands)
    device.writer.write(struct.pack(">I", length) + bytes(length))
    assert (await device.error()).code == WireCode.MALFORMED
    assert await device.ends()


async def test_bad_tag_and_old_counter_end_the_connection(hands: Running) -> None:
    device = await (await Raw.connect(hands)).greet(hands)
    device.writer.write(frame_bytes(msgpack.packb([16, 2, 1, 0, 1]), os.urandom(16)))
    assert (await device.error()).code == WireCode.BAD_TAG
    assert await device.ends()
    device = await (await Raw.connect(hands)).greet(hands)
    device.send(msgpack.packb([16, 1, 1, 0, 1]))
    error = await device.error()
    assert (error.code, error.request_counter) == (WireCode.OLD_COUNTER, 1)
    assert await device.ends()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ([10, 2, [1, 1, 1]], WireCode.MALFORMED),
        ([10, 2, [7, 1, 1, b"short", 11, 1, 0, 0, 0, 0, None]], WireCode.OUT_OF_RANGE),
        ([10, 2, [7, 0, 1, b"T" * 16, 11, 1, 0, 0, 0, 0, None]], WireCode.OUT_OF_RANGE),
        ([10, 2, [7, 1, 9, b"T" * 16, 11, 1, 0, 0, 0, 0, None]], WireCode.OUT_OF_RANGE),
        ([10, 2, [7, 1, 1, "text", 11, 1, 0, 0, 0, 0, None]], WireCode.MALFORMED),
        ([10, 2, [7, 1.5, 1, b"T" * 16, 11, 1, 0, 0, 0, 0, None]], WireCode.MALFORMED),
        ([12, 2, []], WireCode.BATCH_TOO_LARGE),
        ([12, 2, [[]] * 257], WireCode.BATCH_TOO_LARGE),
        ([14, 2, 7], WireCode.MALFORMED),
        ([16, 2, "now", 0, 1], WireCode.MALFORMED),
        ([99, 2], WireCode.UNKNOWN_FRAME),
        ([11, 2, []], WireCode.MALFORMED),
        ([20, 2, 15, 5, 0], WireCode.OUT_OF_RANGE),
    ],
)
async def test_wrong_contents_are_refused_and_the_session_goes_on(
    hands: Running, payload: list[object], code: WireCode
) -> None:
    device = await (await Raw.connect(hands)).greet(hands)
    device.send(msgpack.packb(payload))
    error = await device.error()
    assert (WireCode(error.code), error.request_counter) == (code, 2)
    device.send(msgpack.packb([16, 3, 5, 0, 1]))
    assert isinstance(device.link.open(await device.body()), frames.HeartbeatAnswer)
    await device.close()


async def test_a_batch_with_one_bad_tap_has_no_effect(hands: Running) -> None:
    _, token = await hands.rider()
    device = await (await Raw.connect(hands)).greet(hands)
    good = [7, 1, 1, token, 11, time.time_ns() // 1000, 0, 0, 0, 0, None]
    before = hands.plane.page[slots.DURABLE_SEQ]
    device.send(msgpack.packb([12, 2, [good, [7, 2]]]))
    assert (await device.error()).code == WireCode.MALFORMED
    assert hands.plane.page[slots.DURABLE_SEQ] == before
    await device.close()


async def test_half_a_frame_then_silence_is_ended_by_the_time_out(hands: Running) -> None:
    device = await (await Raw.connect(hands)).greet(hands)
    device.writer.write(struct.pack(">I", 100) + b"half")
    assert (await device.error()).code == WireCode.FRAME_TRUNCATED
    assert await device.ends()


async def drip(raw: Raw, data: bytes) -> bool:
    """Send byte after byte, each well within the time-out; whether it is ended before the last."""
    for byte in data:
        if raw.reader.at_eof() or raw.writer.is_closing():
            return True
        raw.writer.write(bytes([byte]))
        await asyncio.sleep(0.1)
    return False


async def test_a_frame_may_not_be_drawn_out_byte_by_byte(hands: Running) -> None:
    stranger = await Raw.connect(hands)
    assert await drip(stranger, _handshake(hands).hello())
    device = await (await Raw.connect(hands)).greet(hands)
    assert await drip(device, struct.pack(">I", 100) + bytes(96))


async def test_whoever_says_nothing_or_only_hello_is_ended(hands: Running) -> None:
    silent, greeted = await Raw.connect(hands), await Raw.connect(hands)
    greeted.writer.write(_handshake(hands).hello())
    await greeted.body()
    assert await silent.ends()
    assert await greeted.ends()
    assert not hands.plane.link.strangers


async def test_strangers_that_hold_the_door_make_room_for_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STRANGERS_SPARE", 2)
    config = make_folder(tmp_path / "gateway", link__sessions_max="1")
    async with running(config) as hands:
        strangers = [await Raw.connect(hands) for _ in range(5)]
        device = await (await Raw.connect(hands)).greet(hands)
        for stranger in strangers[:3]:
            assert await stranger.ends()
        assert len(hands.plane.link.strangers) == 2
        await device.close()


async def test_frames_that_end_between_reads_never_count_as_one_half(hands: Running) -> None:
    """A device that sends so much that every read ends within a frame."""
    device = await (await Raw.connect(hands)).greet(hands)
    beat = device.link.seal(frames.Heartbeat(device.link.next_counter(), 1, 0, 1).encode())
    device.writer.write(beat[:9])
    connection = next(iter(hands.plane.link._by_device[1]))
    async with asyncio.timeout(20):
        while not connection.half_since:  # noqa: ASYNC110 - the gateway tells nobody
            await asyncio.sleep(0.01)
    first = connection.half_since
    following = device.link.seal(frames.Heartbeat(device.link.next_counter(), 2, 0, 1).encode())
    device.writer.write(beat[9:] + following[:9])
    await device.body()
    assert connection.half_since > first
    assert connection in hands.plane.link.unsettled
    device.writer.write(following[9:])
    await device.body()
    assert not hands.plane.link.unsettled
    await device.close()


async def test_one_byte_at_a_time_is_served(hands: Running) -> None:
    _, token = await hands.rider()
    device = await Raw.connect(hands)
    handshake = _handshake(hands)
    for byte in handshake.hello():
        device.writer.write(bytes([byte]))
        await device.writer.drain()
    auth, device.link = handshake.on_challenge(await device.body())
    event = frames.TapEvent(7, 1, TapKind.CHECK_IN, token, 11, time.time_ns() // 1000)
    tap = device.link.seal(frames.Tap(device.link.next_counter(), event).encode())
    for byte in auth + tap:
        device.writer.write(bytes([byte]))
        await asyncio.sleep(0)
    handshake.on_welcome(device.link, await device.body())
    answer = device.link.open(await device.body())
    assert isinstance(answer, frames.TapAnswer)
    assert answer.answer.reason == Reason.OK
    await device.close()


@pytest.mark.parametrize("wrong", ["key", "device", "version"])
async def test_who_may_not_come_in_learns_nothing(hands: Running, wrong: str) -> None:
    device = await Raw.connect(hands)
    handshake = {
        "key": _handshake(hands, key=bytes(32)),
        "device": _handshake(hands, 999),
        "version": _handshake(hands, version=2),
    }[wrong]
    device.writer.write(handshake.hello())
    auth, _ = handshake.on_challenge(await device.body())
    device.writer.write(auth)
    error = await device.error()
    assert (error.code, error.request_counter) == (WireCode.AUTH_FAILED, 0)
    assert await device.ends()


async def test_session_frames_before_the_session(hands: Running) -> None:
    device = await Raw.connect(hands)
    device.writer.write(frame_bytes(msgpack.packb([16, 1, 1, 0, 1])))
    assert (await device.error()).code == WireCode.NOT_IN_SESSION
    assert await device.ends()


async def test_a_newer_version_is_told_apart(hands: Running) -> None:
    device = await Raw.connect(hands)
    device.writer.write(frame_bytes(msgpack.packb([1, 0, 2, "whatever", 3])))
    assert (await device.error()).code == WireCode.UNSUPPORTED_VERSION


async def test_revoked_devices_lose_their_session(hands: Running) -> None:
    device = await (await Raw.connect(hands)).greet(hands, 3)
    await hands.call("device_put", device_id=3, tariff_slot=1, key_versions=[1], state="revoked")
    assert (await device.error()).code == WireCode.AUTH_FAILED
    assert await device.ends()


async def test_a_bad_peer_does_not_disturb_a_good_one(hands: Running) -> None:
    _, token = await hands.rider(50_000)
    gate = await hands.gate(2)
    silent = [await Raw.connect(hands) for _ in range(20)]
    for each in silent:
        each.writer.write(b"\0\0\1")
    for kind, stop in ((TapKind.CHECK_IN, 11), (TapKind.CHECK_OUT, 12)) * 20:
        noisy = await Raw.connect(hands)
        noisy.writer.write(os.urandom(64))
        answer = await gate.tap(kind, token, stop, device_ts_us=time.time_ns() // 1000)
        assert answer.reason in (Reason.OK, Reason.PASSBACK, Reason.NOT_CHECKED_IN)
        await noisy.close()
    for each in silent:
        await each.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    noise=st.binary(max_size=200)
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.binary(max_size=20)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=12),
        max_leaves=20,
    ).map(msgpack.packb),
    frame_type=st.sampled_from([10, 12, 14, 16, 18, 20, 22, 24, 26, 0, 1, 3, 64, 126, 127]),
    wrapped=st.booleans(),
)
def test_any_payload_under_a_good_tag_gets_an_answer(
    fuzzed: Fuzzed, noise: bytes, frame_type: int, wrapped: bool
) -> None:
    fuzzed.run(noise, frame_type, wrapped)


class Fuzzed:
    """One gateway for all examples of the fuzz test, on a loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._context = running(make_folder(folder / "gateway"))
        self.hands = self.loop.run_until_complete(self._context.__aenter__())

    def close(self) -> None:
        self.loop.run_until_complete(self._context.__aexit__(None, None, None))
        self.loop.close()

    def run(self, noise: bytes, frame_type: int, wrapped: bool) -> None:
        self.loop.run_until_complete(self._example(noise, frame_type, wrapped))

    async def _example(self, noise: bytes, frame_type: int, wrapped: bool) -> None:
        device = await (await Raw.connect(self.hands)).greet(self.hands)
        device.send(bytes([0x93, frame_type, 2]) + noise if wrapped else noise or b"\xc0")
        device.send(msgpack.packb([16, 3, 5, 0, 1]))
        while not isinstance(
            frame := device.link.open(await device.body()), frames.HeartbeatAnswer
        ):
            assert isinstance(frame, TOLD)
            if isinstance(frame, frames.Error) and frame.code == WireCode.OLD_COUNTER:
                break
        assert self.hands.plane.page[slots.FRAME_ERRORS + WireCode.INTERNAL] == 0
        await device.close()


@pytest.fixture
def fuzzed(tmp_path: Path):
    gateway = Fuzzed(tmp_path)
    yield gateway
    gateway.close()


async def test_rotation_keeps_the_session_until_the_old_key_ends(hands: Running) -> None:
    device = await (await Raw.connect(hands)).greet(hands, 4)
    put = {"device_id": 4, "tariff_slot": 1}
    await hands.call("device_put", **put, key_versions=[2, 1])
    device.send(msgpack.packb([16, 2, 5, 0, 1]))
    assert isinstance(device.link.open(await device.body()), frames.HeartbeatAnswer)
    await hands.call("device_put", **put, key_versions=[2])
    assert (await device.error()).code == WireCode.AUTH_FAILED
    assert await device.ends()


async def test_a_device_that_is_moved_is_asked_to_come_again(hands: Running) -> None:
    device = await (await Raw.connect(hands)).greet(hands, 5)
    await hands.call("device_put", device_id=5, tariff_slot=1, stop_id=12, key_versions=[1])
    assert isinstance(device.link.open(await device.body()), frames.Bye)
    assert await device.ends()
