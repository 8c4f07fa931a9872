"""Fares v1: which zones a ride touches, by the stops its trips call at."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.places import PlaceClass
from gateway.tariffs.gtfs.tables import Feed

Zones = frozenset[str]
Pair = tuple[str, str]
NOTHING: frozenset[Zones] = frozenset()


class ZonesOnTheWay:
    """Sets of zones between a zone of departure and one of arrival, route by route."""

    def __init__(self, feed: Feed, findings: Findings) -> None:
        self._findings = findings
        self._sets: dict[str, dict[Pair, frozenset[Zones]]] = {}
        zone_of = {stop.stop_id: stop.zone_id for stop in feed.stops}
        for route, patterns in _patterns(feed).items():
            found: dict[Pair, set[Zones]] = {}
            for pattern in patterns:
                _collect([zone_of.get(stop, "") for stop in pattern], found)
            self._sets[route] = {pair: frozenset(sets) for pair, sets in found.items()}
            for (start, end), sets in found.items():
                if len(sets) > 1:
                    said = f"route {route} from zone {start} to {end}: {len(sets)} ways"
                    findings.add("GTFS_CONTAINS", "stop_times.txt", said)

    def sets(self, routes: Iterable[str], start: PlaceClass, end: PlaceClass) -> frozenset[Zones]:
        """The sets of zones that rides of these routes may touch."""
        found = NOTHING
        for route in routes:
            for one in start.areas:
                for other in end.areas:
                    found |= self._sets.get(route, {}).get((one, other), NOTHING)
        return found


def _patterns(feed: Feed) -> dict[str, set[tuple[str, ...]]]:
    """The sequences of stops of each route, each once."""
    stops: dict[str, list[tuple[int, str]]] = {}
    for row in feed.stop_times:
        stops.setdefault(row.trip_id, []).append((row.sequence, row.stop_id))
    found: dict[str, set[tuple[str, ...]]] = {}
    for trip in feed.trips:
        calls = tuple(stop for _, stop in sorted(stops.get(trip.trip_id, ())))
        found.setdefault(trip.route_id, set()).add(calls)
    return found


def _collect(zones: list[str], found: dict[Pair, set[Zones]]) -> None:
    for at, start in enumerate(zones):
        touched: set[str] = {start}
        for end in zones[at + 1 :]:
            touched.add(end)
            found.setdefault((start, end), set()).add(frozenset(touched - {""}))
