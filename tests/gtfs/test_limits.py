"""Feeds that say more than a compiled tariff holds, or that it can hold in one way only."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastpath.layers import CATEGORIES_MAX, NETWORKS_MAX
from gateway.errors import TariffError
from gateway.tariffs.gtfs.loaded import inspect, load
from tests.support.feed_cases import ATTRIBUTES, LEGS, PRODUCTS, RULES
from tests.support.feeds import MakeFeed

SAME_NUMBER = ("S8169658x", "S20006006x")
"""Two ids with one CRC-32."""
V1 = {
    "fare_leg_rules": None,
    "fare_products": None,
    "fare_attributes": ATTRIBUTES + "f,1.00,EUR,0,0,\n",
    "fare_rules": RULES + "f,R,,,1\nf,R,,,2\n",
    "routes": "route_id\nR\n",
    "stops": "stop_id,zone_id\nA,1\nB,2\nC,1\n",
    "trips": "route_id,trip_id\nR,t\nR,u\n",
    "stop_times": "trip_id,stop_id,stop_sequence\nt,A,1\nt,B,2\nt,C,3\nu,A,1\nu,C,2\n",
}


def codes(folder: Path) -> list[str]:
    return [one.code for one in inspect(folder)]


def is_refused(folder: Path, code: str) -> bool:
    with pytest.raises(TariffError) as raised:
        load(folder)
    return any(code in one for one in raised.value.findings)


def test_more_networks_than_a_tariff_holds(make_feed: MakeFeed) -> None:
    names = [f"n{number}" for number in range(NETWORKS_MAX)]
    tables = {
        "networks": "network_id\n" + "".join(f"{name}\n" for name in names),
        "fare_leg_rules": LEGS + "".join(f"G{name},{name},,,,single\n" for name in names),
    }
    folder = make_feed(**tables)
    assert "GTFS_TOO_LARGE" in codes(folder)
    assert is_refused(folder, "GTFS_TOO_LARGE")
    fewer = {
        name: "".join(row for row in text.splitlines(keepends=True) if "n31" not in row)
        for name, text in tables.items()
    }
    assert "GTFS_TOO_LARGE" not in codes(make_feed(**fewer))


def test_more_categories_than_a_tariff_holds(make_feed: MakeFeed) -> None:
    ids = [f"c{number}" for number in range(CATEGORIES_MAX)]
    rows = "".join(f"{one},{int(one == 'c0')}\n" for one in ids)
    head = "rider_category_id,is_default_fare_category\n"
    assert "GTFS_TOO_LARGE" not in codes(make_feed(rider_categories=head + rows))
    folder = make_feed(rider_categories=head + rows + "one more,0\n")
    assert is_refused(folder, "GTFS_TOO_LARGE")


def test_two_stops_with_one_number(make_feed: MakeFeed) -> None:
    areas = "area_id\na\n"
    stops = "stop_id\n" + "".join(f"{one}\n" for one in SAME_NUMBER)
    members = "area_id,stop_id\n" + "".join(f"a,{one}\n" for one in SAME_NUMBER)
    folder = make_feed(
        stops=stops, areas=areas, stop_areas=members, fare_leg_rules=LEGS + "G,,a,,,single\n"
    )
    assert is_refused(folder, "GTFS_ID_CLASH")


def test_several_ways_with_other_zones_on_one_route(make_feed: MakeFeed) -> None:
    assert "GTFS_CONTAINS" in codes(make_feed(**V1))
    one_way = V1 | {"trips": "route_id,trip_id\nR,t\n"}
    one_way["stop_times"] = "trip_id,stop_id,stop_sequence\nt,A,1\nt,B,2\nt,C,3\n"
    assert "GTFS_CONTAINS" not in codes(make_feed(**one_way))


def test_more_media_than_quotes_can_name(make_feed: MakeFeed) -> None:
    ids = [f"m{number}" for number in range(10)]
    media = "fare_media_id,fare_media_type\n" + "".join(f"{one},2\n" for one in ids)
    rows = "".join(f"single,,{one},2.00,EUR\n" for one in ids)
    assert "GTFS_MEDIA_SLOTS" in codes(make_feed(fare_media=media, fare_products=PRODUCTS + rows))
    fewer = media.replace("m9,2\n", ""), rows.replace("single,,m9,2.00,EUR\n", "")
    folder = make_feed(fare_media=fewer[0], fare_products=PRODUCTS + fewer[1])
    assert "GTFS_MEDIA_SLOTS" not in codes(folder)


def test_a_leg_in_several_leg_groups(make_feed: MakeFeed) -> None:
    folder = make_feed(
        fare_products=PRODUCTS + "single,,,2.00,EUR\nmore,,,2.00,EUR\n",
        fare_leg_rules=LEGS + "G,,,,,single\nH,,,,,more\n",
    )
    assert "GTFS_SEVERAL_GROUPS" in codes(folder)
