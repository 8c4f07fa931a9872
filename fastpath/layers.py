"""The compiled form of what a tariff says beyond one price per origin and destination.

Three layers (docs/fares.md says what each does to a fare): what one leg costs, what legs of one
journey do to each other, what a day, week or month does to a journey. Dense tables and integers;
made by gateway.tariffs, immutable. Must import only the standard library.

Money is int minor units, factors are parts per million, instants and durations are microseconds,
-1 = none unless said otherwise. `source` numbers point into the tariff's table of origins
(file and line), 0 = nowhere.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import IntEnum

NETWORKS_MAX = 32
CATEGORIES_MAX = 16
MEDIA_MAX = 16
FRAMES_MAX = 64
COLUMNS_MAX = 4096
GROUPS_MAX = 512
OWN_TRANSFERS_MAX = 63
"""Chains count so far how many transfers in a row led from a leg group to itself."""
TRANSFERS_MAX = 4096
COUNTERS_MAX = 8
PERIOD_RULES_MAX = 16
STEPS_MAX = 16
PASS_PRODUCTS_MAX = 64
PASS_CELLS_MAX = 8
"""How many passes of one account a decision looks at, in the order of the account's cells."""
ALL_ZONES = 0xFFFF_FFFF
ALL_NETWORKS = 0xFFFF_FFFF
ALL_CATEGORIES = 0xFFFF
ALL_FRAMES = (1 << FRAMES_MAX) - 1
ALL_MEDIA = 0xFFFF


class RoundMode(IntEnum):
    """How a discounted price becomes a multiple of the unit."""

    HALF_UP = 0
    HALF_EVEN = 1
    DOWN = 2
    UP = 3


class OverstayKind(IntEnum):
    """What staying longer than allowed costs; what is added is a surcharge."""

    FEE = 0
    """The fare and overstay_minor."""
    HIGHEST = 1
    """The highest fare of the entry stop instead of the fare."""
    TWO_HIGHEST = 2
    """Two incomplete journeys: the highest fares of entry and exit stop instead of the fare."""


class SameStopKind(IntEnum):
    """What leaving where one entered costs."""

    FREE = 0
    FARE = 1
    """fare_minor, or the leg's own price when that is -1. Counts like any fare."""
    HIGHEST = 2
    """`times` x the highest fare of the stop: a surcharge."""


class TransferEffect(IntEnum):
    """What a leg costs when a transfer joins it to the leg before (A, then B; AB = the amount)."""

    FIRST_AND_TRANSFER = 0
    """A + AB: this leg costs AB. GTFS fare_transfer_type 0."""
    ALL = 1
    """A + AB + B: this leg costs AB + B. GTFS 1."""
    TRANSFER_ONLY = 2
    """AB: this leg costs AB less what A cost; below 0 = given back. GTFS 2."""
    MINUS = 3
    """This leg costs B less the amount, not below 0."""
    DIFFERENCE = 4
    """This leg costs what B is dearer than all the span has cost so far, plus AB."""
    THROUGH = 5
    """Priced by the distance of the whole span, less what the span has cost so far, plus AB."""


class Measured(IntEnum):
    """Between which instants the window of a transfer runs: GTFS duration_limit_type."""

    DEPARTURE_TO_ARRIVAL = 0
    DEPARTURE_TO_DEPARTURE = 1
    ARRIVAL_TO_DEPARTURE = 2
    ARRIVAL_TO_ARRIVAL = 3


class Begins(IntEnum):
    """Where the window of a transfer begins."""

    LEG = 0
    """With the leg before."""
    SPAN = 1
    """With the first leg of the span."""
    RUN = 2
    """With the first of the legs in a row of one group: GTFS durations of equal leg groups."""


class Window(IntEnum):
    """How long a counter runs before it begins again."""

    DAY = 0
    """A service day."""
    WEEK = 1
    """Seven service days from week_start (0 = Monday)."""
    MONTH = 2
    """The calendar month of the service day."""
    ROLLING_DAYS = 3
    """`length` service days, the one of the first counted tap included."""
    ROLLING = 4
    """`length` microseconds from the first counted tap."""


