"""What the reference engine works on: the structs of layout.h and tariffs as Python objects.

Field names are those of layout.h, where the comments stand. Must import only the standard library
and fastpath.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from fastpath.layers import Begins, Layers, Legs, Measured
from fastpath.limits import LimitSpec
from fastpath.types import (
    FarePart,
    JourneyState,
    Reason,
    Rule,
    TariffRules,
    TariffSpec,
)
from fastpath.wallet import Facts

MONEY_MAX = 1 << 60
NO_FACTS = Facts()
FARE_MAX = 100_000_000
LEGS_MAX = 15
PRECEDENCE = {reason: place for place, reason in enumerate(Reason)}

# Account.entry_flags and last_flags, as in _layout.pxd.
DISCOUNT_MASK = 0x0F
PREV_DISCOUNT_SHIFT = 4
LAST_PREV_DONE = 1
LAST_NO_JOURNEY = 2
LAST_CHAIN = 4
LAST_LEGS_SHIFT = 4

PART_RULES = {
    FarePart.NOT_PRICED: Rule(0),
    FarePart.BAND: Rule.DISTANCE_BAND,
    FarePart.BEYOND: Rule.BEYOND_BANDS,
    FarePart.SEPARATE: Rule.SEPARATE_LINE,
    FarePart.COMBINED: Rule.SEPARATE_LINE | Rule.DISTANCE_BAND,
}


def first_told(objections: Iterable[Reason]) -> Reason | None:
    """The objection that is told: the one declared first."""
    return min(objections, key=PRECEDENCE.__getitem__, default=None)


def fits(amount_minor: int) -> bool:
    """Whether an account may hold this much."""
    return -MONEY_MAX <= amount_minor <= MONEY_MAX


# --- state and messages: the fields of layout.h ---------------------------------------------------


@dataclass(slots=True)
class Period:
    """Running totals of an account or a medium."""

    month: int = 0
    month_trips: int = 0
    month_paid_minor: int = 0
    prev_month: int = 0
    prev_month_trips: int = 0
    prev_month_paid_minor: int = 0
    day: int = 0
    day_trips: int = 0
    day_paid_minor: int = 0

    def total(self, month: int) -> int:
        """What was paid in a month; 0 for a month that is not kept."""
        if month == self.month:
            return self.month_paid_minor
        return self.prev_month_paid_minor if month == self.prev_month else 0

    def trips(self, month: int) -> int:
        """How many trips a month had; 0 for a month that is not kept."""
        if month == self.month:
            return self.month_trips
        return self.prev_month_trips if month == self.prev_month else 0

    def open_month(self, month: int) -> None:
        """Make room for a month: the two newest are kept."""
        if month > self.month:
            self.prev_month, self.month = self.month, month
            self.prev_month_paid_minor, self.month_paid_minor = self.month_paid_minor, 0
            self.prev_month_trips, self.month_trips = self.month_trips, 0
        elif self.prev_month < month < self.month:
            self.prev_month, self.prev_month_paid_minor, self.prev_month_trips = month, 0, 0

    def open_day(self, day: int) -> None:
        """Begin a day, if it is newer."""
        if day > self.day:
            self.day, self.day_paid_minor, self.day_trips = day, 0, 0

    def add(self, *, month: int, day: int, paid_minor: int, trips: int) -> None:
        """Add to month and day; negative numbers take away, never below 0."""
        if month == self.month:
            self.month_paid_minor = max(0, self.month_paid_minor + paid_minor)
            self.month_trips = max(0, self.month_trips + trips)
        elif month == self.prev_month:
            self.prev_month_paid_minor = max(0, self.prev_month_paid_minor + paid_minor)
            self.prev_month_trips = max(0, self.prev_month_trips + trips)
        if day and day == self.day:
            self.day_paid_minor = max(0, self.day_paid_minor + paid_minor)
            self.day_trips = max(0, self.day_trips + trips)


@dataclass(slots=True)
class Account:
    """One account; the comments stand in layout.h."""

    account_id: int = 0
    version: int = 0
    balance_minor: int = 0
    subsidy_minor: int = 0
    credit_limit_minor: int = 0
    held_minor: int = 0
    position: int = 0
    status: int = 0
    currency: int = 0
    rider_category: int = 0
    tier: int = 0
    cell_count: int = 0
    spare0: int = 0
    entry_ts_us: int = 0
    entry_device: int = 0
    entry_boot: int = 0
    entry_tariff: int = 0
    entry_seq: int = 0
    entry_stop: int = 0
    exit_ts_us: int = 0
    exit_stop: int = 0
    journey_state: int = 0
    entry_medium_kind: int = 0
    leg_count: int = 0
    entry_flags: int = 0
    journey_paid_minor: int = 0
    period: Period = field(default_factory=Period)
    origin_stop: int = 0
    first_cell: int = 0
    last_flat_ts_us: int = 0
    last_device: int = 0
    last_boot: int = 0
    last_seq: int = 0
    last_stop: int = 0
    last_ts_us: int = 0
    last_fare_minor: int = 0
    last_subsidy_minor: int = 0
    last_kind: int = 0
    last_medium_kind: int = 0
    last_flags: int = 0
    last_token: int = 0
    last_month: int = 0
    prev_origin_stop: int = 0
    prev_paid_minor: int = 0

    @property
    def spendable_minor(self) -> int:
        return self.balance_minor + self.subsidy_minor - self.held_minor

    @property
    def is_open(self) -> bool:
        return self.journey_state == JourneyState.OPEN


@dataclass(slots=True)
class Medium:
    """A token's row: whose it is and whether it is good."""

    token: bytes = bytes(16)
    account_slot: int = 0
    kind: int = 0
    state: int = 0
    version: int = 0
    expires_us: int = 0


