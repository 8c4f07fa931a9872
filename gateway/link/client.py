"""A validator's side of the link: one authenticated connection, requests in any number at once.

Used by `faregate simulate`, the tests and the examples. What a device does when it is alone is in
gateway/link/validator.py. Must not import the server, the engine or fastpath.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl as tls
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

from gateway.errors import Uncertain, WireError
from gateway.link import frames
from gateway.link.codes import (
    FRAME_MAX_BYTES,
    PREFERENCE,
    WIRE_RULES,
    Algorithm,
    FrameType,
    WireCode,
    wire_code,
    wire_error,
)
from gateway.link.frames import Answer, Frame, TapEvent
from gateway.link.handshake import ClientHandshake, FrameSplitter, SealedLink, error_of

HANDSHAKE_TIMEOUT_S = 10.0

Key = tuple[object, ...]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What a device knows of itself. boot_epoch: new at every start, never used before."""

    device_id: int
    device_key: bytes = field(repr=False)
    boot_epoch: int
    key_version: int = 1
    firmware: str = ""
    algorithms: tuple[Algorithm, ...] = PREFERENCE


class _Request(NamedTuple):
    counter: int
    future: asyncio.Future[Any]
    unwrap: Callable[[Any], Any]


def reply_key(frame: Frame) -> Key | None:
    """What an answer says it answers; None = not an answer, the server speaks first."""
    match frame:
        case frames.TapAnswer(answer=answer):
            return (FrameType.TAP, answer.boot, answer.seq)
        case frames.PassageAnswer(answer=answer):
            return (FrameType.PASSAGE, answer.boot, answer.seq)
        case frames.BatchAnswer():
            return (FrameType.TAP_BATCH, frame.request_counter)
        case frames.ModeAnswer():
            return (FrameType.MODE_CHANGE, frame.request_counter)
        case frames.HeartbeatAnswer():
            return (FrameType.HEARTBEAT, frame.device_time_us)
        case frames.TariffPart():
            return (FrameType.TARIFF_REQUEST, frame.slot, frame.key, frame.offset)
        case frames.ContextAnswer():
            return (FrameType.CONTEXT_CHANGE, frame.boot, frame.seq)
    return None


