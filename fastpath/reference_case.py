"""One tap on its way through the rules of the reference engine, and the month it counts towards.

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fastpath.checks import sure
from fastpath.layers import CATEGORIES_MAX, Layers
from fastpath.reference_cells import Extras, Pass
from fastpath.reference_model import (
    DISCOUNT_MASK,
    Account,
    Decision,
    Medium,
    Period,
    SpecBook,
    Tap,
    Version,
)
from fastpath.types import (
    Act,
    CapOwner,
    JourneyState,
    MonthBasis,
    Rule,
    TapFlag,
    TapKind,
    TariffRules,
)

ACTS_MAX = 16
NO_RULE = Rule(0)


@dataclass(slots=True)
class Leg:
    """A leg that has a price: what the tables say about it, and when it was made.

    needs_distance: priced by a distance that came with the tap.
    """

    nominal_minor: int
    discountable_minor: int = 0
    distance_m: int = 0
    rules: Rule = NO_RULE
    group: int = 0
    stay: int = 0
    zones: int = 0xFFFF_FFFF
    source: int = 0
    column: int = 0
    needs_distance: bool = False
    network: int = 0
    category: int = 0
    frame_in: int = 0
    medium: int = 0
    dep_us: int = 0
    arr_us: int = 0


@dataclass(slots=True)
class Charge:
    """What a tap costs: the ride counts towards journey, month and counters, the surcharge nowhere.

    leg: set when chain and counters learn of it. ends_span: the chain only learns that it is over.
    """

    ride_minor: int = 0
    surcharge_minor: int = 0
    nominal_minor: int = 0
    is_new_trip: bool = True
    is_counted: bool = True
    leg: Leg | None = None
    ends_span: bool = False
    by_transfer: bool = False
    used_pass: Pass | None = None
    takes_ride: bool = False

    @property
    def fare_minor(self) -> int:
        return self.ride_minor + self.surcharge_minor

    @property
    def counted_nominal_minor(self) -> int:
        return 0 if self.used_pass is not None else self.nominal_minor


@dataclass(slots=True)
class Case:
    """A tap, what it is about, and what has been found out about it so far."""

    book: SpecBook
    medium: Medium | None
    account: Account | None
    tap: Tap
    out: Decision
    extras: Extras = field(default_factory=Extras)
    asks_room: bool = False
    version: Version | None = None
    period: Period | None = None
    ts_us: int = 0
    month: int = 0
    day: int = 0

    @property
    def is_offline(self) -> bool:
        return self.tap.kind != TapKind.INSPECT and bool(self.tap.flags & TapFlag.OFFLINE)

    @property
    def is_opened(self) -> bool:
        return self.is_offline and bool(self.tap.flags & TapFlag.DEVICE_OPENED)

    @property
    def is_late(self) -> bool:
        account = self.account
        if account is None or not self.is_offline:
            return False
        if self.tap.kind == TapKind.FLAT:
            return self.ts_us < account.last_ts_us
        newest = {JourneyState.OPEN: account.entry_ts_us, JourneyState.DONE: account.exit_ts_us}
        return self.ts_us < newest.get(JourneyState(account.journey_state), self.ts_us)

    @property
    def is_ride(self) -> bool:
        """Whether this is a check-out that ends the open journey."""
        return bool(
            self.tap.kind == TapKind.CHECK_OUT
            and self.account
            and self.account.is_open
            and not self.is_late
        )

    @property
    def is_joined(self) -> bool:
        """Whether this check-out ends a later leg of a journey.

        Not one that goes back to where the journey began: that leg is a journey of its own.
        """
        if not self.is_ride or self.owner.leg_count <= 1:
            return False
        splits = self.version is not None and self.version.splits_round_trips
        return not (splits and self.tap.stop == self.owner.origin_stop)

    @property
    def is_own_leg(self) -> bool:
        """Whether this check-out ends a later leg that is a journey of its own."""
        return self.is_ride and self.owner.leg_count > 1 and not self.is_joined

    @property
    def ride_origin(self) -> int:
        """Where the ride began that this check-out ends."""
        return self.owner.entry_stop if self.is_own_leg else self.owner.origin_stop

    @property
    def ride_discount(self) -> int:
        """Number of the ride's time discount: of the journey's first check-in, or of its own."""
        owner = self.owner
        if self.is_own_leg:
            return self.tariff.find_discount(owner.entry_stop, owner.entry_ts_us)
        return owner.entry_flags & DISCOUNT_MASK

    @property
    def tariff(self) -> Version:
        return sure(self.version)

    @property
    def layers(self) -> Layers:
        """The tariff's layers; empty ones when it has none."""
        return self.tariff.layers or Layers()

    @property
    def owner(self) -> Account:
        return sure(self.account)

    @property
    def totals(self) -> Period:
        return sure(self.period)

    @property
    def keeps_chain(self) -> bool:
        """Whether the owner's chain is kept: by the tariff's rules, or for a pass that is held."""
        version = self.tariff
        is_held = bool(self.extras.list_passes()) or self.extras.find_chain() is not None
        return version.has_chain or (version.has_pass_chain and is_held)

    @property
    def dep_us(self) -> int:
        """When the leg that this tap ends began: its first check-in."""
        if not self.is_ride:
            return self.ts_us
        chain = self.extras.find_chain() if self.is_joined and self.keeps_chain else None
        return chain.journey_dep_us if chain is not None else self.owner.entry_ts_us

    def act(self, kind: Act, number: int) -> None:
        """Note a rule of the tariff that acted; tariffs without layers note none."""
        if self.tariff.layers is not None and len(self.out.acts) < ACTS_MAX:
            self.out.acts = (*self.out.acts, kind << 24 | number)


