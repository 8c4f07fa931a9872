"""Session start, both sides without I/O: keys, refusals, sealed frames, cut streams."""

import hashlib
import hmac
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import WireError
from gateway.link import frames
from gateway.link.codes import ZERO_TAG, Algorithm, FrameType, WireCode, wire_code
from gateway.link.handshake import (
    ClientHandshake,
    FrameSplitter,
    SealedLink,
    SessionKeys,
    derive_device_key,
    derive_session_keys,
    frame_bytes,
)
from tests.support.handshake import ServerHandshake

MASTER = hashlib.sha256(b"the master key of a test").digest()
KEYS = SessionKeys(Algorithm.BLAKE2B, b"c" * 32, b"s" * 32)
NOW_US = 1_780_000_000_000_000


def body(frame: bytes) -> bytes:
    assert int.from_bytes(frame[:4]) == len(frame) - 4
    return frame[4:]


def find_key(device_id: int, version: int) -> bytes | None:
    known = (device_id, version) == (42, 2)
    return derive_device_key(MASTER, device_id, version) if known else None


def client(
    device_id: int = 42, version: int = 2, algorithms: Sequence[int] = (1, 2)
) -> ClientHandshake:
    key = derive_device_key(MASTER, device_id, version)
    return ClientHandshake(
        device_id=device_id,
        device_key=key,
        key_version=version,
        boot_epoch=9,
        algorithms=algorithms,
    )


def start(device: ClientHandshake, server: ServerHandshake) -> tuple[SealedLink, SealedLink]:
    challenge = server.on_hello(body(device.hello()), NOW_US)
    auth, device_side = device.on_challenge(body(challenge))
    return device_side, server.on_auth(body(auth))


def code_of(caught: pytest.ExceptionInfo[WireError]) -> WireCode:
    return wire_code(caught.value)


@pytest.mark.parametrize(
    ("offered", "chosen"), [((1, 2), 2), ((2, 1), 2), ((1,), 1), ((9, 1), 1), ((2,), 2)]
)
def test_a_session_starts_with_the_servers_choice(offered: Sequence[int], chosen: int) -> None:
    server = ServerHandshake(find_key)
    device_side, server_side = start(client(algorithms=offered), server)
    assert device_side.algorithm == server_side.algorithm == chosen
    welcome = frames.Welcome(1, NOW_US, 6, 30, 0, 1, (), 3, 1, 256, 65536, 1)
    sealed = body(server_side.seal(welcome.encode()))
    assert ClientHandshake.on_welcome(device_side, sealed) == welcome


def test_a_device_key_is_an_hmac_of_device_and_version() -> None:
    message = b"faregate device" + bytes(7) + b"\x2a" + bytes(3) + b"\x02"
    assert derive_device_key(MASTER, 42, 2) == hmac.new(MASTER, message, "sha256").digest()


def test_session_keys_are_hmacs_of_all_that_was_agreed() -> None:
    hello = frames.Hello(0, 1, 42, 2, 9, b"n" * 16, (1,), "")
    keys = derive_session_keys(b"k" * 32, hello, b"m" * 16, Algorithm.HMAC_SHA256)
    context = b"n" * 16 + b"m" * 16 + bytes(7) + b"\x2a" + bytes(7) + b"\x09" + b"\x01"
    for direction, key in ((b"C", keys.from_device), (b"S", keys.from_server)):
        message = b"faregate link v1" + direction + context
        assert key == hmac.new(b"k" * 32, message, hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("device_id", "version", "key"),
    [
        (43, 2, derive_device_key(MASTER, 43, 2)),
        (42, 1, derive_device_key(MASTER, 42, 1)),
        (42, 2, b"x" * 32),
        (42, 2, derive_device_key(MASTER, 42, 1)),
    ],
    ids=["unknown device", "old key version", "wrong key", "key of another version"],
)
def test_whoever_has_no_right_key_gets_the_same_answer(
    device_id: int, version: int, key: bytes
) -> None:
    device = ClientHandshake(device_id=device_id, device_key=key, key_version=version, boot_epoch=9)
    server = ServerHandshake(find_key)
    with pytest.raises(WireError) as caught:
        start(device, server)
    assert code_of(caught) is WireCode.AUTH_FAILED
    assert caught.value.detail == ""


