"""The validator link's server: sockets in front of the engine.

One tap: `Connection.data_received` -> `Engine.feed` (frame, tag, decision, record) -> the turn's
group commit -> `LinkServer.send`. Cold frames go to `LinkService`. Nothing here decides about
money.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fastpath.api import FED, Greeting, Session
from gateway.errors import FareGatewayError, WireError
from gateway.link import frames
from gateway.link.codes import (
    HELLO_MAX_BYTES,
    LENGTH_BYTES,
    TAG_BYTES,
    WIRE_RULES,
    Algorithm,
    DeviceMode,
    WireCode,
    wire_code,
    wire_error,
)
from gateway.link.devices import DeviceBook, DeviceEntry
from gateway.link.door import Door, Queue
from gateway.link.handshake import FrameSplitter, frame_bytes
from gateway.link.listing import Cutter, ListSender
from gateway.link.service import (
    LinkService,
    LinkState,
    Place,
    pack_busy,
    pack_news,
)
from gateway.observability import page as slots

if TYPE_CHECKING:
    from fastpath.api import Engine
    from gateway.engine.commit import GroupCommit

log = logging.getLogger(__name__)

WAITING = FED["waiting"]
EVENTS = FED["events"]
FATAL = FED["fatal"]
FULL = FED["full"]
READY = FED["ready"]
HALF = FED["half"]
BUSY = FED["busy"]
SPECIAL = EVENTS | FATAL | FULL | BUSY
ENDED = EVENTS | READY | FULL
"""Each says that a whole frame was there."""

PUSH_DELAY_S = 0.02
"""Changes of the deny list wait this long for others to go with them."""

RETURN_AFTER_MS = 1000

SLICE_BYTES = 8 << 10
"""So much of one read is decided before the clock is looked at again."""

SWEEPS_PER_S = 10
"""How often the server looks for time-outs in one slice of the connections."""
SLICES_MAX = 100
"""A whole round of the idle ones takes ten seconds then: little beside a time-out of minutes."""

STRANGERS_SPARE = 1024
"""So many more connections than sessions: a fleet that comes back needs one each before it has
sessions, and nobody else more than a few.
"""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What the server needs of the configuration."""

    host: str
    port: int
    heartbeat_s: int
    half_frame_timeout_s: float
    idle_timeout_s: float
    batch_max: int
    frame_max_bytes: int
    sessions_max: int
    mac: tuple[Algorithm, ...]
    tls: ssl.SSLContext | None = None


