"""Errors of a feed: keys that come twice, references to nothing, times that overlap."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.networks import list_networks
from gateway.tariffs.gtfs.tables import Feed, LegRule, Timeframe


class HasLine(Protocol):
    """Any row."""

    @property
    def line(self) -> int: ...


Typed = TypeVar("Typed", bound=HasLine)


def check_feed(feed: Feed, findings: Findings) -> None:
    """Note every error between rows. Faults inside a row are noted when it is read."""
    if not feed.leg_rules and not feed.fares:
        findings.add("GTFS_NO_FARES", feed.name, "has no fare rules")
    if feed.leg_rules and not feed.products:
        findings.add("GTFS_NO_FARES", "fare_products.txt", "has no rows")
    _check_keys(feed, findings)
    _check_groups(feed.leg_rules, findings)
    _check_overlaps(feed.timeframes, findings)
    _References(feed, findings).check()


def _check_keys(feed: Feed, findings: Findings) -> None:
    def unique(file: str, rows: Sequence[Typed], key: Callable[[Typed], Hashable]) -> None:
        seen: dict[Hashable, int] = {}
        for row in rows:
            first = seen.setdefault(key(row), row.line)
            if first != row.line:
                findings.add("GTFS_DUPLICATE", file, f"same key as line {first}", line=row.line)

    unique("areas.txt", feed.areas, lambda row: row.row_id)
    unique("networks.txt", feed.networks, lambda row: row.row_id)
    unique("stops.txt", feed.stops, lambda row: row.stop_id)
    unique("routes.txt", feed.routes, lambda row: row.route_id)
    unique("rider_categories.txt", feed.categories, lambda row: row.category_id)
    unique("fare_media.txt", feed.media, lambda row: row.media_id)
    unique("calendar.txt", feed.services, lambda row: row.service_id)
    unique("calendar_dates.txt", feed.service_dates, lambda row: (row.service_id, row.day))
    unique("stop_areas.txt", feed.stop_areas, lambda row: (row.group, row.member))
    unique("route_networks.txt", feed.route_networks, lambda row: row.member)
    unique(
        "fare_products.txt",
        feed.products,
        lambda row: (row.product_id, row.category_id, row.media_id),
    )
    unique("fare_leg_rules.txt", feed.leg_rules, _leg_key_with_group)
    unique(
        "fare_leg_join_rules.txt",
        feed.join_rules,
        lambda row: (row.from_network_id, row.to_network_id, row.from_stop_id, row.to_stop_id),
    )
    unique(
        "fare_transfer_rules.txt",
        feed.transfer_rules,
        lambda row: (row.from_group_id, row.to_group_id, row.product_id, row.count, row.limit_s),
    )
    unique("fare_attributes.txt", feed.fares, lambda row: row.fare_id)
    unique(
        "fare_rules.txt",
        feed.fare_rules,
        lambda row: (
            row.fare_id, row.route_id, row.origin_id, row.destination_id, row.contains_id,
        ),
    )  # fmt: skip
    unique(
        "timeframes.txt",
        feed.timeframes,
        lambda row: (row.group_id, row.start_s, row.end_s, row.service_id),
    )


def _leg_key(row: LegRule) -> Hashable:
    return (
        row.network_id,
        row.from_area_id,
        row.to_area_id,
        row.from_timeframe_id,
        row.to_timeframe_id,
        row.product_id,
    )


def _leg_key_with_group(row: LegRule) -> Hashable:
    return _leg_key(row), row.group_id


def _check_groups(rules: Iterable[LegRule], findings: Findings) -> None:
    """The reference forbids one rule in two leg groups."""
    seen: dict[Hashable, LegRule] = {}
    for rule in rules:
        first = seen.setdefault(_leg_key(rule), rule)
        if first.group_id != rule.group_id:
            said = f"is {rule.group_id!r}, the same rule on line {first.line} {first.group_id!r}"
            findings.add(
                "GTFS_GROUP", "fare_leg_rules.txt", said, line=rule.line, field="leg_group_id"
            )


def _check_overlaps(rows: Iterable[Timeframe], findings: Findings) -> None:
    by_key: dict[tuple[str, str], list[Timeframe]] = {}
    for row in rows:
        by_key.setdefault((row.group_id, row.service_id), []).append(row)
    for own in by_key.values():
        own.sort(key=lambda row: (row.start_s, row.end_s))
        for before, row in pairwise(own):
            same = (before.start_s, before.end_s) == (row.start_s, row.end_s)
            if row.start_s < before.end_s and not same:
                said = f"overlaps line {before.line}"
                findings.add(
                    "GTFS_OVERLAP", "timeframes.txt", said, line=row.line, field="start_time"
                )


class _References:
    """Ids that another file has to define.

    Where that file is not there the row may still be used: a warning, once a file and field.
    """

    def __init__(self, feed: Feed, findings: Findings) -> None:
        self._feed = feed
        self._findings = findings
        self._told: set[tuple[str, str]] = set()

    def check(self) -> None:
        self._check_fares()
        self._check_rules()
        self._check_places()

    def _check_fares(self) -> None:
        feed = self._feed
        categories = {row.category_id for row in feed.categories}
        media = {row.media_id for row in feed.media}
        products = {row.product_id for row in feed.products}
        for row in feed.products:
            at = ("fare_products.txt", row.line)
            self._need(at, "rider_category_id", row.category_id, categories, "rider_categories.txt")
            self._need(at, "fare_media_id", row.media_id, media, "fare_media.txt")
        groups = {row.group_id for row in feed.leg_rules if row.group_id}
        for rule in feed.leg_rules:
            at = ("fare_leg_rules.txt", rule.line)
            self._need(at, "fare_product_id", rule.product_id, products, "fare_products.txt")
        for one in feed.transfer_rules:
            at = ("fare_transfer_rules.txt", one.line)
            self._need(at, "fare_product_id", one.product_id, products, "fare_products.txt")
            self._need(at, "from_leg_group_id", one.from_group_id, groups, "fare_leg_rules.txt")
            self._need(at, "to_leg_group_id", one.to_group_id, groups, "fare_leg_rules.txt")

    def _check_rules(self) -> None:
        feed = self._feed
        areas = {row.row_id for row in feed.areas}
        frames = {row.group_id for row in feed.timeframes}
        networks = set(list_networks(feed))
        from_file = "routes.txt" if feed.has_route_networks else "networks.txt"
        for rule in feed.leg_rules:
            at = ("fare_leg_rules.txt", rule.line)
            self._need(at, "network_id", rule.network_id, networks, from_file)
            self._need(at, "from_area_id", rule.from_area_id, areas, "areas.txt")
            self._need(at, "to_area_id", rule.to_area_id, areas, "areas.txt")
            for field, value in (
                ("from_timeframe_group_id", rule.from_timeframe_id),
                ("to_timeframe_group_id", rule.to_timeframe_id),
            ):
                self._need(at, field, value, frames, "timeframes.txt", strict=True)
        for join in feed.join_rules:
            at = ("fare_leg_join_rules.txt", join.line)
            self._need(at, "from_network_id", join.from_network_id, networks, from_file)
            self._need(at, "to_network_id", join.to_network_id, networks, from_file)
        services = {row.service_id for row in feed.services}
        services |= {row.service_id for row in feed.service_dates}
        calendar = "calendar.txt" if feed.services else "calendar_dates.txt"
        for frame in feed.timeframes:
            at = ("timeframes.txt", frame.line)
            self._need(at, "service_id", frame.service_id, services, calendar, strict=True)

    def _check_places(self) -> None:
        feed = self._feed
        stops = {row.stop_id for row in feed.stops}
        areas = {row.row_id for row in feed.areas}
        routes = {row.route_id for row in feed.routes}
        networks = {row.row_id for row in feed.networks}
        zones = {row.zone_id for row in feed.stops}
        fares = {row.fare_id for row in feed.fares}
        for row in feed.stop_areas:
            at = ("stop_areas.txt", row.line)
            self._need(at, "area_id", row.group, areas, "areas.txt")
            self._need(at, "stop_id", row.member, stops, "stops.txt")
        for row in feed.route_networks:
            at = ("route_networks.txt", row.line)
            self._need(at, "network_id", row.group, networks, "networks.txt")
            self._need(at, "route_id", row.member, routes, "routes.txt")
        for stop in feed.stops:
            self._need(("stops.txt", stop.line), "parent_station", stop.parent, stops, "stops.txt")
        for join in feed.join_rules:
            at = ("fare_leg_join_rules.txt", join.line)
            self._need(at, "from_stop_id", join.from_stop_id, stops, "stops.txt")
            self._need(at, "to_stop_id", join.to_stop_id, stops, "stops.txt")
        for rule in feed.fare_rules:
            at = ("fare_rules.txt", rule.line)
            self._need(at, "fare_id", rule.fare_id, fares, "fare_attributes.txt")
            self._need(at, "route_id", rule.route_id, routes, "routes.txt")
            for field, zone in (
                ("origin_id", rule.origin_id),
                ("destination_id", rule.destination_id),
                ("contains_id", rule.contains_id),
            ):
                self._need(at, field, zone, zones, "stops.txt")

    def _need(
        self,
        at: tuple[str, int],
        field: str,
        value: str,
        known: set[str],
        defined_in: str,
        *,
        strict: bool = False,
    ) -> None:
        if not value or value in known:
            return
        file, line = at
        if strict or defined_in in self._feed.files:
            said = f"{value!r} is not in {defined_in}"
            self._findings.add("GTFS_REFERENCE", file, said, line=line, field=field)
        elif (file, field) not in self._told:
            self._told.add((file, field))
            said = f"{value!r}: there is no {defined_in}"
            self._findings.add("GTFS_UNKNOWN_REFERENCE", file, said, line=line, field=field)