def is_clock_off(book: SpecBook, tap: Tap) -> bool:
    """Whether the device's clock is not to be believed: it says so, or it is off by more than its
    limit. A tap made offline may lie as far back as the horizon; one from before it that the device
    let through was made by a clock that is wrong (1970, a battery that ran out).
    """
    version = book.find_at(tap.tariff_slot, tap.now_us)
    limits = version.rules if version else TariffRules()
    behind_us = tap.now_us - tap.device_ts_us
    if tap.flags & TapFlag.CLOCK_UNSURE or -behind_us > limits.clock_ahead_us:
        return True
    if tap.kind != TapKind.INSPECT and tap.flags & TapFlag.OFFLINE:
        is_opened = bool(tap.flags & TapFlag.DEVICE_OPENED)
        return is_opened and behind_us > limits.offline_horizon_us
    return behind_us > limits.clock_behind_us


def fare_time(book: SpecBook, tap: Tap) -> int:
    """The instant a fare is computed for."""
    return tap.now_us if is_clock_off(book, tap) else tap.device_ts_us


def entry_version(case: Case) -> Version | None:
    """The version that an open journey keeps; if it is gone: the one in force at its entry."""
    account = case.owner
    kept = case.book.find_by_key(account.entry_tariff)
    return kept or case.book.find_at(case.tap.tariff_slot, account.entry_ts_us)


def network_of(case: Case) -> int:
    """Network of the tap's line, or the one a record of it kept."""
    legs = case.tariff.legs
    if case.tap.network_plus_1:
        network = case.tap.network_plus_1 - 1
        return network if network < (legs.network_count if legs else 1) else 0
    return case.tariff.network_of.get(case.tap.line, 0)


def find_category(case: Case, ts_us: int) -> tuple[int, Rule]:
    """Rider category at an instant, and whether a concession made it."""
    if case.period is None:
        return 0, Rule(0)
    return category_at(case.tariff, case.owner, case.extras, ts_us)


def category_at(version: Version, account: Account, extras: Extras, ts_us: int) -> tuple[int, Rule]:
    """A concession valid at the instant, else the account's category."""
    count = version.legs.category_count if version.legs else CATEGORIES_MAX
    found = extras.find_category(ts_us)
    category = account.rider_category if found is None else found
    return category if category < count else 0, Rule(0) if found is None else Rule.CONCESSION


# --- monthly totals -------------------------------------------------------------------------------


def find_calendar(case: Case, instant_us: int) -> tuple[int, int] | None:
    """(month, service day) as the pricing tariff has them, else as the one in force then."""
    found = case.tariff.find_calendar(instant_us)
    if found is None:
        other = case.book.find_at(case.tap.tariff_slot, instant_us)
        found = other.find_calendar(instant_us) if other else None
    return found


def find_totals(case: Case, medium_period: Period | None) -> None:
    """Whose totals count, and which month and day this tap belongs to."""
    rules = case.tariff.rules
    of_medium = medium_period is not None and rules.cap_owner == CapOwner.MEDIUM
    case.period = medium_period if of_medium else case.owner.period
    if not case.tariff.spec.monthly_tiers:
        return
    instant_us = case.owner.entry_ts_us if case.is_ride and rules.month_by_entry else case.ts_us
    case.month, case.day = find_calendar(case, instant_us) or (0, 0)


def is_countable(case: Case) -> bool:
    """Only the two newest months are kept."""
    return case.month != 0 and case.month >= case.totals.prev_month


def count_month(case: Case, charge: Charge) -> int:
    """Count a trip; returns its month, 0 = not counted."""
    if not charge.is_counted or not is_countable(case):
        return 0
    period = case.totals
    period.open_month(case.month)
    period.open_day(case.day)
    is_nominal = case.tariff.rules.month_basis == MonthBasis.NOMINAL
    counted_minor = charge.counted_nominal_minor if is_nominal else charge.ride_minor
    trips = int(charge.is_new_trip)
    period.add(month=case.month, day=case.day, paid_minor=counted_minor, trips=trips)
    return case.month
