"""Layer 1 by worked examples: prices of a leg, reckoned by hand."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from fastpath.layers import Layers, OverstayKind, RoundMode, SameStop, SameStopKind
from fastpath.reference import CellType, Concession
from fastpath.types import Act, MediumKind, OutOfStation, Reason, Rule
from tests.fastpath.city import EAST, WEST, at, minor, rows
from tests.fastpath.layered_town import (
    Traveller,
    by_distance,
    grid,
    layered,
    peak_frames,
)
from tests.fastpath.world import HOUR_US, MINUTE_US

ZONES = [["2.00", "3.50"], ["3.40", "-"]]
PEAK_COLUMNS = array("i", [0, 0, 1, 1, 0, 0, 1, 1])  # by frame_in, whatever frame_out; 2 networks
CASES = {
    "zones, directed": (
        Layers(legs=grid(ZONES)),
        """
        9 09:00 in EAST
        9 09:30 out WEST 2.00 LEG_RULE
        9 10:00 in WEST
        9 10:30 out HILL 3.50
        9 11:00 in HILL
        9 11:30 out EAST 3.40
        9 12:00 in HILL
        9 12:30 out LAKE NOT_PRICED
        """,
    ),
    "network of the check-out's line": (
        Layers(legs=grid("2.00", "1.20")),
        """
        9 09:00 in EAST
        9 09:30 out WEST 2.00
        9 10:00 in EAST
        9 10:30 out WEST line=bus 1.20
        9 11:00 flat WEST line=bus 1.20 -FLAT_FARE
        """,
    ),
    "time frames by the check-in, the boundary belongs to the later one": (
        Layers(legs=grid("2.00", "3.00", frames=peak_frames(), column=PEAK_COLUMNS)),
        """
        9 06:59 in EAST
        9 07:30 out WEST 2.00
        9 07:00 in WEST
        9 09:45 out EAST 3.00
        9 09:30 in EAST
        9 10:30 out WEST 2.00
        """,
    ),
    "distance that came with the tap": (
        Layers(legs=by_distance()),
        """
        9 09:00 in EAST
        9 09:05 out WEST km=0 2.00 DISTANCE_BAND -GIVEN_DISTANCE
        9 09:10 in EAST
        9 09:15 out WEST km=5 2.00 GIVEN_DISTANCE
        9 09:20 in EAST
        9 09:25 out WEST km=5.001 3.00
        9 09:30 in EAST
        9 09:35 out WEST km=10 3.00
        9 09:40 in EAST
        9 09:45 out WEST km=10.001 4.00 BEYOND_BANDS
        9 09:50 in EAST
        9 09:55 out WEST km=15.001 5.00
        """,
    ),
    "the cell's own distance comes first": (
        Layers(legs=by_distance(distance_m=array("I", [6_000]))),
        """
        9 09:00 in EAST
        9 09:05 out WEST km=99 3.00 DISTANCE_BAND -GIVEN_DISTANCE
        """,
    ),
    "stops the tariff does not know": (
        Layers(legs=grid(ZONES, any_stop=True, highest_any_minor=500)),
        """
        9 09:00 in 999
        9 09:05 out WEST 2.00
        9 09:10 in 999
        9 23:10 in EAST 5.00 MISSING_CHECK_OUT
        """,
    ),
    "flat taps at a stop nobody named are of class 0": (
        Layers(legs=grid(ZONES)),
        """
        9 09:00 flat 0 2.00
        9 09:05 flat EAST 2.00
        9 09:10 flat HILL NOT_PRICED
        """,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_prices(name: str) -> None:
    layers, script = CASES[name]
    Traveller(layered(layers)).play(script)


def test_products_by_category_and_medium() -> None:
    """Product 0 costs an adult 3.00 by card, 3.10 by EMV, a student 1.50; by QR it is not sold."""
    prices = array("i", [-1] * 32)
    prices[MediumKind.CARD], prices[MediumKind.EMV], prices[16 + MediumKind.CARD] = 300, 310, 150
    legs = grid("0.00", products=prices, category_count=2, column=array("i", [0] * 4))
    spec = layered(Layers(legs=legs))
    for category, kind, fare in [
        (0, MediumKind.CARD, 300),
        (0, MediumKind.EMV, 310),
        (1, MediumKind.CARD, 150),
        (2, MediumKind.CARD, 300),  # a category the tariff does not have: 0
        (0, MediumKind.QR, None),
    ]:
        rider = Traveller(spec, medium_kind=kind)
        rider.account.rider_category = category
        rider.tap(1, EAST, at(9, "09:00"))
        made = rider.tap(2, WEST, at(9, "09:30"))
        assert (made.fare_minor or None) == fare
        assert made.reason == (Reason.OK if fare else Reason.NOT_PRICED)


CONCESSIONS = """
# valid from  until    in     out    fare  concession
  10:00       12:00    09:59  11:00  3.00  no
  10:00       12:00    10:00  11:00  1.50  yes
  10:00       12:00    11:59  13:00  1.50  yes
  10:00       12:00    12:00  12:30  3.00  no
