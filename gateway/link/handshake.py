"""Session start and sealed frames of the validator link, both sides, no I/O (docs/protocol.md).

Bytes in, bytes out: the caller owns sockets, clocks and time-outs. Standard library crypto only, so
that it is also an independent check of fastpath/_mac.pyx. Must not import the server or fastpath.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgpack

from gateway.errors import WireError
from gateway.link.codes import (
    FRAME_MAX_BYTES,
    HELLO_MAX_BYTES,
    LENGTH_BYTES,
    NONCE_BYTES,
    PREFERENCE,
    PROTOCOL_VERSION,
    TAG_BYTES,
    ZERO_TAG,
    Algorithm,
    WireCode,
    wire_error,
)
from gateway.link.frames import Auth, Challenge, Error, Frame, Hello, Welcome, decode

DEVICE = b"C"
SERVER = b"S"


def derive_device_key(master: bytes, device_id: int, key_version: int) -> bytes:
    """The key a device is given when it is made; the gateway derives it again each time."""
    identity = device_id.to_bytes(8, "big") + key_version.to_bytes(4, "big")
    return hmac.digest(master, b"faregate device" + identity, "sha256")


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """One key a direction, 32 bytes each."""

    algorithm: Algorithm
    from_device: bytes
    from_server: bytes


def derive_session_keys(
    device_key: bytes, hello: Hello, server_nonce: bytes, algorithm: Algorithm
) -> SessionKeys:
    """Both keys of a session; fresh as long as either side's nonce is."""
    context = hello.client_nonce + server_nonce
    context += hello.device_id.to_bytes(8, "big") + hello.boot_epoch.to_bytes(8, "big")
    context += bytes([algorithm])

    def derive(direction: bytes) -> bytes:
        return hmac.digest(device_key, b"faregate link v1" + direction + context, "sha256")

    return SessionKeys(algorithm, derive(DEVICE), derive(SERVER))


def compute_tag(algorithm: Algorithm, key: bytes, direction: bytes, payload: bytes) -> bytes:
    """The 16-byte tag of a payload going in a direction."""
    if algorithm is Algorithm.BLAKE2B:
        return hashlib.blake2b(direction + payload, key=key, digest_size=TAG_BYTES).digest()
    return hmac.digest(key, direction + payload, "sha256")[:TAG_BYTES]


def frame_bytes(payload: bytes, tag: bytes = ZERO_TAG) -> bytes:
    """Length, payload, tag."""
    return (len(payload) + TAG_BYTES).to_bytes(LENGTH_BYTES, "big") + payload + tag


