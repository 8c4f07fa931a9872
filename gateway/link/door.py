"""Who may come in: the session start in the server, by the compiled code where a hello is plain.

What is wrong with any other hello is for gateway.link.handshake to say. Makes no session for a
device that the book does not know, without telling it so before the end.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fastpath.api import Greeting, Session
from gateway.link.codes import KEY_BYTES, NONCE_BYTES, Algorithm, WireCode, wire_error
from gateway.link.devices import DeviceBook, DeviceEntry
from gateway.link.handshake import choose_algorithm, read_hello

STEPS_PER_TURN = 4
"""Of session starts, two for each: a fleet that comes back waits, not the riders."""


class Door:
    """Challenges devices and lets those in that prove their key.

    Args: preference: algorithms of the server, the best one first.
    """

    def __init__(
        self,
        devices: DeviceBook,
        preference: Sequence[Algorithm],
        frame_max_bytes: int,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._devices = devices
        self._preference = tuple(preference)
        self._frame_max_bytes = frame_max_bytes
        self._random = random

    def challenge(self, body: bytes, now_us: int) -> tuple[Greeting, bytes]:
        """What a device's hello said, and the frame it is answered with.

        Raises: WireError: as gateway.link.handshake.read_hello; unknown_algorithm.
        """
        greeting = Greeting.read(body) or _look_closer(body)
        algorithm = self._choose(greeting.offered)
        device_key = self._devices.find_key(greeting.device_id, greeting.key_version)
        # Random bytes for either, whoever asks: the time must not tell a stranger what is known.
        fresh = self._random(NONCE_BYTES + KEY_BYTES)
        key = device_key or fresh[NONCE_BYTES:]
        return greeting, greeting.challenge(key, fresh[:NONCE_BYTES], algorithm, now_us)

    def enter(self, greeting: Greeting, body: bytes) -> tuple[Session, DeviceEntry]:
        """The session of a device that has proved its key.

        Raises: WireError: auth_failed: unknown, revoked, wrong key, forged: never says which.
        """
        device = self._devices.find(greeting.device_id)
        session = greeting.enter(
            body,
            tariff_slot=device.tariff_slot if device is not None else 0,
            stop=device.stop_id if device is not None else 0,
            frame_max_bytes=self._frame_max_bytes,
        )
        if session is None or device is None:
            raise wire_error(WireCode.AUTH_FAILED)
        return session, device

    def _choose(self, offered: int) -> Algorithm:
        for algorithm in self._preference:
            if offered >> algorithm & 1:
                return algorithm
        return choose_algorithm([n for n in range(32) if offered >> n & 1], self._preference)


def _look_closer(body: bytes) -> Greeting:
    """The greeting of a hello that is right but not plain. Raises: WireError."""
    hello = read_hello(body)
    offered = sum(1 << number for number in set(hello.algorithms) if number < 32)
    return Greeting(
        hello.device_id, hello.key_version, hello.boot_epoch, hello.client_nonce, offered
    )


class Guest(Protocol):
    """A connection without a session."""

    @property
    def closing(self) -> bool: ...

    def release(self) -> None:
        """Read from it again."""

    def greet(self, data: bytes) -> None:
        """Take what came in."""


class Queue:
    """Bounds the steps of session starts in a turn of the loop. Thread: the loop's."""

    def __init__(self) -> None:
        self._taken = 0
        self._waiting: deque[tuple[Guest, bytes]] = deque()

    def may_pass(self) -> bool:
        """Whether this turn takes one step more; those who wait go first."""
        if self._waiting or self._taken == STEPS_PER_TURN:
            return False
        if not self._taken:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._taken += 1
        return True

    def join(self, guest: Guest, data: bytes) -> None:
        """In one of the next turns; the guest must not be read until then."""
        self._waiting.append((guest, data))

    def _next_turn(self) -> None:
        self._taken = min(len(self._waiting), STEPS_PER_TURN)
        if self._taken:
            asyncio.get_running_loop().call_soon(self._next_turn)
        for _ in range(self._taken):
            guest, data = self._waiting.popleft()
            if not guest.closing:
                guest.release()
                guest.greet(data)
