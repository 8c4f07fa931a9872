"""Layer 2 by worked examples: transfers, joins and group riders, reckoned by hand.

The metro (group 1) costs 3.00, the bus (group 2) 2.00.
"""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from fastpath.layers import (
    Begins,
    Join,
    Layers,
    Measured,
    OverstayKind,
    SameStop,
    SameStopKind,
    Transfer,
    TransferEffect,
)
from fastpath.reference import CellType, Chain, Extras
from fastpath.reference_cells import Span
from fastpath.types import Act, OutOfStation, Reason
from tests.fastpath.city import EAST, at, minor, rows
from tests.fastpath.layered_town import Traveller, by_distance, grid, layered
from tests.fastpath.world import HOUR_US, MINUTE_US, SECOND_US

LEGS = grid("3.00", "2.00")


def transfer(effect: TransferEffect, amount: str = "0.00", **how: int) -> Transfer:
    """From metro to bus."""
    how = {"from_group": 1, "to_group": 2, "window_us": HOUR_US, **how}
    return Transfer(effect=effect, amount_minor=minor(amount), **how)  # type: ignore[arg-type]


EFFECTS = """
# effect              amount  the bus after a metro ride of 3.00
  FIRST_AND_TRANSFER  0.50    0.50
  ALL                 0.50    2.50
  TRANSFER_ONLY       3.50    0.50
  TRANSFER_ONLY       2.00    -1.00
  MINUS               0.50    1.50
  MINUS               5.00    0.00
  DIFFERENCE          0.00    0.00
  DIFFERENCE          0.25    0.25
"""


@pytest.mark.parametrize("row", rows(EFFECTS), ids=" ".join)
def test_effects(row: list[str]) -> None:
    effect, amount, fare = row
    rule = transfer(TransferEffect[effect], amount)
    rider = Traveller(layered(Layers(legs=LEGS, group_count=2, transfers=(rule,))))
    rider.play("9 09:00 in EAST\n9 09:30 out WEST 3.00")
    rider.play(f"9 09:40 flat WEST line=bus {fare} TRANSFER")
    assert rider.history[-1][1].acts == (Act.TRANSFER << 24 | 0,)
    # The other way round there is no rule.
    rider.play("9 09:41 in EAST\n9 09:45 out WEST 3.00 -TRANSFER")


def test_difference_and_through() -> None:
    """Bus 2.00, then metro 3.00: 1.00 more. 4 km are 2.00, 12 km 4.00, 15.5 km 5.00."""
    dearer = transfer(TransferEffect.DIFFERENCE, from_group=2, to_group=1)
    rider = Traveller(layered(Layers(legs=LEGS, group_count=2, transfers=(dearer,))))
    rider.play(
        """
        9 09:00 flat EAST line=bus 2.00
        9 09:10 in EAST
        9 09:30 out WEST 1.00 TRANSFER
        """
    )
    through = transfer(TransferEffect.THROUGH, to_group=1)
    rider = Traveller(layered(Layers(legs=by_distance(), group_count=1, transfers=(through,))))
    rider.play(
        """
        9 09:00 in EAST
        9 09:10 out WEST km=4 2.00
        9 09:20 in WEST
        9 09:30 out HILL km=8 2.00 TRANSFER
        9 09:40 in HILL
        9 09:50 out LAKE km=3.5 1.00 TRANSFER
        """
    )


MEASURED = """
# measured                in    out    within 60 min of 09:00, 09:30
  DEPARTURE_TO_ARRIVAL    09:40 10:00  yes
  DEPARTURE_TO_ARRIVAL    09:40 10:01  no
  DEPARTURE_TO_DEPARTURE  10:00 10:40  yes
  DEPARTURE_TO_DEPARTURE  10:01 10:40  no
  ARRIVAL_TO_DEPARTURE    10:30 11:40  yes
  ARRIVAL_TO_DEPARTURE    10:31 11:40  no
  ARRIVAL_TO_ARRIVAL      10:00 10:30  yes
  ARRIVAL_TO_ARRIVAL      10:00 10:31  no
"""


