"""A tariff as its files say it: plain values, checked, names not yet turned into indices.

Money is minor units, factors are parts per million, distances metres. Must not import what reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from fastpath.types import MonthlyTier, TariffRules
from gateway.tariffs.calendar import Calendar, ClockChange
from gateway.tariffs.source_layers import HeldConcession, HeldPass, LayerSource
from gateway.tariffs.units import Currency


@dataclass(frozen=True, slots=True)
class Station:
    """One station, whatever the number of lines. `zh` is its key, `stop_id` what taps carry."""

    stop_id: int
    zh: str
    py: str
    en: str
    also: tuple[str, ...]
    zones: tuple[str, ...] = ()
    section: int = -1
    """Where it lies on its line, counted in fare sections; -1 = not said."""

    @property
    def latin(self) -> str:
        """The name to show beside the Chinese one."""
        return self.en or self.py

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it has."""
        return tuple(name for name in (self.zh, self.en, self.py, *self.also) if name)


@dataclass(frozen=True, slots=True)
class Line:
    """Stations in order; hops_m[i] leads from stop i to i + 1, on a loop the last one back to 0."""

    zh: str
    en: str
    loop: bool
    stops: tuple[str, ...]
    hops_m: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """Fare up to and including a distance."""

    to_m: int
    fare_minor: int


@dataclass(frozen=True, slots=True)
class Beyond:
    """Behind the last band: each started `per_m` adds `add_minor`; per_m 0 = one price for all."""

    per_m: int
    add_minor: int
    fare_minor: int


@dataclass(frozen=True, slots=True)
class FareGroup:
    """Lines priced together by distance. The main network has no `lines`: it takes all others."""

    name: str
    lines: tuple[str, ...]
    bands: tuple[Band, ...]
    beyond: Beyond | None
    tolerance_m: int

    @property
    def is_main(self) -> bool:
        """Whether this group takes the lines nobody else names."""
        return not self.lines


@dataclass(frozen=True, slots=True)
class OutOfStationPair:
    """Two stations joined by a walk outside the gates; a way without a window is not joined."""

    first: str
    second: str
    window_us: int
    walk_s: int
    back_us: int = -1
    """Window from second to first; -1 = the same, 0 = not that way."""


@dataclass(frozen=True, slots=True)
class DiscountWindow:
    """A factor on journeys that begin at some stations in a time of day on some days."""

    name: str
    title: dict[str, str]
    factor_ppm: int
    days: str
    start: time | None
    end: time
    stations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """Stations and lines, and how the lines are grouped for pricing."""

    stations: tuple[Station, ...] = ()
    lines: tuple[Line, ...] = ()
    groups: tuple[FareGroup, ...] = ()
    pairs: tuple[OutOfStationPair, ...] = ()
    highest_over_main: bool = True


@dataclass(frozen=True, slots=True)
class ExampleLeg:
    """One ride of an example: stations by name; an empty name = no tap there."""

    from_stop: str
    to_stop: str
    entry: datetime
    exit: datetime
    flat: bool = False
    line: int = 0
    ride_m: int = 0
    """Sent with the check-out or the boarding."""


@dataclass(frozen=True, slots=True)
class Example:
    """A journey and what it must cost. `line` is where it stands in the file; trips follow each
    other every `every_s` seconds by the clock, on days of the kind `on_days`.

    An empty reason = any that accepts; balance_minor -1 = plenty; distance_m 0 = not compared.
    """

    name: str
    line: int
    legs: tuple[ExampleLeg, ...]
    medium: str
    trips: int
    month_paid_minor: int
    balance_minor: int
    desk: bool
    total_minor: int | None
    reason: str
    distance_m: int
    why: str
    category: str = ""
    every_s: int = 720 * 60
    on_days: str = "all"
    each: tuple[tuple[int, int], ...] = ()
    """(fare, how many rides in a row cost it)."""
    running: tuple[tuple[int, int], ...] = ()
    """(after so many rides, total)."""
    passes: tuple[HeldPass, ...] = ()
    concessions: tuple[HeldConcession, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A source (what = url) or an assumption (what = key) with its text."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class TariffSource:
    """Everything one tariff's files say."""

    tariff_id: str
    version: str
    file: str
    title: dict[str, str]
    currency: Currency
    valid_from: date
    valid_years: int
    zone: ZoneInfo
    day_start: time
    clock_change: ClockChange
    calendar: Calendar
    network: Network
    rules: TariffRules
    windows: tuple[DiscountWindow, ...]
    tiers: tuple[MonthlyTier, ...]
    medium_factor_ppm: tuple[int, ...]
    examples: tuple[Example, ...]
    sources: tuple[Note, ...]
    assumptions: tuple[Note, ...]
    key_lines: dict[str, int]
    """Where the keys that explanations point at stand in the file."""
    layers: LayerSource = field(default_factory=LayerSource)
