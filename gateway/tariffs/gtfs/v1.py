"""Fares v1: fare_attributes.txt and fare_rules.txt as one cell a pair of zones and kind of route.

Each ride costs the cheapest fare that fits it. Rows of one fare are alternatives; rows with
contains_id that agree in everything else are one: the ride must touch exactly these zones. A fare
without rows fits everywhere (on routes of its agency, if it names one).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.grid import NO_CELL, Cell, Column, Shape
from gateway.tariffs.gtfs.networks import Networks, classify_lines
from gateway.tariffs.gtfs.origins import Origin, Origins
from gateway.tariffs.gtfs.places import PlaceClass, Places, build_zone_places
from gateway.tariffs.gtfs.tables import FareAttribute, FareRule, Feed
from gateway.tariffs.gtfs.zones import ZonesOnTheWay

FILE = "fare_rules.txt"
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Condition:
    """One way in which a fare fits: "" = does not matter."""

    fare: FareAttribute
    route_id: str
    origin_id: str
    destination_id: str
    contains: frozenset[str]
    lines: tuple[int, ...]
    """Rows of fare_rules.txt; () = the fare has none."""


@dataclass(slots=True)
class FareBook:
    """The fares of a feed, ready to be asked."""

    feed: Feed
    networks: Networks
    places: Places
    conditions: tuple[Condition, ...]
    zones: ZonesOnTheWay
    origins: Origins
    findings: Findings
    _lines_of: dict[str, list[str]] = field(default_factory=dict)

    def build_column(self, shape: Shape, network: int) -> Column:
        """The cells of one kind of route."""
        name = shape.networks.names[network]
        routes = self._lines_of.get(name, [])
        fitting = [one for one in self.conditions if self._fits_line(one, routes)]
        places = shape.places.classes
        return tuple(self._cell(fitting, routes, start, end) for start in places for end in places)

    def _fits_line(self, one: Condition, routes: list[str]) -> bool:
        if one.route_id:
            return one.route_id in routes
        agencies = {row.route_id: row.agency_id for row in self.feed.routes}
        return not one.fare.agency_id or all(
            agencies.get(route, "") in ("", one.fare.agency_id) for route in routes
        )

    def _cell(
        self, conditions: list[Condition], routes: list[str], start: PlaceClass, end: PlaceClass
    ) -> Cell:
        fitting = [
            one
            for one in conditions
            if (not one.origin_id or one.origin_id in start.areas)
            and (not one.destination_id or one.destination_id in end.areas)
            and (not one.contains or one.contains in self.zones.sets(routes, start, end))
        ]
        if not fitting:
            return NO_CELL
        cheapest = min(fitting, key=lambda one: (one.fare.price_minor, one.fare.line))
        file = FILE if cheapest.lines else "fare_attributes.txt"
        lines = cheapest.lines or (cheapest.fare.line,)
        origin = Origin(file, lines, frozenset({cheapest.fare.fare_id}))
        at = self.feed.fares.index(cheapest.fare)
        return Cell(cheapest.fare.price_minor, at + 1, self.origins.number_of(origin))


def build_book(feed: Feed, origins: Origins, findings: Findings) -> FareBook:
    """Fares in the currency of the first one; routes that no rule tells apart are one kind."""
    conditions = tuple(_conditions(feed, findings))
    networks = _networks(feed, conditions, findings)
    named = {zone for one in conditions for zone in (one.origin_id, one.destination_id)}
    named |= {zone for one in conditions for zone in one.contains}
    places = build_zone_places(feed, named - {""}, findings)
    kind_of = _kinds(feed, conditions)
    lines_of: dict[str, list[str]] = {}
    for route, kind in kind_of.items():
        lines_of.setdefault(kind, []).append(route)
    zones = ZonesOnTheWay(feed, findings)
    return FareBook(feed, networks, places, conditions, zones, origins, findings, lines_of)


def _conditions(feed: Feed, findings: Findings) -> Iterator[Condition]:
    if not feed.fares:
        return
    currency = feed.fares[0].currency
    rules: dict[str, dict[Key, list[FareRule]]] = {}
    for rule in feed.fare_rules:
        key = (rule.route_id, rule.origin_id, rule.destination_id)
        rules.setdefault(rule.fare_id, {}).setdefault(key, []).append(rule)
    for fare in feed.fares:
        if fare.currency != currency:
            said = f"is in {fare.currency.code}, the tariff in {currency.code}"
            findings.add(
                "GTFS_CURRENCIES",
                "fare_attributes.txt",
                said,
                line=fare.line,
                field="currency_type",
            )
            continue
        found = rules.get(fare.fare_id)
        if not found:
            yield Condition(fare, "", "", "", frozenset(), ())
            continue
        for key, rows in found.items():
            contains = frozenset(row.contains_id for row in rows if row.contains_id)
            yield Condition(fare, *key, contains, tuple(row.line for row in rows))


def _kinds(feed: Feed, conditions: tuple[Condition, ...]) -> dict[str, str]:
    """Route -> its kind: the route itself when its rules differ from those of all others."""
    named: dict[str, set[tuple[object, ...]]] = {}
    for one in conditions:
        if one.route_id:
            terms = (one.fare.fare_id, one.origin_id, one.destination_id, one.contains)
            named.setdefault(one.route_id, set()).add(terms)
    by_zones = any(one.contains for one in conditions)
    kinds: dict[tuple[object, ...], str] = {}
    found = {}
    for row in feed.routes:
        own = frozenset(named.get(row.route_id, ()))
        key = (own, row.agency_id, row.route_id if by_zones else "")
        found[row.route_id] = kinds.setdefault(key, row.route_id)
    return found | {route: route for route in named if route not in found}


def _networks(feed: Feed, conditions: tuple[Condition, ...], findings: Findings) -> Networks:
    return classify_lines(_kinds(feed, conditions), are_defined=False, file=FILE, findings=findings)
