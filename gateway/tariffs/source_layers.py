"""What a tariff's files say beyond distance in one network: plain values, names not yet indices.

Money is minor units, factors parts per million, distances metres, durations microseconds. An empty
tuple of names = all of them. `line` is where a thing stands in the tariff's file. Must not import
what reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time

from fastpath.layers import (
    Begins,
    Measure,
    Measured,
    OverstayKind,
    PassStart,
    RoundMode,
    SameStopKind,
    TransferEffect,
    Window,
)

OTHER_FRAME = "other"
ALL_NETWORK = "all"
ANY = "any"
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Category:
    """A rider category; number 0 is everybody without one."""

    name: str
    number: int
    title: dict[str, str]


@dataclass(frozen=True, slots=True)
class Frame:
    """Times of day on some service days; no times = the whole day."""

    name: str
    title: dict[str, str]
    days: Names
    not_days: Names
    times: tuple[tuple[time, time], ...]


@dataclass(frozen=True, slots=True)
class FareNetwork:
    """Lines priced together; () = all lines that no other network has."""

    name: str
    lines: tuple[int, ...] = ()
    taps_once: bool = False
    keeps_span: bool = False


@dataclass(frozen=True, slots=True)
class Zones:
    """Names in order from the centre outwards, and which ones a ride touches."""

    names: Names = ()
    touched: str = "between"


@dataclass(frozen=True, slots=True)
class Flat:
    """One price."""

    fare_minor: int


@dataclass(frozen=True, slots=True)
class TapBands:
    """Prices by the distance sent with the tap: ends are inclusive."""

    to_m: tuple[int, ...]
    fare_minor: tuple[int, ...]
    per_m: int = 0
    add_minor: int = 0
    beyond_minor: int = -1


@dataclass(frozen=True, slots=True)
class Sections:
    """Prices by sections or stations ridden; beyond the last step there is no price."""

    steps: tuple[tuple[int, int], ...]
    counts_stops: bool = False


@dataclass(frozen=True, slots=True)
class ZoneFare:
    """One price of a zone table; conditions that are empty or 0 are not made."""

    fare_minor: int
    start: str = ""
    end: str = ""
    one_way: bool = False
    within: Names = ()
    touched: int = 0
    origin: int = 0


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """Tried from top to bottom."""

    rows: tuple[ZoneFare, ...]


@dataclass(frozen=True, slots=True)
class MatrixFare:
    """One pair of stops."""

    fare_minor: int
    distance_m: int
    origin: int


@dataclass(frozen=True)
class Matrix:
    """Prices by stop ids."""

    cells: dict[tuple[int, int], MatrixFare]
    both_ways: bool = False


@dataclass(frozen=True, slots=True)
class InNetwork:
    """Distance bands of a network's lines: the price group of this name."""

    group: str


Form = Flat | TapBands | Sections | ZoneTable | Matrix | InNetwork


@dataclass(frozen=True, slots=True)
class FareRow:
    """One [[fare]]: for which rides, and how it prices them. `origin` is its source number."""

    name: str
    form: Form
    networks: Names = ()
    categories: Names = ()
    media: tuple[int, ...] = ()
    frames: Names = ()
    frames_out: Names = ()
    group: str = ""
    origin: int = 0


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor on the whole price."""

    name: str
    title: dict[str, str]
    factor_ppm: int
    categories: Names
    media: tuple[int, ...]
    frames: Names
    line: int


@dataclass(frozen=True, slots=True)
class SameStation:
    """What leaving where one entered costs up to a stay; -1 = however long, or its own price."""

    until_us: int
    kind: SameStopKind
    fare_minor: int
    times: int
    origin: int


@dataclass(frozen=True, slots=True)
class LongestStay:
    """How long rides that touch no other zones may take."""

    zones: Names
    frames: Names
    limit_us: int


@dataclass(frozen=True, slots=True)
class JoinRule:
    """Rides of two networks that are priced as one; stops by id, 0 = any."""

    start: str
    end: str
    from_stop: int
    to_stop: int
    window_us: int
    origin: int


@dataclass(frozen=True, slots=True)
class TransferRule:
    """From leg groups to leg groups; ("any",) = all of them."""

    name: str
    title: dict[str, str]
    start: Names
    end: Names
    effect: TransferEffect
    amount_minor: int
    window_us: int
    measured: Measured
    begins: Begins
    count_max: int
    categories: Names
    media: tuple[int, ...]
    origin: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rides a counter, cap, tier or pass is for: the frame is that of the first check-in."""

    networks: Names = ()
    categories: Names = ()
    frames: Names = ()
    media: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CounterRule:
    """A running total."""

    name: str
    window: Window
    length: int
    week_start: int
    counts_nominal: bool
    skips_free: bool
    scope: Scope


@dataclass(frozen=True, slots=True)
class CapRule:
    """The most that is charged while a counter runs; limits by zones (() = all)."""

    name: str
    title: dict[str, str]
    counter: str
    limits: tuple[tuple[Names, int], ...]
    scope: Scope
    origin: int


@dataclass(frozen=True, slots=True)
class TierRule:
    """Factors by what a counter shows: (amount or trips from which on, factor)."""

    name: str
    title: dict[str, str]
    counter: str
    measure: Measure
    is_split: bool
    steps: tuple[tuple[int, int], ...]
    scope: Scope
    origin: int


@dataclass(frozen=True, slots=True)
class PassRule:
    """A pass one can buy."""

    name: str
    title: dict[str, str]
    price_minor: int
    start: PassStart
    duration_us: int
    service_days: int
    months: int
    weeks: int
    rides: int
    zones: Names
    scope: Scope
    origin: int


@dataclass(frozen=True, slots=True)
class HeldPass:
    """A pass that the rider of an example has at the start."""

    name: str
    bought: datetime


@dataclass(frozen=True, slots=True)
class HeldConcession:
    """A category that the rider of an example has for a time, the end excluded."""

    category: str
    start: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule is written, and what people call it. Its number is its place plus 1."""

    file: str
    line: int
    key: str
    name: str
    title: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayerSource:
    """All of it. `uses_legs`: prices need more than one table of origins and destinations."""

    uses_legs: bool = False
    zones: Zones = Zones()
    categories: tuple[Category, ...] = ()
    frames: tuple[Frame, ...] = ()
    networks: tuple[FareNetwork, ...] = ()
    fares: tuple[FareRow, ...] = ()
    factors: tuple[Factor, ...] = ()
    same_station: tuple[SameStation, ...] = ()
    longest_stays: tuple[LongestStay, ...] = ()
    joins: tuple[JoinRule, ...] = ()
    transfers: tuple[TransferRule, ...] = ()
    counters: tuple[CounterRule, ...] = ()
    caps: tuple[CapRule, ...] = ()
    tiers: tuple[TierRule, ...] = ()
    passes: tuple[PassRule, ...] = ()
    overstay: OverstayKind = OverstayKind.FEE
    round_mode: RoundMode = RoundMode.HALF_UP
    group_riders: int = 1
    highest_minor: int = -1
    origins: tuple[Origin, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing here is used: the tariff compiles without layers."""
        return not (
            self.uses_legs
            or self.same_station
            or self.longest_stays
            or self.joins
            or self.counters
            or self.caps
            or self.tiers
            or self.passes
            or self.overstay
            or self.round_mode
            or self.group_riders > 1
        )

    def origin(self, number: int) -> Origin | None:
        """The rule with this source number."""
        return self.origins[number - 1] if 0 < number <= len(self.origins) else None
