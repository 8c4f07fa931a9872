"""TariffSource -> fastpath.types.TariffSpec.

Names become indices, local times become UTC instants, everything is an integer.

The same files give the same arrays, byte for byte.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from fastpath.types import DayTable, FarePart, OutOfStation, TariffRules, TariffSpec, TimeDiscount
from gateway.errors import TariffError
from gateway.tariffs.calendar import US_PER_DAY, local_us
from gateway.tariffs.compile_layers import compile_layers
from gateway.tariffs.load import load_tariff
from gateway.tariffs.prices import Prices
from gateway.tariffs.source import DiscountWindow, Network, TariffSource
from gateway.tariffs.units import AMOUNT_MAX_MINOR

EPOCH_DAY = date(1970, 1, 1)
NOT_PRICED = -1
SPARE_DAYS = 2
"""Service days behind the offline horizon: a ride of the last day may end a day later."""
INT32_MAX = 2**31 - 1


class _Cell(NamedTuple):
    """One origin-destination pair, in the order of the tables."""

    fare_minor: int
    metres: int
    main_minor: int
    part: FarePart


class _Od:
    """The dense origin-destination tables, row = entry stop. Lines run both ways: symmetric."""

    def __init__(self, names: list[str], prices: Prices | None, *, over_main: bool) -> None:
        size = len(names) ** 2
        self.fare = array("i", [NOT_PRICED]) * size
        self.main = array("i", [0]) * size
        self.distance = array("I", [0]) * size
        self.part = bytearray(size)
        self.highest = array("i", [0]) * len(names)
        if prices is not None:
            self._fill(names, prices, over_main=over_main)

    def _fill(self, names: list[str], prices: Prices, *, over_main: bool) -> None:
        counted = [prices.on_main(name) or not over_main for name in names]
        for row, start in enumerate(names):
            for column in range(row, len(names)):
                cell = _find_cell(prices, start, names[column])
                if cell is None:
                    continue
                for stop, other in ((row, column), (column, row)):
                    self._put(stop * len(names) + other, cell)
                    if counted[other] and cell.fare_minor > self.highest[stop]:
                        self.highest[stop] = cell.fare_minor

    def _put(self, at: int, cell: _Cell) -> None:
        self.fare[at], self.distance[at], self.main[at], self.part[at] = cell


def compile_tariff(path: Path, *, calendars: tuple[Path, ...] = ()) -> TariffSpec:
    """Load, check and compile a tariff file.

    Raises: TariffError: with all findings.
    """
    return compile_source(load_tariff(path, calendars=calendars))


def compile_source(source: TariffSource, prices: Prices | None = None) -> TariffSpec:
    """Compile a loaded tariff. Cost: about a second for 400 stations.

    Args: prices: of its network, if they are at hand.
    Raises: TariffError: TARIFF_LOCAL_TIME, TARIFF_INVALID.
    """
    stations = sorted(source.network.stations, key=lambda station: station.stop_id)
    names = [station.zh for station in stations]
    index = {name: at for at, name in enumerate(names)}
    days = service_days(source)
    table = _day_table(source, days)
    compiled = compile_layers(source, days, table.start_us, index)
    if compiled is not None and compiled.highest_minor is not None:
        od = _Od(names, None, over_main=False)
        od.highest = compiled.highest_minor
    else:
        if prices is None and names:
            prices = Prices(source.network)
        od = _Od(names, prices, over_main=source.network.highest_over_main)
    until = source.valid_from.replace(year=source.valid_from.year + source.valid_years)
    return TariffSpec(
        tariff_id=source.tariff_id,
        version=source.version,
        currency=source.currency.number,
        valid_from_us=_day_start_us(source, source.valid_from),
        valid_until_us=_day_start_us(source, until),
        stop_ids=array("I", [station.stop_id for station in stations]),
        od_fare_minor=od.fare,
        od_distance_m=od.distance,
        od_part=bytes(od.part),
        highest_minor=od.highest,
        days=table,
        od_discountable_minor=od.main,
        rules=_rules(source),
        time_discounts=tuple(_discount(source, window, days, index) for window in source.windows),
        out_of_station=_out_of_station(source.network, index),
        monthly_tiers=source.tiers,
        medium_factor_ppm=source.medium_factor_ppm,
        layers=compiled.layers if compiled else None,
    )


def _rules(source: TariffSource) -> TariffRules:
    """With prices by leg a flat fare is one of them."""
    return replace(source.rules, flat_minor=-1) if source.layers.uses_legs else source.rules


def service_days(source: TariffSource) -> list[date]:
    """The service dates of the time table: the validity, and long enough after for late taps."""
    until = source.valid_from.replace(year=source.valid_from.year + source.valid_years)
    late = source.rules.offline_horizon_us // US_PER_DAY + SPARE_DAYS
    count = (until - source.valid_from).days + late
    return [source.valid_from + timedelta(days=offset) for offset in range(count)]


def _find_cell(prices: Prices, start: str, end: str) -> _Cell | None:
    plain = prices.find_plain(start, end)
    if plain is not None:
        metres, band = plain
        return _fitting(_Cell(band.fare_minor, metres, band.fare_minor, band.part))
    price = prices.find_price(start, end)
    if price is None:
        return None
    return _fitting(_Cell(price.fare_minor, price.metres, price.main_minor, price.part))


def _fitting(cell: _Cell) -> _Cell:
    if cell.fare_minor > AMOUNT_MAX_MINOR or cell.metres > INT32_MAX:
        said = f"a fare of {cell.fare_minor} minor units for {cell.metres} m is out of range"
        raise TariffError("TARIFF_INVALID", said)
    return cell


def _day_start_us(source: TariffSource, day: date) -> int:
    return local_us(datetime.combine(day, source.day_start), source.zone, source.clock_change)


def _day_table(source: TariffSource, days: list[date]) -> DayTable:
    starts = [_day_start_us(source, day) for day in (*days, days[-1] + timedelta(days=1))]
    return DayTable(
        first_day=(days[0] - EPOCH_DAY).days,
        start_us=array("q", starts),
        month=array("I", [day.year * 12 + day.month - 1 for day in days]),
    )


def _discount(
    source: TariffSource, window: DiscountWindow, days: list[date], index: dict[str, int]
) -> TimeDiscount:
    flags = bytearray(len(index))
    for name in window.stations:
        flags[index[name]] = 1
    spans = [_window_us(source, window, day) for day in days]
    return TimeDiscount(
        name=window.name,
        factor_ppm=window.factor_ppm,
        stop_flags=bytes(flags),
        start_us=array("q", [start for start, _ in spans]),
        end_us=array("q", [end for _, end in spans]),
    )


def _window_us(source: TariffSource, window: DiscountWindow, day: date) -> tuple[int, int]:
    """The window of a service day; (0, 0) = not on this day."""
    working = source.calendar.is_working(day)
    if window.days == ("not_working" if working else "working"):
        return 0, 0
    start = _instant(source, day, window.start or source.day_start)
    end = _instant(source, day, window.end)
    if end <= start:
        raise TariffError(
            "TARIFF_INVALID",
            f"{window.name}: ends before it begins on {day}",
            hint="a window lies inside one service day; earlier times are the next morning",
        )
    return start, end


def _instant(source: TariffSource, day: date, at: time) -> int:
    """A time of day of a service day: one before the day's start is on the next calendar day."""
    date_of = day if at >= source.day_start else day + timedelta(days=1)
    return local_us(datetime.combine(date_of, at), source.zone, source.clock_change)


def _out_of_station(network: Network, index: dict[str, int]) -> tuple[OutOfStation, ...]:
    """Each direction that has a window, ordered by stops."""
    joins = []
    for pair in network.pairs:
        first, second = index[pair.first], index[pair.second]
        back_us = pair.window_us if pair.back_us < 0 else pair.back_us
        joins.append(OutOfStation(first, second, pair.window_us))
        joins.append(OutOfStation(second, first, back_us))
    joins = [join for join in joins if join.window_us > 0]
    return tuple(sorted(joins, key=lambda join: (join.from_idx, join.to_idx)))


def count_unpriced(spec: TariffSpec) -> int:
    """Pairs of stations that cannot be priced: for category 0 on network 0, outside of frames."""
    if spec.layers is None or spec.layers.legs is None:
        return spec.od_part.count(FarePart.NOT_PRICED)
    legs = spec.layers.legs
    size = legs.class_count
    column = legs.column[0]
    if column < 0:
        return len(spec.stop_ids) ** 2
    cells = legs.fare[column * size * size : (column + 1) * size * size]
    return sum(
        cells[start * size + end] < 0 for start in legs.stop_class for end in legs.stop_class
    )
