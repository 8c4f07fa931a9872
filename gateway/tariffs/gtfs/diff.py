"""What changes when a new version of a feed comes: journeys that cost something else, and rows.

Journeys are priced by the engine on both. Without journeys, single rides are made up: between the
areas (or stops, or zones) that both feeds know, on every network, at some hours of a week.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from itertools import product
from typing import Any

from gateway.tariffs.calendar import local_time
from gateway.tariffs.diff import RIDES_MAX, PriceChange, TariffDiff
from gateway.tariffs.diff_rules import RuleChange
from gateway.tariffs.gtfs.columns import COLUMNS
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.loaded import LoadedFeed
from gateway.tariffs.gtfs.quote import quote_journeys
from gateway.tariffs.gtfs.read import Row, open_feed
from gateway.tariffs.gtfs.tables import Feed

Journey = dict[str, Any]

KEYS = {
    "fare_products.txt": "fare_product_id rider_category_id fare_media_id",
    "fare_leg_rules.txt": "leg_group_id network_id from_area_id to_area_id"
    " from_timeframe_group_id to_timeframe_group_id fare_product_id",
    "fare_leg_join_rules.txt": "from_network_id to_network_id from_stop_id to_stop_id",
    "fare_transfer_rules.txt": "from_leg_group_id to_leg_group_id fare_product_id",
    "timeframes.txt": "timeframe_group_id service_id start_time",
    "rider_categories.txt": "rider_category_id",
    "fare_media.txt": "fare_media_id",
    "areas.txt": "area_id",
    "stop_areas.txt": "area_id stop_id",
    "networks.txt": "network_id",
    "route_networks.txt": "network_id route_id",
    "fare_attributes.txt": "fare_id",
    "fare_rules.txt": "fare_id route_id origin_id destination_id contains_id",
}
"""By which columns a row of one version is found in the other."""

TIMES = ((0, "08:00:00"), (0, "12:00:00"), (0, "22:00:00"), (5, "12:00:00"), (6, "12:00:00"))
"""(days after the first Monday, departure) of the rides that are made up."""


def diff_feeds(before: LoadedFeed, after: LoadedFeed, data: object = None) -> TariffDiff:
    """Compare two versions of a feed.

    Args: data: journeys as `quote --feed` takes them; None = rides are made up.
    Raises: TariffError: TARIFF_JOURNEYS.
    """
    is_complete = True
    if data is None:
        data, is_complete = _made_up(before, after)
    quotes = zip(quote_journeys(before, data), quote_journeys(after, data), strict=True)
    pairs = list(quotes)
    changes = tuple(_change(*pair) for pair in pairs if _said(pair[0]) != _said(pair[1]))
    return TariffDiff(changes, tuple(diff_rows(before, after)), len(pairs), is_complete)


def _said(quote: Journey) -> tuple[object, ...]:
    return quote["total"], quote["currency"], quote.get("reason", "")


def _change(before: Journey, after: Journey) -> PriceChange:
    reasons = [f"{one['reason']}: {one['detail']}" for one in (before, after) if "reason" in one]
    return PriceChange(before["id"], before["total"], after["total"], "; ".join(reasons))


def diff_rows(before: LoadedFeed, after: LoadedFeed) -> Iterator[RuleChange]:
    """Rows of the fare tables that one feed has and the other has not, or has otherwise."""
    for file, columns in KEYS.items():
        key = columns.split()
        old, new = (dict(_rows(feed, file, key)) for feed in (before, after))
        rest = sorted(COLUMNS[file] - set(key))
        for said in dict.fromkeys((*new, *old)):
            first, second = old.get(said), new.get(said)
            shown = [name for name in rest if _value(first, name) != _value(second, name)]
            if shown or first is None or second is None:
                yield RuleChange(
                    f"{file}[{said}]",
                    _text(first, shown or key),
                    _text(second, shown or key),
                    first.line if first else 0,
                    second.line if second else 0,
                )


def _rows(feed: LoadedFeed, file: str, key: list[str]) -> Iterator[tuple[str, Row]]:
    """Rows by their key; one that comes again is numbered."""
    findings = Findings()
    table = open_feed(feed.path, findings).find_table(file, findings)
    seen: dict[str, int] = {}
    for row in table.rows if table else ():
        name = ", ".join(row.values.get(column, "") or "-" for column in key)
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}, {seen[name]}", row


def _value(row: Row | None, name: str) -> str:
    return "" if row is None else row.values.get(name, "")


def _text(row: Row | None, names: Iterable[str]) -> str:
    if row is None:
        return ""
    return " ".join(f"{name}={row.values[name]}" for name in names if row.values.get(name))


# --- rides that are made up ------------------------------------------------------------------


def _made_up(before: LoadedFeed, after: LoadedFeed) -> tuple[list[Journey], bool]:
    """Rides, and whether these are all; of more than RIDES_MAX a sample that is always the same."""
    feeds = (before.feed, after.feed)
    start_field, places = _places(*feeds)
    line_field, lines = _lines(*feeds)
    monday = _first_monday(before, after)
    rides: Iterable[tuple[tuple[int, str], str, str, str]]
    rides = product(TIMES, lines, places, places)
    is_complete = len(TIMES) * len(lines) * len(places) ** 2 <= RIDES_MAX
    if not is_complete:
        any_of = random.Random(1).choice
        sample = (
            (any_of(TIMES), any_of(lines), any_of(places), any_of(places)) for _ in range(RIDES_MAX)
        )
        rides = dict.fromkeys(sample)
    made = []
    for (offset, dep), line, start, end in rides:
        day = (monday + timedelta(days=offset)).isoformat()
        ends = {start_field: start, start_field.replace("from", "to"): end}
        leg = ends | {line_field: line, "date": day, "dep": dep}
        words = [line, f"{start} → {end}" if start else "", day, dep]
        made.append({"id": " ".join(word for word in words if word), "legs": [leg]})
    return made, is_complete


def _places(before: Feed, after: Feed) -> tuple[str, list[str]]:
    """Where rides may begin and end: areas, else one stop of each zone, else stops."""
    areas = _both(before, after, lambda feed: {one.row_id for one in feed.areas})
    if areas:
        return "from_area", areas
    zones = {one.zone_id: one.stop_id for one in reversed(after.stops) if one.zone_id}
    known = {one.stop_id for one in before.stops}
    of_zones = sorted(stop for stop in zones.values() if stop in known)
    if before.fares and of_zones:
        return "from_stop", of_zones
    return "from_stop", _both(before, after, lambda feed: {s.stop_id for s in feed.stops}) or [""]


def _lines(before: Feed, after: Feed) -> tuple[str, list[str]]:
    """What rides may be on: networks, else routes (Fares v1), else nothing said."""
    networks = _both(
        before,
        after,
        lambda feed: (
            {one.row_id for one in feed.networks}
            | {one.network_id for one in feed.routes if one.network_id}
            | {one.network_id for one in feed.leg_rules if one.network_id}
        ),
    )
    if networks:
        return "network_id", networks
    routes = _both(before, after, lambda feed: {one.route_id for one in feed.fare_rules} - {""})
    return "route_id", routes or [""]


def _both(before: Feed, after: Feed, find: Callable[[Feed], set[str]]) -> list[str]:
    return sorted(find(before) & find(after))


def _first_monday(before: LoadedFeed, after: LoadedFeed) -> date:
    first_us = max(one.built.spec.valid_from_us for one in (before, after))
    first = local_time(first_us, after.built.zone).date()
    return first + timedelta(days=-first.weekday() % 7)