class LinkSession(asyncio.Protocol):
    """One connection in session. Make it with `open_session`.

    Every request returns a future at once, so that many may be under way. A future fails with
    WireError: the gateway refused (its `retry` says what to do), Uncertain: the connection ended
    first. `closed` is done when the connection has ended, with the reason as its result.
    """

    def __init__(
        self, identity: DeviceIdentity, on_push: Callable[[Frame], None] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.identity = identity
        self.welcomed: asyncio.Future[frames.Welcome] = loop.create_future()
        self.closed: asyncio.Future[Exception] = loop.create_future()
        self.goodbye: frames.Bye | None = None
        self._on_push = on_push
        self._handshake = ClientHandshake(
            device_id=identity.device_id,
            device_key=identity.device_key,
            boot_epoch=identity.boot_epoch,
            key_version=identity.key_version,
            algorithms=identity.algorithms,
            firmware=identity.firmware,
        )
        self._splitter = FrameSplitter()
        self._link: SealedLink | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[Key, deque[_Request]] = {}
        self._keys: dict[int, Key] = {}

    # --- requests -------------------------------------------------------------------------------

    def tap(self, event: TapEvent) -> asyncio.Future[Answer]:
        """Send one tap."""
        counter = self._next()
        key = (FrameType.TAP, event.boot, event.seq)
        return self._send(frames.Tap(counter, event), key, _answer)

    def tap_batch(self, events: Sequence[TapEvent]) -> asyncio.Future[tuple[Answer, ...]]:
        """Send taps kept from before; the answers come in the same order."""
        counter = self._next()
        frame = frames.TapBatch(counter, tuple(events))
        return self._send(frame, (FrameType.TAP_BATCH, counter), _answers)

    def passage(
        self, boot: int, seq: int, *, original: TapEvent, passed: bool, device_ts_us: int
    ) -> asyncio.Future[Answer]:
        """Report whether the rider went through. seq: of the taps' sequence; 0 when passed."""
        frame = frames.Passage(
            self._next(), boot, seq, original.boot, original.seq, passed, device_ts_us
        )
        return self._send(frame, (FrameType.PASSAGE, boot, seq), _answer)

    def heartbeat(
        self, device_time_us: int, *, queue_depth: int, mode: int
    ) -> asyncio.Future[frames.HeartbeatAnswer]:
        """Say that the device is there; the answer has the server's time and newest versions."""
        frame = frames.Heartbeat(self._next(), device_time_us, queue_depth, mode)
        return self._send(frame, (FrameType.HEARTBEAT, device_time_us), _itself)

    def mode_change(
        self, mode: int, *, since_us: int, cause: str
    ) -> asyncio.Future[frames.ModeAnswer]:
        """Report a mode."""
        counter = self._next()
        frame = frames.ModeChange(counter, mode, since_us, cause)
        return self._send(frame, (FrameType.MODE_CHANGE, counter), _itself)

    def context_change(
        self, seq: int, *, vehicle: str, line: int, stop: int, device_ts_us: int
    ) -> asyncio.Future[frames.ContextAnswer]:
        """Report where the device is; seq: of the contexts' own sequence."""
        boot = self.identity.boot_epoch
        frame = frames.ContextChange(self._next(), boot, seq, vehicle, line, stop, device_ts_us)
        key = (FrameType.CONTEXT_CHANGE, boot, seq)
        return self._send(frame, key, _itself)

    def ask_denylist(self, have_version: int) -> None:
        """Ask for changes of the deny list; they arrive like pushed ones."""
        self._write(frames.DenylistRequest(self._next(), have_version))

    async def fetch_tariff(self, slot: int, key: int) -> tuple[bytes, bytes]:
        """A whole tariff blob, checked against its key, and its signature.

        Raises: WireError: refused, or the blob is not the one its key names; Uncertain.
        """
        blob = b""
        while True:
            part = await self._tariff_part(slot, key, len(blob))
            blob += part.data
            if len(blob) >= part.total_bytes or not part.data:
                break
        if int.from_bytes(hashlib.sha256(blob).digest()[:8], "little") != key:
            raise wire_error(WireCode.MALFORMED, "the tariff's digest does not fit its key")
        return blob, part.signature

    def _tariff_part(self, slot: int, key: int, offset: int) -> asyncio.Future[frames.TariffPart]:
        frame = frames.TariffRequest(self._next(), slot, key, offset)
        wanted = (FrameType.TARIFF_REQUEST, slot, key, offset)
        return self._send(frame, wanted, _itself)

    def acknowledge(self, boot: int, upto_seq: int) -> None:
        """Say that the answers up to here are stored; nothing comes back."""
        self._write(frames.Ack(self._next(), boot, upto_seq))

    def close(self) -> None:
        """Say bye and end the connection."""
        if self._link is not None and not self.closed.done():
            self._write(frames.Bye(self._next(), 0))
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once, as a cut would."""
        if self._transport is not None:
            self._transport.abort()

    # --- sending --------------------------------------------------------------------------------

    def _next(self) -> int:
        if self._link is None or self.closed.done():
            raise Uncertain("UNCERTAIN_OUTCOME", "no session: nothing was sent")
        return self._link.next_counter()

    def _write(self, frame: Frame) -> None:
        if self._link is not None and self._transport is not None:
            self._transport.write(self._link.seal(frame.encode()))

    def _send(self, frame: Frame, key: Key, unwrap: Callable[[Any], _T]) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._write(frame)
        self._waiting.setdefault(key, deque()).append(_Request(frame.counter, future, unwrap))
        self._keys[frame.counter] = key
        return future

    # --- receiving ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._handshake.hello())

    def data_received(self, data: bytes) -> None:
        self._splitter.feed(data)
        try:
            while (body := self._splitter.next_body()) is not None:
                self._body(body)
        except WireError as error:
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or Uncertain("UNCERTAIN_OUTCOME", "connection lost"))

    def _body(self, body: bytes) -> None:
        if self._link is None:
            auth, self._link = self._handshake.on_challenge(body)
            self._splitter.limit_bytes = FRAME_MAX_BYTES
            if self._transport is not None:
                self._transport.write(auth)
        elif not self.welcomed.done():
            welcome = self._handshake.on_welcome(self._link, body)
            self.welcomed.set_result(welcome)
        else:
            self._frame(self._link.open(body))

    def _frame(self, frame: Frame) -> None:
        key = reply_key(frame)
        if key is not None:
            self._answered(key, frame)
        elif isinstance(frame, frames.Error):
            self._refused(frame)
        elif isinstance(frame, frames.Bye):
            self.goodbye = frame
        elif self._on_push is not None:
            self._on_push(frame)

    def _answered(self, key: Key, frame: Frame) -> None:
        requests = self._waiting.get(key)
        if not requests:
            return
        request = requests[0]
        self._forget(key, request)
        if not request.future.done():
            request.future.set_result(request.unwrap(frame))

    def _refused(self, frame: frames.Error) -> None:
        error = error_of(frame)
        key = self._keys.get(frame.request_counter)
        if key is None:
            if WIRE_RULES[wire_code(error)].closes:
                self._end(error)
            return
        requests = self._waiting[key]
        request = next(each for each in requests if each.counter == frame.request_counter)
        self._forget(key, request)
        if not request.future.done():
            request.future.set_exception(error)

    def _forget(self, key: Key, request: _Request) -> None:
        requests = self._waiting[key]
        requests.remove(request)
        if not requests:
            del self._waiting[key]
        del self._keys[request.counter]

    def _end(self, reason: Exception) -> None:
        if self._transport is not None:
            self._transport.close()
        if self.closed.done():
            return
        self.closed.set_result(reason)
        if not self.welcomed.done():
            self.welcomed.set_exception(reason)
        for requests in self._waiting.values():
            for request in requests:
                if not request.future.done():
                    lost = Uncertain("UNCERTAIN_OUTCOME", f"the connection ended: {reason}")
                    request.future.set_exception(lost)
        self._waiting.clear()
        self._keys.clear()


def _itself(frame: _T) -> _T:
    return frame


def _answer(frame: frames.TapAnswer | frames.PassageAnswer) -> Answer:
    return frame.answer


def _answers(frame: frames.BatchAnswer) -> tuple[Answer, ...]:
    return frame.answers


async def open_session(
    host: str,
    port: int,
    identity: DeviceIdentity,
    *,
    ssl: tls.SSLContext | None = None,
    on_push: Callable[[Frame], None] | None = None,
    timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> tuple[LinkSession, frames.Welcome]:
    """Connect and come into session.

    Raises: OSError: no connection; WireError: refused (auth_failed ...), or not a gateway that
        knows our key; Uncertain: the connection ended; TimeoutError.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        _, session = await loop.create_connection(
            lambda: LinkSession(identity, on_push), host, port, ssl=ssl
        )
        try:
            return session, await session.welcomed
        except BaseException:
            session.abort()
            raise
