"""Stops -> classes by the areas (Fares v2) or zones (Fares v1) they are in."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.numbers import area_key, number_all
from gateway.tariffs.gtfs.tables import Feed


@dataclass(frozen=True, slots=True)
class PlaceClass:
    """Stops that no rule tells apart. areas: those that rules name; inside: whether in any."""

    areas: frozenset[str]
    inside: bool


NOWHERE = PlaceClass(frozenset(), False)


@dataclass(frozen=True, slots=True)
class Places:
    """Stops by number and their classes; class 0 is `NOWHERE`."""

    classes: tuple[PlaceClass, ...]
    numbers: dict[str, int]
    """Stop id, or area key, -> what taps carry."""
    stop_ids: array[int]
    stop_class: array[int]
    station_of: dict[str, str]
    """Stop -> its station, or itself."""

    @property
    def index_of(self) -> dict[str, int]:
        """Stop id -> index in the tariff's tables."""
        at = {number: index for index, number in enumerate(self.stop_ids)}
        return {stop: at[number] for stop, number in self.numbers.items()}

    def stops_of(self, stop_or_station: str) -> list[str]:
        """A stop, or a station with everything in it."""
        inside = [stop for stop, station in self.station_of.items() if station == stop_or_station]
        return list(dict.fromkeys([stop_or_station, *inside]))


def areas_of_stops(feed: Feed) -> dict[str, frozenset[str]]:
    """Areas of each stop; a platform without areas of its own has its station's."""
    direct: dict[str, set[str]] = {}
    for row in feed.stop_areas:
        direct.setdefault(row.member, set()).add(row.group)
    areas = {stop: frozenset(own) for stop, own in direct.items()}
    for stop in feed.stops:
        areas.setdefault(stop.stop_id, areas.get(stop.parent, frozenset()))
    return areas


def build_area_places(feed: Feed, findings: Findings) -> Places:
    """Classes by the areas that leg rules name."""
    named = {rule.from_area_id for rule in feed.leg_rules}
    named |= {rule.to_area_id for rule in feed.leg_rules}
    areas = areas_of_stops(feed)
    areas |= {area_key(one.row_id): frozenset({one.row_id}) for one in feed.areas}
    return _build(feed, areas, lambda own: PlaceClass(own & named, bool(own)), findings)


def build_zone_places(feed: Feed, named: Iterable[str], findings: Findings) -> Places:
    """Classes by the zones that fare rules name."""
    known = frozenset(named)
    zones = {stop.stop_id: frozenset({stop.zone_id} if stop.zone_id else ()) for stop in feed.stops}
    zones |= {area_key(zone): frozenset({zone}) for zone in sorted(known)}
    return _build(feed, zones, lambda own: PlaceClass(own & known, bool(own)), findings)


def _build(
    feed: Feed,
    areas: dict[str, frozenset[str]],
    classify: Callable[[frozenset[str]], PlaceClass],
    findings: Findings,
) -> Places:
    numbers = number_all(areas, "stops.txt", findings)
    ordered = sorted(areas, key=numbers.__getitem__)
    classes = {NOWHERE: 0}
    stop_class = array("I")
    for stop in ordered:
        place = classify(areas[stop])
        stop_class.append(classes.setdefault(place, len(classes)))
    return Places(
        classes=tuple(classes),
        numbers=numbers,
        stop_ids=array("I", [numbers[stop] for stop in ordered]),
        stop_class=stop_class,
        station_of={stop.stop_id: stop.parent or stop.stop_id for stop in feed.stops},
    )