"""


@pytest.mark.parametrize("row", rows(CONCESSIONS), ids=" ".join)
def test_a_concession_counts_at_the_check_in(row: list[str]) -> None:
    begin, end, entered, left, fare, acts = row
    legs = grid("3.00", "1.50", category_count=2, column=array("i", [0, 1, 0, 1]))
    rider = Traveller(layered(Layers(legs=legs)))
    rider.give(CellType.CONCESSION, 1, Concession(at(9, begin), at(9, end)))
    rider.give(CellType.CONCESSION, 7, Concession(0, at(30, "09:00")))
    rider.give(CellType.CONCESSION, 0, Concession(at(10, "09:00"), at(30, "09:00")))
    if acts == "no":  # else category 7, which the tariff does not have, would stand in
        rider.cells.cells.pop(1)
    rider.tap(1, EAST, at(9, entered))
    made = rider.tap(2, WEST, at(9, left))
    assert made.fare_minor == minor(fare)
    assert bool(made.rules & Rule.CONCESSION) == (acts == "yes")


ROUNDING = """
# price  factor   unit  HALF_UP HALF_EVEN DOWN  UP
  2.25   0.5      1     1.13    1.12      1.12  1.13
  2.27   0.5      1     1.14    1.14      1.13  1.14
  2.25   0.5      10    1.10    1.10      1.10  1.20
  3.00   0.5      100   2.00    2.00      1.00  2.00
  5.00   0.5      100   3.00    2.00      2.00  3.00
  2.33   1        10    2.33    2.33      2.33  2.33
  0.01   0.333333 1     0.00    0.00      0.00  0.01
"""


@pytest.mark.parametrize("mode", RoundMode)
@pytest.mark.parametrize("row", rows(ROUNDING), ids=" ".join)
def test_rounding(row: list[str], mode: RoundMode) -> None:
    price, factor, unit, *expected = row
    ppm = int(float(factor) * 1_000_000)
    legs = grid(price, factor_ppm=array("i", [ppm] * 16))
    spec = layered(Layers(legs=legs, round_mode=mode), round_to_minor=int(unit))
    made = Traveller(spec).tap(3, EAST, at(9, "09:00"))
    assert made.fare_minor == minor(expected[mode])
    assert made.nominal_minor == minor(price)
    assert bool(made.rules & Rule.LEG_FACTOR) == (factor != "1")


LONDON = (
    SameStop(2 * MINUTE_US, SameStopKind.FREE),
    SameStop(30 * MINUTE_US, SameStopKind.FARE, 180),
    SameStop(-1, SameStopKind.HIGHEST, times=2),
)
SAME_STOP = """
# stay min  fare
  0         0.00
  2         0.00
  3         1.80
  30        1.80
  31        56.00
"""


@pytest.mark.parametrize("row", rows(SAME_STOP), ids=" ".join)
def test_leaving_where_one_entered(row: list[str]) -> None:
    stay, fare = row
    rider = Traveller(layered(Layers(legs=grid("2.50"), same_stop=LONDON)))
    rider.tap(1, EAST, at(9, "09:00"))
    made = rider.tap(2, EAST, at(9, "09:00") + int(stay) * MINUTE_US)
    assert (made.fare_minor, made.rules) == (minor(fare), Rule.SAME_STATION)
    index = [2, 30, 10_000].index(next(end for end in (2, 30, 10_000) if int(stay) <= end))
    assert made.acts == (Act.SAME_STOP << 24 | index,)


def test_leaving_where_one_entered_at_the_price_of_the_cell() -> None:
    same = (SameStop(-1, SameStopKind.FARE),)
    rider = Traveller(layered(Layers(legs=grid("2.50"), same_stop=same)))
    rider.play(
        """
        9 09:00 in EAST
        9 09:30 out EAST 2.50 SAME_STATION LEG_RULE
        """
    )


OVERSTAY = """
# kind         stay min  in one leg  after a joined leg of 2.50
  FEE          120       2.50        0.00
  FEE          121       5.50        3.00
  HIGHEST      121       28.00       25.50
  TWO_HIGHEST  121       53.00       50.50
"""


@pytest.mark.parametrize("row", rows(OVERSTAY), ids=" ".join)
def test_overstay(row: list[str]) -> None:
    """EAST's highest fare is 28.00, WEST's 25.00; the flat leg price is 2.50."""
    kind, stay, alone, joined = row
    layers = Layers(legs=grid("2.50"), overstay=OverstayKind[kind])
    spec = layered(
        layers,
        max_stay_us=2 * HOUR_US,
        out_of_station=(OutOfStation(1, 2, HOUR_US), OutOfStation(1, 1, HOUR_US)),
    )
    first = Traveller(spec)
    first.tap(1, EAST, at(9, "09:00"))
    assert first.tap(2, WEST, at(9, "09:00") + int(stay) * MINUTE_US).fare_minor == minor(alone)
    second = Traveller(spec)
    second.play("9 06:00 in EAST\n9 06:20 out WEST 2.50\n9 06:30 in WEST")
    made = second.tap(2, WEST, at(9, "06:30") + int(stay) * MINUTE_US)
    assert made.fare_minor == minor(joined)


def test_longest_stay_by_stay_class_and_frame() -> None:
    legs = grid(
        "2.50",
        frames=peak_frames(),
        column=array("i", [0] * 8),
        stays_us=array("q", [HOUR_US, 2 * HOUR_US]),
    )
    Traveller(layered(Layers(legs=legs))).play(
        """
        9 06:00 in EAST
        9 07:30 out WEST 5.50 OVERSTAY
        9 07:35 in EAST
        9 09:00 out WEST 2.50 -OVERSTAY
        """
    )


def test_acts_name_the_cell_and_come_in_order() -> None:
    legs = grid("2.00", source=array("I", [31]))
    rider = Traveller(layered(Layers(legs=legs)))
    rider.play("9 09:00 in EAST\n9 09:30 out WEST 2.00")
    assert rider.history[0][1].acts == ()
    assert rider.history[1][1].acts == (Act.LEG << 24 | 31,)


def test_without_layers_there_is_nothing_to_name() -> None:
    rider = Traveller(replace(layered(Layers()), layers=None))
    made = rider.tap(3, EAST, at(9, "09:00"))
    assert (made.acts, made.network, rider.cells.cells) == ((), 0, [])
