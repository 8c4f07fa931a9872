"""[[fare]] and [[factor]] -> FareRow, FareGroup, Factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.tariffs.load_bands import list_bands, read_bands, scaled_bands, scaled_beyond
from gateway.tariffs.load_matrix import MatrixPlace, load_matrix
from gateway.tariffs.load_names import Known, Origins, check_unique, pick, pick_media, read_title
from gateway.tariffs.load_network import HOP_MAX_M
from gateway.tariffs.reader import Findings, Table
from gateway.tariffs.rounding import Rounding, read_rounding
from gateway.tariffs.source import Beyond, FareGroup, Network
from gateway.tariffs.source_layers import (
    ANY,
    Factor,
    FareRow,
    Flat,
    Form,
    InNetwork,
    Matrix,
    MatrixFare,
    Sections,
    TapBands,
    ZoneFare,
    ZoneTable,
)
from gateway.tariffs.units import Currency

FORMS = ("flat", "bands", "sections", "zones", "matrix", "of")
SECTIONS_MAX = 10_000
_PLAIN_KEYS = frozenset({"name", "lines", "bands", "beyond", "flat", "tolerance_m", "band_end"})


@dataclass(slots=True)
class Fares:
    """What the [[fare]] tables say."""

    rows: list[FareRow] = field(default_factory=list)
    groups: list[FareGroup] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where fares are read: the tariff's file, what its amounts are, and what they are between."""

    path: Path
    currency: Currency
    network: Network
    findings: Findings


@dataclass(frozen=True, slots=True)
class _Reading:
    place: Place
    known: Known
    origins: Origins
    rounding: Rounding
    fares: Fares
    has_conditions: bool

    @property
    def exponent(self) -> int:
        return self.place.currency.exponent


def uses_rows(root: Table) -> bool:
    """Whether fares are more than distance in one network: by other forms, or under conditions."""
    rows = root.values("fare")
    if rows and not root.has("network"):
        return True
    return any(isinstance(row, dict) and set(row) - _PLAIN_KEYS for row in rows)


def load_fares(root: Table, known: Known, origins: Origins, place: Place) -> Fares:
    """All [[fare]] tables; those with bands or one price for lines of a network are groups too."""
    fares = Fares()
    rounding = read_rounding(root, place.currency)
    reading = _Reading(place, known, origins, rounding, fares, uses_rows(root))
    rows = list(root.tables("fare", needed=False))
    read: dict[int, FareRow] = {}
    for is_other in (False, True):  # prices made of others need those, wherever they stand
        for number, row in enumerate(rows):
            if row.has("of") is is_other:
                read[number] = _read_fare(row, reading)
                fares.rows.append(read[number])
                row.close()
    fares.rows = [read[number] for number in range(len(rows))]
    if root.has("flat") and not root.has("fare"):
        flat = root.table("flat").amount("fare", place.currency.exponent)
        fares.rows.append(
            FareRow("flat", Flat(flat), origin=origins.add(root.table("flat"), "flat"))
        )
    check_unique(root, "fare", [row.name for row in fares.rows])
    return fares


def load_factors(root: Table, known: Known) -> Iterator[Factor]:
    """All [[factor]] tables."""
    for row in root.tables("factor", needed=False):
        yield Factor(
            name=row.text("name"),
            title=read_title(row, needed=True),
            factor_ppm=row.factor("factor"),
            categories=pick(row, "categories", known.categories),
            media=pick_media(row),
            frames=pick(row, "frames", known.frames),
            line=row.document.line_of(row.path),
        )
        row.close()


def _read_fare(row: Table, reading: _Reading) -> FareRow:
    name = row.text("name")
    origin = reading.origins.add(row, name)
    known = reading.known
    media = pick_media(row)
    form = _read_form(row, name, reading)
    if media and isinstance(form, TapBands):
        row.fault("media", "cannot be had with distances sent by taps", "write a [[factor]]")
    return FareRow(
        name=name,
        form=form,
        networks=pick(row, "networks", known.networks),
        categories=pick(row, "categories", known.categories),
        media=media,
        frames=pick(row, "frames", known.frames),
        frames_out=pick(row, "frames_out", known.frames),
        group=row.text("group", ""),
        origin=origin,
    )


def _read_form(row: Table, name: str, reading: _Reading) -> Form:
    given = [key for key in FORMS if row.has(key)]
    if len(given) != 1:
        row.fault(None, f"has {len(given)} forms of price", "exactly one of " + ", ".join(FORMS))
        return Flat(0)
    if given == ["of"]:
        return _read_other(row, name, reading)
    if given == ["sections"]:
        return _read_sections(row, reading)
    if given == ["zones"]:
        return ZoneTable(tuple(_read_zones(row, reading)))
    if given == ["matrix"]:
        place = MatrixPlace(reading.place.path, reading.exponent, reading.place.network)
        return load_matrix(row, place, reading.origins, reading.place.findings)
    return _read_distance(row, name, reading)