@dataclass(frozen=True, slots=True)
class Tap:
    """One tap as the engine sees it."""

    kind: int
    stop: int
    device_ts_us: int
    now_us: int
    device: int = 1
    boot: int = 1
    seq: int = 1
    token: bytes = bytes(16)
    amount_minor: int = -1
    flags: int = 0
    line: int = 0
    denylist_version: int = 0
    medium_kind: int = 0
    tariff_slot: int = 0
    attempt: int = 0
    distance_m: int = 0
    network_plus_1: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the control plane."""

    op: int
    account_id: int = 0
    client: int = 0
    id_high: int = 0
    id_low: int = 0
    expected_version: int = 0
    now_us: int = 0
    amount_minor: int = 0
    expires_us: int = 0
    token: bytes = bytes(16)
    currency: int = 0
    status_bits: int = 0
    purse: int = 0
    rider_category: int = 0
    medium_kind: int = 0
    medium_state: int = 0
    from_us: int = 0
    pass_id: int = 0
    rides: int = 0
    facts: Facts = NO_FACTS
    has_facts: int = 0
    horizon_us: int = 30 * 86_400_000_000
    """Operations older than that are no longer known."""


@dataclass(slots=True)
class Decision:
    """What was decided, and why."""

    reason: int = 0
    verdict: int = 0
    rules: int = 0
    fare_minor: int = 0
    nominal_minor: int = 0
    subsidy_minor: int = 0
    balance_minor: int = 0
    period_paid_minor: int = 0
    ts_us: int = 0
    tariff_key: int = 0
    distance_m: int = 0
    other_stop: int = 0
    acts: tuple[int, ...] = ()
    network: int = 0
    amount_minor: int = 0
    """Into (> 0) or out of the account from outside: commands."""
    parts: tuple[tuple[int, int], ...] = ()
    """(purse, amount > 0): what came from purse cells or went back to them."""


# --- tariffs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """What a tariff says about one origin and destination."""

    fare_minor: int
    discountable_minor: int
    distance_m: int
    rules: Rule


@dataclass(frozen=True)
class Version:
    """A tariff and the key that journeys and decisions name it by."""

    key: int
    spec: TariffSpec

    @cached_property
    def index_of(self) -> dict[int, int]:
        return {stop: index for index, stop in enumerate(self.spec.stop_ids)}

    @property
    def rules(self) -> TariffRules:
        return self.spec.rules

    @property
    def layers(self) -> Layers | None:
        return self.spec.layers

    @property
    def legs(self) -> Legs | None:
        return self.spec.layers.legs if self.spec.layers else None

    @cached_property
    def network_of(self) -> dict[int, int]:
        legs = self.legs
        return dict(zip(legs.line_ids, legs.line_network, strict=True)) if legs else {}

    @property
    def has_chain(self) -> bool:
        """Whether every account keeps a chain (docs/fares.md, layer 2)."""
        layers = self.layers
        if layers is None:
            return False
        has_frames = layers.legs is not None and layers.legs.frames.count > 1
        by_frame = has_frames and self.spec.out_of_station
        has_any = layers.transfers or layers.joins
        return bool(by_frame or has_any or layers.group_riders_max > 1)

    @property
    def has_span(self) -> bool:
        """Whether windows of transfers ask for more than a chain keeps."""
        arrivals = (Measured.ARRIVAL_TO_DEPARTURE, Measured.ARRIVAL_TO_ARRIVAL)
        return self.layers is not None and any(
            one.begins == Begins.RUN or (one.begins == Begins.SPAN and one.measured in arrivals)
            for one in self.layers.transfers
        )

    @property
    def has_pass_chain(self) -> bool:
        """Whether accounts that hold passes keep a chain, though others need none."""
        layers = self.layers
        sells = layers is not None and layers.passes and self.spec.out_of_station
        return bool(sells and not self.has_chain)

    @property
    def splits_round_trips(self) -> bool:
        """Whether a later leg that goes back to where the journey began is a journey of its own.

        Not where only joins are: there the legs of a feed are one leg, wherever it ends.
        """
        layers = self.layers
        if layers is None or not layers.joins:
            return True
        has_price = self.rules.same_stop_fare_minor >= 0
        return bool(layers.same_stop or has_price or self.spec.out_of_station)

    def knows(self, stop: int) -> bool:
        """Whether one may enter and leave here."""
        return stop in self.index_of or (self.legs is not None and self.legs.any_stop)

    def holds(self, ts_us: int) -> bool:
        until_us = self.spec.valid_until_us
        return self.spec.valid_from_us <= ts_us and (until_us == 0 or ts_us < until_us)

    def find_day(self, ts_us: int) -> int | None:
        """Place of the instant in the day table."""
        place = bisect_right(self.spec.days.start_us, ts_us) - 1
        return place if 0 <= place < len(self.spec.days.start_us) - 1 else None

    def find_calendar(self, ts_us: int) -> tuple[int, int] | None:
        """(month, service day) of an instant."""
        place = self.find_day(ts_us)
        if place is None:
            return None
        return self.spec.days.month[place], self.spec.days.first_day + place

    def find_pair(self, origin_stop: int, exit_stop: int, *, is_plain: bool = False) -> Pair | None:
        """Price of a ride between public stop ids, None = no price.

        is_plain: by the table alone, whatever leaving where one entered costs.
        """
        origin, destination = self.index_of.get(origin_stop), self.index_of.get(exit_stop)
        if origin is None or destination is None:
            return None
        same_minor = -1 if is_plain else self.rules.same_stop_fare_minor
        if origin == destination and same_minor >= 0:
            return Pair(same_minor, 0, 0, Rule.SAME_STATION)
        spec, at = self.spec, origin * len(self.spec.stop_ids) + destination
        if spec.od_fare_minor[at] < 0:
            return None
        part = PART_RULES[FarePart(spec.od_part[at])]
        return Pair(
            spec.od_fare_minor[at], spec.od_discountable_minor[at], spec.od_distance_m[at], part
        )

    def highest_minor(self, stop: int) -> int:
        if stop not in self.index_of and self.legs is not None:
            return max(0, self.legs.highest_any_minor)
        return max(0, self.spec.highest_minor[self.index_of[stop]])

    def find_discount(self, stop: int, ts_us: int) -> int:
        """Number (from 1) of the first time discount for a journey from here and now, 0 = none."""
        day = self.find_day(ts_us)
        if day is None or stop not in self.index_of:
            return 0
        for number, one in enumerate(self.spec.time_discounts, start=1):
            is_inside = one.start_us[day] <= ts_us < one.end_us[day]
            if one.stop_flags[self.index_of[stop]] and is_inside:
                return number
        return 0

    def has_pair(self, exit_stop: int, entry_stop: int) -> bool:
        """Whether there is an out-of-station interchange between two stops."""
        pair = (self.index_of.get(exit_stop), self.index_of.get(entry_stop))
        return any((one.from_idx, one.to_idx) == pair for one in self.spec.out_of_station)

    def has_interchange(self, exit_stop: int, entry_stop: int, gap_us: int) -> bool:
        """Whether leaving here and entering there so much later continues the journey."""
        pair = (self.index_of.get(exit_stop), self.index_of.get(entry_stop))
        return any(
            (one.from_idx, one.to_idx) == pair and gap_us <= one.window_us
            for one in self.spec.out_of_station
        )


@dataclass(frozen=True, slots=True)
class LimitVersion:
    """Limits of identity tiers and the key that group heads name them by."""

    key: int
    spec: LimitSpec


class SpecBook:
    """The loaded versions by slot, and the limits of identity tiers (None = nobody has any)."""

    def __init__(self) -> None:
        self.slots: dict[int, list[Version]] = {}
        self.limits: LimitVersion | None = None

    def put(self, slot: int, key: int, spec: TariffSpec) -> None:
        """Load a version; one with the same valid_from_us gives way."""
        others = self.slots.get(slot, [])
        kept = [one for one in others if one.spec.valid_from_us != spec.valid_from_us]
        self.slots[slot] = sorted(
            [*kept, Version(key, spec)], key=lambda one: one.spec.valid_from_us
        )

    def drop(self, slot: int, key: int) -> None:
        """Forget a version."""
        self.slots[slot] = [one for one in self.slots.get(slot, []) if one.key != key]

    def find_at(self, slot: int, ts_us: int) -> Version | None:
        """The newest version in force at an instant."""
        fitting = [one for one in self.slots.get(slot, []) if one.holds(ts_us)]
        return fitting[-1] if fitting else None

    def find_by_key(self, key: int) -> Version | None:
        """The version with this key, in whatever slot."""
        return next(
            (v for slot in sorted(self.slots) for v in self.slots[slot] if v.key == key), None
        )
