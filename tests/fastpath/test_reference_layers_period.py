"""Layer 3 by worked examples: windows, caps, tiers, passes and room for cells, reckoned by hand.

Day 1 is Sunday, 2026-11-01; service days begin at 04:00 UTC; day 31 is the first of December.
"""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from fastpath.layers import (
    Counter,
    Join,
    Layers,
    Measure,
    PassProduct,
    PassStart,
    PeriodKind,
    PeriodRule,
    Step,
    Transfer,
    TransferEffect,
    Window,
)
from fastpath.reference import Cell, CellType, Extras, Pass
from fastpath.types import MediumKind, MonthBasis, MonthlyTier, OutOfStation, Reason
from gateway.tariffs.passes import pass_end_us
from tests.fastpath.city import EAST, at, minor, rows
from tests.fastpath.layered_town import Traveller, grid, layered, peak_frames
from tests.fastpath.world import DAY_US, HOUR_US

LEGS = grid("3.00", "2.00")
DAY_COUNTER = Counter("day", 9, Window.DAY)


def capped(limit: str, counter: Counter = DAY_COUNTER, **how: object) -> Layers:
    """A cap on one counter."""
    rule = PeriodRule("cap", PeriodKind.CAP, 0, (Step(limit_minor=minor(limit)),))
    return Layers(**{"legs": LEGS, "counters": (counter,), "period_rules": (rule,), **how})  # type: ignore[arg-type]


