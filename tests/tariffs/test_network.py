"""Shortest paths against other ways to find them, and prices against all ways to combine lines."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.types import FarePart
from gateway.tariffs.compile import compile_tariff
from gateway.tariffs.load import load_tariff
from gateway.tariffs.network import Graph
from gateway.tariffs.prices import Prices, find_band
from gateway.tariffs.source import Band, Beyond, FareGroup, Line

FAR = 10**9


@st.composite
def lines_of(draw, stations: int = 9) -> list[Line]:
    """A few random lines over a few stations; some are loops, some never meet."""
    lines = []
    for number in range(draw(st.integers(1, 4))):
        stops = draw(st.lists(st.integers(0, stations - 1), min_size=2, max_size=6, unique=True))
        loop = draw(st.booleans())
        count = len(stops) if loop else len(stops) - 1
        hops = draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))
        names = tuple(f"s{stop}" for stop in stops)
        lines.append(Line(f"l{number}", "", loop, names, tuple(hops)))
    return lines


def floyd_warshall(lines: list[Line], walks: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    names = sorted({stop for line in lines for stop in line.stops})
    far = dict.fromkeys(product(names, names), FAR) | {(name, name): 0 for name in names}
    edges = [(a, b, 0) for a, b in walks if a in names and b in names]
    for line in lines:
        ring = (*line.stops, line.stops[0])
        edges += [(a, b, m) for (a, b), m in zip(pairwise(ring), line.hops_m, strict=False)]
    for a, b, metres in edges:
        far[a, b] = far[b, a] = min(far[a, b], metres)
    for via, a, b in product(names, names, names):
        far[a, b] = min(far[a, b], far[a, via] + far[via, b])
    return far


@given(lines=lines_of(), walk=st.tuples(st.integers(0, 8), st.integers(0, 8)))
@settings(max_examples=150, deadline=None)
def test_distances_equal_floyd_warshall(lines, walk):
    walks = [(f"s{walk[0]}", f"s{walk[1]}")] if walk[0] != walk[1] else []
    graph = Graph(lines, walks)
    expected = floyd_warshall(lines, walks)
    for start in graph.names:
        found = graph.distances_m(start)
        assert {end: found.get(end, FAR) for end in graph.names} == {
            end: expected[start, end] for end in graph.names
        }


@given(lines=lines_of())
@settings(max_examples=80, deadline=None)
def test_a_path_is_as_long_as_its_distance_and_hangs_together(lines):
    graph = Graph(lines)
    hops = set()
    for line in lines:
        ring = pairwise((*line.stops, line.stops[0]))
        for (a, b), metres in zip(ring, line.hops_m, strict=False):
            hops |= {(line.zh, a, b, metres), (line.zh, b, a, metres)}
    start = graph.names[0]
    for end, metres in graph.distances_m(start).items():
        path = graph.find_path(start, end)
        assert path is not None
        assert sum(stretch.metres for stretch in path) == metres
        ends = [start, *(stretch.stations[-1] for stretch in path)]
        assert ends[-1] == end
        assert [stretch.stations[0] for stretch in path] == ends[:-1]
        for stretch in path:
            for a, b in pairwise(stretch.stations):
                assert any((line, x, y) == (stretch.line, a, b) for line, x, y, _ in hops)


def test_two_lines_with_hops_of_one_length_between_the_same_stations():
    lines = [Line("x", "", False, ("a", "b"), (5,)), Line("y", "", False, ("a", "b"), (5,))]
    assert Graph(lines).distances_m("a") == {"a": 0, "b": 5}


def test_no_way_is_no_path():
    lines = [Line("x", "", False, ("a", "b"), (5,)), Line("y", "", False, ("c", "d"), (5,))]
    assert Graph(lines).find_path("a", "c") is None
    assert Graph(lines).find_path("a", "a") == ()


LADDER = FareGroup(
    name="main",
    lines=(),
    bands=(Band(6000, 300), Band(12000, 400), Band(22000, 500), Band(32000, 600)),
    beyond=Beyond(20000, 100, 0),
    tolerance_m=100,
)

BANDS = """
0       3.00
5999    3.00
6000    3.00
6001    3.00
6099    3.00
6100    4.00
9900    4.00
12000   4.00
12099   4.00
12100   5.00
22099   5.00
22100   6.00
32000   6.00
32099   6.00
32100   7.00
52000   7.00
52099   7.00
52100   8.00
72000   8.00
72099   8.00
72100   9.00
92099   9.00
92100   10.00
112100  11.00
"""


@pytest.mark.parametrize("row", BANDS.split("\n")[1:-1])
def test_bands_with_tolerance(row):
    metres, fare = row.split()
    band = find_band(LADDER, int(metres))
    assert band is not None
    assert f"{band.fare_minor / 100:.2f}" == fare


@pytest.mark.parametrize(("tolerance_m", "metres", "fare"), [
    (0, 6000, 300), (0, 6001, 400), (1, 6000, 300), (1, 6001, 400), (2, 6001, 300), (2, 6002, 400),
])  # fmt: skip
def test_small_tolerances(tolerance_m, metres, fare):
    group = FareGroup("x", (), LADDER.bands, LADDER.beyond, tolerance_m)
    band = find_band(group, metres)
    assert band is not None
    assert band.fare_minor == fare


def test_behind_the_last_band_without_a_rule_there_is_no_price():
    group = FareGroup("x", (), LADDER.bands, None, 0)
    assert find_band(group, 32001) is None


@given(metres=st.integers(0, 300_000))
@settings(max_examples=300, deadline=None)
def test_bands_equal_counting_up_metre_by_band(metres):
    """The ladder as a person would read it: one more for each end that the distance is over."""
    ends = [6000, 12000, 22000, 32000] + [32000 + 20000 * step for step in range(1, 20)]
    fare = 3 + sum(1 for end in ends if metres >= end + 100)
    band = find_band(LADDER, metres)
    assert band is not None
    assert band.fare_minor == fare * 100


def test_the_towns_table(write_town):
    """main 900 + 1200 + 2000 m, tolerance 100; the cable car is 10.00 from the hill on."""
    spec = compile_tariff(write_town())
    assert list(spec.stop_ids) == [1, 2, 3, 4, 5]
    assert [list(spec.od_fare_minor[row * 5 : row * 5 + 5]) for row in range(5)] == [
        [200, 200, 300, 400, 1400],
        [200, 200, 300, 350, 1350],
        [300, 300, 200, 300, 1300],
        [400, 350, 300, 200, 1000],
        [1400, 1350, 1300, 1000, 1000],
    ]
    band, beyond, separate, combined = (
        FarePart.BAND, FarePart.BEYOND, FarePart.SEPARATE, FarePart.COMBINED,
    )  # fmt: skip
    assert list(spec.od_part[:5]) == [band, band, band, beyond, combined]
    assert spec.od_part[24] == separate
    assert list(spec.od_distance_m[:5]) == [0, 900, 2100, 4100, 4900]
    assert list(spec.od_discountable_minor[20:]) == [400, 350, 300, 0, 0]
    assert list(spec.highest_minor) == [1400, 1350, 1300, 1000, 1400]


def test_highest_fares_may_leave_the_separate_lines_out(write_town):
    only = ('entry_minimum = "2.00"', 'entry_minimum = "2.00"\nhighest_over = "main"')
    assert list(compile_tariff(write_town(only)).highest_minor) == [400, 350, 300, 400, 1400]


def test_without_a_rule_behind_the_bands_far_pairs_are_not_priced(write_town):
    spec = compile_tariff(write_town(('beyond = { per_m = 1000, add = "0.50" }', "")))
    assert spec.od_fare_minor[3] == -1
    assert spec.od_part[3] == FarePart.NOT_PRICED
    assert spec.od_distance_m[3] == 0


TWO_GATES = """
format = 1
as_of = "2026-01"

