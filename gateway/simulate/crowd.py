"""The riders of a run, sent to the gates in the order of their clocks.

One heap holds every rider's next step; `pace` says how fast it is emptied. Riders whose step is
under way are not in the heap: they come back when the gate says what came of it.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fastpath.types import TapKind
from gateway.errors import EnvironmentFault
from gateway.simulate.gates import Gate, Work
from gateway.simulate.riders import Life, Outcome, Present, Step, TopUp
from gateway.simulate.session import AnswerRow, TapRow
from gateway.simulate.stats import Stats

TICK_S = 0.002
BURST_S = 0.05
"""After a pause no more than this much of the rate is caught up with."""
DRAIN_S = 15.0
CONNECT_AT_ONCE = 64
UNDER_WAY_PER_GATE = 4

TopUpCall = Callable[[int, int], Awaitable[bool]]
"""(rider, amount_minor) -> whether it was booked."""


@dataclass(frozen=True, slots=True)
class Pace:
    """taps_per_s: 0 = the next as soon as an answer comes."""

    seconds: float
    taps_per_s: int = 0


@dataclass(frozen=True, slots=True)
class GatePlan:
    """Which gates serve what: by stop, on buses, and inspectors' handhelds."""

    by_stop: Mapping[int, Sequence[Gate]]
    buses: Sequence[Gate]
    handhelds: Sequence[Gate]

    def find(self, present: Present) -> Gate | None:
        """The gate for a step; None = there is none of that sort."""
        if present.kind is TapKind.INSPECT:
            choice: Sequence[Gate] = self.handhelds
        elif present.kind is TapKind.FLAT:
            choice = self.buses
        else:
            choice = self.by_stop.get(present.stop, ())
        return choice[present.lot % len(choice)] if choice else None

    def all(self) -> list[Gate]:
        """Every gate."""
        return [gate for gates in self.by_stop.values() for gate in gates] + [
            *self.buses,
            *self.handhelds,
        ]


@dataclass(slots=True)
class Outage:
    """A time without all connections. Instants are of time.monotonic_ns."""

    began_ns: int
    first_answer_ns: int = 0
    ended_ns: int = 0
    """Every gate was back."""

    @property
    def recovery_us(self) -> int:
        """Until the first answer; 0 = there was none."""
        return max(0, self.first_answer_ns - self.began_ns) // 1000

    @property
    def length_us(self) -> int:
        """Until every gate was back; 0 = not yet."""
        return max(0, self.ended_ns - self.began_ns) // 1000


