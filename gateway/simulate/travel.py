"""One run: riders and gates made from a roster, let loose on a gateway, and watched."""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from fastpath.types import TariffSpec
from gateway.clock import now_us
from gateway.simulate.crowd import Crowd, GatePlan, Pace, connect_all, gate_rng
from gateway.simulate.gates import Gate
from gateway.simulate.riders import Habits, Profile, Rider
from gateway.simulate.roster import Place, Roster
from gateway.simulate.show import Snapshot
from gateway.simulate.world import World, plan_day
from gateway.tariffs.source import TariffSource

WATCH_EVERY_S = 0.25
HEARTBEAT_S = 20.0
FAST_TAPS_PER_S = 20_000
"""What a day is planned for when the riders come as fast as answers do."""
SPARE_PERCENT = 130
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is to be."""

    seconds: float
    taps_per_s: int = 0
    seed: int = 1
    keep_log: bool = False

    @property
    def taps(self) -> int:
        """Taps the riders' day must have room for."""
        rate = self.taps_per_s or FAST_TAPS_PER_S
        return int(self.seconds * rate) * SPARE_PERCENT // 100


@dataclass(frozen=True, slots=True)
class Hands:
    """What a run may do beside the link, and who watches it."""

    watch: Callable[[Snapshot], None] = lambda snapshot: None
    top_up: Callable[[Profile, int], Awaitable[bool]] | None = None
    stopping: asyncio.Event | None = None
    started: Callable[[Crowd], None] = lambda crowd: None


def build_world(spec: TariffSpec, source: TariffSource) -> World:
    """The subway for riders: a station with more lines is busier."""
    lines: dict[str, int] = defaultdict(int)
    for line in source.network.lines:
        for stop in line.stops:
            lines[stop] += 1
    crowds = {one.stop_id: lines[one.zh] ** 2 or 1 for one in source.network.stations}
    return World(spec, crowds)


async def travel(
    roster: Roster, world: World, address: tuple[str, int], plan: Plan, hands: Hands | None = None
) -> Crowd:
    """Let the riders of a roster travel; returns when the time is over and nobody is under way.

    Raises: TimeoutError: not all gates came into session. WireError: one was refused.
    """
    hands = hands or Hands()
    world.restrict({place.stop_id for place, _ in roster.devices if place.stop_id})
    crowd = _make_crowd(roster, world, plan, hands)
    gates = _make_gates(roster, address, crowd, plan.seed)
    everyone = gates.all()
    watcher = asyncio.create_task(_watch(crowd, len(everyone), plan, hands.watch))
    beats = asyncio.create_task(_beat(everyone))
    gc.collect()
    gc.disable()  # a pass over a hundred thousand answers would be measured as latency
    try:
        await connect_all(everyone, timeout_s=TIMEOUT_S)
        hands.started(crowd)
        await crowd.run(gates, Pace(plan.seconds, plan.taps_per_s), hands.stopping)
    finally:
        gc.enable()
        for task in (watcher, beats):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for gate in everyone:
            await gate.stop()
    hands.watch(_last_snapshot(crowd, len(everyone), plan))
    return crowd


def _make_crowd(roster: Roster, world: World, plan: Plan, hands: Hands) -> Crowd:
    day = plan_day(now_us(), riders=len(roster.riders), taps=plan.taps)
    habits = Habits()
    lives = [Rider(profile, world, day, plan.seed, habits).live() for profile in roster.riders]
    pay = hands.top_up

    async def top_up(rider: int, amount_minor: int) -> bool:
        return pay is not None and await pay(roster.riders[rider], amount_minor)

    return Crowd(lives, top_up=top_up, keep_log=plan.keep_log)


def _make_gates(roster: Roster, address: tuple[str, int], crowd: Crowd, seed: int) -> GatePlan:
    by_stop: dict[int, list[Gate]] = defaultdict(list)
    buses: list[Gate] = []
    handhelds: list[Gate] = []
    for place, device in roster.devices:
        gate = Gate(device, address, crowd, gate_rng(seed, device.device_id))
        _choose_row(place, by_stop, buses, handhelds).append(gate)
    return GatePlan(by_stop, buses, handhelds)


def _choose_row(
    place: Place,
    by_stop: Mapping[int, list[Gate]],
    buses: list[Gate],
    handhelds: list[Gate],
) -> list[Gate]:
    if place.is_handheld:
        return handhelds
    return by_stop[place.stop_id] if place.stop_id else buses


async def _beat(gates: list[Gate]) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        for gate in gates:
            gate.heartbeat()


async def _watch(crowd: Crowd, gates: int, plan: Plan, watch: Callable[[Snapshot], None]) -> None:
    before = 0
    while True:
        await asyncio.sleep(WATCH_EVERY_S)
        snapshot = _snapshot(crowd, gates, plan, before)
        before = snapshot.taps
        watch(snapshot)


def _last_snapshot(crowd: Crowd, gates: int, plan: Plan) -> Snapshot:
    """After the end: rate and percentiles of the whole run."""
    latency = crowd.stats.latency
    return replace(
        _snapshot(crowd, gates, plan, 0),
        taps_per_s=int(crowd.stats.taps / max(crowd.elapsed_s, 0.001)),
        p50_us=latency.quantile_us(500),
        p99_us=latency.quantile_us(990),
    )


def _snapshot(crowd: Crowd, gates: int, plan: Plan, before: int) -> Snapshot:
    stats = crowd.stats
    p50_us, p99_us = stats.take_recent()
    taps = stats.taps
    return Snapshot(
        elapsed_s=crowd.elapsed_s,
        seconds=plan.seconds,
        taps=taps,
        taps_per_s=int((taps - before) / WATCH_EVERY_S),
        p50_us=p50_us,
        p99_us=p99_us,
        reasons=stats.by_reason(),
        revenue_minor=stats.revenue_minor,
        gates=gates,
        gates_down=crowd.down,
        clock_us=crowd.clock_us,
        resent=stats.resent,
    )