class Measure(IntEnum):
    """What a period rule compares with its steps."""

    PAID = 0
    TRIPS = 1


class PeriodKind(IntEnum):
    """What a period rule does."""

    TIERS = 0
    """Multiplies the price by the factor of the step the counter stands in."""
    CAP = 1
    """Charges no more than is left to the limit."""


class PassStart(IntEnum):
    """When the time of a pass begins."""

    PURCHASE = 0
    FIRST_USE = 1


@dataclass(frozen=True, slots=True)
class Frames:
    """Which time frame an instant lies in. Instants outside the day table are in frame 0.

    row: one more entry than service days; entries row[i] to row[i + 1] belong to service day i and
    are ascending; the first of a day begins with the day. An instant is in the frame of the last
    entry that is not behind it.
    """

    count: int
    row: array[int]
    start_us: array[int]
    frame: bytes


@dataclass(frozen=True, slots=True)
class Bands:
    """Prices by distance: of the first band whose end is not below the distance.

    Behind the last: each started `per_m` adds `add_minor`; per_m 0 = one fare_minor (-1 = not
    priced).
    """

    to_m: array[int]
    fare_minor: array[int]
    per_m: int = 0
    add_minor: int = 0
    beyond_minor: int = -1


@dataclass(frozen=True, slots=True)
class Legs:
    """Layer 1. Column of a leg -> price cell of (class of the entry stop, class of the exit stop).

    column[((network * frames + frame_in) * frames + frame_out) * categories + category]
    fare, discountable, distance_m, part, group, stay, zones, source
        [(column * class_count + from) * class_count + to]
    fare: minor units, or an index into products when there are products; -1 = not priced.
    products: [(product * categories + category) * 16 + medium kind]; -1 = not sold so.
    bands: one entry a column; a column with bands prices by distance: by that of the cell, or, when
        the cell's is 0, by the one handed in with the tap. The cell's fare is not used then.
    factor_ppm: [(frame_in * categories + category) * 16 + medium kind], on the whole price.
    """

    network_count: int
    frames: Frames
    category_count: int
    class_count: int
    stop_class: array[int]
    column: array[int]
    fare: array[int]
    discountable: array[int]
    distance_m: array[int]
    part: bytes
    group: array[int]
    stay: bytes
    zones: array[int]
    """Zones of the leg as bits; empty = all of them."""
    source: array[int]
    line_ids: array[int] = field(default_factory=lambda: array("I"))
    """Ascending; a line that is not here is of network 0."""
    line_network: bytes = b""
    any_stop: bool = False
    """Stop ids the tariff does not know are taken as class 0."""
    highest_any_minor: int = 0
    """Highest fare of such a stop."""
    products: array[int] = field(default_factory=lambda: array("i"))
    bands: tuple[Bands | None, ...] = ()
    factor_ppm: array[int] = field(default_factory=lambda: array("i"))
    stays_us: array[int] = field(default_factory=lambda: array("q"))
    """[stay class * frames + frame_in]: longest stay, -1 = no limit; empty = TariffRules."""
    flat_by_leg: bool = False
    """Flat taps without an amount cost the leg from their stop to their stop."""


@dataclass(frozen=True, slots=True)
class SameStop:
    """For stays up to and including until_us (the last one: -1 = however long)."""

    until_us: int
    kind: SameStopKind
    fare_minor: int = -1
    times: int = 1
    source: int = 0