def test_a_recorded_start_does_not_open_another_session() -> None:
    device, server = client(), ServerHandshake(find_key)
    hello = body(device.hello())
    auth, _ = device.on_challenge(body(server.on_hello(hello, NOW_US)))
    again = ServerHandshake(find_key)
    again.on_hello(hello, NOW_US)
    with pytest.raises(WireError) as caught:
        again.on_auth(body(auth))
    assert code_of(caught) is WireCode.AUTH_FAILED


HELLO = frames.Hello(0, 1, 42, 2, 9, bytes(16), (1,), "")


def newer_hello() -> bytes:
    return b"\x93\x01\x00\x02"


@pytest.mark.parametrize(
    ("payload", "tag", "code"),
    [
        (newer_hello(), ZERO_TAG, WireCode.UNSUPPORTED_VERSION),
        (b"\x96\x01\x00\x02\xc0\xc0\xc0", ZERO_TAG, WireCode.UNSUPPORTED_VERSION),
        (b"\x93\x01\x00\x01", ZERO_TAG, WireCode.MALFORMED),
        (b"", ZERO_TAG, WireCode.MALFORMED),
        (b"\x91" * 400, ZERO_TAG, WireCode.MALFORMED),
        (b"\xc1\xc1\xc1", ZERO_TAG, WireCode.MALFORMED),
        (frames.Heartbeat(1, 0, 0, 1).encode(), ZERO_TAG, WireCode.NOT_IN_SESSION),
        (HELLO.encode(), b"x" * 16, WireCode.MALFORMED),
        (frames.Hello(1, 1, 42, 2, 9, bytes(16), (1,), "").encode(), ZERO_TAG, WireCode.MALFORMED),
        (
            frames.Hello(0, 1, 42, 2, 9, bytes(16), (7, 9), "").encode(),
            ZERO_TAG,
            WireCode.UNKNOWN_ALGORITHM,
        ),
    ],
)
def test_a_bad_hello_has_its_code(payload: bytes, tag: bytes, code: WireCode) -> None:
    with pytest.raises(WireError) as caught:
        ServerHandshake(find_key).on_hello(payload + tag, NOW_US)
    assert code_of(caught) is code


@given(st.binary(max_size=200))
def test_noise_for_a_hello_is_a_coded_error(noise: bytes) -> None:
    with pytest.raises(WireError):
        ServerHandshake(find_key).on_hello(noise, NOW_US)


def test_the_order_of_the_start_is_kept() -> None:
    server = ServerHandshake(find_key)
    with pytest.raises(WireError) as caught:
        server.on_auth(body(frame_bytes(frames.Auth(1).encode())))
    assert code_of(caught) is WireCode.NOT_IN_SESSION
    server.on_hello(body(client().hello()), NOW_US)
    with pytest.raises(WireError) as caught:
        server.on_hello(body(client().hello()), NOW_US)
    assert code_of(caught) is WireCode.NOT_IN_SESSION


def test_the_device_takes_no_algorithm_it_did_not_offer() -> None:
    challenge = frames.Challenge(0, 1, bytes(16), 2, NOW_US).encode()
    with pytest.raises(WireError) as caught:
        client(algorithms=(1,)).on_challenge(challenge + ZERO_TAG)
    assert code_of(caught) is WireCode.UNKNOWN_ALGORITHM


def test_a_refusal_before_the_session_reaches_the_device() -> None:
    refusal = frames.error_frame(WireCode.AUTH_FAILED, counter=0).encode() + ZERO_TAG
    for take in (
        client().on_challenge,
        lambda got: ClientHandshake.on_welcome(SealedLink(KEYS, is_server=False), got),
    ):
        with pytest.raises(WireError) as caught:
            take(refusal)
        assert code_of(caught) is WireCode.AUTH_FAILED


