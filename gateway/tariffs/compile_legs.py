"""Layer 1: [[fare]] rows -> columns of price cells (fastpath.layers.Legs)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from itertools import product

from fastpath.layers import MEDIA_MAX, Bands, Frames, Legs
from fastpath.types import FACTOR_ONE_PPM
from gateway.errors import TariffError
from gateway.tariffs.compile_prices import Cell, Place, Pricer, RowSet, list_places
from gateway.tariffs.load_bands import list_bands
from gateway.tariffs.source import TariffSource
from gateway.tariffs.source_layers import (
    OTHER_FRAME,
    FareRow,
    Flat,
    InNetwork,
    Names,
    TapBands,
)

NOT_PRICED = -1
NO_COLUMN = -1


@dataclass(frozen=True, slots=True)
class LegTables:
    """Layer 1 with what else follows from the prices."""

    legs: Legs
    highest_minor: array[int]
    """By stop."""


class Products:
    """Prices by category and medium, each combination once."""

    def __init__(self, category_count: int) -> None:
        self._category_count = category_count
        self._at: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        return len(self._at)

    def number(self, prices: tuple[int, ...]) -> int:
        """The product with these prices: one a category and medium kind."""
        return self._at.setdefault(prices, len(self._at))

    def by_medium(self, prices: tuple[int, ...]) -> int:
        """The product with these prices by medium kind, for every category."""
        return self.number(prices * self._category_count)

    def list_highest(self) -> list[int]:
        """The dearest price of each product."""
        return [max(prices) for prices in self._at]

    def table(self) -> array[int]:
        """All of them, for the engine."""
        return array("i", [price for prices in self._at for price in prices])


def category_count(source: TariffSource) -> int:
    """One more than the highest number."""
    return max((one.number for one in source.layers.categories), default=0) + 1


def category_name(source: TariffSource, number: int) -> str:
    """The category a number stands for; a number nobody declared is as 0."""
    names = {one.number: one.name for one in source.layers.categories}
    return names.get(number, names.get(0, ""))


def build_legs(source: TariffSource, frames: Frames, products: Products) -> LegTables:
    """All prices of all rides.

    Args: products: those that transfers have; prices by medium are added.
    Raises: TariffError: TARIFF_INVALID: fares that cannot stand together, or no highest fare.
    """
    builder = _Builder(source, frames, products)
    builder.fill_columns()
    return builder.tables()


class _Builder:
    def __init__(self, source: TariffSource, frames: Frames, products: Products) -> None:
        self._source = source
        self._layers = source.layers
        self._frames = frames
        self._pricer = Pricer(source)
        self._places, self._of_stop = list_places(source)
        self._products = products
        self._groups = group_numbers(source)
        self._uses_products = bool(products) or any(row.media for row in self._layers.fares)
        self._stays: dict[tuple[int, ...], int] = {}
        self._columns: dict[tuple[object, ...], int] = {}
        self._column = array("i")
        self._bands: list[Bands | None] = []
        self._fare, self._discountable = array("i"), array("i")
        self._distance, self._zones, self._source_no = array("I"), array("I"), array("I")
        self._part, self._stay, self._group = bytearray(), bytearray(), array("H")
        self._first_columns: set[int] = set()

    def fill_columns(self) -> None:
        """Every network, frame of entry and exit, and category; equal ones share a column."""
        names = [one.name for one in self._layers.frames]
        for network in self._layers.networks:
            for frame_in, frame_out in product((OTHER_FRAME, *names), repeat=2):
                for number in range(category_count(self._source)):
                    category = category_name(self._source, number)
                    rows = tuple(
                        row
                        for row in self._layers.fares
                        if _fits(row, network.name, frame_in, frame_out, category)
                    )
                    column = self._find_column(network.name, _cut(rows))
                    self._column.append(column)
                    if number == 0 and column != NO_COLUMN:
                        self._first_columns.add(column)

    def tables(self) -> LegTables:
        """What was filled in, as the engine wants it."""
        layers, size = self._layers, len(self._places)
        lines = sorted(
            (line, number) for number, one in enumerate(layers.networks) for line in one.lines
        )
        counted = [place for place in range(size) if self._counts(place)]
        highest = [self._highest(place, counted) for place in range(size)]
        legs = Legs(
            network_count=len(layers.networks),
            frames=self._frames,
            category_count=category_count(self._source),
            class_count=size,
            stop_class=array("I", self._of_stop),
            column=self._column,
            fare=self._fare,
            discountable=self._discountable,
            distance_m=self._distance,
            part=bytes(self._part),
            group=self._group,
            stay=bytes(self._stay),
            zones=self._zones if layers.zones.names else array("I"),
            source=self._source_no,
            line_ids=array("I", [line for line, _ in lines]),
            line_network=bytes(number for _, number in lines),
            any_stop=not self._of_stop,
            highest_any_minor=highest[0],
            products=self._products.table(),
            bands=tuple(self._bands) if any(self._bands) else (),
            factor_ppm=self._factors(),
            stays_us=array("q", [limit for row in self._stays for limit in row]),
            flat_by_leg=True,
        )
        stops = array("i", [highest[place] for place in self._of_stop])
        return LegTables(legs, stops)

    def _find_column(self, network: str, rows: tuple[FareRow, ...]) -> int:
        if not rows:
            return NO_COLUMN
        groups = tuple(self._group_of(row, network) for row in rows)
        key = (tuple(row.name for row in rows), groups)
        if key not in self._columns:
            self._columns[key] = len(self._bands)
            self._add_column(rows, dict(zip((row.origin for row in rows), groups, strict=True)))
        return self._columns[key]

    def _group_of(self, row: FareRow, network: str) -> int:
        return self._groups.get(row.group or network, 0)

    def _add_column(self, rows: tuple[FareRow, ...], groups: dict[int, int]) -> None:
        bands = self._column_bands(rows)
        self._bands.append(bands)
        fares = self._pricer.prepare(rows)
        sold = self._sold_on(rows) if self._uses_products else []
        for start, end in product(self._places, repeat=2):
            found = self._pricer.find_cell(fares, start, end)
            if found is None:
                self._put(Cell(NOT_PRICED), NOT_PRICED, 0)
                continue
            cell, row = found
            fare = cell.fare_minor
            if bands is not None:
                cell = replace(cell, fare_minor=0, discountable_minor=0)
                fare = 0
            elif self._uses_products:
                fare = self._product(sold, start, end)
            self._put(cell, fare, groups[row.origin])

    def _sold_on(self, rows: tuple[FareRow, ...]) -> list[RowSet]:
        """The rows of each medium kind."""
        by_kind = [
            tuple(row for row in rows if not row.media or kind in row.media)
            for kind in range(MEDIA_MAX)
        ]
        prepared: dict[tuple[int, ...], RowSet] = {}
        for own in by_kind:
            prepared.setdefault(_origins(own), self._pricer.prepare(own))
        return [prepared[_origins(own)] for own in by_kind]

    def _put(self, cell: Cell, fare: int, group: int) -> None:
        self._fare.append(fare)
        self._discountable.append(cell.discountable_minor if fare >= 0 else 0)
        self._distance.append(cell.distance_m)
        self._part.append(cell.part)
        self._group.append(group)
        self._zones.append(cell.zones)
        self._source_no.append(cell.origin)
        self._stay.append(self._stay_class(cell.zones))

    def _product(self, sold: list[RowSet], start: Place, end: Place) -> int:
        found = [self._pricer.find_cell(fares, start, end) for fares in sold]
        return self._products.by_medium(
            tuple(NOT_PRICED if one is None else one[0].fare_minor for one in found)
        )

    def _stay_class(self, zones: int) -> int:
        rules = self._layers.longest_stays
        if not rules:
            return 0
        frames = (OTHER_FRAME, *(one.name for one in self._layers.frames))
        limits = tuple(self._longest_stay(zones, frame) for frame in frames)
        return self._stays.setdefault(limits, len(self._stays))

    def _longest_stay(self, zones: int, frame: str) -> int:
        for rule in self._layers.longest_stays:
            within = not rule.zones or not zones & ~zone_bits(self._source, rule.zones)
            if within and (not rule.frames or frame in rule.frames):
                return rule.limit_us
        return -1

    def _column_bands(self, rows: tuple[FareRow, ...]) -> Bands | None:
        """Bands of a column whose rides are priced by what taps say, or may be priced through."""
        form = rows[-1].form
        if isinstance(form, TapBands):
            if len(rows) > 1:
                said = f"{rows[-1].name}: a fare by the distance of the tap has no others beside it"
                hint = "give them other networks, categories or frames"
                raise TariffError("TARIFF_INVALID", said, hint=hint)
            return _bands_of(form)
        through = any(one.effect.name == "THROUGH" for one in self._layers.transfers)
        if not (through and all(isinstance(row.form, InNetwork) for row in rows)):
            return None
        groups = self._pricer.groups_of(rows)
        if len(groups) > 1:
            said = "a transfer priced `through` needs one fare for all lines of the network"
            raise TariffError("TARIFF_INVALID", said)
        group = groups[0]
        return _bands_of(list_bands(group.bands, group.beyond, group.tolerance_m))

    def _highest(self, place: int, counted: list[int]) -> int:
        """The dearest price from a place for category 0; of bands there is none."""
        if self._layers.highest_minor >= 0:
            return self._layers.highest_minor
        size = len(self._places)
        starts = [column * size * size + place * size for column in self._first_columns]
        fares = [self._fare[start + end] for start in starts for end in counted]
        if self._uses_products:
            dearest = self._products.list_highest()
            fares = [dearest[fare] for fare in fares if fare >= 0]
        self._check_highest()
        return max([*fares, 0])

    def _counts(self, place: int) -> bool:
        """Whether fares to a place make a highest fare: not those beside the main network."""
        network, name = self._source.network, self._places[place].name
        if not (name and network.highest_over_main and network.lines):
            return True
        prices = self._pricer.prices_of(self._layers.fares)
        return prices is None or prices.on_main(name)

    def _check_highest(self) -> None:
        rules = self._source.rules
        needed = rules.missing_check_in or rules.missing_check_out_after_us >= 0
        if needed and any(self._bands[column] for column in self._first_columns):
            raise TariffError(
                "TARIFF_INVALID",
                "journey.highest is missing: incomplete journeys cost it, and bands have none",
                hint='as highest = "8.60"',
            )

    def _factors(self) -> array[int]:
        if not self._layers.factors:
            return array("i")
        frames = (OTHER_FRAME, *(one.name for one in self._layers.frames))
        return array(
            "i",
            [
                find_factor_ppm(self._source, frame, number, kind)
                for frame in frames
                for number in range(category_count(self._source))
                for kind in range(MEDIA_MAX)
            ],
        )


def find_factor_ppm(source: TariffSource, frame: str, number: int, kind: int) -> int:
    """The first [[factor]] that fits a frame of entry, category and medium; 1 when none does."""
    category = category_name(source, number)
    for one in source.layers.factors:
        on_medium = not one.media or kind in one.media
        if on_medium and _allows(one.frames, frame) and _allows(one.categories, category):
            return one.factor_ppm
    return FACTOR_ONE_PPM


def zone_bits(source: TariffSource, names: Names) -> int:
    """Zones as bits."""
    return sum(1 << source.layers.zones.names.index(name) for name in names)


def _fits(row: FareRow, network: str, frame_in: str, frame_out: str, category: str) -> bool:
    return (
        _allows(row.networks, network)
        and _allows(row.frames, frame_in)
        and _allows(row.frames_out, frame_out)
        and _allows(row.categories, category)
    )


def _origins(rows: tuple[FareRow, ...]) -> tuple[int, ...]:
    return tuple(row.origin for row in rows)


def _allows(names: Names, name: str) -> bool:
    return not names or name in names


def _cut(rows: tuple[FareRow, ...]) -> tuple[FareRow, ...]:
    """Without the rows behind one that prices every ride."""
    for place, row in enumerate(rows):
        if isinstance(row.form, Flat | TapBands) and not row.media:
            return rows[: place + 1]
    return rows


def _bands_of(form: TapBands) -> Bands:
    ends, fares = array("I", form.to_m), array("i", form.fare_minor)
    return Bands(ends, fares, form.per_m, form.add_minor, form.beyond_minor)


def group_numbers(source: TariffSource) -> dict[str, int]:
    """Leg groups from 1; none when no transfer asks for them."""
    if not source.layers.transfers:
        return {}
    names = [one.name for one in source.layers.networks]
    names += [row.group for row in source.layers.fares if row.group]
    return {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}