WINDOWS = {
    "day": (
        Counter("x", 9, Window.DAY),
        """
        9 09:00 flat EAST 3.00
        9 10:00 flat EAST 1.00 CAP
        9 11:00 flat EAST 0.00 CAP
        10 03:59 flat EAST 0.00
        10 04:00 flat EAST 3.00 -CAP
        """,
    ),
    "week from Monday": (
        Counter("x", 9, Window.WEEK),
        """
        8 09:00 flat EAST 3.00
        9 09:00 flat EAST 3.00 -CAP
        15 09:00 flat EAST 1.00 CAP
        16 03:59 flat EAST 0.00
        16 04:00 flat EAST 3.00
        """,
    ),
    "week from Sunday": (
        Counter("x", 9, Window.WEEK, week_start=6),
        """
        7 09:00 flat EAST 3.00
        8 09:00 flat EAST 3.00
        14 09:00 flat EAST 1.00 CAP
        """,
    ),
    "month": (
        Counter("x", 9, Window.MONTH),
        """
        2 09:00 flat EAST 3.00
        30 09:00 flat EAST 1.00 CAP
        31 09:00 flat EAST 3.00 -CAP
        """,
    ),
    "three service days from the first ride": (
        Counter("x", 9, Window.ROLLING_DAYS, length=3),
        """
        9 23:00 flat EAST 3.00
        10 09:00 flat EAST 1.00 CAP
        12 03:00 flat EAST 0.00 CAP
        12 04:00 flat EAST 3.00 -CAP
        """,
    ),
    "two hours from the first ride": (
        Counter("x", 9, Window.ROLLING, length=2 * HOUR_US),
        """
        9 09:30 flat EAST 3.00
        9 10:00 flat EAST 1.00 CAP
        9 11:29 flat EAST 0.00 CAP
        9 11:30 flat EAST 3.00 -CAP
        """,
    ),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_cap_of_4_in_each_window(name: str) -> None:
    counter, script = WINDOWS[name]
    Traveller(layered(capped("4.00", counter))).play(script)


def test_the_month_of_the_entry() -> None:
    """In on November's last night, out in December: counted in November."""
    layers = capped("4.00", Counter("x", 9, Window.MONTH))
    rider = Traveller(layered(layers, month_by_entry=True))
    rider.play(
        """
        30 09:00 flat EAST 3.00
        31 03:50 in EAST
        31 04:10 out WEST 1.00 CAP
        31 09:00 flat EAST 3.00
        """
    )


def test_late_taps_before_the_window_are_not_capped_and_not_counted() -> None:
    rider = Traveller(layered(capped("4.00")))
    rider.play(
        """
        9 05:00 flat EAST 3.00
        9 09:00 flat EAST late=03:00 3.00 -CAP
        9 09:10 flat EAST 1.00 CAP
        9 09:20 flat EAST late=04:30 0.00 CAP
        """
    )


def test_caps_by_zones() -> None:
    """Zone 1 alone: 4.00 a day; zones 1 and 2: 6.00. Surcharges stay out."""
    legs = grid([["3.00", "3.00"], ["3.00", "3.00"]], zones=array("I", [0b01, 0b11, 0b11, 0b10]))
    steps = (Step(limit_minor=4_00, zones=0b01), Step(limit_minor=6_00, zones=0b11))
    rule = PeriodRule("cap", PeriodKind.CAP, 0, steps)
    layers = Layers(legs=legs, counters=(DAY_COUNTER,), period_rules=(rule,))
    Traveller(layered(layers)).play(
        """
        9 05:00 flat EAST 3.00
        9 06:00 flat EAST 1.00 CAP
        9 07:00 in EAST
        9 20:00 in EAST 28.00 MISSING_CHECK_OUT -CAP
        9 20:30 out HILL 2.00 CAP
        9 21:00 flat EAST 0.00 CAP
        10 05:00 flat EAST 3.00
        """
    )


def test_one_network_counts_another_does_not() -> None:
    counter = Counter("bus", 9, Window.DAY, networks=0b10)
    rule = PeriodRule("cap", PeriodKind.CAP, 0, (Step(limit_minor=3_00),), networks=0b10)
    layers = Layers(legs=LEGS, counters=(counter,), period_rules=(rule,))
    Traveller(layered(layers)).play(
        """
        9 05:00 flat EAST 3.00
        9 06:00 flat EAST line=bus 2.00
        9 07:00 flat EAST line=bus 1.00 CAP
        9 08:00 flat EAST 3.00 -CAP
        """
    )


TIERS = """
# measure basis   split  five rides of 3.00; from 4.00 (2 trips) on half, from 8.00 (4) full
  PAID    PAID    no     3.00 3.00 1.50 1.50 3.00
  PAID    NOMINAL no     3.00 3.00 1.50 3.00 3.00
  TRIPS   PAID    no     3.00 3.00 1.50 1.50 3.00
  PAID    PAID    yes    3.00 2.00 1.50 1.50 3.00
"""


@pytest.mark.parametrize("row", rows(TIERS), ids=" ".join)
def test_tiers(row: list[str]) -> None:
    """Split, second ride: 1.00 at full price reaches 4.00, the other 2.00 cost 1.00."""
    measure, basis, split, *fares = row
    counter = Counter("month", 9, Window.MONTH, counts_nominal=basis == "NOMINAL")
    begins = (2, 4) if measure == "TRIPS" else (4_00, 8_00)
    steps = (Step(begins[0], 500_000), Step(begins[1], 1_000_000))
    rule = PeriodRule(
        "tiers", PeriodKind.TIERS, 0, steps, Measure[measure], is_split=split == "yes"
    )
    rider = Traveller(layered(Layers(legs=LEGS, counters=(counter,), period_rules=(rule,))))
    for hour, fare in enumerate(fares, start=5):
        rider.play(f"9 {hour:02}:00 flat EAST {fare}")


MONTHLY = """
# basis  split  five rides of 3.00; from 4.00 (2 trips) on half, from 8.00 (4) full
  PAID   no     3.00 3.00 1.50 1.50 3.00
  PAID   yes    3.00 2.00 1.50 1.50 3.00
  TRIPS  no     3.00 3.00 1.50 1.50 3.00
  TRIPS  yes    3.00 3.00 1.50 1.50 3.00
"""


@pytest.mark.parametrize("row", rows(MONTHLY), ids=" ".join)
def test_monthly_tiers(row: list[str]) -> None:
    basis, split, *fares = row
    first, second = (2, 4) if basis == "TRIPS" else (4_00, 8_00)
    spec = layered(
        Layers(legs=LEGS),
        month_basis=MonthBasis[basis],
        tier_split=split == "yes",
        monthly_tiers=(MonthlyTier(first, 500_000), MonthlyTier(second, 1_000_000)),
    )
    rider = Traveller(spec)
    for hour, fare in enumerate(fares, start=5):
        rider.play(f"9 {hour:02}:00 flat EAST {fare}")


def test_a_split_over_two_thresholds() -> None:
    """10.00 from nothing: 4.00 whole; 6.00 left reach 2.00 more by 4.00 at half; 2.00 at full."""
    rule = PeriodRule(
        "tiers",
        PeriodKind.TIERS,
        0,
        (Step(4_00, 500_000), Step(6_00, 1_000_000)),
        is_split=True,
    )
    layers = Layers(legs=grid("10.00"), counters=(DAY_COUNTER,), period_rules=(rule,))
    Traveller(layered(layers)).play("9 09:00 flat EAST 8.00 PERIOD_TIER")


def test_a_joined_leg_has_the_tier_of_its_journey_and_is_no_trip() -> None:
    """Half from 2.00 on: the first half costs 3.00; the whole 5.00 at the tier of nothing paid."""
    rule = PeriodRule("tiers", PeriodKind.TIERS, 0, (Step(2_00, 500_000),))
    legs = grid([["3.00", "5.00"], ["5.00", "5.00"]])
    layers = Layers(legs=legs, counters=(DAY_COUNTER,), period_rules=(rule,))
    rider = Traveller(layered(layers, out_of_station=(OutOfStation(1, 2, HOUR_US),)))
    rider.play(
        """
        9 09:00 in EAST
        9 09:10 out WEST 3.00
        9 09:20 in HILL
        9 09:30 out LAKE 2.00 OUT_OF_STATION
        """
    )
    counter = rider.cells.find_counter(9)
    assert counter is not None
    assert (counter.trips, counter.paid_minor) == (1, 5_00)


# --- passes ---------------------------------------------------------------------------------------


def sold(product: PassProduct, **how: object) -> Layers:
    return Layers(**{"legs": LEGS, "group_count": 2, "passes": (product,), **how})  # type: ignore[arg-type]


def holder(product: PassProduct, one: Pass, **how: object) -> Traveller:
    """A rider with a pass."""
    return Traveller(layered(sold(product, **how))).give(CellType.PASS, product.pass_id, one)


PASSES = {
    "24 hours from the first use": (
        PassProduct("day", 5, 9_00, PassStart.FIRST_USE, duration_us=DAY_US),
        Pass(),
        """
        9 09:00 flat EAST 0.00 PASS
        10 08:59 flat EAST 0.00 PASS
        10 09:00 flat EAST 3.00 -PASS
        """,
    ),
    "two service days": (
        PassProduct("days", 5, 9_00, PassStart.FIRST_USE, service_days=2),
        Pass(),
        """
        9 23:00 in EAST
        9 23:30 out WEST 0.00 PASS
        11 03:59 in EAST
        11 04:30 out WEST 0.00 PASS
        11 05:00 in EAST
        11 05:30 out WEST 3.00 -PASS
        """,
    ),
    "a span with a beginning": (
        PassProduct("span", 5, 9_00, PassStart.PURCHASE),
        Pass(at(9, "10:00"), at(9, "12:00")),
        """
        9 09:59 in EAST
        9 10:30 out WEST 3.00 -PASS
        9 10:30 in EAST
        9 13:00 out WEST 0.00 PASS
        9 13:10 flat EAST 3.00
        """,
    ),
    "two rides, the bus not among them": (
        PassProduct("rides", 5, 9_00, PassStart.FIRST_USE, rides=2, networks=0b01),
        Pass(rides_left=2),
        """
        9 09:00 flat EAST 0.00 PASS
        9 09:10 flat EAST line=bus 2.00 -PASS
        9 09:20 flat EAST 0.00 PASS
        9 09:30 flat EAST 3.00 -PASS
        """,
    ),
}


@pytest.mark.parametrize("name", PASSES)
def test_passes(name: str) -> None:
    product, one, script = PASSES[name]
    holder(product, one).play(script)


def test_a_free_transfer_takes_no_ride() -> None:
    free = Transfer(1, 2, TransferEffect.FIRST_AND_TRANSFER, window_us=HOUR_US)
    rides = PassProduct("rides", 5, 9_00, PassStart.FIRST_USE, rides=2)
    rider = holder(rides, Pass(rides_left=2), transfers=(free,))
    rider.play("9 09:00 flat EAST 0.00 PASS\n9 09:10 flat EAST line=bus 0.00 -PASS TRANSFER")
    assert rider.cells.list_passes()[0][1].rides_left == 1


def test_a_joined_leg_is_covered_by_the_ride_of_the_first() -> None:
    rides = PassProduct("rides", 5, 9_00, PassStart.FIRST_USE, rides=1)
    layers = sold(rides, legs=grid([["3.00", "5.00"], ["5.00", "5.00"]]))
    rider = Traveller(layered(layers, out_of_station=(OutOfStation(1, 2, HOUR_US),)))
    rider.give(CellType.PASS, 5, Pass(rides_left=1))
    rider.play(
        """
        9 09:00 in EAST
        9 09:10 out WEST 0.00 PASS
        9 09:20 in HILL OUT_OF_STATION
        9 09:30 out LAKE 0.00 PASS
        9 10:00 flat EAST 3.00 -PASS
        """
    )


def interchanger(*held: Pass) -> Traveller:
    """A rider of a tariff that sells day passes and has an out-of-station interchange."""
    day = PassProduct("day", 5, 9_00, PassStart.PURCHASE)
    layers = sold(day, legs=grid([["3.00", "5.00"], ["5.00", "5.00"]]))
    rider = Traveller(layered(layers, out_of_station=(OutOfStation(1, 2, HOUR_US),)))
    for one in held:
        rider.give(CellType.PASS, 5, one)
    return rider


def test_chains_are_kept_for_passes_held_not_for_passes_sold() -> None:
    without = interchanger().play("9 09:00 in EAST\n9 09:10 out WEST 3.00")
    assert without.cells.cells == []
    holding = interchanger(Pass(until_us=at(9, "08:00"))).play("9 09:00 in EAST")
    assert holding.cells.find_chain() is not None


def test_a_chain_once_kept_does_not_go_stale() -> None:
    """The pass ends and goes, another comes: the journey's beginning is still the right one."""
    rider = interchanger(Pass(until_us=at(9, "12:00")))
    rider.play("9 09:00 in EAST\n9 09:10 out WEST 0.00 PASS")
    rider.cells.cells[0] = Cell(0, 0, None)
    rider.play("10 09:00 in EAST\n10 09:10 out WEST 3.00")
    rider.give(CellType.PASS, 5, Pass(at(10, "08:00"), at(10, "12:00")))
    rider.play("10 09:20 in HILL OUT_OF_STATION\n10 09:30 out LAKE 0.00 PASS")


def test_a_chain_made_under_way_knows_when_its_journey_began() -> None:
    """Bought between two legs: the journey counts from the leg that made the chain."""
    rider = interchanger().play("9 09:00 in EAST")
    rider.give(CellType.PASS, 5, Pass(at(9, "08:00"), at(9, "12:00")))
    rider.play("9 09:10 out WEST 0.00 PASS")
    chain = rider.cells.find_chain()
    assert chain is not None
    assert chain.journey_dep_us == at(9, "09:00")
    rider.play("9 09:20 in HILL OUT_OF_STATION\n9 09:30 out LAKE 0.00 PASS")


def test_the_pass_that_ends_first_is_used() -> None:
    rides = PassProduct("rides", 5, 9_00, PassStart.FIRST_USE, rides=5)
    rider = holder(rides, Pass(rides_left=5))
    rider.give(CellType.PASS, 5, Pass(0, at(12, "09:00"), 0, 5))
    rider.give(CellType.PASS, 5, Pass(0, at(11, "09:00"), 0, 5))
    rider.play("9 09:00 flat EAST 0.00 PASS")
    assert [one.rides_left for _, one in rider.cells.list_passes()] == [5, 5, 4]


def test_undoing_gives_the_ride_back_and_takes_the_trip_off() -> None:
    rides = PassProduct("rides", 5, 9_00, PassStart.FIRST_USE, rides=1)
    rider = holder(rides, Pass(rides_left=1), counters=(DAY_COUNTER,))
    rider.play("9 09:00 flat EAST 0.00 PASS")
    counter = rider.cells.find_counter(9)
    assert counter is not None
    assert (counter.trips, counter.paid_minor) == (1, 0)
    assert rider.undo().reason == Reason.OK
    assert counter.trips == 0
    assert rider.cells.list_passes()[0][1].rides_left == 1
    rider.play("9 09:10 flat EAST 0.00 PASS\n9 09:20 flat EAST 3.00")
    assert rider.undo(1).fare_minor == 0  # money only: the ride is back all the same
    assert rider.cells.list_passes()[0][1].rides_left == 1


def test_undoing_makes_room_under_the_cap() -> None:
    rider = Traveller(layered(capped("4.00"))).play(
        """
        9 09:00 flat EAST 3.00
        9 09:10 flat EAST 1.00 CAP
        """
    )
    assert rider.undo(1).fare_minor == -3_00  # money only
    rider.play("9 09:20 flat EAST 3.00 -CAP")
    assert rider.undo().fare_minor == -3_00
    rider.play("9 09:30 flat EAST 3.00 -CAP\n9 09:40 flat EAST 0.00 CAP")


def test_a_rolling_window_without_trips_ends() -> None:
    layers = capped("4.00", Counter("x", 9, Window.ROLLING, length=2 * HOUR_US))
    rider = Traveller(layered(layers)).play("9 09:00 flat EAST 3.00")
    rider.undo()
    rider.play("9 10:30 flat EAST 3.00\n9 12:00 flat EAST 1.00 CAP")


# --- room for cells -------------------------------------------------------------------------------

HOPPER = Transfer(1, 1, TransferEffect.FIRST_AND_TRANSFER, window_us=HOUR_US)
NEEDS_THREE = capped("4.00", transfers=(HOPPER,), group_count=2)


@pytest.mark.parametrize(("room", "reason"), [(2, "TOO_MANY_CELLS"), (3, "OK")])
@pytest.mark.parametrize("what", ["in", "flat"])
def test_what_the_tariff_keeps_needs_room(what: str, room: int, reason: str) -> None:
    rider = Traveller(layered(NEEDS_THREE), extras=Extras(room=room))
    made = rider.tap({"in": 1, "flat": 3}[what], EAST, at(9, "09:00"))
    assert Reason(made.reason).name == reason
    assert rider.cells.cells == [] or reason == "OK"


def test_a_ride_that_was_made_is_not_asked_for_room() -> None:
    """Without room an opened tap keeps what fits: both chain cells, no counter."""
    rider = Traveller(layered(NEEDS_THREE), extras=Extras(room=2))
    rider.play("9 09:00 flat EAST opened 3.00\n9 09:10 flat EAST opened 0.00 TRANSFER")
    assert [cell.type for cell in rider.cells.cells] == [CellType.CHAIN, CellType.CHAIN_BEFORE]
    rider = Traveller(layered(NEEDS_THREE), extras=Extras(room=1))
    rider.play("9 09:00 flat EAST opened 3.00\n9 09:10 flat EAST opened 1.00 CAP")
    assert [cell.type for cell in rider.cells.cells] == [CellType.COUNTERS]


def test_a_check_out_goes_on_without_room() -> None:
    rider = Traveller(layered(NEEDS_THREE), extras=Extras(room=3))
    rider.play("9 09:00 in EAST")
    rider.cells.room = 0
    rider.play("9 09:30 out WEST 3.00")
    assert rider.cells.find_counter(9) is None


def test_without_cells_to_work_on_nothing_is_kept() -> None:
    rider = Traveller(layered(NEEDS_THREE), extras=None)
    rider.play("9 09:00 flat EAST 3.00\n9 09:10 flat EAST 3.00 -CAP -TRANSFER")


def test_tiers_take_off_only_legs_that_their_counter_counted() -> None:
    """Half price from 6.00 of metro rides on. The bus before the metro was never counted."""
    half = PeriodRule("half", PeriodKind.TIERS, 0, (Step(6_00, 500_000),), networks=0b01)
    layers = Layers(
        legs=LEGS,
        joins=(Join(1, 0, window_us=HOUR_US),),
        counters=(Counter("metro", 9, Window.DAY, networks=0b01),),
        period_rules=(half,),
    )
    Traveller(layered(layers)).play(
        """
        9 06:00 in EAST
        9 06:10 out WEST 3.00
        9 08:00 in EAST
        9 08:10 out WEST 3.00
        9 10:00 in EAST line=bus
        9 10:10 out WEST line=bus 2.00
        9 10:20 in WEST JOINED_LEG
        9 10:30 out HILL 0.00 PERIOD_TIER
        """
    )


def test_frames_come_with_chains() -> None:
    legs = grid("3.00", frames=peak_frames(), column=array("i", [0] * 8))
    rider = Traveller(layered(Layers(legs=legs), out_of_station=(OutOfStation(1, 2, HOUR_US),)))
    rider.play("9 09:00 in EAST")
    assert rider.cells.find_chain() is not None
    alone = Traveller(layered(Layers(legs=legs)))
    alone.play("9 09:00 in EAST")
    assert alone.cells.cells == [], "without pairs and joins no leg goes on"
    plain = Traveller(layered(Layers(legs=LEGS)))
    plain.play("9 09:00 in EAST")
    assert plain.cells.cells == []


PEAKED = grid("3.00", frames=peak_frames(), column=array("i", [0] * 8))
OFF_PEAK, ON_CARD = 0b01, 1 << MediumKind.CARD
FREE_TWICE = (Step(0, 0), Step(2, 1_000_000))


def two_free(**scope: int) -> Layers:
    """The first two rides of a day in the scope are free."""
    counter = Counter("day", 9, Window.DAY, **scope)  # type: ignore[arg-type]
    rule = PeriodRule("free", PeriodKind.TIERS, 0, FREE_TWICE, Measure.TRIPS, **scope)  # type: ignore[arg-type]
    return Layers(legs=PEAKED, counters=(counter,), period_rules=(rule,))


def test_rides_of_other_frames_pay_and_are_not_counted() -> None:
    """The peak is from 07:00 to 09:30; the frame is that of the entry."""
    Traveller(layered(two_free(frames=OFF_PEAK))).play(
        """
        9 06:00 flat EAST 0.00 PERIOD_TIER
        9 07:00 flat EAST 3.00 -PERIOD_TIER
        9 08:00 in EAST
        9 09:40 out WEST 3.00 -PERIOD_TIER
        9 09:30 in EAST
        9 09:40 out WEST 0.00 PERIOD_TIER
        9 10:00 flat EAST 3.00 -PERIOD_TIER
        """
    )


def test_an_undone_ride_leaves_only_the_counters_it_was_counted_by() -> None:
    rider = Traveller(layered(two_free(frames=OFF_PEAK)))
    rider.play("9 06:00 flat EAST 0.00\n9 08:00 flat EAST 3.00")
    rider.undo()
    counter = rider.cells.find_counter(9)
    assert counter is not None
    assert counter.trips == 1
    rider.play("9 06:30 flat EAST 0.00")
    rider.undo()
    assert counter.trips == 1
    rider.play("9 06:40 flat EAST 0.00\n9 06:50 flat EAST 3.00")


def test_other_media_pay_and_are_not_counted() -> None:
    rider = Traveller(layered(two_free(media=ON_CARD)))
    rider.play("9 06:00 flat EAST 0.00")
    rider.medium_kind = MediumKind.QR
    rider.play("9 06:10 flat EAST 3.00\n9 06:20 flat EAST 3.00")
    rider.medium_kind = MediumKind.CARD
    rider.play("9 06:30 flat EAST 0.00\n9 06:40 flat EAST 3.00")


def test_caps_and_passes_of_some_frames() -> None:
    cap = PeriodRule("cap", PeriodKind.CAP, 0, (Step(limit_minor=4_00),), frames=OFF_PEAK)
    one = PassProduct("pass", 5, 9_00, PassStart.PURCHASE, frames=OFF_PEAK)
    layers = Layers(legs=PEAKED, counters=(DAY_COUNTER,), period_rules=(cap,), passes=(one,))
    rider = Traveller(layered(layers))
    rider.play("9 06:00 flat EAST 3.00\n9 08:00 flat EAST 3.00 -CAP\n9 10:00 flat EAST 0.00 CAP")
    rider.give(CellType.PASS, 5, Pass())
    rider.play("10 08:00 flat EAST 3.00 -PASS\n10 10:00 flat EAST 0.00 PASS")


@pytest.mark.parametrize("skips", [False, True])
def test_free_trips_of_caps_may_be_left_out(skips: bool) -> None:
    """3.00 a day at most; a ride that the cap made free is a trip, or is not."""
    counter = replace(DAY_COUNTER, skips_free=skips)
    cap = PeriodRule("cap", PeriodKind.CAP, 0, (Step(limit_minor=3_00),))
    layers = Layers(legs=LEGS, counters=(counter,), period_rules=(cap,))
    rider = Traveller(layered(layers))
    rider.play("9 06:00 flat EAST 3.00\n9 06:10 flat EAST 0.00 CAP\n9 06:20 flat EAST 0.00 CAP")
    kept = rider.cells.find_counter(9)
    assert kept is not None
    assert kept.trips == (1 if skips else 3)
    rider.undo()
    assert kept.trips == (1 if skips else 2)


CALENDAR_PASSES = {
    "the month of the first use": (
        {"months": 1},
        """
        29 09:00 flat EAST 0.00 PASS
        31 03:59 flat EAST 0.00 PASS
        31 04:00 flat EAST 3.00 -PASS
        """,
    ),
    "two months": (
        {"months": 2},
        """
        29 09:00 flat EAST 0.00 PASS
        61 09:00 flat EAST 0.00 PASS
        62 04:00 flat EAST 3.00 -PASS
        """,
    ),
    "a month that the calendar does not end: 31 days": (
        {"months": 1},
        """
        85 09:00 flat EAST 0.00 PASS
        90 09:00 flat EAST 0.00 PASS
        """,
    ),
    "the week to Sunday": (
        {"weeks": 1},
        """
        11 09:00 flat EAST 0.00 PASS
        16 03:59 flat EAST 0.00 PASS
        16 04:00 flat EAST 3.00 -PASS
        """,
    ),
}


@pytest.mark.parametrize("name", CALENDAR_PASSES)
def test_passes_of_the_calendar(name: str) -> None:
    length, script = CALENDAR_PASSES[name]
    product = PassProduct("pass", 5, 9_00, PassStart.FIRST_USE, **length)  # type: ignore[arg-type]
    rider = holder(product, Pass()).play(script)
    spec = rider.spec
    used = rider.cells.list_passes()[0][1]
    sold_us = used.until_us
    bought = replace(product, start=PassStart.PURCHASE)
    assert pass_end_us(spec, bought, rider.history[0][1].ts_us) == sold_us
