"""Undoing a tap: the passenger did not pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastpath import reference
from fastpath.types import (
    CapOwner,
    JourneyState,
    MissingCheckIn,
    MonthBasis,
    Reason,
    Rule,
    TapKind,
    Verdict,
)
from tests.fastpath.city import EAST, HILL, LAKE, WEST, rider
from tests.fastpath.world import HOUR_US, MINUTE_US, OPENED, SECOND_US


def test_undone_entry_leaves_no_journey() -> None:
    world = rider()
    world.enter(EAST)
    made = world.undo()
    assert (made.reason, made.verdict, made.fare_minor) == (Reason.OK, Verdict.OPEN, 0)
    assert world.rider.journey_state == JourneyState.NONE
    assert world.enter(EAST).reason == Reason.OK  # no pass-back


def test_undone_exit_opens_the_journey_again() -> None:
    world = rider(9, "06:30")
    world.rider.subsidy_minor = 1_00
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, 100_00
    charged = world.ride(EAST, HILL)
    assert (charged.fare_minor, charged.subsidy_minor) == (2_00, 1_00)
    made = world.undo()
    assert (made.fare_minor, made.subsidy_minor) == (-2_00, -1_00)
    assert (made.rules, made.period_paid_minor) == (Rule.SUBSIDY, 100_00)
    assert (world.rider.balance_minor, world.rider.subsidy_minor) == (100_00, 1_00)
    assert world.rider.period.month_trips == 0
    assert world.is_inside
    assert world.leave(HILL) == charged


@pytest.mark.parametrize("basis", MonthBasis)
@pytest.mark.parametrize("by_entry", [True, False])
def test_undone_exit_takes_the_trip_out_of_month_and_day(basis: MonthBasis, by_entry: bool) -> None:
    world = rider(31, "03:50", month_basis=basis, month_by_entry=by_entry)
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, 150_00
    world.ride(HILL, EAST, minutes=300)
    period = world.rider.period
    assert (period.day_trips, period.month_trips) == (1, 1)
    world.undo()
    assert (period.day_trips, period.day_paid_minor, period.month_trips) == (0, 0, 0)
    assert {period.month_paid_minor, period.prev_month_paid_minor} == {150_00, 0}


def test_undone_interchange_can_be_made_again() -> None:
    world = rider()
    world.ride(EAST, WEST)
    before = world.rider.exit_ts_us, world.rider.exit_stop
    world.wait(5 * MINUTE_US).enter(HILL)
    world.undo()
    rider_now = world.rider
    assert (rider_now.journey_state, rider_now.leg_count) == (JourneyState.DONE, 1)
    assert (rider_now.origin_stop, rider_now.journey_paid_minor) == (EAST, 3_00)
    assert (rider_now.exit_ts_us, rider_now.exit_stop) == before
    assert world.enter(HILL).rules == Rule.OUT_OF_STATION
    last = world.wait(MINUTE_US).leave(LAKE)
    assert last.fare_minor == 5_00
    world.undo()
    assert (rider_now.leg_count, rider_now.journey_paid_minor) == (2, 3_00)
    assert rider_now.period.month_trips == 1
    assert world.leave(LAKE).fare_minor == 5_00


def test_charge_for_a_missing_check_out_stays() -> None:
    world = rider()
    world.enter(EAST)
    made = world.wait(13 * HOUR_US).enter(WEST)
    assert made.fare_minor == 28_00
    back = world.undo()
    assert (back.reason, back.fare_minor) == (Reason.OK, 0)
    assert (world.rider.balance_minor, world.rider.journey_state) == (72_00, JourneyState.NONE)


def test_undone_exit_without_entry_gives_the_highest_fare_back() -> None:
    world = rider(missing_check_in=MissingCheckIn.HIGHEST)
    world.leave(HILL)
    back = world.undo()
    assert (back.fare_minor, back.rules) == (-30_00, 0)
    assert world.rider.journey_state == JourneyState.NONE
    assert world.leave(HILL).fare_minor == 30_00  # no pass-back either


def test_undone_flat_tap_can_be_made_again_at_once() -> None:
    world = rider()
    world.tap(TapKind.FLAT, EAST)
    assert world.undo().fare_minor == -2_00
    assert world.rider.period.month_paid_minor == 0
    assert world.wait(SECOND_US).tap(TapKind.FLAT, EAST).reason == Reason.OK


def test_a_tap_that_others_followed_gives_back_money_only() -> None:
    world = rider()
    world.rider.subsidy_minor = 1_00
    world.ride(EAST, HILL)
    world.wait(HOUR_US).enter(EAST)
    back = world.reverse(*world.history[1])
    assert (back.fare_minor, back.subsidy_minor) == (-5_00, -1_00)
    assert back.rules == Rule.MONEY_ONLY | Rule.SUBSIDY
    assert world.is_inside
    assert (world.rider.period.month_paid_minor, world.rider.period.month_trips) == (0, 0)
    assert world.reverse(*world.history[0]).reason == Reason.NOTHING_TO_REVERSE


def test_money_only_leaves_the_surcharge_out_of_the_month() -> None:
    world = rider()
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, 10_00
    world.ride(EAST, HILL, minutes=300)
    assert world.rider.period.month_paid_minor == 15_00
    world.wait(HOUR_US).enter(EAST)
    assert world.reverse(*world.history[1]).fare_minor == -8_00
    assert world.rider.period.month_paid_minor == 10_00


@pytest.mark.parametrize("kind", [TapKind.CHECK_IN, TapKind.FLAT])
def test_refused_taps_have_nothing_to_reverse(kind: TapKind) -> None:
    world = rider(balance="0.00")
    world.tap(kind, EAST)
    assert world.undo().reason == Reason.NOTHING_TO_REVERSE


def test_an_inspection_has_nothing_to_reverse() -> None:
    world = rider()
    world.enter(EAST)
    world.tap(TapKind.INSPECT)
    assert world.undo().reason == Reason.NOTHING_TO_REVERSE
    assert world.is_inside


def test_same_tap_number_of_another_boot_is_another_tap() -> None:
    world = rider()
    world.enter(EAST)
    tap, charged = world.history[-1]
    other = world.reverse(replace(tap, boot=2), charged)
    assert other.reason == Reason.NOTHING_TO_REVERSE
    assert world.is_inside


def test_risk_of_a_stranger_is_given_back_without_an_account() -> None:
    world = rider()
    world.account = None
    world.leave(HILL, flags=OPENED)
    back = world.undo()
    told = (back.reason, back.fare_minor, back.rules)
    assert told == (Reason.OK_RISK, -30_00, Rule.MONEY_ONLY)
    world.enter(HILL, flags=OPENED)
    assert world.undo().reason == Reason.NOTHING_TO_REVERSE


def test_without_the_account_nothing_is_given_back() -> None:
    world = rider()
    world.ride(EAST, HILL)
    world.account = None
    assert world.undo().reason == Reason.UNKNOWN_ACCOUNT


def test_with_its_tariff_gone_the_tap_is_undone_all_the_same() -> None:
    world = rider()
    world.ride(EAST, HILL)
    world.drop(world.book.list_versions(0)[0].key)
    assert world.undo().fare_minor == -5_00
    assert world.rider.period.month_paid_minor == 0
    assert world.is_inside


def test_blocked_account_gets_its_money_back() -> None:
    world = rider()
    world.ride(EAST, HILL)
    world.rider.status = 7
    assert world.undo().fare_minor == -5_00


def test_totals_of_the_medium() -> None:
    world = rider(cap_owner=CapOwner.MEDIUM)
    world.medium_period = reference.Period(month=24_322, month_paid_minor=100_00)
    assert world.ride(EAST, HILL).fare_minor == 4_00
    assert world.medium_period.month_paid_minor == 104_00
    assert world.rider.period == reference.Period()
    assert world.undo().period_paid_minor == 100_00
    world.medium_period = None
    assert world.leave(HILL).fare_minor == 5_00


def test_money_that_does_not_fit_is_refused() -> None:
    world = rider()
    world.ride(EAST, HILL)
    world.rider.balance_minor = 1 << 60
    assert world.undo().reason == Reason.AMOUNT_OVERFLOW
