"""Where pricing again begins, which tariff it uses, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastpath._tariff import CompiledTariff
from fastpath.types import Op, Reason, TapFlag, TapKind, TariffSpec
from gateway.errors import RerateError, Retry
from gateway.rerating.books import Books
from gateway.rerating.events import read_story
from gateway.rerating.plan import make_plan, say_why
from tests.rerating.arrivals import CELLS_MAX, Arrivals, Made
from tests.support.layered import layered_spec
from tests.support.tariff import DAY_US, FIRST_DAY

MINUTE_US = 60_000_000
BEGIN_US = (FIRST_DAY + 100) * DAY_US + 10 * 60 * MINUTE_US
SPEC = layered_spec()


def ride(hours: int, origin: int = 11, destination: int = 12) -> list[Made]:
    at_us = BEGIN_US + hours * 60 * MINUTE_US
    return [
        Made(TapKind.CHECK_IN, origin, at_us),
        Made(TapKind.CHECK_OUT, destination, at_us + 20 * MINUTE_US),
    ]


def arrivals(*taps: Made) -> Arrivals:
    made = Arrivals([SPEC], BEGIN_US + 3 * DAY_US)
    for tap in taps:
        assert Reason(made.arrive(tap).reason).accepted
    return made


def test_what_came_in_its_turn_is_left_alone() -> None:
    plan = arrivals(*ride(0), *ride(1)).plan()
    assert not plan.is_needed
    assert plan.taps == []


def test_only_what_lies_behind_the_cut_is_priced_again() -> None:
    account = arrivals(*ride(0), *ride(1), *reversed(ride(2)))
    plan = account.plan()
    assert [one.tap.at_us for one in plan.taps] == [one.at_us for one in ride(2)]
    assert plan.from_us == ride(2)[0].at_us
    assert plan.amount_minor == -100
    assert say_why(plan).endswith("400>300")


def test_a_cut_does_not_go_behind_what_a_re_rating_reached_over() -> None:
    """The second re-rating must see the first one's correction and the taps it corrected."""
    account = arrivals(*reversed(ride(0)))
    account.rerate()
    for tap in [*ride(1), *reversed(ride(2))]:
        account.arrive(tap)
    assert account.plan().taps[0].tap.at_us == ride(2)[0].at_us
    account.rerate()
    for tap in reversed(ride(-1)):
        account.arrive(tap)
    assert len(account.plan().taps) == 8
    account.rerate()
    assert account.charged_minor == 4 * 300 - 300  # the fourth ride is capped at 9.00


def test_history_that_does_not_reach_back() -> None:
    account = arrivals(*ride(0), *reversed(ride(1)))
    account.records = account.records[4:]
    with pytest.raises(RerateError, match="RERATE_HISTORY_SHORT"):
        account.plan()
    # From a whole ride on there is a state to begin with.
    account = arrivals(*ride(0), *ride(1), *reversed(ride(2)))
    account.records = account.records[3:]
    assert account.plan().amount_minor == -100


def test_records_that_lag_behind_the_account() -> None:
    account = arrivals(*ride(0))
    behind = account.records[:-1]
    with pytest.raises(RerateError, match="RERATE_HISTORY_BEHIND") as raised:
        make_plan(account.now(), behind, Books(account.tariffs), cells_max=CELLS_MAX)
    assert raised.value.retry == Retry.SAFE


def dearer() -> TariffSpec:
    """The tariff's metro at three times the price, valid from the same day."""
    layers = SPEC.layers
    assert layers is not None
    assert layers.legs is not None
    fares = layers.legs.fare[:]
    for at, one in enumerate(fares):
        fares[at] = one if one < 0 else 3 * one
    return replace(SPEC, version="2", layers=replace(layers, legs=replace(layers.legs, fare=fares)))


def test_a_version_that_took_another_s_place_prices_nothing_old() -> None:
    account = arrivals(*ride(0), *reversed(ride(1)))
    old = account.tariffs[0][1]
    account.add_tariff(0, CompiledTariff.build(dearer()))
    plan = account.plan()
    assert plan.amount_minor == -100
    assert {one.made.tariff_key for one in plan.taps} == {old.key}


def test_a_tariff_that_is_not_kept() -> None:
    account = arrivals(*reversed(ride(0)))
    account.tariffs = [(0, CompiledTariff.build(dearer()))]
    with pytest.raises(RerateError, match="RERATE_TARIFF"):
        account.plan()


def test_online_taps_stay_in_the_order_they_were_decided() -> None:
    """The gate's clock at the exit is two minutes behind: that makes no check-out without entry."""
    account = Arrivals([SPEC], BEGIN_US)
    entry, leave = ride(0)
    account.arrive(replace(entry, flags=0), now_us=entry.at_us)
    account.arrive(replace(leave, flags=0, at_us=entry.at_us - 2 * MINUTE_US), now_us=leave.at_us)
    assert not account.plan().is_needed
    for tap in reversed(ride(-2)):
        account.arrive(tap)
    account.rerate()
    assert account.charged_minor == 600


def test_a_service_desk_s_tap_is_priced_as_one() -> None:
    account = Arrivals([SPEC], BEGIN_US)
    desk = int(TapFlag.SERVICE_DESK)
    made = account.arrive(Made(TapKind.CHECK_OUT, 14, BEGIN_US, flags=desk), now_us=BEGIN_US)
    assert made.reason == Reason.OK
    account.arrive(Made(TapKind.CHECK_IN, 13, BEGIN_US - 20 * MINUTE_US))
    assert account.rerate().amount_minor == 300 - 500


def test_the_story_names_what_is_out_of_turn() -> None:
    account = arrivals(*reversed(ride(0)), *ride(1))
    account.undo()
    story = read_story(account.records)
    late_us, undone_us = ride(0)[0].at_us, ride(1)[1].at_us
    assert [at_us for _, at_us in story.disturbed] == [late_us, undone_us]
    assert [one.fare_minor for one in account.records if one.op == Op.REVERSAL] == [-300]
