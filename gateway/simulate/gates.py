"""Simulated validators: one session each, riders queue in front of it, one tap at a time.

A gate keeps a tap until it has its answer: after a lost connection it comes back (back-off with
jitter, shorter than a real device's) and sends the same tap_id again. What goes wrong around a tap
is the rider's `Twist`. Must not import the server's side.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from fastpath.types import Reason, TapFlag
from gateway.clock import now_us
from gateway.errors import Retry, Uncertain, WireError
from gateway.link.client import DeviceIdentity
from gateway.link.codes import DeviceMode, FrameType, WireCode, wire_code
from gateway.simulate.riders import Outcome, Present, Twist
from gateway.simulate.session import AnswerRow, GateSession, TapRow, open_gate_session
from gateway.simulate.stats import Stats

BACK_OFF_S = 0.05
BACK_OFF_MAX_S = 1.0
PAUSE_S = 0.1
"""After `busy` or `journal_full`, before the same tap goes out again."""
UPLOAD_AFTER_S = 0.15
"""Taps decided alone wait so long for others to share a batch with."""
ACK_EVERY = 256
AUTH_ATTEMPTS = 5
ALONE = {
    Twist.REFUSED_ALONE: TapFlag.OFFLINE,
    Twist.OPENED_ALONE: TapFlag.OFFLINE | TapFlag.DEVICE_OPENED,
    Twist.OFFLINE: TapFlag.OFFLINE | TapFlag.DEVICE_OPENED,
}

FINAL = frozenset({WireCode.MALFORMED, WireCode.OUT_OF_RANGE, WireCode.UNKNOWN_FRAME})
"""The gateway does not understand the request: the same again would fare no better."""


@dataclass(frozen=True, slots=True)
class GateDevice:
    """One validator as the gateway registered it. stop_id 0 = it moves (bus, handheld)."""

    device_id: int
    key: bytes = field(repr=False)
    key_version: int
    tariff_slot: int
    stop_id: int


class Phase(IntEnum):
    """Which answer a rider in front of a gate waits for."""

    TAP = 0
    AGAIN = 1
    PASSAGE = 2
    BATCH = 3


@dataclass(slots=True, eq=False)
class Work:
    """One rider in front of a gate."""

    rider: int
    present: Present
    phase: Phase = Phase.TAP
    event: TapRow | None = None
    answer: AnswerRow | None = None
    passage_seq: int = 0
    sent_ns: int = 0
    in_outage: bool = False


class Station(Protocol):
    """What gates report to."""

    stats: Stats

    def done(self, work: Work, outcome: Outcome) -> None:
        """A rider is through with a step."""

    def answered(self, device_id: int, sent: TapRow | None, answer: AnswerRow) -> None:
        """An answer came in; `sent` is the tap, None for a passage report."""

    def is_outage(self) -> bool:
        """Whether connections are down now."""

    def connected(self, gate: Gate) -> None:
        """A gate has its session."""

    def disconnected(self, gate: Gate) -> None:
        """A gate lost its session."""


class Gate:
    """One validator. Thread: the loop's.

    Args: address: where the gateway listens. rng: for back-off only.
    """

    def __init__(
        self, device: GateDevice, address: tuple[str, int], station: Station, rng: random.Random
    ) -> None:
        self.device = device
        self.failed: WireError | None = None
        self.ready = asyncio.Event()
        """In session, or failed for good."""
        self._address = address
        self._station = station
        self._rng = rng
        boot = secrets.randbits(63) | 1
        self._identity = DeviceIdentity(
            device.device_id, device.key, boot, device.key_version, "faregate simulate"
        )
        self._queue: deque[Work] = deque()
        self._seq = 0
        self._work: Work | None = None
        self._alone: list[Work] = []
        self._batch: list[Work] = []
        self._upload_due = False
        self._upload_timer: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._since_ack = 0
        self._closing = False
        self._session: GateSession | None = None
        self._running: asyncio.Task[None] | None = None

    # --- riders -----------------------------------------------------------------------------------

    def enqueue(self, work: Work) -> None:
        """A rider comes to the gate."""
        self._queue.append(work)
        if self._work is None:
            self._next()

    def _next(self) -> None:
        """Serve whoever is first, if the gate is free and has its session."""
        while self._session is not None and self._work is None and not self._batch:
            if self._upload_due and self._alone:
                self._batch, self._alone, self._upload_due = self._alone, [], False
                self._send()
            elif self._queue:
                self._begin(self._queue.popleft())
            else:
                return

    def _begin(self, work: Work) -> None:
        present = work.present
        alone = present.twist is Twist.OFFLINE
        self._seq += 1
        work.event = TapRow(
            boot=self._identity.boot_epoch,
            seq=self._seq,
            kind=int(present.kind),
            token=present.token,
            stop=0 if present.stop == self.device.stop_id else present.stop,
            device_ts_us=present.at_us,
            flags=int(present.flags | (ALONE[Twist.OFFLINE] if alone else 0)),
        )
        if alone:
            self._decide_alone(work)
        else:
            self._work = work
            work.in_outage = self._station.is_outage()
            work.sent_ns = time.perf_counter_ns()
            self._send()

    def _decide_alone(self, work: Work) -> None:
        """Without an answer, or too late for it: the tap goes into the next batch."""
        work.phase = Phase.BATCH
        self._alone.append(work)
        if self._upload_timer is None:
            loop = asyncio.get_running_loop()
            self._upload_timer = loop.call_later(UPLOAD_AFTER_S, self._upload)

    def _upload(self) -> None:
        self._upload_timer = None
        self._upload_due = True
        self._next()

    def _finish(self, work: Work, *, opened: bool, reason: int) -> None:
        self._work = None
        self._since_ack += 1
        if self._since_ack >= ACK_EVERY and not self._alone and self._session is not None:
            self._since_ack = 0
            self._session.send(FrameType.ACK, self._identity.boot_epoch, self._seq)
        self._station.done(work, Outcome(opened, reason))
        self._next()

    # --- requests ---------------------------------------------------------------------------------

    def _send(self) -> None:
        """Ask for the answer that is waited for; without a session the next one asks."""
        session, work = self._session, self._work
        if session is None:
            return
        if self._batch:
            session.send(FrameType.TAP_BATCH, [each.event for each in self._batch])
        elif work is None or work.event is None:
            return
        elif work.phase is Phase.PASSAGE:
            boot, passed = self._identity.boot_epoch, False
            at_us = work.event.device_ts_us + 4_000_000
            original = boot, work.event.seq
            session.send(FrameType.PASSAGE, boot, work.passage_seq, *original, passed, at_us)
        else:
            session.send(FrameType.TAP, work.event)

    def _send_again(self) -> None:
        """The same ids, one attempt more."""
        if self._batch or self._work is not None:
            self._station.stats.resent += 1
            for work in (*self._batch, *([self._work] if self._work else [])):
                work.event = _once_more(work.event)
            self._send()

    def _pause_then_again(self) -> None:
        loop = asyncio.get_running_loop()
        self._pause = loop.call_later(PAUSE_S * self._rng.uniform(0.5, 1.5), self._send_again)

    def on_error(self, error: WireError) -> None:
        """The gateway refused a request, or the session: do what its code asks for."""
        self._station.stats.errors[error.code] += 1
        if wire_code(error) in FINAL:
            self._give_up()
        elif error.retry is Retry.SAFE:
            self._pause_then_again()

    def _give_up(self) -> None:
        """Let whoever waits go without an answer."""
        waiting = [*self._batch, *([self._work] if self._work else [])]
        self._batch, self._work = [], None
        for work in waiting:
            self._station.done(work, Outcome(False, Reason.BAD_REQUEST))
        self._next()

    # --- answers ----------------------------------------------------------------------------------

    def on_answer(self, answer: AnswerRow) -> None:
        """To a tap."""
        work = self._work
        if work is None or work.event is None or answer[:2] != work.event[:2]:
            self._station.stats.stray += 1
            return
        if answer.reason == Reason.BUSY:
            self._pause_then_again()
            return
        stats = self._station.stats
        self._station.answered(self.device.device_id, work.event, answer)
        if work.answer is not None:
            stats.repeats += 1
            accepted = work.answer.reason < Reason.BUSY
            self._finish(work, opened=accepted, reason=work.answer.reason)
            return
        took_us = (time.perf_counter_ns() - work.sent_ns) // 1000
        stats.note_latency(took_us, in_outage=work.in_outage or self._station.is_outage())
        stats.note_answer(answer.kind, answer.reason, answer.fare_minor)
        work.answer = answer
        self._go_on(work, answer.reason)

    def _go_on(self, work: Work, reason: int) -> None:
        """After the first answer: most riders walk on, some have a twist."""
        twist = work.present.twist
        if twist is Twist.NONE or (twist is Twist.TURNED_BACK and reason >= Reason.BUSY):
            self._finish(work, opened=reason < Reason.BUSY, reason=reason)
        elif twist is Twist.TWICE:
            work.phase = Phase.AGAIN
            work.event = _once_more(work.event)
            self._send()
        elif twist is Twist.TURNED_BACK:
            self._seq += 1
            work.phase = Phase.PASSAGE
            work.passage_seq = self._seq
            self._send()
        else:
            work.event = _once_more(work.event, int(ALONE[twist]))
            self._work = None
            self._decide_alone(work)
            self._next()

    def on_passage_answer(self, answer: AnswerRow) -> None:
        """To a passage report."""
        work = self._work
        if work is None or work.phase is not Phase.PASSAGE or answer.seq != work.passage_seq:
            self._station.stats.stray += 1
            return
        if answer.reason == Reason.BUSY:
            self._pause_then_again()
            return
        self._station.answered(self.device.device_id, None, answer)
        self._station.stats.note_answer(answer.kind, answer.reason, answer.fare_minor)
        self._finish(work, opened=False, reason=Reason.OK)

    def on_batch_answer(self, answers: list[AnswerRow]) -> None:
        """To a batch of taps decided alone."""
        wanted = [work.event[:2] for work in self._batch if work.event is not None]
        if [answer[:2] for answer in answers] != wanted:
            self._station.stats.stray += 1
            return
        if any(answer.reason == Reason.BUSY for answer in answers):
            self._pause_then_again()
            return
        batch, self._batch = self._batch, []
        for work, answer in zip(batch, answers, strict=True):
            self._settled(work, answer)
        self._next()

    def _settled(self, work: Work, answer: AnswerRow) -> None:
        station = self._station
        station.answered(self.device.device_id, work.event, answer)
        if work.answer is None or work.answer.position != answer.position:
            station.stats.note_answer(answer.kind, answer.reason, answer.fare_minor)
        opened = work.present.twist is not Twist.REFUSED_ALONE
        station.done(work, Outcome(opened, answer.reason))

    # --- the session ------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, now and whenever the session ends, until `stop`."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Say good-bye and stay away."""
        for timer in (self._upload_timer, self._pause):
            if timer is not None:
                timer.cancel()
        self._closing = True
        session, self._session = self._session, None
        if session is not None:
            session.close()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def heartbeat(self) -> None:
        """Show that the gate is there."""
        if self._session is not None:
            mode = int(DeviceMode.NORMAL)
            self._session.send(FrameType.HEARTBEAT, now_us(), len(self._queue), mode)

    async def _run(self) -> None:
        attempt = refusals = 0
        while self.failed is None:
            if attempt:
                wait_s = min(BACK_OFF_MAX_S, BACK_OFF_S * 2 ** min(attempt, 10))
                await asyncio.sleep(wait_s * self._rng.uniform(0.3, 1.0))
            attempt += 1
            try:
                session = await open_gate_session(self._address, self._identity, self)
            except WireError as error:
                refusals += wire_code(error) is WireCode.AUTH_FAILED
                if refusals >= AUTH_ATTEMPTS:
                    self._fail(error)
                continue
            except (OSError, TimeoutError, Uncertain):
                continue
            attempt = refusals = 0
            await self._live(session)

    def _fail(self, error: WireError) -> None:
        self.failed = error
        self.ready.set()
        self._give_up()

    async def _live(self, session: GateSession) -> None:
        """One session, to its end."""
        self._session = session
        self._station.connected(self)
        self.ready.set()
        self._send_again()
        self._next()
        await session.closed
        if self._closing:
            return
        self._session = None
        if self._pause is not None:
            self._pause.cancel()
        for work in (*self._batch, *([self._work] if self._work else [])):
            work.in_outage = True
        self._station.stats.disconnects += 1
        self._station.disconnected(self)


def _once_more(event: TapRow | None, flags: int = 0) -> TapRow | None:
    """The same tap, one attempt later."""
    if event is None:
        return None
    return event._replace(flags=event.flags | flags, attempt=min(event.attempt + 1, 255))
