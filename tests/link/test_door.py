"""The compiled session start: the same as gateway.link.handshake, which is its oracle; and how many
of its steps one turn takes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastpath._greeting import Greeting
from gateway.errors import WireError
from gateway.link import frames
from gateway.link.codes import PREFERENCE, ZERO_TAG, Algorithm, WireCode, wire_code
from gateway.link.devices import DeviceBook, DeviceEntry
from gateway.link.door import STEPS_PER_TURN, Door, Queue
from gateway.link.handshake import (
    ClientHandshake,
    SealedLink,
    derive_device_key,
    frame_bytes,
    read_hello,
)
from tests.support.handshake import ServerHandshake

MASTER = hashlib.sha256(b"the master key of a test").digest()
NOW_US = 1_780_000_000_000_000
U64 = 2**64 - 1


def book() -> DeviceBook:
    devices = DeviceBook(MASTER)
    devices.put(DeviceEntry(42, 3, 17, (2,), True))
    devices.put(DeviceEntry(43, 0, 0, (1,), False))
    return devices


def scripted(size: int) -> bytes:
    return bytes(range(size))


def door(preference: Sequence[Algorithm] = PREFERENCE) -> Door:
    return Door(book(), preference, 65536, scripted)


def client(
    device_id: int = 42,
    version: int = 2,
    algorithms: Sequence[int] = (1, 2),
    firmware: str = "7.1",
    master: bytes = MASTER,
) -> ClientHandshake:
    return ClientHandshake(
        device_id=device_id,
        device_key=derive_device_key(master, device_id, version),
        key_version=version,
        boot_epoch=9,
        algorithms=algorithms,
        firmware=firmware,
    )


def code_of(caught: pytest.ExceptionInfo[WireError]) -> WireCode:
    return wire_code(caught.value)


# --- beside the oracle


@pytest.mark.parametrize("algorithms", [(1,), (2,), (1, 2), (9, 200, 1)])
@pytest.mark.parametrize("firmware", ["", "x" * 31, "x" * 64, "Gerät 7"])
def test_the_same_challenge_as_the_oracles(algorithms: Sequence[int], firmware: str) -> None:
    hello = client(algorithms=algorithms, firmware=firmware).hello()[4:]
    oracle = ServerHandshake(book().find_key, random=scripted)
    greeting, challenge = door().challenge(hello, NOW_US)
    assert challenge == oracle.on_hello(hello, NOW_US)
    assert oracle.hello is not None
    said = (oracle.hello.device_id, oracle.hello.key_version, oracle.hello.boot_epoch)
    assert (greeting.device_id, greeting.key_version, greeting.boot_epoch) == said
    assert (Greeting.read(hello) is None) == (not firmware.isascii())


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_session_that_both_sides_can_read(algorithm: Algorithm) -> None:
    device = client(algorithms=(algorithm,))
    entrance = door()
    greeting, challenge = entrance.challenge(device.hello()[4:], NOW_US)
    auth, link = device.on_challenge(challenge[4:])
    session, entry = entrance.enter(greeting, auth[4:])
    assert (session.device_id, session.boot, session.tariff_slot, session.stop) == (42, 9, 3, 17)
    assert entry.device_id == 42
    assert not session.accept_counter(link.sent), "the auth frame's counter is used"
    bye = frames.Bye(session.next_counter(), 5)
    session.push(bye.encode())
    assert link.open(session.take()[4:]) == bye
    sealed = link.seal(frames.Ack(link.next_counter(), 1, 1).encode())[4:]
    assert session.check(sealed[:-16], sealed[-16:])


HELLO_ROWS = st.tuples(
    st.sampled_from((1, 1, 1, 2, 3)),
    st.sampled_from((0, 0, 0, 1)),
    st.sampled_from((1, 1, 1, 2, 0)),
    st.integers(0, U64),
    st.integers(0, 2**32),
    st.integers(0, U64) | st.just(-1),
    st.binary(min_size=15, max_size=17) | st.just(b"n" * 16),
    st.lists(st.integers(0, 256), max_size=9),
    st.text(max_size=70) | st.just("fw"),
)


@given(HELLO_ROWS, st.sampled_from((ZERO_TAG, ZERO_TAG, bytes(15) + b"\1")), st.integers(-2, 2))
@example((1, 0, 1, 42, 2, 9, b"n" * 16, [1, 2], "fw"), ZERO_TAG, 0)
def test_what_it_takes_the_oracle_takes_as_the_same(
    row: tuple[object, ...], tag: bytes, cut: int
) -> None:
    payload = msgpack.packb(row)
    payload = payload[:cut] if cut < 0 else payload + bytes(cut)
    greeting = Greeting.read(payload + tag)
    try:
        hello = read_hello(payload + tag)
    except WireError:
        assert greeting is None
        return
    if greeting is None:
        assert not hello.firmware.isascii(), "only what is unusual is left to Python"
        return
    assert (greeting.device_id, greeting.key_version) == (hello.device_id, hello.key_version)
    assert greeting.boot_epoch == hello.boot_epoch
    assert greeting.offered == sum(1 << n for n in set(hello.algorithms) if n < 32)


@given(st.binary(max_size=120))
def test_noise_is_no_greeting(noise: bytes) -> None:
    assert Greeting.read(noise) is None
    with pytest.raises(WireError):
        door().challenge(noise, NOW_US)


def test_offers_without_one_of_ours() -> None:
    with pytest.raises(WireError) as caught:
        door((Algorithm.BLAKE2B,)).challenge(client(algorithms=(1, 7)).hello()[4:], NOW_US)
    assert code_of(caught) == WireCode.UNKNOWN_ALGORITHM


# --- who does not come in


@pytest.mark.parametrize(
    ("device_id", "version", "master"),
    [(44, 1, MASTER), (43, 1, MASTER), (42, 1, MASTER), (42, 2, b"x" * 32)],
    ids=["unknown", "revoked", "old key version", "wrong key"],
)
def test_whoever_has_no_right_key_is_refused_at_the_end(
    device_id: int, version: int, master: bytes
) -> None:
    device, entrance = client(device_id, version, master=master), door()
    greeting, challenge = entrance.challenge(device.hello()[4:], NOW_US)
    auth, _ = device.on_challenge(challenge[4:])
    with pytest.raises(WireError) as caught:
        entrance.enter(greeting, auth[4:])
    assert (code_of(caught), caught.value.detail) == (WireCode.AUTH_FAILED, "")


@pytest.mark.parametrize("spoil", ["tag", "type", "counter", "trailing", "short"])
def test_a_spoiled_auth_opens_nothing(spoil: str) -> None:
    device, entrance = client(), door()
    greeting, challenge = entrance.challenge(device.hello()[4:], NOW_US)
    auth, link = device.on_challenge(challenge[4:])
    payloads = {
        "type": msgpack.packb((4, 2)),
        "counter": msgpack.packb((3, 0)),
        "trailing": frames.Auth(2).encode() + b"\0",
    }
    bodies = {"tag": auth[4:-1] + bytes([auth[-1] ^ 1]), "short": ZERO_TAG}
    body = link.seal(payloads[spoil])[4:] if spoil in payloads else bodies[spoil]
    with pytest.raises(WireError) as caught:
        entrance.enter(greeting, body)
    assert code_of(caught) == WireCode.AUTH_FAILED


def test_a_recorded_auth_does_not_fit_another_challenge() -> None:
    device, entrance = client(), Door(book(), PREFERENCE, 65536)
    _, challenge = entrance.challenge(device.hello()[4:], NOW_US)
    auth, _ = device.on_challenge(challenge[4:])
    again, _ = entrance.challenge(device.hello()[4:], NOW_US)
    with pytest.raises(WireError):
        entrance.enter(again, auth[4:])


def test_keys_and_nonces_of_a_wrong_size() -> None:
    greeting = Greeting.read(client().hello()[4:])
    assert greeting is not None
    for key, nonce in ((b"k" * 31, b"n" * 16), (b"k" * 32, b"n" * 15)):
        with pytest.raises(ValueError, match="32 bytes"):
            greeting.challenge(key, nonce, 2, NOW_US)
    with pytest.raises(ValueError, match="16 bytes"):
        Greeting(1, 1, 1, b"short", 2)
    with pytest.raises(ValueError, match="algorithm"):
        greeting.enter(frame_bytes(b"\x92\x03\x01")[4:])


def test_a_whole_handshake_against_the_sealed_link_of_the_oracle() -> None:
    """The oracle's own link opens what the compiled session seals, with the same keys."""
    device = client()
    oracle = ServerHandshake(book().find_key, random=scripted)
    challenge = oracle.on_hello(device.hello()[4:], NOW_US)
    auth, _ = device.on_challenge(challenge[4:])
    assert oracle.keys is not None
    greeting, _ = door().challenge(device.hello()[4:], NOW_US)
    session, _ = door().enter(greeting, auth[4:])
    session.push(frames.Bye(session.next_counter(), 1).encode())
    assert SealedLink(oracle.keys, is_server=False).open(session.take()[4:]) == frames.Bye(1, 1)


