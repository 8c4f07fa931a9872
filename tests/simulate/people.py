"""Riders, gates and evidence for the tests of the simulation: a small network, a real gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastpath._journal import RecordView
from fastpath.reference import SpecBook
from fastpath.types import TapKind, TariffSpec
from gateway.config import Config
from gateway.keys import load_secrets
from gateway.link.handshake import derive_device_key
from gateway.simulate.check import CheckResult, Told, check_run
from gateway.simulate.crowd import Crowd
from gateway.simulate.gates import GateDevice
from gateway.simulate.orders import Orders
from gateway.simulate.replay import ReferenceReplay
from gateway.simulate.riders import (
    Habits,
    Life,
    Outcome,
    Persona,
    Present,
    Profile,
    Rider,
    Step,
    Twist,
)
from gateway.simulate.roster import (
    Place,
    Roster,
    announce_devices,
    choose_profiles,
    open_accounts,
    read_balances,
    top_up,
)
from gateway.simulate.session import AnswerRow, TapRow
from gateway.simulate.travel import Hands, Plan, travel
from gateway.simulate.world import Day, World
from tests.support.plane import Running, make_folder, records_of, running
from tests.support.tariff import STOPS, small_spec, small_tariff

US = 1_000_000
DAY_BEGINS_US = 1_760_000_000 * US  # 2025-10-09 08:53 UTC
DAY = Day(DAY_BEGINS_US, DAY_BEGINS_US + 20 * 3600 * US, 3600 * US)

PLACES = [Place(1, is_handheld=True), Place(1), *(Place(1, stop) for stop in STOPS)]
FIRST_DEVICE = 5_001


def small_world() -> World:
    """Four stops in a row."""
    return World(small_spec())


def profile(index: int = 0, persona: Persona = Persona.PLAIN, account_id: int = 1) -> Profile:
    """A rider with one card."""
    from fastpath.types import MediumKind

    token = index.to_bytes(8) * 2
    return Profile(index, persona, ((token, MediumKind.CARD),), 10_000, account_id)


def rider(seed: int = 1, index: int = 0, habits: Habits | None = None, day: Day = DAY) -> Rider:
    """A rider of the small network."""
    return Rider(profile(index), small_world(), day, seed, habits)


def lived(life: Life, answer: Callable[[Step], Outcome]) -> list[Step]:
    """All steps of a life whose outcomes a function gives."""
    steps: list[Step] = []
    step = next(life, None)
    while step is not None:
        steps.append(step)
        try:
            step = life.send(answer(step))
        except StopIteration:
            step = None
    return steps


def everything_opens(_: Step) -> Outcome:
    return Outcome(True, 0)


def make_roster(config: Config, riders: tuple[Profile, ...] = ()) -> Roster:
    """Validators at every stop, one on a bus, one in an inspector's hand."""
    master = load_secrets(config).master_key
    devices = [
        GateDevice(
            number, derive_device_key(master, number, 1), 1, place.tariff_slot, place.stop_id
        )
        for number, place in enumerate(PLACES, start=FIRST_DEVICE)
    ]
    return Roster(tuple(zip(PLACES, devices, strict=True)), riders)


def gate_at(roster: Roster, stop: int) -> GateDevice:
    """The validator of a stop; 0 = the bus."""
    return next(
        device
        for place, device in roster.devices
        if place.stop_id == stop and not place.is_handheld
    )


@dataclass(frozen=True)
class Evidence:
    """Everything a check needs."""

    records: list[RecordView]
    crowd: Crowd
    balances: dict[int, int]
    roster: Roster
    spec: TariffSpec = field(default_factory=small_spec)

    def check(self, **changed: object) -> CheckResult:
        """Check it, with something put in place of what was seen."""
        seen = {
            "records": self.records,
            "told": self.crowd.log,
            "balances": self.balances,
        } | changed
        book = SpecBook()
        book.put(1, small_tariff().key, self.spec)
        return check_run(
            seen["records"],  # type: ignore[arg-type]
            ReferenceReplay(book),
            told=seen["told"],  # type: ignore[arg-type]
            balances=seen["balances"],  # type: ignore[arg-type]
            stops={device.device_id: device.stop_id for _, device in self.roster.devices},
        )

    def find(self, **wanted: int) -> int:
        """Place of the first record with these fields."""
        return next(
            at
            for at, record in enumerate(self.records)
            if all(getattr(record, name) == value for name, value in wanted.items())
        )

    def falsified(self, at: int, **changed: object) -> CheckResult:
        """Check the journal up to a record that is falsified."""
        record = self.records[at]._replace(**changed)
        return self.check(records=[*self.records[:at], record], told=(), balances={})

    def told_falsely(self, told: Told) -> CheckResult:
        """Check one answer against the journal up to its record."""
        position = told[2].position
        records = [record for record in self.records if record.position <= position]
        return self.check(records=records, told=[told], balances={})

    def find_told(self, kind: int) -> tuple[int, TapRow, AnswerRow]:
        """The first answer to a tap of this kind."""
        return next(
            (device, sent, answer)
            for device, sent, answer in self.crowd.log
            if sent is not None and sent.kind == kind
        )


async def ride(
    hands: Running, roster: Roster, plan: Plan, *, meddle: Callable[[Crowd], None] | None = None
) -> tuple[Crowd, dict[int, int]]:
    """Let a roster's riders travel at a running gateway; the crowd, and the balances after it."""
    async with Orders(hands.config.control.socket, connections=8) as orders:
        await announce_devices(orders, roster)

        async def pay_in(who: Profile, amount_minor: int) -> bool:
            return await top_up(orders, who, amount_minor)

        crowd = await travel(
            roster,
            small_world(),
            ("127.0.0.1", hands.port),
            plan,
            Hands(top_up=pay_in, started=meddle or (lambda crowd: None)),
        )
        return crowd, await read_balances(orders, roster.riders)


async def gather_evidence(folder: Path, *, riders: int, seconds: float) -> Evidence:
    """A whole small run."""
    config = make_folder(folder)
    async with running(config) as hands:
        async with Orders(config.control.socket, connections=8) as orders:
            profiles = await open_accounts(orders, choose_profiles(config, 3, riders))
        roster = make_roster(config, tuple(profiles))
        plan = Plan(seconds, taps_per_s=3_000, seed=3, keep_log=True)
        crowd, balances = await ride(hands, roster, plan)
    return Evidence(records_of(config), crowd, balances, roster)


def run_evidence(folder: Path) -> Evidence:
    """For a module's fixture."""
    return asyncio.run(gather_evidence(folder, riders=150, seconds=1.5))


def present(at_us: int, kind: TapKind, stop: int, who: Profile, twist: Twist) -> Present:
    """One step by hand."""
    return Present(at_us, kind, stop, who.media[0][0], 0, twist)


__all__ = [
    "DAY",
    "Evidence",
    "Habits",
    "Outcome",
    "everything_opens",
    "gate_at",
    "lived",
    "make_roster",
    "present",
    "profile",
    "ride",
    "rider",
    "run_evidence",
    "small_world",
]