@dataclass(frozen=True, slots=True)
class Join:
    """A check-in that continues the journey before: one effective leg (GTFS fare_leg_join_rules).

    from_idx/to_idx: stop indices, -1 = any. window_us: between check-out and check-in, -1 = none.
    """

    from_network: int
    to_network: int
    from_idx: int = -1
    to_idx: int = -1
    window_us: int = -1
    source: int = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """From a leg of one group to the next leg of another. The first that fits is used.

    product >= 0: the amount is that product's price for category and medium (not sold = no fit).
    count_max: transfers in a row by rules of this kind, -1 = any number. begins: RUN only with
    from_group = to_group. counts_own: count_max is of transfers in a row from this group to itself,
    whatever came before in the span (from_group = to_group, at most OWN_TRANSFERS_MAX).
    """

    from_group: int
    to_group: int
    effect: TransferEffect
    amount_minor: int = 0
    product: int = -1
    count_max: int = -1
    window_us: int = -1
    measured: Measured = Measured.DEPARTURE_TO_DEPARTURE
    begins: Begins = Begins.LEG
    source: int = 0
    counts_own: bool = False


@dataclass(frozen=True, slots=True)
class Counter:
    """A running total of an owner. counter_id: CRC-32 of its name; tariffs that use the same name
    share it.
    """

    name: str
    counter_id: int
    window: Window
    length: int = 0
    week_start: int = 0
    networks: int = ALL_NETWORKS
    """Legs of these networks are counted."""
    categories: int = ALL_CATEGORIES
    counts_nominal: bool = False
    """Counts prices before discounts instead of what was charged."""
    frames: int = ALL_FRAMES
    """Legs with the first check-in in these time frames are counted."""
    media: int = ALL_MEDIA
    """Legs that were ended by these kinds of medium are counted."""
    skips_free: bool = False
    """Legs that a pass or a cap made free are no trips."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a period rule.

    Tiers: from this total (or number of trips) on, the factor. Caps: the limit for zones within
    `zones`; of those that cover all zones used in the window the lowest limit holds.
    """

    from_value: int = 0
    factor_ppm: int = 1_000_000
    limit_minor: int = 0
    zones: int = ALL_ZONES


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """Layer 3: what a counter does to the price of a leg of these networks and categories."""

    name: str
    kind: PeriodKind
    counter: int
    steps: tuple[Step, ...]
    measure: Measure = Measure.PAID
    is_split: bool = False
    """Tiers on amounts: the part of the price above a threshold has the next step's factor."""
    networks: int = ALL_NETWORKS
    categories: int = ALL_CATEGORIES
    source: int = 0
    frames: int = ALL_FRAMES
    media: int = ALL_MEDIA


@dataclass(frozen=True, slots=True)
class PassProduct:
    """A pass that can be put on an account. pass_id: CRC-32 of its name.

    duration_us: elapsed time; or service_days > 0: so many service days, the first included; or
    months or weeks > 0: so many of the calendar (weeks from Monday), the first included. rides:
    -1 = any number.
    """

    name: str
    pass_id: int
    price_minor: int
    start: PassStart
    duration_us: int = 0
    service_days: int = 0
    rides: int = -1
    networks: int = ALL_NETWORKS
    zones: int = ALL_ZONES
    categories: int = ALL_CATEGORIES
    source: int = 0
    months: int = 0
    weeks: int = 0
    frames: int = ALL_FRAMES
    media: int = ALL_MEDIA


@dataclass(frozen=True, slots=True)
class Layers:
    """Everything beyond the plain tables of TariffSpec."""

    legs: Legs | None = None
    """None = the od_* tables of TariffSpec: one column, every stop its own class, no groups."""
    same_stop: tuple[SameStop, ...] = ()
    joins: tuple[Join, ...] = ()
    group_count: int = 0
    transfers: tuple[Transfer, ...] = ()
    counters: tuple[Counter, ...] = ()
    period_rules: tuple[PeriodRule, ...] = ()
    passes: tuple[PassProduct, ...] = ()
    overstay: OverstayKind = OverstayKind.FEE
    round_mode: RoundMode = RoundMode.HALF_UP
    span_networks: int = 0
    """Legs of these networks, as bits, use and make no transfer and leave the span as it is."""
    group_riders_max: int = 1
    """Flat taps of one medium within the pass-back time: so many riders; above 1 each pays the full
    leg price, without transfer, caps or counting.
    """