class FrameSplitter:
    """Cuts a stream into frame bodies (payload and tag). limit_bytes may be raised later."""

    __slots__ = ("_buffer", "limit_bytes")

    def __init__(self, limit_bytes: int = HELLO_MAX_BYTES) -> None:
        self._buffer = bytearray()
        self.limit_bytes = limit_bytes

    def feed(self, data: bytes) -> None:
        """Take what came in."""
        self._buffer += data

    def next_body(self) -> bytes | None:
        """The next whole body, None = more bytes are needed.

        Raises: WireError: frame_too_long, malformed (shorter than a tag); the stream is then lost.
        """
        if len(self._buffer) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if length > self.limit_bytes:
            raise wire_error(WireCode.FRAME_TOO_LONG, f"{length} bytes")
        if length <= TAG_BYTES:
            raise wire_error(WireCode.MALFORMED, f"{length} bytes hold no payload")
        end = LENGTH_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[LENGTH_BYTES:end])
        del self._buffer[:end]
        return body

    def rest(self) -> bytes:
        """What came in behind the last body: it belongs to whoever reads on."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    @property
    def half_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)


class SealedLink:
    """One side of an authenticated session: counters and tags, both directions."""

    __slots__ = ("_in", "_in_direction", "_out", "_out_direction", "algorithm", "received", "sent")

    def __init__(self, keys: SessionKeys, *, is_server: bool) -> None:
        pairs = [(keys.from_device, DEVICE), (keys.from_server, SERVER)]
        (self._out, self._out_direction), (self._in, self._in_direction) = (
            pairs[::-1] if is_server else pairs
        )
        self.algorithm = keys.algorithm
        self.sent = 0
        self.received = 0

    def next_counter(self) -> int:
        """The counter for the next frame to send."""
        self.sent += 1
        return self.sent

    def seal(self, payload: bytes) -> bytes:
        """The frame of a payload, ready to send."""
        return frame_bytes(
            payload, compute_tag(self.algorithm, self._out, self._out_direction, payload)
        )

    def open(self, body: bytes) -> Frame:
        """Check the tag, then the frame, then that its counter rose.

        Raises: WireError: bad_tag, old_counter, and what decode raises.
        """
        payload, tag = body[:-TAG_BYTES], body[-TAG_BYTES:]
        right = compute_tag(self.algorithm, self._in, self._in_direction, payload)
        if not hmac.compare_digest(right, tag):
            raise wire_error(WireCode.BAD_TAG)
        frame = decode(payload)
        if frame.counter <= self.received:
            raise wire_error(WireCode.OLD_COUNTER, f"{frame.counter} after {self.received}")
        self.received = frame.counter
        return frame


class ClientHandshake:
    """The device's side: hello(), then on_challenge(), then on_welcome()."""

    def __init__(
        self,
        *,
        device_id: int,
        device_key: bytes,
        boot_epoch: int,
        key_version: int = 1,
        algorithms: Sequence[int] = PREFERENCE,
        firmware: str = "",
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._hello = Hello(
            0,
            PROTOCOL_VERSION,
            device_id,
            key_version,
            boot_epoch,
            random(NONCE_BYTES),
            tuple(algorithms),
            firmware,
        )
        self._device_key = device_key
        self._link: SealedLink | None = None

    def hello(self) -> bytes:
        """The first frame."""
        return frame_bytes(self._hello.encode())

    def on_challenge(self, body: bytes) -> tuple[bytes, SealedLink]:
        """The auth frame, and the link it is the first frame of.

        Raises: WireError: the server's error frame, or an answer that is no challenge.
        """
        challenge = _plain_frame(body)
        if not isinstance(challenge, Challenge):
            raise wire_error(WireCode.MALFORMED, f"{type(challenge).__name__} for a challenge")
        if challenge.protocol_version != PROTOCOL_VERSION:
            raise wire_error(WireCode.UNSUPPORTED_VERSION, str(challenge.protocol_version))
        if challenge.algorithm not in self._hello.algorithms:
            raise wire_error(WireCode.UNKNOWN_ALGORITHM, "the server chose what was not offered")
        algorithm = Algorithm(challenge.algorithm)
        keys = derive_session_keys(self._device_key, self._hello, challenge.server_nonce, algorithm)
        link = SealedLink(keys, is_server=False)
        return link.seal(Auth(link.next_counter()).encode()), link

    @staticmethod
    def on_welcome(link: SealedLink, body: bytes) -> Welcome:
        """What the session starts with.

        Raises: WireError: auth_failed and other refusals, bad_tag: the server has not our key.
        """
        if body[-TAG_BYTES:] == ZERO_TAG:
            _plain_frame(body)
        welcome = link.open(body)
        if not isinstance(welcome, Welcome):
            raise wire_error(WireCode.MALFORMED, f"{type(welcome).__name__} for a welcome")
        return welcome


def _plain_frame(body: bytes) -> Frame:
    """A frame from before the session; the server's error becomes the exception it names."""
    frame = decode(body[:-TAG_BYTES])
    if isinstance(frame, Error):
        raise error_of(frame)
    return frame


def error_of(frame: Error) -> WireError:
    """The exception for an error frame that came in."""
    known = frame.code in set(WireCode)
    return wire_error(WireCode(frame.code) if known else WireCode.INTERNAL, frame.hint)


def read_hello(body: bytes) -> Hello:
    """The hello in a frame's body.

    Raises: WireError: malformed, out_of_range, unknown_frame, not_in_session (another frame),
        unsupported_version.
    """
    payload = body[:-TAG_BYTES]
    _check_version(payload)
    hello = decode(payload)
    if not isinstance(hello, Hello):
        raise wire_error(WireCode.NOT_IN_SESSION, f"{type(hello).__name__} for a hello")
    if body[-TAG_BYTES:] != ZERO_TAG or hello.counter != 0:
        raise wire_error(WireCode.MALFORMED, "a hello has counter 0 and a tag of zeros")
    return hello


def choose_algorithm(offered: Collection[int], preference: Sequence[Algorithm]) -> Algorithm:
    """The server's first choice among those offered. Raises: WireError: unknown_algorithm."""
    for algorithm in preference:
        if algorithm in offered:
            return algorithm
    raise wire_error(WireCode.UNKNOWN_ALGORITHM, f"offered {sorted(offered)}")


def _check_version(payload: bytes) -> None:
    """[1, 0, version, ...] begins a hello of every version, so that a newer one is told apart."""
    unpacker = msgpack.Unpacker(max_buffer_size=FRAME_MAX_BYTES)
    unpacker.feed(payload)
    try:
        count = unpacker.read_array_header()
        head = [unpacker.unpack() for _ in range(min(count, 3))]
    except (ValueError, msgpack.UnpackException) as error:
        raise wire_error(WireCode.MALFORMED, "no hello") from error
    is_hello = len(head) == 3 and head[:2] == [1, 0] and type(head[2]) is int
    if is_hello and head[2] != PROTOCOL_VERSION:
        raise wire_error(WireCode.UNSUPPORTED_VERSION, f"version {head[2]}")
