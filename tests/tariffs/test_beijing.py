"""The shipped Beijing files: against the facts they were written from, and sums made by hand."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from fastpath.types import CapOwner, FarePart, MissingCheckIn, MonthlyTier
from gateway.tariffs.catalogue import spec_digest
from gateway.tariffs.compile import compile_source
from gateway.tariffs.load import load_tariff

FACTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "beijing_subway.json"
SEPARATE = {"西郊线", "首都机场线", "大兴机场线"}
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def facts():
    if not FACTS.is_file():
        pytest.skip(f"the facts the tariff was written from are not here: {FACTS}")
    return json.loads(FACTS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def network(beijing):
    return beijing.source.network


def test_how_many_stations_and_lines(beijing, network):
    on_main = {stop for line in network.lines if line.zh not in SEPARATE for stop in line.stops}
    assert len(network.lines) == 28
    assert len(on_main) == 416
    assert {one.zh for one in network.stations} - on_main == {
        "3号航站楼", "2号航站楼", "大兴机场", "大兴新城", "香山", "国家植物园", "万安", "茶棚",
        "颐和园西门",
    }  # fmt: skip
    assert [line.zh for line in network.lines if line.loop] == ["2号线", "10号线"]
    assert len(beijing.spec.stop_ids) == 425
    assert beijing.prices is not None
    assert sum(beijing.prices.on_main(one.zh) for one in network.stations) == 416


def test_ids_follow_the_scheme(network):
    """Line code times 100 plus a running number, the line being one that stops there."""
    codes = {"亦庄线": 91, "昌平线": 92, "房山线": 93, "燕房线": 94, "S1线": 95, "亦庄T1线": 96,
             "西郊线": 97, "首都机场线": 98, "大兴机场线": 99}  # fmt: skip
    first: dict[str, int] = {}
    for line in network.lines:
        code = codes.get(line.zh) or int(line.zh.removesuffix("号线"))
        for stop in line.stops:
            first[stop] = min(code, first.get(stop, code))
    assert {one.zh: one.stop_id // 100 for one in network.stations} == first


ANCHORS = """
101  苹果园
119  国贸
212  东直门
1001 丰台站
9801 3号航站楼
9901 大兴机场
"""


@pytest.mark.parametrize("row", ANCHORS.split("\n")[1:-1])
def test_ids_never_change(beijing, row):
    stop_id, name = row.split()
    assert beijing.names.get(stop_id).zh == name


def test_stations_that_share_a_name_are_two(network):
    names = {one.zh for one in network.stations}
    assert {"木樨地(1号线)", "木樨地(16号线)", "大钟寺(12号线)", "大钟寺(13号线)"} <= names
    assert not {"木樨地", "大钟寺"} & names


def test_lines_and_distances_are_those_of_the_facts(facts, network):
    ours = {line.zh: line for line in network.lines}
    assert set(ours) == {line["name"] for line in facts["lines"]}
    for line in facts["lines"]:
        mine = ours[line["name"]]
        assert mine.en == line["name_en"]
        assert mine.loop == line["loop"]
        assert mine.stops == tuple(stop["name"] for stop in line["stations"])
        metres = [stop["dist_m"] for stop in line["stations"]]
        assert list(mine.hops_m) == (metres[1:] + metres[:1] if line["loop"] else metres[1:])


def test_english_names_are_those_of_the_facts(facts, network):
    given = {
        stop["name"]: stop["name_en"]
        for line in facts["lines"]
        for stop in line["stations"]
        if stop["name_en"]
    }
    assert {one.zh: one.en for one in network.stations if one.en} == given
    assert all(one.latin for one in network.stations)


def ways_of(facts) -> dict[str, dict[str, int]]:
    """Hops of the main network straight from the facts, walks as 0 m."""
    ways: dict[str, dict[str, int]] = {}

    def join(a: str, b: str, metres: int) -> None:
        for x, y in ((a, b), (b, a)):
            known = ways.setdefault(x, {})
            known[y] = min(metres, known.get(y, metres))

    for line in facts["lines"]:
        stops = line["stations"]
        if line["name"] not in facts["fare"]["separate_systems"]:
            for before, stop in pairwise([*stops[-1:], *stops] if line["loop"] else stops):
                join(before["name"], stop["name"], stop["dist_m"])
    for walk in facts["out_of_station_interchanges"]:
        join(walk["from"], walk["to"], 0)
    return ways


def relax(ways: dict[str, dict[str, int]], start: str) -> dict[str, int]:
    """Bellman-Ford: shorten until a round changes nothing. Slow, and nothing like a heap."""
    far = {start: 0}
    front = {start}
    while front:
        changed = set()
        for here in front:
            for there, metres in ways[here].items():
                if far[here] + metres < far.get(there, 10**9):
                    far[there] = far[here] + metres
                    changed.add(there)
        front = changed
    return far


def test_every_distance_of_the_main_network_is_right(facts, beijing):
    ways = ways_of(facts)
    spec, names = beijing.spec, beijing.names
    index = {names.get(str(stop_id)).zh: at for at, stop_id in enumerate(spec.stop_ids)}
    assert len(ways) == 416
    for start in ways:
        far = relax(ways, start)
        row = index[start] * len(index)
        assert {end: spec.od_distance_m[row + index[end]] for end in far} == far
        assert len(far) == 416


def test_the_rules_of_the_facts(facts, beijing):
    source, fare = beijing.source, facts["fare"]
    group = next(one for one in source.network.groups if one.is_main)
    main = fare["main_network"]
    assert [[band.to_m, band.fare_minor // 100] for band in group.bands] == (
        main["bands_upper_inclusive_m"]
    )
    assert group.beyond is not None
    assert (group.beyond.per_m, group.beyond.add_minor // 100) == (
        main["beyond"]["per_m"],
        main["beyond"]["add"],
    )
    assert group.tolerance_m == main["tolerance_m"]
    assert set(source.windows[0].stations) == set(fare["early_bird"]["entry_stations"])
    walks = {(walk["from"], walk["to"]) for walk in facts["out_of_station_interchanges"]}
    assert {(pair.first, pair.second) for pair in source.network.pairs} == walks
    assert [pair.walk_s for pair in source.network.pairs] == [
        walk["walk_minutes"] * 60 for walk in facts["out_of_station_interchanges"]
    ]


def test_compiled_rules(beijing):
    spec = beijing.spec
    rules = spec.rules
    assert (spec.tariff_id, spec.currency) == ("beijing-subway", 156)
    assert (rules.entry_minimum_minor, rules.exit_overdraft) == (300, True)
    assert (rules.max_stay_us, rules.overstay_minor) == (4 * HOUR_US, 300)
    assert rules.missing_check_in is MissingCheckIn.HIGHEST_AT_DESK
    assert rules.cap_owner is CapOwner.MEDIUM
    assert (rules.flat_minor, rules.round_to_minor) == (-1, 1)
    assert spec.monthly_tiers == (
        MonthlyTier(10_000, 800_000),
        MonthlyTier(15_000, 500_000),
        MonthlyTier(40_000, 1_000_000),
    )
    assert len(spec.out_of_station) == 8
    assert {join.window_us for join in spec.out_of_station} == {HOUR_US // 2}
    assert sum(spec.time_discounts[0].stop_flags) == 25


def test_the_table_is_whole_and_the_same_both_ways(beijing):
    spec = beijing.spec
    size = len(spec.stop_ids)
    assert len(spec.od_fare_minor) == len(spec.od_distance_m) == len(spec.od_part) == size**2
    assert spec.od_part.count(FarePart.NOT_PRICED) == 0
    assert min(spec.od_fare_minor) == 300
    for row in range(size):
        across = spec.od_fare_minor[row * size : (row + 1) * size]
        assert across == spec.od_fare_minor[row::size]
        assert spec.od_distance_m[row * size + row] == 0
    on_main = [fare for fare, part in zip(spec.od_fare_minor, spec.od_part, strict=True)
               if part in (FarePart.BAND, FarePart.BEYOND)]  # fmt: skip
    assert max(on_main) == 1000
    parts = Counter(spec.od_part)
    inside = 416**2
    assert parts[FarePart.BAND] + parts[FarePart.BEYOND] == inside


def test_highest_fares(beijing):
    spec = beijing.spec
    highest = {
        beijing.names.get(str(stop_id)).zh: spec.highest_minor[at]
        for at, stop_id in enumerate(spec.stop_ids)
    }
    assert highest["国贸"] == 800
    assert highest["昌平西山口"] == 1000  # to 燕山, 100270 m
    assert highest["三元桥"] == 800  # not the airport's 25.00
    assert highest["3号航站楼"] == 2500 + 800


def test_the_same_files_compile_to_the_same_arrays(beijing):
    again = compile_source(load_tariff(beijing.path))
    assert again == beijing.spec
    assert spec_digest(again) == spec_digest(beijing.spec)
    assert again.od_fare_minor.tobytes() == beijing.spec.od_fare_minor.tobytes()


def test_the_digest_tells_versions_apart(write_town):
    one = compile_source(load_tariff(write_town()))
    two = compile_source(load_tariff(write_town(("m = 900", "m = 901"))))
    assert spec_digest(one) != spec_digest(two)


KNOWN = """
苹果园       国贸          25637   6.00  # line 1
国贸         环球度假区    25138   6.00  # line 1
西二旗       国贸          25226   6.00  # the morning of northern Beijing
回龙观       中关村        17238   5.00
天通苑       西单          22530   6.00  # 22530 m: 430 m over the tolerance
北京站       北京西站      10748   4.00
北京南站     北京西站       7668   4.00
东直门       三元桥         5881   3.00
沙河         西二旗        13634   5.00
西直门       积水潭         1899   3.00  # over the joint of the loop
土桥         国贸          21131   5.00
东直门       3号航站楼     31003  25.00
国贸         3号航站楼     34002  28.00  # 3.00 to 三元桥, 25.00
北京西站     3号航站楼     45463  30.00  # 5.00 to 东直门, 25.00
西直门       大兴机场      49814  39.00  # 4.00 to 草桥, 35.00
香山         国贸          28300   9.00  # 4.00 to 巴沟, 5.00
3号航站楼    大兴机场      86084  65.00  # 25.00, 5.00, 35.00
复兴门       太平桥            0   3.00  # an out-of-station walk adds nothing
昌平西山口   燕山         100270  10.00
"""


@pytest.mark.parametrize("row", KNOWN.split("\n")[1:-1])
def test_well_known_journeys(beijing, row):
    start, end, metres, fare = row.partition("#")[0].split()
    price = beijing.prices.find_price(start, end)
    assert (price.metres, f"{price.fare_minor / 100:.2f}") == (int(metres), fare)


def test_line_1_added_up_by_hand(beijing):
    """苹果园 → 国贸, station by station."""
    hops = [2569, 3874, 1479, 1810, 1778, 1313, 1172, 1166, 1291, 424, 1596, 1217, 925, 852, 774,
            1230, 1377, 790]  # fmt: skip
    price = beijing.prices.find_price("苹果园", "国贸")
    assert sum(hops) == price.metres
    path = beijing.prices.graphs["main"].find_path("苹果园", "国贸")
    assert [(one.line, len(one.stations)) for one in path] == [("1号线", 19)]


def test_the_bus(beijing_bus):
    spec = beijing_bus.spec
    assert spec.layers is not None
    legs = spec.layers.legs
    assert legs is not None
    assert legs.any_stop
    bands = legs.bands[0]
    assert bands is not None
    assert (list(bands.to_m), list(bands.fare_minor)) == ([10_000], [200])
    assert list(legs.factor_ppm[:6]) == [1_000_000, 500_000, 500_000, 500_000, 1_000_000, 1_000_000]
    assert list(legs.factor_ppm[17:20]) == [250_000] * 3
    assert len(spec.stop_ids) == 0
    assert len(spec.days.month) > 6 * 365


def test_a_rider_without_a_pass_keeps_no_cells(beijing):
    """Passes are sold, but an account pays for cells only when it holds one."""
    from fastpath.types import MediumKind, Reason, TapKind
    from gateway.tariffs.pricing import RiderRequest, TapRequest
    from tests.tariffs.both_engines import BothEngines

    tariff_id = beijing.source.tariff_id
    at_us = beijing.spec.days.start_us[30] + 5 * HOUR_US
    rider = BothEngines({tariff_id: beijing.spec}, RiderRequest(MediumKind.CARD, at_us))
    for kind, stop, when in ((TapKind.CHECK_IN, 101, at_us), (TapKind.CHECK_OUT, 119, at_us + 9)):
        assert rider.tap(TapRequest(tariff_id, kind, stop, when)).reason == Reason.OK
    assert rider._world.cells == []
