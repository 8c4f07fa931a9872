"""What a ride between two places costs under one [[fare]], before any factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from fastpath.types import FarePart
from gateway.tariffs.network import Graph
from gateway.tariffs.prices import Prices
from gateway.tariffs.source import FareGroup, TariffSource
from gateway.tariffs.source_layers import (
    FareRow,
    Flat,
    InNetwork,
    Matrix,
    Sections,
    TapBands,
    ZoneFare,
    ZoneTable,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Stops that are priced alike: one of them, their zones by number, their section."""

    name: str = ""
    stop_id: int = 0
    zones: tuple[int, ...] = ()
    section: int = -1


@dataclass(frozen=True, slots=True)
class Cell:
    """A price. `zones`: bits of those touched."""

    fare_minor: int
    discountable_minor: int = 0
    distance_m: int = 0
    part: FarePart = FarePart.NOT_PRICED
    zones: int = 0
    origin: int = 0


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows that fit the same rides, in order, with the network's prices under them."""

    rows: tuple[FareRow, ...]
    prices: Prices | None
    main_origin: int


class Pricer:
    """Prices rides of one tariff by the rows that fit them."""

    def __init__(self, source: TariffSource) -> None:
        self._network = source.network
        self._zones = source.layers.zones
        self._bit = {name: place for place, name in enumerate(self._zones.names)}
        self._rows = {row.name: row for row in source.layers.fares}
        self._prices: dict[tuple[str, ...], Prices | None] = {}
        self._touched: dict[tuple[Place, Place], tuple[frozenset[int], ...]] = {}

    def prepare(self, rows: tuple[FareRow, ...]) -> RowSet:
        """What is the same for every ride under these rows."""
        mains = [group.name for group in self.groups_of(rows) if group.is_main]
        origin = self._rows[mains[0]].origin if mains else 0
        return RowSet(rows, self.prices_of(rows), origin)

    def find_cell(self, fares: RowSet, start: Place, end: Place) -> tuple[Cell, FareRow] | None:
        """The price by the first row that has one, and that row; None = not priced."""
        for row in fares.rows:
            cell = self._price(row, fares, start, end)
            if cell is not None:
                return (cell if cell.origin else replace(cell, origin=row.origin)), row
        return None

    def zones_of(self, start: Place, end: Place) -> int:
        """Bits of the zones a ride touches; the fewest, where a stop is in two."""
        if not self._bit:
            return 0
        return _bits(min(self._choices(start, end), key=lambda one: (len(one), sorted(one))))

    def groups_of(self, rows: tuple[FareRow, ...]) -> tuple[FareGroup, ...]:
        """Price groups of the network under these rows: of each set of lines the first."""
        by_name = {group.name: group for group in self._network.groups}
        chosen: dict[tuple[str, ...], FareGroup] = {}
        for row in rows:
            if isinstance(row.form, InNetwork):
                group = by_name[row.form.group]
                chosen.setdefault(tuple(sorted(group.lines)), group)
        return tuple(chosen.values())

    def prices_of(self, rows: tuple[FareRow, ...]) -> Prices | None:
        """Prices by distance in the network; None when these rows have none."""
        groups = self.groups_of(rows)
        key = tuple(group.name for group in groups)
        if key not in self._prices:
            has_main = any(group.is_main for group in groups)
            network = replace(self._network, groups=groups)
            self._prices[key] = Prices(network) if has_main else None
        return self._prices[key]

    def _price(self, row: FareRow, fares: RowSet, start: Place, end: Place) -> Cell | None:
        form = row.form
        match form:
            case Flat(minor):
                return Cell(minor, minor, zones=self.zones_of(start, end))
            case TapBands():
                return Cell(0, 0, zones=self.zones_of(start, end))
            case ZoneTable(table):
                return self._in_zones(table, start, end)
            case Sections():
                return self._in_sections(form, start, end)
            case Matrix():
                return self._in_matrix(form, start, end)
            case InNetwork():
                return self._in_network(fares, start, end)

    def _in_network(self, fares: RowSet, start: Place, end: Place) -> Cell | None:
        prices = fares.prices
        if prices is None or not (start.name and end.name):
            return None
        zones = self.zones_of(start, end)
        plain = prices.find_plain(start.name, end.name)
        if plain is not None:
            metres, band = plain
            fare = band.fare_minor
            return Cell(fare, fare, metres, band.part, zones, fares.main_origin)
        price = prices.find_price(start.name, end.name)
        if price is None:
            return None
        origin = self._rows[price.rides[0].group].origin
        return Cell(price.fare_minor, price.main_minor, price.metres, price.part, zones, origin)

    def _in_matrix(self, form: Matrix, start: Place, end: Place) -> Cell | None:
        found = form.cells.get((start.stop_id, end.stop_id))
        if found is None and form.both_ways:
            found = form.cells.get((end.stop_id, start.stop_id))
        if found is None:
            return None
        zones = self.zones_of(start, end)
        fare = found.fare_minor
        return Cell(fare, fare, found.distance_m, zones=zones, origin=found.origin)

    def _in_sections(self, form: Sections, start: Place, end: Place) -> Cell | None:
        if form.counts_stops:
            count = self._stops_between(start, end)
        else:
            known = start.section >= 0 and end.section >= 0
            count = abs(end.section - start.section) + 1 if known else None
        if count is None:
            return None
        for up_to, fare in form.steps:
            if count <= up_to:
                return Cell(fare, fare, zones=self.zones_of(start, end))
        return None

    def _in_zones(self, table: tuple[ZoneFare, ...], start: Place, end: Place) -> Cell | None:
        if not (start.zones and end.zones):
            return None
        found = [
            (row.fare_minor, len(touched), sorted(touched), row.origin)
            for first, last, touched in self._zone_choices(start, end)
            for row in self._first_fitting(table, first, last, touched)
        ]
        if not found:
            return None
        fare, _, touched_list, origin = min(found)
        return Cell(fare, fare, zones=_bits(frozenset(touched_list)), origin=origin)

    def _first_fitting(
        self, table: tuple[ZoneFare, ...], first: int, last: int, touched: frozenset[int]
    ) -> Iterator[ZoneFare]:
        for row in table:
            if self._fits(row, first, last) and self._covers(row, touched):
                yield row
                return

    def _fits(self, row: ZoneFare, first: int, last: int) -> bool:
        ends = [self._bit.get(name, -1) for name in (row.start, row.end)]
        ways = [(first, last)] if row.one_way else [(first, last), (last, first)]
        return any(
            all(want in (-1, zone) for want, zone in zip(ends, way, strict=True)) for way in ways
        )

    def _covers(self, row: ZoneFare, touched: frozenset[int]) -> bool:
        within = {self._bit[name] for name in row.within}
        return (not within or touched <= within) and row.touched in (0, len(touched))

    def _choices(self, start: Place, end: Place) -> tuple[frozenset[int], ...]:
        key = (start, end)
        if key not in self._touched:
            found = tuple(touched for *_, touched in self._zone_choices(start, end))
            self._touched[key] = found or (frozenset(start.zones[:1] or end.zones[:1]),)
        return self._touched[key]

    def _zone_choices(self, start: Place, end: Place) -> Iterator[tuple[int, int, frozenset[int]]]:
        """Zone of entry, zone of exit, zones touched: for each zone the two stops are in."""
        for first in start.zones:
            for last in end.zones:
                yield first, last, self._touched_zones(start, end, first, last)

    def _touched_zones(self, start: Place, end: Place, first: int, last: int) -> frozenset[int]:
        ends = frozenset((first, last))
        if self._zones.touched == "between":
            return frozenset(range(min(ends), max(ends) + 1))
        if self._zones.touched == "path":
            return ends | self._zones_on_path(start.name, end.name)
        return ends

    def _zones_on_path(self, start: str, end: str) -> frozenset[int]:
        """Of stations on the way that are in one zone only: at a border one stays in one's zone."""
        zones = self._station_zones
        passed = [zones[name] for name in self._path(start, end)[1:-1]]
        return frozenset(one[0] for one in passed if len(one) == 1)

    def _stops_between(self, start: Place, end: Place) -> int | None:
        if not (start.name and end.name):
            return None
        return max(len(self._path(start.name, end.name)) - 1, 0)

    def _path(self, start: str, end: str) -> list[str]:
        """Stations of the shortest way over all lines, both ends included."""
        path = self._graph.find_path(start, end) or ()
        names = [start]
        for stretch in path:
            names += stretch.stations[1:]
        return names

    @cached_property
    def _graph(self) -> Graph:
        walks = [(pair.first, pair.second) for pair in self._network.pairs]
        return Graph(self._network.lines, walks)

    @cached_property
    def _station_zones(self) -> dict[str, tuple[int, ...]]:
        return {
            one.zh: tuple(self._bit[zone] for zone in one.zones) for one in self._network.stations
        }


def list_places(source: TariffSource) -> tuple[list[Place], list[int]]:
    """Places, "elsewhere" first; and the place of each stop in the order of stop ids."""
    bits = {name: place for place, name in enumerate(source.layers.zones.names)}
    forms = [row.form for row in source.layers.fares]
    own = bool(source.network.lines) or any(isinstance(form, Matrix) for form in forms)
    places, of_stop = [Place()], []
    known: dict[object, int] = {}
    for one in sorted(source.network.stations, key=lambda station: station.stop_id):
        zones = tuple(bits[name] for name in one.zones)
        key = one.stop_id if own else (zones, one.section)
        if key not in known:
            known[key] = len(places)
            places.append(Place(one.zh, one.stop_id, zones, one.section))
        of_stop.append(known[key])
    return places, of_stop


def _bits(zones: frozenset[int]) -> int:
    return sum(1 << zone for zone in zones)