def _read_distance(row: Table, name: str, reading: _Reading) -> Form:
    """Bands, or one price: of a network's lines, or by what the tap says."""
    has_network = bool(reading.place.network.lines)
    by = row.choice("distance", ("network", "tap"), "network" if has_network else "tap")
    lines = row.texts("lines", ())
    if row.has("flat"):
        flat = row.amount("flat", reading.exponent)
        if not has_network or (reading.has_conditions and not lines):
            return Flat(flat)
        reading.fares.groups.append(FareGroup(name, lines, (), Beyond(0, 0, flat), 0))
        return InNetwork(name)
    bands, beyond = read_bands(row, reading.exponent)
    tolerance_m = row.whole("tolerance_m", 0, high=HOP_MAX_M)
    if by == "network" and has_network:
        reading.fares.groups.append(FareGroup(name, lines, bands, beyond, tolerance_m))
        return InNetwork(name)
    if by == "network":
        row.fault("distance", "needs [network]", "tap: the distance that comes with the tap")
    return list_bands(bands, beyond, tolerance_m)


def _read_sections(row: Table, reading: _Reading) -> Sections:
    steps = []
    last = 0
    for part in row.tables("sections"):
        step = (
            part.whole("up_to", low=1, high=SECTIONS_MAX),
            part.amount("fare", reading.exponent),
        )
        part.close()
        if step[0] <= last:
            part.fault("up_to", f"{step[0]} does not rise")
        last = step[0]
        steps.append(step)
    counts = row.choice("count", ("sections", "stops"), "sections")
    if counts == "stops" and not reading.place.network.lines:
        row.fault("count", "stops need [network]", "take sections")
    return Sections(tuple(steps), counts == "stops")


def _read_zones(row: Table, reading: _Reading) -> Iterator[ZoneFare]:
    zones = (*reading.known.zones, ANY)
    for part in row.tables("zones"):
        ends = [part.text(key) if part.has(key) else ANY for key in ("from", "to")]
        for key, name in zip(("from", "to"), ends, strict=True):
            if name not in zones:
                part.fault(key, f"{name!r} is not a zone", "zones.names: " + ", ".join(zones[:-1]))
        name = row.text("name")
        fare = ZoneFare(
            fare_minor=part.amount("fare", reading.exponent),
            start="" if ends[0] == ANY else ends[0],
            end="" if ends[1] == ANY else ends[1],
            one_way=part.flag("one_way", False),
            within=pick(part, "within", reading.known.zones),
            touched=part.whole("touched", 0, high=32),
            origin=reading.origins.add(part, f"{name}, {_zone_row(part, ends)}"),
        )
        part.close()
        yield fare


def _zone_row(part: Table, ends: list[str]) -> str:
    """What a row of a zone table is about, for explanations."""
    if part.has("touched"):
        return f"{part.whole('touched', high=32)} zones"
    if part.has("within"):
        return " ".join(part.texts("within"))
    return " – ".join(ends)


def _read_other(row: Table, name: str, reading: _Reading) -> Form:
    """A fare named before this one, times a factor."""
    other = row.text("of")
    ppm = row.factor("factor", 1_000_000)
    found = next((one for one in reading.fares.rows if one.name == other), None)
    if found is None:
        row.fault("of", f"{other!r} is no fare with a price of its own")
        return Flat(0)
    if isinstance(found.form, InNetwork):
        group = next(one for one in reading.fares.groups if one.name == found.form.group)
        scaled = FareGroup(
            name,
            group.lines,
            scaled_bands(group.bands, ppm, reading.rounding),
            scaled_beyond(group.beyond, ppm, reading.rounding),
            group.tolerance_m,
        )
        reading.fares.groups.append(scaled)
        return InNetwork(name)
    return _scaled(found.form, ppm, reading.rounding)


def _scaled(form: Form, ppm: int, rounding: Rounding) -> Form:
    def scale(minor: int) -> int:
        return rounding.scale(minor, ppm) if minor >= 0 else minor

    match form:
        case Flat(minor):
            return Flat(scale(minor))
        case TapBands(to_m, fares, per_m, add, beyond):
            return TapBands(to_m, tuple(map(scale, fares)), per_m, scale(add), scale(beyond))
        case Sections(steps, counts_stops):
            return Sections(tuple((end, scale(fare)) for end, fare in steps), counts_stops)
        case ZoneTable(rows):
            return ZoneTable(
                tuple(
                    ZoneFare(
                        scale(one.fare_minor),
                        one.start,
                        one.end,
                        one.one_way,
                        one.within,
                        one.touched,
                        one.origin,
                    )
                    for one in rows
                )
            )
        case Matrix(cells, both_ways):
            scaled = {
                key: MatrixFare(scale(one.fare_minor), one.distance_m, one.origin)
                for key, one in cells.items()
            }
            return Matrix(scaled, both_ways)
    return form
