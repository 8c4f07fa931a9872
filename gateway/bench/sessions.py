"""Opens validator sessions one after the other, for the load generator to take over."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.errors import EnvironmentFault, WireError
from gateway.link.codes import LENGTH_BYTES, NONCE_BYTES, PROTOCOL_VERSION, Algorithm
from gateway.link.frames import Auth, Challenge, Error, Hello, decode
from gateway.link.handshake import (
    ClientHandshake,
    SealedLink,
    SessionKeys,
    derive_device_key,
    derive_session_keys,
    error_of,
    frame_bytes,
)
from gateway.open_files import raise_limit

ALGORITHMS = {"blake2b": Algorithm.BLAKE2B, "hmac-sha256": Algorithm.HMAC_SHA256}
SPARE_FILES = 64
TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A connection in session: its keys and the counters last used."""

    plug: socket.socket
    device_id: int
    boot_epoch: int
    keys: SessionKeys
    send_counter: int
    receive_counter: int
    next_seq: int


@contextmanager
def open_sessions(
    address: tuple[str, int], devices: range, *, master_key: bytes, mac: str
) -> Iterator[list[OpenSession]]:
    """A session for each device, closed at the end. Raises: WireError: refused."""
    opened: list[OpenSession] = []
    try:
        for device_id in devices:
            key = derive_device_key(master_key, device_id, 1)
            opened.append(open_session(address, device_id, key, ALGORITHMS[mac]))
        yield opened
    finally:
        for session in opened:
            session.plug.close()


def open_session(
    address: tuple[str, int], device_id: int, device_key: bytes, algorithm: Algorithm
) -> OpenSession:
    """Connect and go through the handshake of docs/protocol.md as a new boot of the device."""
    boot_epoch = int.from_bytes(os.urandom(8)) | 1
    nonce = os.urandom(NONCE_BYTES)
    hello = Hello(0, PROTOCOL_VERSION, device_id, 1, boot_epoch, nonce, (algorithm,), "bench")
    plug = socket.create_connection(address, timeout=30)
    try:
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plug.sendall(frame_bytes(hello.encode()))
        challenge = _challenge(_read_body(plug))
        keys = derive_session_keys(device_key, hello, challenge.server_nonce, algorithm)
        link = SealedLink(keys, is_server=False)
        plug.sendall(link.seal(Auth(link.next_counter()).encode()))
        welcome = ClientHandshake.on_welcome(link, _read_body(plug))
    except BaseException:
        plug.close()
        raise
    plug.settimeout(None)
    expected = welcome.next_seq_expected
    return OpenSession(plug, device_id, boot_epoch, keys, link.sent, link.received, expected)


def _challenge(body: bytes) -> Challenge:
    frame = decode(body[:-TAG_BYTES])
    if isinstance(frame, Error):
        raise error_of(frame)
    if not isinstance(frame, Challenge):
        raise WireError(detail=f"{type(frame).__name__} for a challenge")
    return frame


def _read_body(plug: socket.socket) -> bytes:
    size = int.from_bytes(_read_exactly(plug, LENGTH_BYTES))
    return _read_exactly(plug, size)


def _read_exactly(plug: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = plug.recv(size - len(data))
        if not part:
            raise WireError(detail="the gateway closed the connection during the handshake")
        data += part
    return data


def allow_files(connections: int) -> None:
    """Let this process, and those it starts, open so many connections. Raises: EnvironmentFault."""
    count = connections + SPARE_FILES
    room = raise_limit(count)
    if room < count:
        raise EnvironmentFault(detail=f"{count} open files are needed, the limit is {room}")
