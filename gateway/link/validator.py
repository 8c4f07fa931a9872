"""What a validator does around its link: keep taps until answered, decide alone, come back.

The numbers are those of docs/protocol.md. Must not import the server, the engine or fastpath.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.clock import now_us
from gateway.errors import Retry, Uncertain, WireError
from gateway.link import frames
from gateway.link.client import DeviceIdentity, LinkSession, open_session
from gateway.link.codes import WIRE_RULES, DeviceMode, WireCode, wire_code, wire_error
from gateway.link.frames import Answer, Frame, TapEvent

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 0.3
BACKOFF_FIRST_S = 4.0
BACKOFF_MAX_S = 60.0
BUSY_PAUSE_S = 1.0

OFFLINE = 1
DEVICE_OPENED = 2
VERDICT_OPEN = frozenset({1, 2})
VERDICT_RETRY = 3


def compute_backoff_s(attempt: int, jitter: float) -> float:
    """How long to wait before connection attempt 0, 1, 2 ...; jitter: uniform in [0, 1).

    The whole wait is random, from the first one on: 16,000 devices that lose their gateway together
    must not come back together.
    """
    return jitter * min(BACKOFF_MAX_S, BACKOFF_FIRST_S * (1 << min(attempt, 10)))


class DenylistMirror:
    """The device's copy of the deny list: version, tokens and their hash.

    verify(message, signature) raises when the gateway's signature is wrong; None = not checked.
    """

    def __init__(self, verify: Callable[[bytes, bytes], None] | None = None) -> None:
        self.version = 0
        self.tokens: frozenset[bytes] = frozenset()
        self._verify = verify
        self._building: set[bytes] | None = None

    def restart(self) -> None:
        """Forget the parts of a delta that was cut off by the end of its session."""
        self._building = None

    def apply(self, delta: frames.DenylistDelta) -> bool:
        """Take one part; True = it was the last one and the list stands at a new version.

        Raises: WireError: the hash does not fit; the list is then as it was before.
        """
        if self._building is None:
            if not delta.full and not delta.from_version <= self.version <= delta.to_version:
                return False
            self._building = set() if delta.full else set(self.tokens)
        self._building.update(delta.added)
        self._building.difference_update(delta.removed)
        if delta.more:
            return False
        built, self._building = frozenset(self._building), None
        self._check(built, delta)
        self.tokens, self.version = built, delta.to_version
        return True

    def _check(self, built: frozenset[bytes], delta: frames.DenylistDelta) -> None:
        if not hmac.compare_digest(hash_tokens(built), delta.hash):
            raise wire_error(WireCode.MALFORMED, "the deny list's hash does not fit its tokens")
        if self._verify is not None:
            message = b"faregate denylist" + delta.to_version.to_bytes(8, "big") + delta.hash
            self._verify(message, delta.signature)


def hash_tokens(tokens: frozenset[bytes]) -> bytes:
    """Sum of SHA-256(token) modulo 2^256, big-endian."""
    total = sum(int.from_bytes(hashlib.sha256(token).digest(), "big") for token in tokens)
    return (total % (1 << 256)).to_bytes(32, "big")


@dataclass(frozen=True, slots=True)
class Presented:
    """What came of one presentation. answer None = the device decided alone."""

    event: TapEvent
    opened: bool
    answer: Answer | None


@dataclass(slots=True)
class Validator:
    """A device with a queue. `run()` keeps it connected; `present()` works with or without a link.

    decide_alone says whether to open when there is no answer in time; by default whoever is not on
    the deny list may pass. Taps the gateway calls malformed are set aside in `set_aside`.
    """

    host: str
    port: int
    identity: DeviceIdentity
    decide_alone: Callable[[TapEvent], bool] | None = None
    clock: Callable[[], int] = now_us
    jitter: Callable[[], float] = random.random
    answer_timeout_s: float = ANSWER_TIMEOUT_S
    ssl: tls.SSLContext | None = None
    denylist: DenylistMirror = field(default_factory=DenylistMirror)
    mode: int = DeviceMode.NORMAL
    queue: dict[int, TapEvent] = field(default_factory=dict)
    """Taps without an answer, by seq; those the device decided alone carry OFFLINE."""
    passages: dict[int, tuple[TapEvent, int]] = field(default_factory=dict)
    """Reversals without an answer, by their seq: the tap and when the rider turned back."""
    set_aside: list[TapEvent] = field(default_factory=list)
    session: LinkSession | None = None
    welcome: frames.Welcome | None = None
    clock_offset_us: int = 0
    """Server time minus device time, as of the last heartbeat."""
    connections: int = 0
    _seq: int = 0
    _upload_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: asyncio.Event = field(default_factory=asyncio.Event)

    # --- taps -----------------------------------------------------------------------------------

    async def present(
        self,
        token: bytes,
        kind: int,
        *,
        stop: int = 0,
        line: int = 0,
        amount_minor: int | None = None,
        distance_m: int = 0,
    ) -> Presented:
        """One presentation of a medium: ask, wait 300 ms, else decide alone and upload later."""
        self._seq += 1
        event = TapEvent(
            self.identity.boot_epoch,
            self._seq,
            kind,
            token,
            stop,
            self.clock(),
            line=line,
            denylist_version=self.denylist.version,
            amount_minor=amount_minor,
            distance_m=distance_m,
        )
        self.queue[event.seq] = event
        answer = await self._ask(event)
        if answer is not None:
            del self.queue[event.seq]
            return Presented(event, answer.verdict in VERDICT_OPEN, answer)
        return self._alone(event)

    async def _ask(self, event: TapEvent) -> Answer | None:
        if self.session is None:
            return None
        try:
            answer = await asyncio.wait_for(self.session.tap(event), self.answer_timeout_s)
        except (TimeoutError, Uncertain, WireError):
            return None
        return answer if answer.verdict != VERDICT_RETRY else None

    def _alone(self, event: TapEvent) -> Presented:
        decide = self.decide_alone or (lambda tap: tap.token not in self.denylist.tokens)
        opened = decide(event)
        flags = event.flags | OFFLINE | (DEVICE_OPENED if opened else 0)
        kept = replace(event, flags=flags)
        self.queue[event.seq] = kept
        self._upload_wanted.set()
        return Presented(kept, opened, None)

    def report_not_passed(self, event: TapEvent) -> int:
        """The rider turned back: ask for the reversal, now or later; returns its seq."""
        self._seq += 1
        self.passages[self._seq] = (event, self.clock())
        self._upload_wanted.set()
        return self._seq

    # --- the link -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay connected until cancelled."""
        attempt = 0
        try:
            while True:
                before = self.connections
                asked_s = await self._one_session()
                attempt = 0 if self.connections > before else attempt + 1
                backoff_s = compute_backoff_s(attempt, self.jitter())
                await asyncio.sleep(max(backoff_s, asked_s * (1 + self.jitter())))
        finally:
            if self.session is not None:
                self.session.close()
                self.session = None

    async def wait_connected(self) -> None:
        """Return once there is a session."""
        await self._connected.wait()

    async def _one_session(self) -> float:
        """Connect, serve the session to its end; returns how long the gateway asks to stay away."""
        try:
            self.session, self.welcome = await open_session(
                self.host, self.port, self.identity, ssl=self.ssl, on_push=self._pushed
            )
        except (OSError, TimeoutError, WireError, Uncertain) as error:
            log.info("no_session", extra={"cause": str(error)})
            return _asked_pause_s(error)
        self._begin(self.session, self.welcome)
        try:
            async with asyncio.TaskGroup() as tasks:
                beats = tasks.create_task(self._beat(self.session, self.welcome.heartbeat_s))
                uploads = tasks.create_task(self._upload(self.session, self.welcome.batch_max))
                reason = await self.session.closed
                beats.cancel()
                uploads.cancel()
        finally:
            self._connected.clear()
        goodbye, self.session = self.session.goodbye, None
        return goodbye.retry_after_ms / 1000 if goodbye else _asked_pause_s(reason)

    def _begin(self, session: LinkSession, welcome: frames.Welcome) -> None:
        self.connections += 1
        self._seq = max(self._seq, welcome.next_seq_expected - 1)
        self.mode = welcome.mode
        self.denylist.restart()
        if welcome.denylist_version > self.denylist.version:
            session.ask_denylist(self.denylist.version)
        self._upload_wanted.set()
        self._connected.set()

    def _pushed(self, frame: Frame) -> None:
        if isinstance(frame, frames.ModeChange):
            self.mode = frame.mode
        elif isinstance(frame, frames.DenylistDelta):
            try:
                self.denylist.apply(frame)
            except WireError as error:
                log.warning("denylist_refused", extra={"cause": str(error)})
                if self.session is not None:
                    self.session.ask_denylist(0)

    async def _beat(self, session: LinkSession, every_s: float) -> None:
        """Heartbeats; no answer until the next one is due = the link is dead."""
        try:
            while True:
                sent_us = self.clock()
                beat = session.heartbeat(sent_us, queue_depth=len(self.queue), mode=self.mode)
                answer = await asyncio.wait_for(beat, every_s)
                middle_us = (sent_us + self.clock()) // 2
                self.clock_offset_us = answer.server_time_us - middle_us
                if answer.denylist_version > self.denylist.version:
                    session.ask_denylist(self.denylist.version)
                await asyncio.sleep(every_s)
        except (TimeoutError, Uncertain, WireError):
            session.abort()

    async def _upload(self, session: LinkSession, batch_max: int) -> None:
        """Send what was decided alone, a batch at a time, until nothing is left; then wait."""
        try:
            while True:
                batch = [tap for tap in self.queue.values() if tap.flags & OFFLINE][:batch_max]
                if batch:
                    await self._upload_batch(session, batch)
                elif self.passages:
                    await self._upload_passage(session, min(self.passages))
                else:
                    self._upload_wanted.clear()
                    await self._upload_wanted.wait()
        except Uncertain:
            session.abort()

    async def _upload_batch(self, session: LinkSession, batch: list[TapEvent]) -> None:
        again = [replace(tap, attempt=min(255, tap.attempt + 1)) for tap in batch]
        self.queue.update({tap.seq: tap for tap in again})
        try:
            answers = await session.tap_batch(again)
        except WireError as error:
            await self._refused(session, again, error)
            return
        for answer in answers:
            if answer.verdict != VERDICT_RETRY:
                self.queue.pop(answer.seq, None)
        if any(answer.verdict == VERDICT_RETRY for answer in answers):
            await asyncio.sleep(BUSY_PAUSE_S * (1 + self.jitter()))

    async def _upload_passage(self, session: LinkSession, seq: int) -> None:
        event, ts_us = self.passages[seq]
        boot = self.identity.boot_epoch
        report = session.passage(boot, seq, original=event, passed=False, device_ts_us=ts_us)
        try:
            answer = await report
        except WireError as error:
            if error.retry is Retry.NEVER:
                log.error("passage_set_aside", extra={"seq": seq, "cause": str(error)})
                self.set_aside.append(self.passages.pop(seq)[0])
                return
        else:
            if answer.verdict != VERDICT_RETRY:
                del self.passages[seq]
                return
        await asyncio.sleep(BUSY_PAUSE_S * (1 + self.jitter()))

    async def _refused(self, session: LinkSession, batch: list[TapEvent], error: WireError) -> None:
        if error.retry is not Retry.NEVER:
            await asyncio.sleep(BUSY_PAUSE_S * (1 + self.jitter()))
        elif len(batch) == 1:
            # It will never be taken: keep it for a person, and let the others pass.
            log.error("tap_set_aside", extra={"seq": batch[0].seq, "cause": str(error)})
            self.set_aside.append(self.queue.pop(batch[0].seq))
        else:
            for tap in batch:
                await self._upload_batch(session, [tap])


def _asked_pause_s(reason: Exception) -> float:
    """What the rule of a link error asks for; 0 for everything else."""
    if not isinstance(reason, WireError):
        return 0.0
    return WIRE_RULES[wire_code(reason)].retry_after_ms / 1000