def test_a_false_gateway_is_not_believed() -> None:
    device = client()
    false_server = ServerHandshake(lambda *_: b"not the key of the device")
    challenge = false_server.on_hello(body(device.hello()), NOW_US)
    _, link = device.on_challenge(body(challenge))
    welcome = frames.Welcome(1, NOW_US, 6, 30, 0, 1, (), 3, 1, 256, 65536, 1)
    assert false_server.keys is not None
    sealed = SealedLink(false_server.keys, is_server=True).seal(welcome.encode())
    with pytest.raises(WireError) as caught:
        ClientHandshake.on_welcome(link, body(sealed))
    assert code_of(caught) is WireCode.BAD_TAG


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_sealed_frames(algorithm: Algorithm) -> None:
    keys = SessionKeys(algorithm, b"c" * 32, b"s" * 32)
    device, server = SealedLink(keys, is_server=False), SealedLink(keys, is_server=True)
    beat = frames.Heartbeat(device.next_counter(), NOW_US, 0, 1)
    sealed = body(device.seal(beat.encode()))
    assert server.open(sealed) == beat
    with pytest.raises(WireError) as caught:
        server.open(sealed)
    assert code_of(caught) is WireCode.OLD_COUNTER
    with pytest.raises(WireError) as caught:
        device.open(sealed)
    assert code_of(caught) is WireCode.BAD_TAG, "a frame sent back to its sender is not believed"
    later = frames.Heartbeat(1000, NOW_US, 0, 1)
    assert server.open(body(device.seal(later.encode()))) == later, "gaps upward are allowed"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_is_seen(at: int, change: int) -> None:
    device, server = SealedLink(KEYS, is_server=False), SealedLink(KEYS, is_server=True)
    sealed = bytearray(body(device.seal(frames.Heartbeat(1, NOW_US, 7, 1).encode())))
    sealed[at % len(sealed)] ^= change
    with pytest.raises(WireError) as caught:
        server.open(bytes(sealed))
    assert code_of(caught) is WireCode.BAD_TAG


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5), st.integers(1, 7))
def test_a_stream_cut_anywhere_gives_the_same_bodies(payloads: list[bytes], step: int) -> None:
    stream = b"".join(frame_bytes(each) for each in payloads)
    splitter, bodies = FrameSplitter(), []
    for at in range(0, len(stream), step):
        splitter.feed(stream[at : at + step])
        while (got := splitter.next_body()) is not None:
            bodies.append(got)
    assert bodies == [each + ZERO_TAG for each in payloads]
    assert not splitter.half_frame


def test_what_is_left_can_be_handed_on() -> None:
    splitter = FrameSplitter()
    splitter.feed(frame_bytes(b"one") + b"\0\0")
    assert splitter.next_body() == b"one" + ZERO_TAG
    assert splitter.half_frame
    assert splitter.rest() == b"\0\0"
    assert not splitter.half_frame


@pytest.mark.parametrize(
    ("length", "code"),
    [
        (0, WireCode.MALFORMED),
        (16, WireCode.MALFORMED),
        (513, WireCode.FRAME_TOO_LONG),
        (2**32 - 1, WireCode.FRAME_TOO_LONG),
    ],
)
def test_a_bad_length_is_refused_before_its_bytes_come(length: int, code: WireCode) -> None:
    splitter = FrameSplitter()
    splitter.feed(length.to_bytes(4))
    with pytest.raises(WireError) as caught:
        splitter.next_body()
    assert code_of(caught) is code


def test_the_longest_hello_fits_its_limit() -> None:
    longest = frames.Hello(0, 1, 2**64 - 1, 2**32 - 1, 2**64 - 1, bytes(16), (255,) * 8, "x" * 64)
    assert len(frame_bytes(longest.encode())) < 512
    assert longest.TYPE is FrameType.HELLO