class Crowd:
    """Runs lives against gates. Implements what gates report to (gates.Station).

    Args: keep_log: remember every answer for the check (about 500 bytes each).
    """

    def __init__(
        self, lives: Sequence[Life], *, top_up: TopUpCall | None = None, keep_log: bool = False
    ) -> None:
        self.stats = Stats()
        self.log: list[tuple[int, TapRow | None, AnswerRow]] = []
        """(device, what it sent, its answer); a passage report counts as None."""
        self.outages: list[Outage] = []
        self.under_way = 0
        self.elapsed_s = 0.0
        self.clock_us = 0
        """Instant of the newest step on the riders' clocks."""
        self._lives = lives
        self._steps: list[Step | None] = [None] * len(lives)
        self._heap: list[tuple[int, int]] = []
        self._top_up = top_up
        self._top_ups: set[asyncio.Task[None]] = set()
        self._keep_log = keep_log
        self._gates = GatePlan({}, (), ())
        self._down: set[Gate] = set()
        self._closed_loop = False
        self._pump_scheduled = False
        self._limit = 0
        self._quiet = asyncio.Event()
        for rider, life in enumerate(lives):
            self._advance(rider, next(life, None))

    # --- what gates report ---------------------------------------------------------------------

    def done(self, work: Work, outcome: Outcome) -> None:
        """The rider goes on living."""
        self.under_way -= 1
        self._resume(work.rider, outcome)

    def answered(self, device_id: int, sent: TapRow | None, answer: AnswerRow) -> None:
        """Keep it for the check."""
        if self._keep_log:
            self.log.append((device_id, sent, answer))
        if self._down or (self.outages and not self.outages[-1].first_answer_ns):
            self._note_recovery()

    def _note_recovery(self) -> None:
        outage = self.outages[-1]
        if not outage.first_answer_ns:
            outage.first_answer_ns = time.monotonic_ns()

    def is_outage(self) -> bool:
        """Whether connections are down."""
        return bool(self._down)

    @property
    def down(self) -> int:
        """Gates without a session that had one."""
        return len(self._down)

    def connected(self, gate: Gate) -> None:
        """The last one to come back ends the outage."""
        self._down.discard(gate)
        if self.outages and not self._down and not self.outages[-1].ended_ns:
            self.outages[-1].ended_ns = time.monotonic_ns()

    def disconnected(self, gate: Gate) -> None:
        """The first one to go begins an outage."""
        if not self._down:
            self.outages.append(Outage(time.monotonic_ns()))
        self._down.add(gate)

    # --- the run ---------------------------------------------------------------------------------

    async def run(self, gates: GatePlan, pace: Pace, stopping: asyncio.Event | None = None) -> None:
        """Let riders travel until the time is over, the day is, or `stopping` is set; then wait
        for the answers under way (at most DRAIN_S).
        """
        self._gates = gates
        count = max(1, len(gates.all()))
        self._limit = count * UNDER_WAY_PER_GATE if pace.taps_per_s else count * 2
        began = time.monotonic()
        self._closed_loop = not pace.taps_per_s
        budget, last = 0.0, began
        self._pump()
        while not self._is_over(began, pace, stopping):
            await asyncio.sleep(TICK_S if pace.taps_per_s else 0.02)
            now = time.monotonic()
            self.elapsed_s = now - began
            budget = min(budget + pace.taps_per_s * (now - last), max(1, pace.taps_per_s * BURST_S))
            budget -= self._release(int(budget))
            last = now
        self._closed_loop = False
        await self._drain()
        self.elapsed_s = time.monotonic() - began

    @property
    def is_day_over(self) -> bool:
        """Every rider has lived through the whole day."""
        return not self._heap and not self.under_way

    def _is_over(self, began: float, pace: Pace, stopping: asyncio.Event | None) -> bool:
        if stopping is not None and stopping.is_set():
            return True
        return self.is_day_over or time.monotonic() - began >= pace.seconds

    async def _drain(self) -> None:
        """Wait until nobody is under way; what is unanswered after DRAIN_S stays so."""
        self._quiet.clear()
        if self.under_way:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._quiet.wait()

    def _release(self, wanted: int) -> int:
        """Send so many riders to their gates, as far as there is room; returns how many."""
        sent = 0
        while sent < wanted and self.under_way < self._limit and self._heap:
            at_us, rider = heapq.heappop(self._heap)
            self.clock_us = max(self.clock_us, at_us)
            self._send(rider)
            sent += 1
        return sent

    def _send(self, rider: int) -> None:
        step = self._steps[rider]
        if isinstance(step, Present):
            gate = self._gates.find(step)
            if gate is None or gate.failed is not None:
                self._resume(rider, Outcome(False, 0))
                return
            self.under_way += 1
            gate.enqueue(Work(rider, step))
        elif isinstance(step, TopUp):
            self.under_way += 1
            task = asyncio.get_running_loop().create_task(self._pay_in(rider, step))
            self._top_ups.add(task)
            task.add_done_callback(self._top_ups.discard)

    async def _pay_in(self, rider: int, step: TopUp) -> None:
        booked = self._top_up is not None and await self._top_up(rider, step.amount_minor)
        if booked:
            self.stats.top_ups += 1
            self.stats.top_up_minor += step.amount_minor
        self.under_way -= 1
        self._resume(rider, Outcome(booked, 0))

    def _resume(self, rider: int, outcome: Outcome) -> None:
        try:
            self._advance(rider, self._lives[rider].send(outcome))
        except StopIteration:
            self._advance(rider, None)
        if not self.under_way:
            self._quiet.set()
        if self._closed_loop and not self._pump_scheduled:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        if self._closed_loop:
            self._release(self._limit)

    def _advance(self, rider: int, step: Step | None) -> None:
        self._steps[rider] = step
        if step is not None:
            heapq.heappush(self._heap, (step.at_us, rider))


async def connect_all(gates: Sequence[Gate], *, timeout_s: float) -> None:
    """Open every session. Raises: EnvironmentFault: not in time; WireError: one was refused."""
    try:
        async with asyncio.timeout(timeout_s):
            for start in range(0, len(gates), CONNECT_AT_ONCE):
                await _connect(gates[start : start + CONNECT_AT_ONCE])
    except TimeoutError as error:
        missing = sum(not gate.ready.is_set() for gate in gates)
        said = f"{missing} of {len(gates)} validators got no session in {timeout_s:g} s"
        raise EnvironmentFault("ENV_TIMEOUT", said, "is the gateway's address right?") from error


async def _connect(gates: Sequence[Gate]) -> None:
    for gate in gates:
        gate.start()
    for gate in gates:
        await gate.ready.wait()
        if gate.failed is not None:
            raise gate.failed


def gate_rng(seed: int, device_id: int) -> random.Random:
    """Jitter of one gate's back-off."""
    return random.Random(f"{seed}/gate/{device_id}")