@pytest.mark.parametrize("row", rows(MEASURED), ids=" ".join)
def test_windows_include_both_ends(row: list[str]) -> None:
    measured, entered, left, fits = row
    free = transfer(TransferEffect.FIRST_AND_TRANSFER, to_group=1, measured=Measured[measured])
    rider = Traveller(layered(Layers(legs=LEGS, group_count=2, transfers=(free,))))
    fare = "0.00 TRANSFER" if fits == "yes" else "3.00 -TRANSFER"
    rider.play(
        f"""
        9 09:00 in EAST
        9 09:30 out WEST 3.00
        9 {entered} in WEST
        9 {left} out HILL {fare}
        """
    )


HOPPER = transfer(TransferEffect.FIRST_AND_TRANSFER, from_group=2, to_group=2, begins=Begins.SPAN)
SCRIPTS = {
    "hopper: any number of buses within an hour of the first": (
        Layers(legs=LEGS, group_count=2, transfers=(HOPPER,)),
        """
        9 09:00 flat EAST line=bus 2.00
        9 09:20 flat WEST line=bus 0.00 TRANSFER
        9 10:00 flat HILL line=bus 0.00 TRANSFER
        9 10:01 flat LAKE line=bus 2.00
        9 10:59 flat EAST line=bus 0.00 TRANSFER
        """,
    ),
    "at most one transfer in a row": (
        Layers(
            legs=LEGS,
            group_count=2,
            transfers=(transfer(TransferEffect.FIRST_AND_TRANSFER, from_group=2, count_max=1),),
        ),
        """
        9 09:00 flat EAST line=bus 2.00
        9 09:10 flat WEST line=bus 0.00
        9 09:20 flat HILL line=bus 2.00
        9 09:30 flat LAKE line=bus 0.00
        """,
    ),
    "the first rule that fits, others behind it": (
        Layers(
            legs=LEGS,
            group_count=2,
            transfers=(
                transfer(TransferEffect.FIRST_AND_TRANSFER, window_us=10 * MINUTE_US),
                transfer(TransferEffect.MINUS, "0.50"),
            ),
        ),
        """
        9 09:00 in EAST
        9 09:05 out WEST 3.00
        9 09:10 flat WEST line=bus 0.00
        9 09:20 in EAST
        9 09:25 out WEST 3.00
        9 09:40 flat WEST line=bus 1.50
        """,
    ),
    "a fare named by the device neither uses nor makes a transfer": (
        Layers(legs=LEGS, group_count=2, transfers=(HOPPER,)),
        """
        9 09:00 flat EAST line=bus 2.00
        9 09:10 flat EAST line=bus amount=7.00 7.00 -TRANSFER
        9 09:20 flat WEST line=bus 0.00 TRANSFER
        """,
    ),
    "an incomplete journey ends the span": (
        Layers(
            legs=LEGS,
            group_count=2,
            transfers=(transfer(TransferEffect.FIRST_AND_TRANSFER, window_us=-1),),
        ),
        """
        9 09:00 in EAST
        9 09:30 out WEST 3.00
        9 09:40 in EAST
        9 22:00 in WEST 28.00 MISSING_CHECK_OUT
        9 22:10 flat WEST line=bus 2.00 -TRANSFER
        """,
    ),
    "a joined leg is one leg with the one before": (
        Layers(
            legs=grid("3.00", "2.00", group=array("H", [1, 1])),
            group_count=1,
            joins=(Join(0, 1, window_us=20 * MINUTE_US),),
            transfers=(transfer(TransferEffect.MINUS, "1.00", to_group=1),),
        ),
        """
        9 07:00 in EAST
        9 07:10 out WEST 3.00
        9 07:30 in WEST
        9 07:40 out HILL 2.00 TRANSFER
        9 08:00 in HILL line=bus JOINED_LEG
        9 08:10 out LAKE line=bus 0.00 JOINED_LEG TRANSFER
        9 08:31 in LAKE -JOINED_LEG
        9 08:40 out EAST 3.00 -TRANSFER
        """,
    ),
    "a leg that began before the last one ended is no transfer from it": (
        Layers(
            legs=LEGS,
            group_count=2,
            transfers=(
                transfer(TransferEffect.FIRST_AND_TRANSFER, from_group=2, to_group=1, window_us=-1),
            ),
        ),
        """
        9 09:00 in EAST
        9 09:10 flat EAST line=bus 2.00
        9 09:30 out WEST 3.00 -TRANSFER
        9 09:40 flat EAST line=bus 2.00
        9 09:40 in EAST
        9 09:50 out WEST 0.00 TRANSFER
        """,
    ),
    "an out-of-station interchange pays the difference": (
        Layers(legs=grid([["2.00", "3.50"], ["3.40", "2.20"]]), joins=()),
        """
        9 09:00 in EAST
        9 09:10 out WEST 2.00
        9 09:20 in HILL OUT_OF_STATION
        9 09:30 out LAKE 1.50 OUT_OF_STATION
        """,
    ),
    "a way back by an interchange is no stay at the first station": (
        Layers(
            legs=grid([["2.00", "3.50"], ["3.40", "2.20"]]),
            same_stop=(SameStop(-1, SameStopKind.HIGHEST, times=2),),
        ),
        """
        9 09:00 in EAST
        9 09:10 out WEST 2.00
        9 09:20 in HILL OUT_OF_STATION
        9 09:30 out EAST 3.40 -OUT_OF_STATION -SAME_STATION
        9 09:40 in EAST
        9 09:50 out EAST 56.00 SAME_STATION
        """,
    ),
    "legs that a feed joins are one leg, also on the way back": (
        Layers(
            legs=grid("3.00", "2.00", group=array("H", [1, 1])),
            group_count=1,
            joins=(Join(0, 0, window_us=20 * MINUTE_US),),
        ),
        """
        9 09:00 in EAST
        9 09:10 out WEST 3.00
        9 09:20 in WEST JOINED_LEG
        9 09:30 out EAST 0.00 JOINED_LEG
        """,
    ),
    "a window from the first of a run, by arrival": (
        Layers(
            legs=LEGS,
            group_count=2,
            transfers=(
                transfer(
                    TransferEffect.FIRST_AND_TRANSFER,
                    to_group=1,
                    begins=Begins.RUN,
                    measured=Measured.ARRIVAL_TO_DEPARTURE,
                ),
                transfer(TransferEffect.FIRST_AND_TRANSFER, from_group=2, to_group=1),
            ),
        ),
        """
        9 08:00 flat EAST line=bus 2.00
        9 08:10 in EAST
        9 08:30 out WEST 0.00 TRANSFER
        9 08:40 in EAST
        9 09:00 out WEST 0.00 TRANSFER
        9 09:30 in EAST
        9 09:40 out WEST 0.00 TRANSFER
        9 09:41 in EAST
        9 09:50 out WEST 3.00 -TRANSFER
        9 10:50 in EAST
        9 10:55 out WEST 0.00 TRANSFER
        """,
    ),
    "a window from the arrival of the span's first leg": (
        Layers(
            legs=LEGS,
            group_count=2,
            transfers=(
                transfer(
                    TransferEffect.FIRST_AND_TRANSFER,
                    to_group=1,
                    begins=Begins.SPAN,
                    measured=Measured.ARRIVAL_TO_ARRIVAL,
                ),
            ),
        ),
        """
        9 08:00 in EAST
        9 08:30 out WEST 3.00
        9 08:40 in EAST
        9 09:00 out WEST 0.00 TRANSFER
        9 09:10 in EAST
        9 09:30 out WEST 0.00 TRANSFER
        9 09:31 in EAST
        9 09:32 out WEST 3.00 -TRANSFER
        """,
    ),
    "a network that keeps the span": (
        Layers(legs=LEGS, group_count=2, transfers=(HOPPER,), span_networks=0b01),
        """
        9 09:00 flat EAST line=bus 2.00
        9 09:10 in EAST
        9 09:20 out WEST 3.00 -TRANSFER
        9 09:30 flat WEST line=bus 0.00 TRANSFER
        9 09:31 in EAST
        9 21:40 in EAST 28.00 MISSING_CHECK_OUT
        9 21:45 out WEST 3.00
        9 21:46 flat WEST line=bus 2.00 -TRANSFER
        """,
    ),
    "late taps use no transfer and leave the chain alone": (
        Layers(legs=LEGS, group_count=2, transfers=(HOPPER,)),
        """
        9 09:00 flat EAST line=bus 2.00
        9 09:30 flat WEST line=bus late=08:50 2.00 -TRANSFER
        9 09:40 flat HILL line=bus 0.00 TRANSFER
        """,
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_journeys(name: str) -> None:
    layers, script = SCRIPTS[name]
    pairs = () if layers.joins else (OutOfStation(1, 2, HOUR_US),)
    Traveller(layered(layers, out_of_station=pairs)).play(script)


def test_a_refund_of_a_joined_leg_is_that_of_the_whole() -> None:
    """The metro ride was 3.00; both halves of the next journey together cost 2.00 less that."""
    rule = transfer(TransferEffect.TRANSFER_ONLY, "2.00", to_group=1)
    spec = layered(
        Layers(legs=LEGS, group_count=2, transfers=(rule,)),
        out_of_station=(OutOfStation(1, 2, HOUR_US),),
    )
    Traveller(spec).play(
        """
        9 09:00 in EAST
        9 09:10 out WEST 3.00
        9 09:20 in WEST
        9 09:30 out WEST -1.00 TRANSFER
        9 09:40 in HILL OUT_OF_STATION
        9 09:50 out LAKE 0.00 TRANSFER OUT_OF_STATION
        """
    )


def test_what_ends_the_span() -> None:
    """Free exits leave it; the highest fare at the same stop and two highest fares end it."""
    same = (SameStop(MINUTE_US, SameStopKind.FREE), SameStop(-1, SameStopKind.HIGHEST))
    rule = transfer(TransferEffect.FIRST_AND_TRANSFER, window_us=-1)
    layers = Layers(
        legs=LEGS,
        group_count=2,
        transfers=(rule,),
        same_stop=same,
        overstay=OverstayKind.TWO_HIGHEST,
    )
    for stay, stop, bus in [("09:41", "WEST", "0.00"), ("09:50", "WEST", "2.00")]:
        rider = Traveller(layered(layers)).play("9 09:00 in EAST\n9 09:30 out EAST 28.00")
        rider = Traveller(layered(layers)).play("9 09:00 in EAST\n9 09:30 out WEST 3.00")
        rider.play(f"9 09:40 in {stop}")
        rider.tap(2, 102, at(9, stay))
        rider.play(f"9 10:00 flat WEST line=bus {bus}")
    rider = Traveller(layered(layers, max_stay_us=HOUR_US))
    rider.play(
        """
        9 06:00 in EAST
        9 06:30 out WEST 3.00
        9 06:40 in WEST
        9 08:00 out EAST 53.00 OVERSTAY
        9 08:10 flat WEST line=bus 2.00 -TRANSFER
        """
    )


# --- group riders ---------------------------------------------------------------------------------

GROUP = Layers(legs=LEGS, group_count=2, transfers=(HOPPER,), group_riders_max=3)


def test_a_group_pays_for_each() -> None:
    """Three ride; the fourth tap within 90 s is a pass-back. Only the first has a transfer."""
    rider = Traveller(layered(GROUP, passback_us=90 * SECOND_US))
    rider.play(
        """
        9 09:00 flat EAST line=bus 2.00 -GROUP_RIDER
        9 09:01 flat EAST line=bus 2.00 GROUP_RIDER
        9 09:02 flat EAST line=bus 2.00 GROUP_RIDER
        9 09:03 flat EAST line=bus PASSBACK
        9 09:20 flat WEST line=bus 0.00 TRANSFER
        9 09:21 flat WEST line=bus 2.00 GROUP_RIDER
        """
    )
    cell = rider.cells.find(CellType.CHAIN, 0)
    assert cell is not None
    assert cell.riders == 2
    assert isinstance(cell.payload, Chain)
    assert cell.payload.transfers == 1


def test_a_group_needs_its_cell() -> None:
    rider = Traveller(layered(GROUP, passback_us=90 * SECOND_US), extras=None)
    rider.play("9 09:00 flat EAST line=bus 2.00\n9 09:01 flat EAST line=bus PASSBACK")


# --- undoing --------------------------------------------------------------------------------------


def test_an_undone_transfer_can_be_made_again() -> None:
    rule = transfer(TransferEffect.TRANSFER_ONLY, "2.00")
    rider = Traveller(layered(Layers(legs=LEGS, group_count=2, transfers=(rule,))))
    rider.play("9 09:00 in EAST\n9 09:30 out WEST 3.00\n9 09:40 flat WEST line=bus -1.00")
    back = rider.undo()
    assert (back.reason, back.fare_minor) == (Reason.OK, 1_00)
    rider.play("9 09:45 flat WEST line=bus -1.00 TRANSFER")
    rider.play("9 09:50 flat WEST line=bus 2.00 -TRANSFER")


def test_an_undone_check_in_puts_the_chain_back() -> None:
    rider = Traveller(layered(Layers(legs=LEGS, group_count=2, transfers=(HOPPER,))))
    rider.tap(1, EAST, at(9, "09:00"))
    assert rider.cells.find_chain() == Chain(journey_dep_us=at(9, "09:00"))
    rider.undo()
    assert rider.cells.find_chain() == Chain()


def test_an_undone_joined_leg_can_be_made_again() -> None:
    join = Join(0, 1, window_us=20 * MINUTE_US)
    layers = Layers(legs=grid("3.00", "5.00"), group_count=2, joins=(join,))
    rider = Traveller(layered(layers)).play(
        """
        9 09:00 in EAST
        9 09:10 out WEST 3.00
        9 09:30 in WEST line=bus JOINED_LEG
        9 09:40 out HILL line=bus 2.00 JOINED_LEG
        """
    )
    before = rider.cells.find_chain()
    assert rider.undo().fare_minor == -2_00
    rider.play("9 09:40 out HILL line=bus 2.00 JOINED_LEG")
    assert rider.cells.find_chain() == before
    assert before is not None
    assert (before.last_charged_minor, before.last_dep_us) == (5_00, at(9, "09:00"))


def test_first_legs_are_put_back_by_a_reversal() -> None:
    rule = transfer(
        TransferEffect.FIRST_AND_TRANSFER,
        to_group=1,
        begins=Begins.RUN,
        measured=Measured.ARRIVAL_TO_ARRIVAL,
    )
    rider = Traveller(layered(Layers(legs=LEGS, group_count=2, transfers=(rule,))))
    rider.play("9 09:00 in EAST\n9 09:10 out WEST 3.00\n9 09:20 in WEST")
    before = replace(rider.cells.find_span() or Span())
    assert before.first_arr_us == at(9, "09:10")
    rider.play("9 09:30 out HILL 0.00 TRANSFER")
    assert (rider.cells.find_span() or Span()).run_arr_us == at(9, "09:10")
    rider.undo()
    assert (rider.cells.find_span() or Span()).now == before.now
    rider.play("9 09:35 out HILL 0.00 TRANSFER")
    assert (rider.cells.find_span() or Span()).run_dep_us == at(9, "09:00")


def test_without_room_for_first_legs_a_window_begins_with_the_leg_before() -> None:
    rule = transfer(
        TransferEffect.FIRST_AND_TRANSFER,
        to_group=1,
        begins=Begins.RUN,
        measured=Measured.ARRIVAL_TO_DEPARTURE,
    )
    spec = layered(Layers(legs=LEGS, group_count=2, transfers=(rule,)))
    rider = Traveller(spec, extras=Extras(room=2))
    rider.play("9 06:00 in EAST TOO_MANY_CELLS\n9 06:00 in EAST opened 0.00\n9 06:10 out WEST 3.00")
    rider.cells.room = 1
    rider.play("9 06:20 in EAST")
    rider.cells.cells = [one for one in rider.cells.cells if one.type != CellType.SPAN]
    rider.play("9 06:30 out WEST 0.00\n9 07:20 in EAST opened 0.00\n9 07:30 out WEST 0.00 TRANSFER")
