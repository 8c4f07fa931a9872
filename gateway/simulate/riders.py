"""What simulated riders do: journeys, and the trouble that comes with them.

A rider is a generator: it yields what it does next (`Present` or `TopUp`) and is sent what came of
it. Nothing here knows sockets or the time of day; the same seed and the same outcomes give the same
steps.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from fastpath.types import MediumKind, Reason, TapFlag, TapKind
from gateway.simulate.world import US_PER_S, Day, World

MINUTE_US = 60 * US_PER_S
PPM = 1_000_000
LOTS = 1 << 16


class Twist(IntEnum):
    """What goes otherwise than usual around one tap."""

    NONE = 0
    TWICE = 1
    """The answer got lost: the gate sends the same tap again."""
    TURNED_BACK = 2
    """Accepted, but the rider did not go through: passage report."""
    REFUSED_ALONE = 3
    """The answer came too late, the gate refused; uploaded later."""
    OPENED_ALONE = 4
    """The answer came too late, the gate opened; uploaded later."""
    OFFLINE = 5
    """No connection at all: the gate opened, the tap comes in a batch."""


class Present(NamedTuple):
    """Hold a medium to a gate (or a bus, or an inspector's handheld: stop 0)."""

    at_us: int
    kind: TapKind
    stop: int
    token: bytes
    lot: int
    """Chooses one of the gates there."""
    twist: Twist = Twist.NONE
    flags: int = 0


class TopUp(NamedTuple):
    """Put money on the account at a machine."""

    at_us: int
    amount_minor: int


Step = Present | TopUp


class Outcome(NamedTuple):
    """What came of a step: did the gate open (a top-up: was it booked), and the last reason."""

    opened: bool
    reason: int


Life = Generator[Step, Outcome, None]
Errand = Generator[Step, Outcome, int]
"""Part of a life; returns the instant at which it ends."""
Attempt = Generator[Step, Outcome, tuple[int, bool]]
"""The instant, and whether the gate was passed."""


class Persona(StrEnum):
    """Sorts of riders."""

    PLAIN = "plain"
    POOR = "poor"
    FAMILY = "family"
    """Two media on one account."""
    PENSIONER = "pensioner"
    """Subsidy and a credit line."""
    LOST = "lost"
    STRANGER = "stranger"
    """A medium nobody linked."""
    FROZEN = "frozen"


SHARES_PPM = {
    Persona.PLAIN: 870_000,
    Persona.POOR: 50_000,
    Persona.FAMILY: 30_000,
    Persona.PENSIONER: 20_000,
    Persona.LOST: 10_000,
    Persona.STRANGER: 10_000,
    Persona.FROZEN: 10_000,
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What has to exist before a rider can begin. account_id 0 = none (yet, or at all)."""

    index: int
    persona: Persona
    media: tuple[tuple[bytes, MediumKind], ...]
    credit_minor: int
    account_id: int = 0

    @property
    def has_account(self) -> bool:
        """Strangers have none."""
        return self.persona is not Persona.STRANGER


_KINDS = (MediumKind.CARD,) * 7 + (MediumKind.PHONE,) * 2 + (MediumKind.QR,)


def rider_rng(seed: int, index: int, part: str) -> random.Random:
    """Randomness of one rider and purpose, independent of all others."""
    return random.Random(f"{seed}/{index}/{part}")


def make_profile(seed: int, index: int, tokens: tuple[bytes, bytes]) -> Profile:
    """Choose who the rider is. tokens: for its first medium and, if it has one, the second."""
    rng = rider_rng(seed, index, "profile")
    persona = _choose_persona(rng)
    media = [(tokens[0], rng.choice(_KINDS))]
    if persona is Persona.FAMILY:
        media.append((tokens[1], rng.choice(_KINDS)))
    poor = persona is Persona.POOR
    credit = rng.randrange(100, 900) if poor else rng.randrange(5_000, 25_000, 100)
    return Profile(index, persona, tuple(media), credit)


def _choose_persona(rng: random.Random) -> Persona:
    return rng.choices(list(SHARES_PPM), list(SHARES_PPM.values()))[0]


@dataclass(frozen=True, slots=True)
class Habits:
    """How often things happen, parts per million of taps or journeys."""

    twice: int = 10_000
    turned_back: int = 8_000
    refused_alone: int = 4_000
    opened_alone: int = 4_000
    offline: int = 5_000
    second_check_in: int = 10_000
    jump_in: int = 6_000
    """Enter without a tap; the exit is refused, the service desk helps."""
    jump_out: int = 6_000
    """Leave without a tap."""
    inspected: int = 10_000
    bus: int = 150_000
    bus_twice: int = 30_000
    walk: int = 30_000
    same_station: int = 5_000
    overstay: int = 2_000
    top_up: int = 300_000
    """Of refusals for lack of money."""

    def twist(self, rng: random.Random) -> Twist:
        """What happens around one tap."""
        lot = rng.random() * PPM
        for twist, part in (
            (Twist.TWICE, self.twice),
            (Twist.TURNED_BACK, self.turned_back),
            (Twist.REFUSED_ALONE, self.refused_alone),
            (Twist.OPENED_ALONE, self.opened_alone),
            (Twist.OFFLINE, self.offline),
        ):
            lot -= part
            if lot < 0:
                return twist
        return Twist.NONE


class Rider:
    """One rider's day. `live()` gives its steps."""

    def __init__(
        self, profile: Profile, world: World, day: Day, seed: int, habits: Habits | None = None
    ) -> None:
        self.profile = profile
        self._world = world
        self._day = day
        self._habits = habits or Habits()
        self._rng = rider_rng(seed, profile.index, "day")
        self._token = profile.media[0][0]

    def live(self) -> Life:
        """All steps of the day, in the order of their instants."""
        rng, day = self._rng, self._day
        now = day.begin_us + int(rng.random() * day.cycle_us)
        place = self._world.choose_stop(rng)
        while True:
            opening = self._world.opening_us(now)
            if opening > now:
                now = opening + rng.randrange(day.hurry(90 * MINUTE_US))
            if now >= day.end_us:
                return
            self._token = rng.choice(self.profile.media)[0]
            began = now
            if self._happens(self._habits.bus):
                now = yield from self._take_bus(now)
            else:
                target = self._choose_target(place)
                now = yield from self._travel(now, place, target)
                place = target
            pause = int(day.cycle_us * rng.uniform(0.8, 1.2))
            now = max(now + day.hurry(5 * MINUTE_US), began + pause)

    def _happens(self, part_ppm: int) -> bool:
        return self._rng.random() * PPM < part_ppm

    def _choose_target(self, place: int) -> int:
        if self._happens(self._habits.same_station):
            return place
        return self._world.choose_target(self._rng, place)

    def _present(
        self, at_us: int, kind: TapKind, stop: int, twist: Twist = Twist.NONE, flags: int = 0
    ) -> Present:
        return Present(at_us, kind, stop, self._token, int(self._rng.random() * LOTS), twist, flags)

    def _take_bus(self, now: int) -> Errand:
        yield self._present(now, TapKind.FLAT, 0, self._habits.twist(self._rng))
        if self._happens(self._habits.bus_twice):
            now += 10 * US_PER_S
            yield self._present(now, TapKind.FLAT, 0)
        return now + self._day.hurry(15 * MINUTE_US)

    def _travel(self, now: int, start: int, target: int) -> Errand:
        walks = self._world.walks
        if walks and self._happens(self._habits.walk):
            walk = self._rng.choice(walks)
            now = yield from self._ride(now, start, walk.from_stop)
            now += int(walk.window_us * self._rng.uniform(0.2, 1.1))
            start = walk.to_stop
        return (yield from self._ride(now, start, target))

    def _ride(self, now: int, start: int, target: int) -> Errand:
        if not self._happens(self._habits.jump_in):
            now, inside = yield from self._enter(now, start)
            if not inside:
                return now
        now = yield from self._go_along(now, start, target)
        if self._happens(self._habits.jump_out):
            return now
        return (yield from self._leave(now, target))

    def _go_along(self, now: int, start: int, target: int) -> Errand:
        ride = self._world.ride_us(start, target) + self._rng.randrange(5 * MINUTE_US)
        ride = self._day.hurry(ride)
        if self._happens(self._habits.overstay):
            ride = 250 * MINUTE_US
        if self._happens(self._habits.inspected):
            yield self._present(now + ride // 2, TapKind.INSPECT, 0)
        return now + ride

    def _enter(self, now: int, stop: int) -> Attempt:
        for _ in range(3):
            outcome = yield self._present(
                now, TapKind.CHECK_IN, stop, self._habits.twist(self._rng)
            )
            if outcome.opened:
                if self._happens(self._habits.second_check_in):
                    now += 3 * US_PER_S
                    yield self._present(now, TapKind.CHECK_IN, stop)
                return now, True
            now += self._rng.randrange(5, 30) * US_PER_S
            now, again = yield from self._sort_out(now, stop, outcome.reason)
            if not again:
                break
        return now, False

    def _sort_out(self, now: int, stop: int, reason: int) -> Attempt:
        """After a refusal at the entry; the second value says whether to try again."""
        if reason == Reason.INSUFFICIENT_BALANCE and self._happens(self._habits.top_up):
            outcome = yield TopUp(now, self._rng.randrange(1_000, 5_000, 100))
            return now + 30 * US_PER_S, outcome.opened
        if reason == Reason.ALREADY_IN:
            yield self._present(now, TapKind.CHECK_OUT, stop, flags=TapFlag.SERVICE_DESK)
            return now + 30 * US_PER_S, True
        return now, reason < Reason.BUSY

    def _leave(self, now: int, stop: int) -> Errand:
        for _ in range(2):
            outcome = yield self._present(
                now, TapKind.CHECK_OUT, stop, self._habits.twist(self._rng)
            )
            now += self._rng.randrange(5, 30) * US_PER_S
            if outcome.opened:
                return now
        yield self._present(now, TapKind.CHECK_OUT, stop, flags=TapFlag.SERVICE_DESK)
        return now