class Connection(asyncio.Protocol):
    """One TCP connection: a handshake first, then a session."""

    __slots__ = (
        "closing",
        "device",
        "greeting",
        "half_bytes",
        "half_since",
        "held",
        "key_version",
        "last_us",
        "server",
        "service",
        "session",
        "slice_idx",
        "splitter",
        "stalled",
        "step_us",
        "transport",
    )

    def __init__(self, server: LinkServer) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.service: LinkService | None = None
        self.device: DeviceEntry | None = None
        self.key_version = 0
        self.splitter: FrameSplitter | None = None
        self.greeting: Greeting | None = None
        self.last_us = self.step_us = time.monotonic_ns() // 1000
        self.half_since = 0
        self.half_bytes = 0
        self.slice_idx = 0
        self.stalled = False
        self.held = False
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.server.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.session is not None:
            self.session.closed = True
            self.session.owner = None
        self.closing = True
        self.server.disconnected(self)

    def pause_writing(self) -> None:
        # A peer that does not read its answers may not make us keep more of them.
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.transport is not None and not self.stalled and not self.held:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if len(data) > SLICE_BYTES:
            for at in range(0, len(data), SLICE_BYTES):
                if not self.closing:
                    self.data_received(data[at : at + SLICE_BYTES])
            return
        now_ns = time.time_ns()
        mono_us = time.monotonic_ns() // 1000
        self.last_us = mono_us
        session = self.session
        if session is None:
            self._greet(data)
            return
        server = self.server
        try:
            fed = server.engine.feed(session, data, now_ns // 1000, mono_us)
        except FareGatewayError as error:
            # An answer given before cannot be read again; the device asks once more elsewhere.
            log.error("feed_failed", extra=error.as_dict())
            self.refuse(WireCode.INTERNAL)
            return
        if fed & WAITING:
            server.commit.wake()
        if fed & READY:
            self._write(session.take())
        if fed & SPECIAL:
            self._special(session, fed)
        if fed & HALF:
            self._half(fed, len(data), mono_us)
        elif self.half_since:
            self.half_since = 0
            server.unsettled.discard(self)

    def _half(self, fed: int, size: int, mono_us: int) -> None:
        """A frame has begun. Its time does not begin anew with each of its bytes: only if another
        one ended in between, as an answer shows, or more bytes than one may have.
        """
        server = self.server
        self.half_bytes += size
        ended = fed & ENDED or self.half_bytes > server.settings.frame_max_bytes + LENGTH_BYTES
        if ended or not size or not self.half_since:  # no bytes: it was we who let it wait
            self.half_since, self.half_bytes = mono_us, 0
            server.unsettled.add(self)

    def refuse(self, code: WireCode, *, request_counter: int = 0, detail: str = "") -> None:
        """Send the error frame of a code; close if its rule says so."""
        self.server.page[slots.FRAME_ERRORS + code] += 1
        session = self.session
        counter = session.next_counter() if session is not None else 0
        payload = frames.error_frame(
            code, counter=counter, request_counter=request_counter, detail=detail
        ).encode()
        if session is not None:
            session.push(payload)
            self.flush()
        else:
            self._write(frame_bytes(payload))
        if WIRE_RULES[code].closes:
            self.close()

    def reply(self, answers: Sequence[frames.Frame]) -> None:
        """Send cold frames of the session."""
        if self.session is None:
            return
        for answer in answers:
            self.session.push(answer.encode())
        self.flush()

    def flush(self) -> None:
        """Send what the session has ready."""
        if self.session is not None and self.session.output_bytes:
            self._write(self.session.take())

    def behind_bytes(self) -> int:
        """Sent and not taken by the other side yet, as far as it lies in this process."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def leave(self) -> None:
        """End the connection with a bye: the device may come back in a second."""
        if self.session is not None:
            self.reply([frames.Bye(self.session.next_counter(), RETURN_AFTER_MS)])
        self.close()

    def close(self) -> None:
        """End the connection after what was written."""
        self.closing = True
        if self.session is not None:
            self.session.closed = True
        if self.transport is not None:
            self.transport.close()

    def drop(self) -> None:
        """End the connection at once: whoever never came in may not hold it any longer."""
        self.closing = True
        if self.transport is not None:
            self.transport.abort()

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.server.page[slots.BYTES_OUT] += len(data)
            self.transport.write(data)

    def _special(self, session: Session, fed: int) -> None:
        if fed & FULL:
            self._make_room(session)
        if fed & EVENTS:
            for event in session.take_events():
                self._event(event)
        if fed & FATAL and not self.closing:
            self.close()
        elif fed & BUSY and not self.held and self.transport is not None:
            self.held = True
            self.transport.pause_reading()
            self.server.hold(self)

    def _make_room(self, session: Session) -> None:
        """The group is full: commit and go on with what was not taken, now or when the running
        commit ends.
        """
        if self.server.commit.flush():
            self.data_received(b"")
        elif self.stalled:
            return
        elif self.transport is not None:
            self.stalled = True
            self.transport.pause_reading()
            self.server.stalled.append(self)

    def release(self) -> None:
        """The turn is over: read again what comes, unless something else speaks against it."""
        self.held = False
        if not self.stalled and not self.closing and self.transport is not None:
            self.transport.resume_reading()

    def go_on(self) -> None:
        """There is room again."""
        self.stalled = False
        if self.transport is not None and not self.closing:
            if not self.held:
                self.transport.resume_reading()
            try:
                self.data_received(b"")
            except Exception:  # what the loop does in a read of its own: one peer is not everybody
                log.exception("connection_failed")
                self.close()

    def _event(self, event: tuple[Any, ...]) -> None:
        if event[0] == "error":
            self.refuse(WireCode(event[1]), request_counter=event[2])
            return
        if self.service is None:
            return
        try:
            self.reply(self.service.answer(event[3]))
        except WireError as error:
            self.refuse(wire_code(error), request_counter=event[2], detail=error.detail)

    # --- before the session
    # ---------------------------------------------------------------------------------

    def _greet(self, data: bytes) -> None:
        """Take what came in before the session, now or in one of the next turns: taps go first."""
        if self.closing:
            return
        if self.server.queue.may_pass():
            self.greet(data)
        elif self.transport is not None:
            self.transport.pause_reading()
            self.server.queue.join(self, data)

    def greet(self, data: bytes) -> None:
        """Take what came in before the session."""
        try:
            if self.splitter is None and is_whole(data):
                self._greeting(data[LENGTH_BYTES:])
                self.half_since = 0
            else:
                self._greet_split(data)
        except WireError as error:
            self.server.page[slots.SESSIONS_REFUSED] += 1
            self.refuse(wire_code(error))
            self.close()

    def _greet_split(self, data: bytes) -> None:
        splitter = self.splitter = self.splitter or FrameSplitter(HELLO_MAX_BYTES)
        splitter.feed(data)
        while self.session is None and (body := splitter.next_body()) is not None:
            self._greeting(body)
            self.half_since = 0
        if self.session is None:
            self.half_since = (self.half_since or self.last_us) if splitter.half_frame else 0
            return
        self.splitter = None
        rest = splitter.rest()
        if rest:
            self.data_received(rest)

    def _greeting(self, body: bytes) -> None:
        server = self.server
        greeting = self.greeting
        if greeting is None:
            if server.draining or server.sessions >= server.settings.sessions_max:
                raise wire_error(WireCode.SHUTTING_DOWN if server.draining else WireCode.BUSY)
            self.greeting, challenge = server.door.challenge(body, time.time_ns() // 1000)
            self.step_us = time.monotonic_ns() // 1000
            self._write(challenge)
            return
        self.session, self.device = server.door.enter(greeting, body)
        self.session.owner = self
        self.key_version = greeting.key_version
        self.service = LinkService(
            server.state,
            self.session,
            Place(greeting.boot_epoch),
            partial(server.lists.want, self),
        )
        self.greeting = None
        self.session.push(server.welcome(self.session))
        self.flush()
        server.opened(self)


def is_whole(data: bytes) -> bool:
    """Whether this is one frame of the time before a session, no more and no less."""
    length = len(data) - LENGTH_BYTES
    return TAG_BYTES < length <= HELLO_MAX_BYTES and int.from_bytes(data[:LENGTH_BYTES]) == length


class LinkServer:
    """Accepts validators and moves bytes between them and the engine."""

    def __init__(
        self,
        settings: LinkSettings,
        engine: Engine,
        devices: DeviceBook,
        state: LinkState,
        page: memoryview,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.devices = devices
        self.state = state
        self.page = page
        self.lists = ListSender(Cutter(state.denylist, state.sign).cut)
        self.door = Door(devices, settings.mac, settings.frame_max_bytes)
        self.queue = Queue()
        self.commit: GroupCommit
        self.draining = False
        self.sessions = 0
        self.stalled: list[Connection] = []
        self._held: list[Connection] = []
        self.unsettled: set[Connection] = set()
        """Those with half a frame."""
        self.strangers: OrderedDict[Connection, None] = OrderedDict()
        """Those without a session, the oldest first; their time-outs are short, too."""
        slices = min(max(int(settings.idle_timeout_s), SWEEPS_PER_S), SLICES_MAX)
        self._slices: list[set[Connection]] = [set() for _ in range(slices)]
        self._by_device: dict[int, set[Connection]] = {}
        self._accepted = 0
        self._sweeps = 0
        self._server: asyncio.Server | None = None
        self._session_ids = 0
        self._push_from: int | None = None
        self._pushing: asyncio.Future[None] | None = None
        engine.tell(busy=pack_busy())
        self.tell_news()

    async def start(self) -> int:
        """Listen; returns the port in use."""
        loop = asyncio.get_running_loop()
        # The handshake of TLS comes before `connected`, its end behind `disconnected`.
        tls_s = self.settings.half_frame_timeout_s if self.settings.tls is not None else None
        self._server = await loop.create_server(
            lambda: Connection(self),
            self.settings.host,
            self.settings.port,
            ssl=self.settings.tls,
            ssl_handshake_timeout=tls_s,
            ssl_shutdown_timeout=tls_s,
            backlog=4096,
        )
        port: int = self._server.sockets[0].getsockname()[1]
        self.page[slots.LINK_PORT] = port
        return port

    def stop_listening(self) -> None:
        """No new connections; those that are there stay."""
        self.draining = True
        if self._server is not None:
            self._server.close()

    def say_goodbye(self) -> None:
        """End every connection with a bye; call when nothing waits for a commit any more."""
        for connection in self._all():
            connection.leave()

    def send(self, sessions: list[Session]) -> None:
        """Write what sessions have ready; then let those go on that found the group full."""
        sent_bytes = 0
        for session in sessions:
            connection = session.owner
            if connection is None or connection.closing or connection.transport is None:
                continue
            data = session.take()
            sent_bytes += len(data)
            connection.transport.write(data)
        self.page[slots.BYTES_OUT] += sent_bytes
        if self.stalled:
            waiting, self.stalled = self.stalled, []
            for connection in waiting:
                connection.go_on()

    def hold(self, connection: Connection) -> None:
        """Let a connection rest whose taps were refused: else a turn could go on for as long as
        more come in than can be refused, and what it took before would wait for its end.
        """
        if not self._held:
            asyncio.get_running_loop().call_soon(self._release)
        self._held.append(connection)

    def _release(self) -> None:
        held, self._held = self._held, []
        for connection in held:
            connection.release()

    def leave(self, left: list[tuple[Session, int]]) -> None:
        """Tell those whose requests were undone because the journal has no room."""
        for session, counter in left:
            if session.owner is not None:
                session.owner.refuse(WireCode.JOURNAL_FULL, request_counter=counter)
        self.send([])

    def welcome(self, session: Session) -> bytes:
        """The payload of the first frame of a session."""
        self._session_ids += 1
        state, device, boot = self.state, session.device_id, session.boot
        return frames.Welcome(
            counter=session.next_counter(),
            server_time_us=state.clock(),
            session_id=self._session_ids,
            heartbeat_s=self.settings.heartbeat_s,
            acked_seq=state.acked_seq(device, boot),
            next_seq_expected=state.next_seq(device, boot),
            tariffs=state.tariff_rows(),
            denylist_version=state.denylist.version,
            mode=state.mode,
            batch_max=self.settings.batch_max,
            frame_max=self.settings.frame_max_bytes,
            config_version=state.config_version,
        ).pack_own()

    def tell_news(self) -> None:
        """Have heartbeats answered with what the state says now; call after every change of it."""
        self.engine.tell(news=pack_news(self.state))

    def denylist_changed(self, before_version: int) -> None:
        """Have the changes after a version sent to everybody soon; changes close together go out as
        one delta.
        """
        self.tell_news()
        if self._push_from is None:
            self._push_from = before_version
            loop = asyncio.get_running_loop()
            loop.call_later(PUSH_DELAY_S, self._push_soon)

    def _push_soon(self) -> None:
        have_version, self._push_from = self._push_from, None
        if have_version is not None:
            self._pushing = asyncio.ensure_future(self._push_denylist(have_version))

    async def _push_denylist(self, have_version: int) -> None:
        """A slice of the connections at a time, so that taps go in between."""
        for part in list(self._slices):
            for connection in list(part):
                if connection.session is not None and not connection.closing:
                    self.lists.want(connection, have_version)
            await asyncio.sleep(0.001)

    def push_mode(self, mode: DeviceMode, device_id: int | None = None) -> int:
        """Order a mode of one device or all; returns how many were told."""
        told = 0
        for connection in self._targets(device_id):
            session = connection.session
            if session is not None:
                now = self.state.clock()
                order = frames.ModeChange(session.next_counter(), mode, now, "operator")
                connection.reply([order])
                told += 1
        return told

    def device_changed(self, entry: DeviceEntry) -> None:
        """End the sessions that the device could not open again as they are."""
        for connection in self._targets(entry.device_id):
            if not entry.active or connection.key_version not in entry.key_versions:
                connection.refuse(WireCode.AUTH_FAILED)
            elif connection.device is not None and (
                connection.device.tariff_slot != entry.tariff_slot
                or connection.device.stop_id != entry.stop_id
            ):
                connection.leave()

    def _targets(self, device_id: int | None) -> list[Connection]:
        if device_id is None:
            return self._all()
        return list(self._by_device.get(device_id, ()))

    # --- life of connections
    # ---------------------------------------------------------------------------------

    def _all(self) -> list[Connection]:
        return [connection for part in self._slices for connection in part]

    def connected(self, connection: Connection) -> None:
        self._accepted += 1
        connection.slice_idx = self._accepted % len(self._slices)
        self._slices[connection.slice_idx].add(connection)
        self.strangers[connection] = None
        if self.sessions + len(self.strangers) > self.settings.sessions_max + STRANGERS_SPARE:
            oldest, _ = self.strangers.popitem(last=False)
            oldest.drop()

    def opened(self, connection: Connection) -> None:
        self.sessions += 1
        self.strangers.pop(connection, None)
        self.page[slots.SESSIONS] = self.sessions
        self.page[slots.SESSIONS_TOTAL] += 1
        if connection.device is not None:
            self._by_device.setdefault(connection.device.device_id, set()).add(connection)

    def disconnected(self, connection: Connection) -> None:
        self._slices[connection.slice_idx].discard(connection)
        self.unsettled.discard(connection)
        self.strangers.pop(connection, None)
        self.lists.drop(connection)
        if connection.session is not None:
            self.sessions -= 1
            self.page[slots.SESSIONS] = self.sessions
        if connection.device is not None:
            there = self._by_device.get(connection.device.device_id, set())
            there.discard(connection)
            if not there:
                self._by_device.pop(connection.device.device_id, None)

    def sweep(self, mono_us: int) -> None:
        """Look for time-outs; call SWEEPS_PER_S times a second.

        Whoever is idle is looked at once a round of the slices, the few others once a second.
        """
        self._sweeps += 1
        idle_us = int(self.settings.idle_timeout_s * 1e6)
        for connection in list(self._slices[self._sweeps % len(self._slices)]):
            if mono_us - connection.last_us > idle_us:
                connection.close()
        if self._sweeps % SWEEPS_PER_S == 0:
            self._sweep_unsettled(mono_us)

    def _sweep_unsettled(self, mono_us: int) -> None:
        half_us = int(self.settings.half_frame_timeout_s * 1e6)
        for connection in (*self.unsettled, *self.strangers):
            if connection.stalled:
                continue
            if connection.half_since and mono_us - connection.half_since > half_us:
                connection.refuse(WireCode.FRAME_TRUNCATED)
                connection.close()
            elif connection.session is None and mono_us - connection.step_us > half_us:
                connection.drop()
