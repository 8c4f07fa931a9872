"""The validator client against a scripted gateway: requests by counter, refusals, being alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Uncertain, WireError
from gateway.link import frames
from gateway.link.client import DeviceIdentity, LinkSession, open_session
from gateway.link.codes import PREFERENCE, Algorithm, DeviceMode, WireCode, wire_code
from gateway.link.denylist import Denylist
from gateway.link.frames import Frame, TapEvent
from gateway.link.listing import Cutter, build_payload
from gateway.link.validator import DenylistMirror, Validator, compute_backoff_s
from tests.support.scripted_gateway import (
    DENY_TOKEN,
    DEVICE_ID,
    DEVICE_KEY,
    NOW_US,
    Peer,
    ScriptedGateway,
    answer_like_a_gateway,
)

IDENTITY = DeviceIdentity(DEVICE_ID, DEVICE_KEY, boot_epoch=9, firmware="test")
TOKEN = b"a medium's token"


def tap(seq: int, kind: int = 1) -> TapEvent:
    return TapEvent(9, seq, kind, TOKEN, 101, NOW_US + seq)


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway() as running:
        yield running


@pytest.fixture
async def session(gateway: ScriptedGateway) -> AsyncIterator[LinkSession]:
    made, _ = await open_session("127.0.0.1", gateway.port, IDENTITY)
    yield made
    made.close()
    await made.closed


@pytest.mark.parametrize("algorithm", PREFERENCE)
@pytest.mark.parametrize("step", [1, 65536])
async def test_a_session_opens_with_either_algorithm(algorithm: Algorithm, step: int) -> None:
    async with ScriptedGateway(preference=(algorithm,), step=step) as gateway:
        session, welcome = await open_session("127.0.0.1", gateway.port, IDENTITY)
        assert (welcome.next_seq_expected, welcome.denylist_version) == (1, 7)
        assert (await session.tap(tap(1))).fare_minor == 100
        session.close()
        await session.closed


async def test_requests_are_told_apart_in_any_order(gateway: ScriptedGateway) -> None:
    held: list[Frame] = []

    def backwards(peer: Peer, frame: Frame) -> Iterable[Frame]:
        held.append(frame)
        if len(held) < 6:
            return []
        answers = [each for sent in reversed(held) for each in answer_like_a_gateway(peer, sent)]
        numbers = sorted(each.counter for each in answers)
        return [replace(each, counter=n) for each, n in zip(answers, numbers, strict=True)]

    gateway.reply = backwards
    session, _ = await open_session("127.0.0.1", gateway.port, IDENTITY)
    first, batch = session.tap(tap(1)), session.tap_batch([tap(2, 2), tap(3, 3)])
    beat = session.heartbeat(5, queue_depth=0, mode=DeviceMode.NORMAL)
    passage = session.passage(9, 4, original=tap(1), passed=False, device_ts_us=5)
    mode = session.mode_change(DeviceMode.MAINTENANCE, since_us=5, cause="door")
    context = session.context_change(1, vehicle="bus 300", line=300, stop=7, device_ts_us=5)
    assert (await first).seq == 1
    assert [answer.fare_minor for answer in await batch] == [200, 300]
    assert (await beat).server_time_us == NOW_US
    assert (await passage).fare_minor == -300
    assert (await mode).mode == DeviceMode.MAINTENANCE
    assert (await context).applied
    session.close()
    await session.closed


async def test_the_same_tap_twice_in_flight_gets_two_answers(session: LinkSession) -> None:
    one, two = await asyncio.gather(session.tap(tap(1)), session.tap(tap(1)))
    assert one == two


async def test_a_refused_request_fails_alone(gateway: ScriptedGateway) -> None:
    def refuse_batches(peer: Peer, frame: Frame) -> Iterable[Frame]:
        if isinstance(frame, frames.TapBatch):
            number = peer.link.next_counter()
            return [
                frames.error_frame(WireCode.BUSY, counter=number, request_counter=frame.counter)
            ]
        return answer_like_a_gateway(peer, frame)

    gateway.reply = refuse_batches
    session, _ = await open_session("127.0.0.1", gateway.port, IDENTITY)
    batch, single = session.tap_batch([tap(1)]), session.tap(tap(2))
    with pytest.raises(WireError) as caught:
        await batch
    assert wire_code(caught.value) is WireCode.BUSY
    assert (await single).seq == 2
    session.close()
    await session.closed


async def test_a_lost_connection_leaves_requests_uncertain(gateway: ScriptedGateway) -> None:
    def cut(peer: Peer, frame: Frame) -> Iterable[Frame]:
        peer.writer.transport.abort()
        return []

    gateway.reply = cut
    session, _ = await open_session("127.0.0.1", gateway.port, IDENTITY)
    with pytest.raises(Uncertain):
        await session.tap(tap(1))
    await session.closed
    with pytest.raises(Uncertain, match="nothing was sent"):
        session.tap(tap(2))


@pytest.mark.parametrize(
    "identity",
    [
        replace(IDENTITY, device_id=43),
        replace(IDENTITY, device_key=bytes(32)),
        replace(IDENTITY, key_version=2),
    ],
)
async def test_strangers_are_refused(gateway: ScriptedGateway, identity: DeviceIdentity) -> None:
    with pytest.raises(WireError) as caught:
        await open_session("127.0.0.1", gateway.port, identity)
    assert wire_code(caught.value) is WireCode.AUTH_FAILED


async def test_a_forged_frame_ends_the_session(gateway: ScriptedGateway) -> None:
    def forge(peer: Peer, frame: Frame) -> Iterable[Frame]:
        sealed = bytearray(peer.link.seal(frames.Bye(9, 0).encode()))
        sealed[-1] ^= 1
        peer.writer.write(bytes(sealed))
        return []

    gateway.reply = forge
    session, _ = await open_session("127.0.0.1", gateway.port, IDENTITY)
    with pytest.raises(Uncertain):
        await session.tap(tap(1))
    reason = await session.closed
    assert isinstance(reason, WireError)
    assert wire_code(reason) is WireCode.BAD_TAG


async def test_a_tariff_is_fetched_in_parts_and_checked() -> None:
    blob = bytes(range(256)) * 300
    key = int.from_bytes(hashlib.sha256(blob).digest()[:8], "little")

    def parts(peer: Peer, frame: Frame) -> Iterable[Frame]:
        assert isinstance(frame, frames.TariffRequest)
        data = blob[frame.offset : frame.offset + 32768]
        number = peer.link.next_counter()
        yield frames.TariffPart(number, 0, frame.key, len(blob), frame.offset, data, b"s" * 64)

    async with ScriptedGateway(reply=parts) as gateway:
        session, _ = await open_session("127.0.0.1", gateway.port, IDENTITY)
        assert await session.fetch_tariff(0, key) == (blob, b"s" * 64)
        assert len(gateway.received) == 3
        with pytest.raises(WireError, match="digest"):
            await session.fetch_tariff(0, key + 1)
        session.close()
        await session.closed


# --- alone and back ---


def validator(gateway: ScriptedGateway) -> Validator:
    return Validator("127.0.0.1", gateway.port, IDENTITY, jitter=lambda: 0.0)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(4000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not happen")


async def test_a_validator_asks_and_opens(gateway: ScriptedGateway) -> None:
    gate = validator(gateway)
    running = asyncio.create_task(gate.run())
    await gate.wait_connected()
    got = await gate.present(TOKEN, 1, stop=101)
    assert got.opened
    assert got.answer is not None
    refused = await gate.present(bytes(16), 1, stop=101)
    assert not refused.opened
    assert gate.queue == {}
    await until(lambda: gate.denylist.version == 7)
    assert gate.denylist.tokens == {DENY_TOKEN}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_taps_decided_alone_are_uploaded_with_what_the_device_did() -> None:
    gateway = ScriptedGateway()
    async with gateway:
        pass
    gate = validator(gateway)
    gate.denylist.tokens = frozenset({DENY_TOKEN})
    passed, refused = await gate.present(TOKEN, 1), await gate.present(DENY_TOKEN, 1)
    assert (passed.opened, refused.opened) == (True, False)
    assert (passed.answer, refused.answer) == (None, None)
    gate.report_not_passed(passed.event)
    async with gateway:
        running = asyncio.create_task(gate.run())
        await until(lambda: not gate.queue and not gate.passages)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    batch, passage = gateway.received[-2:]
    assert isinstance(batch, frames.TapBatch)
    assert [(t.seq, t.flags, t.attempt) for t in batch.taps] == [(1, 3, 1), (2, 1, 1)]
    assert isinstance(passage, frames.Passage)
    assert (passage.seq, passage.original_seq, passage.passed) == (3, 1, False)


async def test_a_silent_gateway_does_not_hold_the_rider(gateway: ScriptedGateway) -> None:
    def silent_for_taps(peer: Peer, frame: Frame) -> Iterable[Frame]:
        return [] if isinstance(frame, frames.Tap) else answer_like_a_gateway(peer, frame)

    gateway.reply = silent_for_taps
    gate = validator(gateway)
    gate.answer_timeout_s = 0.02
    running = asyncio.create_task(gate.run())
    await gate.wait_connected()
    got = await gate.present(TOKEN, 1)
    assert (got.opened, got.answer) == (True, None)
    await until(lambda: not gate.queue)
    assert gateway.answers[(9, 1)].fare_minor == 100
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_comes_back_after_a_cut_and_goes_on_with_its_numbers() -> None:
    gateway = ScriptedGateway()
    async with gateway:
        gate = validator(gateway)
        running = asyncio.create_task(gate.run())
        await gate.wait_connected()
        await gate.present(TOKEN, 1)
    await until(lambda: gate.session is None)
    alone = await gate.present(TOKEN, 2)
    assert alone.event.seq == 2
    async with gateway:
        await until(lambda: not gate.queue)
        assert gate.connections == 2
        assert (await gate.present(TOKEN, 1)).event.seq == 3
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_one_bad_tap_does_not_block_the_queue(gateway: ScriptedGateway) -> None:
    def refuse_seq_2(peer: Peer, frame: Frame) -> Iterable[Frame]:
        if isinstance(frame, frames.TapBatch) and any(t.seq == 2 for t in frame.taps):
            number, asked = peer.link.next_counter(), frame.counter
            refusal = frames.error_frame(
                WireCode.OUT_OF_RANGE, counter=number, request_counter=asked
            )
            return [refusal]
        return answer_like_a_gateway(peer, frame)

    gateway.reply = refuse_seq_2
    gate = validator(gateway)
    for _ in range(3):
        await gate.present(TOKEN, 1)
    running = asyncio.create_task(gate.run())
    await until(lambda: not gate.queue)
    assert [event.seq for event in gate.set_aside] == [2]
    assert set(gateway.answers) == {(9, 1), (9, 3)}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_busy_gateway_is_asked_again(gateway: ScriptedGateway) -> None:
    asked: list[int] = []

    def busy_once(peer: Peer, frame: Frame) -> Iterable[Frame]:
        for answer in answer_like_a_gateway(peer, frame):
            if isinstance(answer, frames.BatchAnswer) and not asked:
                asked.append(1)
                busy = tuple(replace(a, verdict=3, reason=16) for a in answer.answers)
                yield replace(answer, answers=busy)
            else:
                yield answer

    gateway.reply = busy_once
    gate = validator(gateway)
    await gate.present(TOKEN, 1)
    running = asyncio.create_task(gate.run())
    await until(lambda: not gate.queue)
    assert len(gateway.of_type(frames.TapBatch)) == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_dead_link_is_noticed_by_its_heartbeat() -> None:
    def never(peer: Peer, frame: Frame) -> Iterable[Frame]:
        return []

    async with ScriptedGateway(reply=never, heartbeat_s=1) as gateway:
        gate = validator(gateway)
        running = asyncio.create_task(gate.run())
        await until(lambda: gate.connections == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_server_orders_a_mode(gateway: ScriptedGateway) -> None:
    gate = validator(gateway)
    running = asyncio.create_task(gate.run())
    await gate.wait_connected()
    peer = gateway.peers[0]
    order = frames.ModeChange(
        peer.link.next_counter(), DeviceMode.EMERGENCY_RELEASE, NOW_US, "fire"
    )
    peer.send(order)
    await until(lambda: gate.mode == DeviceMode.EMERGENCY_RELEASE)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_in_its_bounds(attempt: int, jitter: float) -> None:
    assert 0 <= compute_backoff_s(attempt, jitter) < min(60, 4 * 2 ** min(attempt, 5)) + 1e-9


TOKENS = st.binary(min_size=16, max_size=16)


@given(st.lists(st.tuples(TOKENS, st.booleans()), max_size=20), st.integers(0, 20))
def test_the_mirror_follows_the_list(changes: list[tuple[bytes, bool]], split: int) -> None:
    denylist, mirror = Denylist(), DenylistMirror()
    for version, (token, denied) in enumerate(changes, 1):
        denylist.note(version, token, denied=denied)
        if version == split:
            assert feed(mirror, denylist)
    if changes:
        assert feed(mirror, denylist)
    assert (mirror.version, hash_of(mirror)) == (denylist.version, denylist.hash)


def feed(mirror: DenylistMirror, denylist: Denylist) -> bool:
    """The delta as it travels."""
    done = False
    for number, piece in enumerate(Cutter(denylist, lambda _: b"").cut(mirror.version), 1):
        assert not done
        frame = frames.decode(build_payload(number, piece))
        assert isinstance(frame, frames.DenylistDelta)
        done = mirror.apply(frame)
    return done


def hash_of(mirror: DenylistMirror) -> bytes:
    return Denylist(1, mirror.tokens).hash


def test_a_false_hash_changes_nothing() -> None:
    mirror = DenylistMirror()
    with pytest.raises(WireError, match="hash"):
        mirror.apply(frames.DenylistDelta(1, 0, 3, True, (TOKEN,), (), False, bytes(32), b""))
    assert (mirror.version, mirror.tokens) == (0, frozenset())


def test_a_delta_from_elsewhere_is_not_applied() -> None:
    mirror = DenylistMirror()
    assert not mirror.apply(frames.DenylistDelta(1, 5, 6, False, (TOKEN,), (), False, b"", b""))
    assert mirror.version == 0
