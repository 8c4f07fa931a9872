"""Stations, lines and walks of a tariff -> Network."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from gateway.tariffs.calendar import US_PER_S
from gateway.tariffs.load_stops import STOP_ID_MAX, load_stops, read_place
from gateway.tariffs.reader import Findings, Table, load_document
from gateway.tariffs.source import FareGroup, Line, Network, OutOfStationPair, Station

HOP_MAX_M = 200_000
US_PER_MIN = 60 * US_PER_S
_DAY_MIN = 24 * 60
_HIGHEST_OVER = ("all", "main")


def load_network(root: Table, path: Path, findings: Findings) -> Network:
    """Read what [network], [[stop]] and [[out_of_station]] say; a tariff may have none of them.

    Price groups are left empty: they are what [[fare]] says.
    """
    stations = load_stops(root)
    lines: tuple[Line, ...] = ()
    if root.has("network"):
        if stations:
            root.fault("stop", "stands beside [network]", "its stations file has all stops")
        stations, lines = _load_lines_and_stations(root.table("network"), path, findings)
    highest = root.table("journey", needed=False).choice("highest_over", _HIGHEST_OVER, "all")
    return Network(
        stations=stations,
        lines=lines,
        pairs=tuple(_read_pairs(root, stations)),
        highest_over_main=highest == "main",
    )


def _load_lines_and_stations(
    table: Table, path: Path, findings: Findings
) -> tuple[tuple[Station, ...], tuple[Line, ...]]:
    stations = _load_stations(path.parent / table.text("stations"), path, findings)
    lines = _load_lines(path.parent / table.text("lines"), path, stations, findings)
    table.choice("combine", ("cheapest_interchange",), "cheapest_interchange")
    table.close()
    return stations, lines


def _open(path: Path, beside: Path, findings: Findings) -> Table:
    name = path.relative_to(beside.parent).as_posix()
    root = Table.root(load_document(path, findings, name=name), findings)
    if root.document.data:
        root.whole("format", low=1, high=1)
        root.text("as_of")
    return root


def _load_stations(path: Path, beside: Path, findings: Findings) -> tuple[Station, ...]:
    root = _open(path, beside, findings)
    if not root.document.data:
        return ()
    stations = []
    names: set[str] = set()
    ids: set[int] = set()
    for row in root.tables("stations"):
        station = _read_station(row)
        if station.zh in names:
            row.fault(
                "zh", f"{station.zh!r} is there twice", "two stations of one name need a suffix"
            )
        if station.stop_id in ids:
            row.fault("id", f"{station.stop_id} is there twice", "take a number never used before")
        names.add(station.zh)
        ids.add(station.stop_id)
        stations.append(station)
    root.close()
    return tuple(stations)


def _read_station(row: Table) -> Station:
    zones, section = read_place(row)
    station = Station(
        stop_id=row.whole("id", low=1, high=STOP_ID_MAX),
        zh=row.text("zh"),
        py=row.text("py", ""),
        en=row.text("en", ""),
        also=row.texts("also", ()),
        zones=zones,
        section=section,
    )
    row.close()
    return station


def _load_lines(
    path: Path, beside: Path, stations: tuple[Station, ...], findings: Findings
) -> tuple[Line, ...]:
    root = _open(path, beside, findings)
    if not root.document.data:
        return ()
    known = {station.zh for station in stations}
    lines = tuple(_read_line(row, known) for row in root.tables("line"))
    root.close()
    _check_unique(root, lines)
    used = {stop for line in lines for stop in line.stops}
    for name in sorted(known - used):
        root.fault(None, f"station {name!r} is on no line", "add it to a line or remove it")
    return lines


def _check_unique(root: Table, lines: tuple[Line, ...]) -> None:
    names = [line.zh for line in lines]
    for name in sorted({name for name in names if names.count(name) > 1}):
        root.fault("line", f"line {name!r} is there twice")


def _read_line(row: Table, known: set[str]) -> Line:
    row.whole("code", low=1, high=999)
    zh, en, loop = row.text("zh"), row.text("en"), row.flag("loop", False)
    stops: list[str] = []
    before: list[int] = []
    for stop in row.tables("stations"):
        name = _read_stop(stop, known, stops)
        before.append(_read_hop(stop, first=not stops, loop=loop))
        stops.append(name)
    row.close()
    if len(stops) < 2:
        row.fault("stations", "needs at least two stations")
    hops = [*before[1:], *before[:1]] if loop else before[1:]
    return Line(zh, en, loop, tuple(stops), tuple(hops))


def _read_stop(stop: Table, known: set[str], stops: list[str]) -> str:
    name = stop.text("at")
    if name not in known:
        near = get_close_matches(name, sorted(known), n=2)
        stop.fault("at", f"{name!r} is not in the stations file", did_you_mean(near))
    if name in stops:
        stop.fault("at", f"{name!r} is on this line twice")
    return name


def _read_hop(stop: Table, *, first: bool, loop: bool) -> int:
    """Metres from the station before; 0 for the first station of a line that is no loop."""
    needed = loop or not first
    if not needed and stop.has("m"):
        stop.fault("m", "the first station of a line has no distance", "or write loop = true")
    metres = stop.whole("m", None if needed else 0, low=1 if needed else 0, high=HOP_MAX_M)
    stop.close()
    return metres


def did_you_mean(near: list[str]) -> str:
    """A hint out of close matches."""
    return f"did you mean {' or '.join(near)}?" if near else ""


def check_groups(root: Table, groups: tuple[FareGroup, ...], lines: tuple[Line, ...]) -> None:
    """Note lines that are priced twice, and a main network that is missing or there twice.

    For tariffs whose groups stand under no condition.
    """
    known = {line.zh for line in lines}
    taken: set[str] = set()
    for group in groups:
        for name in group.lines:
            if known and name not in known:
                root.fault("fare", f"{group.name}: {name!r} is not a line")
            if name in taken:
                root.fault("fare", f"{name!r} is in two groups")
            taken.add(name)
    mains = sum(group.is_main for group in groups)
    if mains != 1:
        root.fault("fare", f"{mains} groups without `lines`", "exactly one is the main network")
    names = [group.name for group in groups]
    for name in sorted({name for name in names if names.count(name) > 1}):
        root.fault("fare", f"{name!r} is there twice")


def _read_pairs(root: Table, stations: tuple[Station, ...]) -> Iterator[OutOfStationPair]:
    known = {name: one.zh for one in stations for name in (one.en, one.zh) if name}
    journey = root.table("journey", needed=False)
    default = journey.whole("join_within_min", 0, high=_DAY_MIN)
    for row in root.tables("out_of_station", needed=False):
        names = row.texts("between")
        for name in names:
            if name not in known:
                near = get_close_matches(name, sorted(known), n=2)
                row.fault("between", f"{name!r} is not a station", did_you_mean(near))
        walk_s = row.whole("walk_s", 0, high=7200)
        window_min = row.whole("within_min", default, high=_DAY_MIN)
        back_min = row.whole("back_within_min", window_min, high=_DAY_MIN)
        row.close()
        if window_min == 0 and back_min == 0:
            row.fault("within_min", "has no time limit", "here, or as journey.join_within_min")
        if len(names) != 2 or names[0] == names[-1]:
            row.fault("between", "must name two stations")
            continue
        ends = [known.get(name, name) for name in names]
        yield OutOfStationPair(
            ends[0], ends[1], window_min * US_PER_MIN, walk_s, back_min * US_PER_MIN
        )