[[line]]
code = 1
zh = "一线"
en = "Line 1"
stations = [{ at = "东" }, { at = "中", m = 1000 }, { at = "西", m = 5000 }]

[[line]]
code = 2
zh = "索道"
en = "Cable car"
stations = [{ at = "中" }, { at = "顶", m = 800 }, { at = "西", m = 300 }]

[[line]]
code = 3
zh = "三线"
en = "Line 3"
stations = [{ at = "西" }, { at = "山", m = 10 }]
"""


def test_the_cheapest_interchange_of_several(write_town):
    """By 中 2.00 + 12.00; by 西 4.50 (6000 m) + 3.00: for 东 the farther way is the cheaper."""
    path = write_town(('flat = "10.00"', 'bands = [{ to_m = 300, fare = "3.00" }]\n'
                       'beyond = { fare = "12.00" }'), lines=TWO_GATES)  # fmt: skip
    prices = Prices(load_tariff(path).network)
    price = prices.find_price("东", "顶")
    assert price is not None
    assert [(ride.start, ride.end, ride.fare_minor) for ride in price.rides] == [
        ("东", "西", 450),
        ("西", "顶", 300),
    ]
    assert (price.fare_minor, price.main_minor, price.metres) == (750, 450, 6300)
    back = prices.find_price("顶", "东")
    assert back is not None
    assert (back.fare_minor, back.rides[0].end) == (750, "西")