# --- taps go first


@dataclass
class Guest:
    """Notes in which turn it was greeted."""

    log: list[tuple[str, bytes]]
    closing: bool = False
    reads: int = field(default=0)

    def release(self) -> None:
        self.reads += 1

    def greet(self, data: bytes) -> None:
        self.log.append(("greeted", data))


def arrive(queue: Queue, guests: Sequence[Guest]) -> None:
    for at, guest in enumerate(guests):
        if queue.may_pass():
            guest.greet(bytes([at]))
        else:
            queue.join(guest, bytes([at]))


async def test_a_fleet_is_greeted_some_a_turn_in_order() -> None:
    log: list[tuple[str, bytes]] = []
    queue, guests = Queue(), [Guest(log) for _ in range(4 * STEPS_PER_TURN + 1)]
    arrive(queue, guests)
    turns = []
    while len(log) < len(guests):
        turns.append(len(log))
        await asyncio.sleep(0)
    assert turns == [STEPS_PER_TURN * n for n in range(1, 5)]
    assert log == [("greeted", bytes([at])) for at in range(len(guests))]
    assert [guest.reads for guest in guests[:STEPS_PER_TURN]] == [0] * STEPS_PER_TURN
    assert {guest.reads for guest in guests[STEPS_PER_TURN:]} == {1}


async def test_who_went_away_meanwhile_is_passed_over() -> None:
    log: list[tuple[str, bytes]] = []
    queue, guests = Queue(), [Guest(log) for _ in range(STEPS_PER_TURN + 2)]
    arrive(queue, guests)
    guests[-2].closing = True
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert log[-1] == ("greeted", bytes([STEPS_PER_TURN + 1]))
    assert len(log) == STEPS_PER_TURN + 1


async def test_a_turn_later_there_is_room_again() -> None:
    log: list[tuple[str, bytes]] = []
    queue = Queue()
    for _ in range(3):
        guests = [Guest(log) for _ in range(STEPS_PER_TURN)]
        arrive(queue, guests)
        assert all(guest.reads == 0 for guest in guests)
        await asyncio.sleep(0)
    assert len(log) == 3 * STEPS_PER_TURN
