"""The two real feeds: every fare of the light rail, every pair of areas of the bus."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from gateway.tariffs.gtfs.loaded import LoadedFeed, load
from gateway.tariffs.gtfs.numbers import area_key
from gateway.tariffs.gtfs.quote import quote_journeys
from tests.support.feeds import shared_folder

FARES = 342


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


@cache
def feed(name: str) -> LoadedFeed:
    return load(shared_folder("gtfs", name))


def ride(start: str, end: str, day: str, **fields: str) -> dict[str, object]:
    leg = {"from_stop": start, "to_stop": end, "date": day, "dep": "08:00:00", "arr": "08:30:00"}
    return {"id": f"{start}>{end}", "legs": [leg | fields]}


def test_every_fare_of_the_light_rail() -> None:
    """Against the two tables as they stand, read without the loader."""
    folder = shared_folder("gtfs", "utsunomiya-lrt")
    price = {row["fare_id"]: row["price"] for row in rows(folder / "fare_attributes.txt")}
    rules = rows(folder / "fare_rules.txt")
    assert len(rules) == FARES
    loaded = feed("utsunomiya-lrt")
    journeys = [
        ride(row["origin_id"], row["destination_id"], "2024-03-04", route_id=row["route_id"])
        for row in rules
    ]
    quotes = quote_journeys(loaded, journeys)
    assert [one["total"] for one in quotes] == [price[row["fare_id"]] for row in rules]
    assert {one["currency"] for one in quotes} == {"JPY"}


def test_each_fare_names_its_row() -> None:
    folder = shared_folder("gtfs", "utsunomiya-lrt")
    legs = feed("utsunomiya-lrt").built.spec.layers
    assert legs is not None
    assert legs.legs is not None
    lines = {
        feed("utsunomiya-lrt").built.origins.get(number).lines
        for number in set(legs.legs.source) - {0}
    }
    assert lines == {(line,) for line in range(2, 2 + len(rows(folder / "fare_rules.txt")))}


def test_a_pair_without_a_fare_has_none() -> None:
    loaded = feed("utsunomiya-lrt")
    folder = shared_folder("gtfs", "utsunomiya-lrt")
    pairs = {(row["origin_id"], row["destination_id"]) for row in rows(folder / "fare_rules.txt")}
    stops = [row["stop_id"] for row in rows(folder / "stops.txt")]
    start, end = next((a, b) for a in stops for b in stops if (a, b) not in pairs)
    quote = quote_journeys(loaded, [ride(start, end, "2024-03-04", route_id="1")])[0]
    assert (quote["total"], quote["reason"]) == (None, "not_priced")


def test_the_feed_holds_on_its_days_only() -> None:
    legs = [ride("1_01", "2_01", day, route_id="1") for day in ("2023-11-22", "2023-11-23")]
    first, second = quote_journeys(feed("utsunomiya-lrt"), legs)
    assert (first["total"], first["reason"]) == (None, "tariff_not_loaded")
    assert second["total"] == "150"


@pytest.mark.parametrize(
    ("start", "end", "category", "total"),
    [
        ("100", "101", "0", "0.00"),
        ("100", "117", "0", "4.00"),
        ("117-2", "100", "0", "4.00"),
        ("100", "120", "0", "5.00"),
        ("126", "119-2", "0", "4.00"),
        ("100", "117", "", "4.00"),
        ("100", "117", "2", None),
    ],
)
def test_bus_of_zakroczym(start: str, end: str, category: str, total: str | None) -> None:
    journey = ride(start, end, "2026-03-04", route_id="Z1") | {"rider_category_id": category}
    assert quote_journeys(feed("zakroczym"), [journey])[0]["total"] == total


def test_areas_have_numbers_of_their_own() -> None:
    places = feed("zakroczym").built.places
    assert len({places.numbers[area_key(one)] for one in "123"} - set(range(1000))) == 3
