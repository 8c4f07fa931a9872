"""Categories, frames, networks of lines, and all rules that use their names -> LayerSource."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from pathlib import Path

from fastpath.layers import OverstayKind, RoundMode
from gateway.tariffs.load_calendar import WEEKDAYS
from gateway.tariffs.load_fares import Place, load_factors, load_fares, uses_rows
from gateway.tariffs.load_journeys import load_joins, load_same_station, load_stays, load_transfers
from gateway.tariffs.load_names import Known, Origins, check_unique, pick, read_title
from gateway.tariffs.load_periods import load_periods
from gateway.tariffs.load_stops import check_zones, load_zones
from gateway.tariffs.reader import Findings, Table
from gateway.tariffs.source import FareGroup, Network
from gateway.tariffs.source_layers import (
    ALL_NETWORK,
    OTHER_FRAME,
    Category,
    FareNetwork,
    Frame,
    LayerSource,
)
from gateway.tariffs.units import Currency

DAY_WORDS = ("all", "working", "not_working", "holiday", *WEEKDAYS)
CATEGORY_MAX = 15
LINE_MAX = 2**32 - 1
RANGE_MAX = 65_536
_LEG_KEYS = (
    "category",
    "frame",
    "fare_network",
    "stop",
    "zones",
    "factor",
    "transfer",
    "join",
    "longest_stay",
)


def load_layers(
    root: Table, path: Path, currency: Currency, network: Network, findings: Findings
) -> tuple[LayerSource, tuple[FareGroup, ...]]:
    """Everything a tariff says beyond time discounts and the month; and its price groups."""
    zones = load_zones(root)
    categories = tuple(_read_categories(root))
    frames = tuple(_read_frames(root))
    networks = tuple(_read_networks(root)) or (_single_network(root),)
    check_unique(root, "category", [one.name for one in categories])
    check_unique(root, "frame", [one.name for one in frames])
    check_unique(root, "fare_network", [one.name for one in networks])
    known = Known(
        categories=tuple(one.name for one in categories),
        frames=(*(one.name for one in frames), OTHER_FRAME),
        networks=tuple(one.name for one in networks),
        zones=zones.names,
    )
    origins = Origins()
    fares = load_fares(root, known, origins, Place(path, currency, network, findings))
    groups = {*known.networks, *(row.group for row in fares.rows if row.group)}
    periods = load_periods(root, currency, known, origins)
    journey = root.table("journey", needed=False)
    amounts = root.table("amounts", needed=False)
    check_zones(root, network, zones)
    layers = LayerSource(
        uses_legs=uses_rows(root) or any(root.has(key) for key in _LEG_KEYS),
        zones=zones,
        categories=categories,
        frames=frames,
        networks=networks,
        fares=tuple(fares.rows),
        factors=tuple(load_factors(root, known)),
        same_station=tuple(load_same_station(root, currency, origins)),
        longest_stays=tuple(load_stays(root, known)),
        joins=tuple(load_joins(root, known, network, origins)),
        transfers=tuple(load_transfers(root, currency, known, groups, origins)),
        counters=periods.counters,
        caps=periods.caps,
        tiers=periods.tiers,
        passes=periods.passes,
        overstay=_OVERSTAY[journey.choice("overstay", tuple(_OVERSTAY), "fee")],
        round_mode=_ROUNDING[amounts.choice("rounding", tuple(_ROUNDING), "half_up")],
        group_riders=journey.whole("group_riders", 1, low=1, high=255),
        highest_minor=journey.amount("highest", currency.exponent, -1),
        origins=tuple(origins.items),
    )
    return layers, tuple(fares.groups)


_OVERSTAY = {kind.name.lower(): kind for kind in OverstayKind}
_ROUNDING = {mode.name.lower(): mode for mode in RoundMode}


def _single_network(root: Table) -> FareNetwork:
    journey = root.table("journey", needed=False)
    usual = "once" if root.has("flat") else "in_and_out"
    once = journey.choice("taps", ("in_and_out", "once"), usual) == "once"
    return FareNetwork(ALL_NETWORK, (), once)


def _read_categories(root: Table) -> Iterator[Category]:
    numbers: set[int] = set()
    for row in root.tables("category", needed=False):
        one = Category(
            row.text("name"), row.whole("number", high=CATEGORY_MAX), read_title(row, needed=True)
        )
        row.close()
        if one.number in numbers:
            row.fault("number", f"{one.number} is there twice")
        numbers.add(one.number)
        yield one
    if numbers and 0 not in numbers:
        root.fault("category", "none has number 0", "0 is everybody without another category")


def _read_frames(root: Table) -> Iterator[Frame]:
    for row in root.tables("frame", needed=False):
        frame = Frame(
            name=row.text("name"),
            title=read_title(row, needed=True),
            days=pick(row, "days", DAY_WORDS),
            not_days=pick(row, "not_days", DAY_WORDS),
            times=tuple(_read_times(row)),
        )
        if frame.name == OTHER_FRAME:
            row.fault("name", f"{OTHER_FRAME!r} is the rest of time", "take another name")
        row.close()
        yield frame


def _read_times(row: Table) -> Iterator[tuple[time, time]]:
    for part in row.tables("times", needed=False):
        span = part.time_of_day("from"), part.time_of_day("until")
        part.close()
        if span[0] == span[1]:
            part.fault("until", "is `from`", "leave `times` out for the whole day")
        yield span


def _read_networks(root: Table) -> Iterator[FareNetwork]:
    taken: set[int] = set()
    without = 0
    for row in root.tables("fare_network", needed=False):
        lines = tuple(sorted(_read_lines(row, taken)))
        without += not row.has("lines")
        once = row.choice("taps", ("in_and_out", "once"), "in_and_out") == "once"
        yield FareNetwork(row.text("name"), lines, once, row.flag("keeps_span", False))
        row.close()
    if root.has("fare_network") and without != 1:
        hint = "exactly one takes all lines that no other names"
        root.fault("fare_network", f"{without} without `lines`", hint)


def _read_lines(row: Table, taken: set[int]) -> Iterator[int]:
    for value in row.values("lines"):
        span = _line_range(value)
        if span is None:
            row.fault("lines", f"holds {value!r}", 'write numbers, or ranges as "300-399"')
            continue
        for line in span:
            if line in taken:
                row.fault("lines", f"{line} is there twice")
            taken.add(line)
            yield line


def _line_range(value: object) -> range | None:
    """The numbers that 7 or "300-399" means; None = neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return range(value, value + 1) if 0 < value <= LINE_MAX else None
    first, dash, last = str(value).partition("-")
    if not (dash and first.isdecimal() and last.isdecimal()):
        return None
    span = range(int(first), int(last) + 1)
    return span if 0 < len(span) <= RANGE_MAX and span[-1] <= LINE_MAX else None
