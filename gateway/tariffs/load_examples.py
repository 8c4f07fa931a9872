"""Example journeys of a tariff file -> Example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from fastpath.types import MediumKind, Reason, Rule
from gateway.errors import TariffError
from gateway.tariffs.load_names import pick, pick_one
from gateway.tariffs.names import StationNames
from gateway.tariffs.reader import Table
from gateway.tariffs.source import Example, ExampleLeg, Network
from gateway.tariffs.source_layers import FareNetwork, HeldConcession, HeldPass, LayerSource
from gateway.tariffs.units import AmountError, Currency, parse_amount

RIDE = timedelta(minutes=40)
"""How long a ride of an example takes when it does not say."""
NO_TAP = ""
UNKNOWN_BALANCE = -1
TRIPS_MAX = 1000
_REASONS = tuple(reason.name.lower() for reason in Reason)
_MEDIA = tuple(kind.name.lower() for kind in MediumKind)
_RULES = tuple((rule.name or "").lower() for rule in Rule)
_TIMES = re.compile(r"(.+?)\s*x\s*(\d{1,4})")


@dataclass(frozen=True, slots=True)
class _Reading:
    exponent: int
    known: frozenset[str]
    names: StationNames
    has_stops: bool
    layers: LayerSource


def load_examples(
    root: Table, currency: Currency, network: Network, layers: LayerSource
) -> tuple[Example, ...]:
    """All [[example]] tables."""
    reading = _Reading(
        exponent=currency.exponent,
        known=frozenset(station.zh for station in network.stations),
        names=StationNames(network.stations),
        has_stops=bool(network.stations),
        layers=layers,
    )
    return tuple(_read(row, reading) for row in root.tables("example", needed=False))


def find_network(layers: LayerSource, line: int) -> FareNetwork | None:
    """The fare network that a line belongs to: the one without lines takes the rest."""
    rest = None
    for network in layers.networks:
        if line in network.lines:
            return network
        if not network.lines:
            rest = network
    return rest


def _read(row: Table, reading: _Reading) -> Example:
    exponent = reading.exponent
    categories = [one.name for one in reading.layers.categories]
    example = Example(
        name=row.text("name"),
        line=row.document.line_of(row.path),
        legs=tuple(_read_legs(row, reading)),
        medium=row.choice("medium", _MEDIA, "card"),
        trips=row.whole("trips", 1, low=1, high=TRIPS_MAX),
        month_paid_minor=row.amount("month_paid", exponent, 0),
        balance_minor=row.amount("balance", exponent) if row.has("balance") else UNKNOWN_BALANCE,
        desk=row.flag("service_desk", False),
        total_minor=row.amount("total", exponent) if row.has("total") else None,
        reason=row.choice("reason", _REASONS) if row.has("reason") else "",
        distance_m=row.whole("distance_m", 0, high=10_000_000),
        why=row.text("why", ""),
        category=pick_one(row, "category", categories) if row.has("category") else "",
        every_s=_read_every(row),
        on_days=row.choice("on_days", ("all", "working", "not_working"), "all"),
        each=tuple(_read_each(row, exponent)),
        running=tuple(_read_running(row, exponent)),
        passes=tuple(_read_passes(row, reading.layers)),
        concessions=tuple(_read_concessions(row, categories)),
        rules=pick(row, "rules", _RULES),
    )
    if not any(row.has(key) for key in ("total", "reason", "each", "running")):
        row.fault(None, "expects nothing", "write total, or the reason of a refusal")
    row.close()
    return example


def _read_every(row: Table) -> int:
    """Seconds from one trip to the next."""
    if row.has("every_s"):
        return row.whole("every_s", low=1, high=86_400)
    return row.whole("every_min", 720, low=1, high=366 * 1440) * 60


def _read_each(row: Table, exponent: int) -> Iterator[tuple[int, int]]:
    for text in row.texts("each", ()):
        times = _TIMES.fullmatch(text)
        count = int(times[2]) if times else 1
        amount = times[1] if times else text
        sign = -1 if amount.startswith("-") else 1
        try:
            yield sign * parse_amount(amount.removeprefix("-"), exponent), count
        except AmountError as error:
            row.fault("each", str(error), 'as "5.00", or "5.00 x 20"')


def _read_running(row: Table, exponent: int) -> Iterator[tuple[int, int]]:
    for part in row.tables("running", needed=False):
        yield part.whole("after", low=1, high=100_000), part.amount("total", exponent)
        part.close()


def _read_passes(row: Table, layers: LayerSource) -> Iterator[HeldPass]:
    names = [one.name for one in layers.passes]
    for part in row.tables("passes", needed=False):
        yield HeldPass(pick_one(part, "name", names), part.moment("bought"))
        part.close()


def _read_concessions(row: Table, categories: list[str]) -> Iterator[HeldConcession]:
    for part in row.tables("concessions", needed=False):
        name = pick_one(part, "category", categories)
        start, until = part.moment("from"), part.moment("until")
        if until <= start:
            part.fault("until", "is not behind `from`")
        part.close()
        yield HeldConcession(name, start, until)


def _read_legs(row: Table, reading: _Reading) -> Iterator[ExampleLeg]:
    if row.has("legs"):
        for leg in row.tables("legs"):
            yield _read_leg(leg, reading)
            leg.close()
        return
    yield _read_leg(row, reading)


def _read_leg(row: Table, reading: _Reading) -> ExampleLeg:
    """`from` without `to` is a forgotten check-out; `to` without `from` a forgotten check-in."""
    line = row.whole("line", 0, high=2**32 - 1)
    network = find_network(reading.layers, line)
    flat = row.flag("flat", network is not None and network.taps_once)
    names = [_read_stop(row, key, reading) for key in ("from", "to")]
    if not (flat or any(names)):
        if reading.has_stops:
            row.fault(None, "has neither `from` nor `to`")
        names = ["1", "2"]
    entry = row.moment("at")
    end = row.moment("exit") if row.has("exit") else entry + RIDE
    if end < entry:
        row.fault("exit", "is before `at`")
    ride_m = row.whole("ride_m", 0, high=10_000_000)
    return ExampleLeg(names[0], names[1], entry, end, flat, line, ride_m)


def _read_stop(row: Table, key: str, reading: _Reading) -> str:
    """A stop as it is written; NO_TAP when left out."""
    if not row.has(key):
        return NO_TAP
    name = row.text(key)
    if name not in reading.known and not _finds(reading, name):
        row.fault(key, f"{name!r} is not a station")
    return name


def _finds(reading: _Reading, name: str) -> bool:
    if not reading.has_stops:
        return name.isdecimal()
    try:
        reading.names.get(name)
    except TariffError:
        return False
    return True
