"""Rides that were made: debts after a block, uploads of offline devices, late taps."""

from __future__ import annotations

import pytest

from fastpath import reference
from fastpath.types import (
    AccountStatus,
    MediumState,
    MissingCheckIn,
    Reason,
    Rule,
    TapFlag,
    TapKind,
    Verdict,
)
from tests.fastpath.city import DEPOT, EAST, HILL, LAKE, WEST, rider
from tests.fastpath.world import HOUR_US, MINUTE_US, OPENED, SECOND_US, World


def _block(world: World, how: str) -> None:
    assert world.medium is not None
    if how in MediumState.__members__:
        world.medium.state = MediumState[how]
    elif how in AccountStatus.__members__:
        world.rider.status |= AccountStatus[how]
    elif how == "expired":
        world.medium.expires_us = world.now_us
    elif how == "poor":
        world.rider.balance_minor = 0


BLOCKS = ["LOST", "DENYLISTED", "EXPIRED", "REPLACED", "FROZEN_DEBIT", "CLOSED", "expired"]


@pytest.mark.parametrize("how", BLOCKS)
@pytest.mark.parametrize("balance_minor", [100_00, 0, -50_00])
def test_ride_begun_before_a_block_posts_as_debt(how: str, balance_minor: int) -> None:
    world = rider()
    world.enter(EAST)
    _block(world, how)
    world.rider.balance_minor = balance_minor
    made = world.wait(20 * MINUTE_US).leave(HILL)
    assert (made.reason, made.verdict) == (Reason.OK_DEBT, Verdict.OPEN_WITH_DEBT)
    assert (made.fare_minor, world.rider.balance_minor) == (5_00, balance_minor - 5_00)
    assert not made.rules & Rule.OFFLINE_ACCEPTED
    assert not Reason(world.wait(HOUR_US).enter(EAST).reason).accepted


@pytest.mark.parametrize("kind", [TapKind.CHECK_IN, TapKind.FLAT])
@pytest.mark.parametrize("how", [*BLOCKS, "poor"])
def test_opened_offline_is_never_refused_for_its_state(how: str, kind: TapKind) -> None:
    world = rider()
    _block(world, how)
    made = world.tap(kind, EAST, flags=OPENED)
    assert (made.reason, made.verdict) == (Reason.OK_DEBT, Verdict.OPEN_WITH_DEBT)
    assert made.rules & Rule.OFFLINE_ACCEPTED
    assert world.is_inside == (kind == TapKind.CHECK_IN)


def test_opened_offline_without_objection_is_plain_ok() -> None:
    world = rider()
    assert world.enter(EAST, flags=OPENED).reason == Reason.OK
    made = world.wait(20 * MINUTE_US).leave(HILL, flags=OPENED)
    assert (made.reason, made.verdict, made.fare_minor) == (Reason.OK, Verdict.OPEN, 5_00)
    world.rider.balance_minor = 3_00
    world.wait(HOUR_US).enter(EAST, flags=OPENED)
    made = world.wait(20 * MINUTE_US).leave(HILL, flags=OPENED)
    assert made.reason == Reason.OK_OVERDRAFT
    assert not made.rules & Rule.OFFLINE_ACCEPTED


def test_second_entry_offline_closes_the_first_journey() -> None:
    world = rider(balance="10.00")
    world.enter(EAST)
    made = world.wait(20 * SECOND_US).enter(EAST, flags=OPENED)
    assert (made.reason, made.fare_minor) == (Reason.OK_DEBT, 28_00)
    assert made.rules == Rule.MISSING_CHECK_OUT | Rule.OFFLINE_ACCEPTED
    assert (world.rider.balance_minor, world.rider.leg_count) == (-18_00, 1)
    assert world.is_inside


def test_exit_offline_without_entry_costs_the_highest_fare() -> None:
    world = rider(balance="10.00")
    made = world.leave(HILL, flags=OPENED)
    assert (made.reason, made.fare_minor) == (Reason.OK_DEBT, 30_00)
    assert made.rules == Rule.MISSING_CHECK_IN | Rule.OFFLINE_ACCEPTED


def test_exit_offline_without_a_price_costs_the_highest_fare_there() -> None:
    world = rider()
    world.enter(EAST)
    made = world.wait(MINUTE_US).leave(DEPOT, flags=OPENED)
    assert (made.reason, made.fare_minor) == (Reason.OK_DEBT, 3_00)
    assert made.rules == Rule.MISSING_CHECK_IN | Rule.OFFLINE_ACCEPTED
    assert not world.is_inside


STRANGERS = [
    # kind, stop, device amount, fare
    (TapKind.CHECK_IN, EAST, -1, 0),
    (TapKind.CHECK_OUT, HILL, -1, 30_00),
    (TapKind.FLAT, 0, -1, 2_00),
    (TapKind.FLAT, 0, 7_00, 7_00),
]


@pytest.mark.parametrize(("kind", "stop", "amount_minor", "fare"), STRANGERS)
@pytest.mark.parametrize("unknown", ["medium", "account", "currency"])
def test_strangers_rides_go_to_the_risk_account(
    kind: TapKind, stop: int, amount_minor: int, *, fare: int, unknown: str
) -> None:
    world = rider()
    if unknown == "currency":
        world.rider.currency = 840
    else:
        setattr(world, unknown, None)
    made = world.tap(kind, stop, amount_minor=amount_minor, flags=OPENED)
    assert (made.reason, made.verdict) == (Reason.OK_RISK, Verdict.OPEN_WITH_DEBT)
    assert (made.fare_minor, made.subsidy_minor) == (fare, 0)
    refused = world.tap(kind, stop, amount_minor=amount_minor)
    assert (
        Reason(refused.reason).name
        == {
            "medium": "UNKNOWN_MEDIUM",
            "account": "UNKNOWN_ACCOUNT",
            "currency": "CURRENCY_MISMATCH",
        }[unknown]
    )


@pytest.mark.parametrize("kind", [TapKind.CHECK_IN, TapKind.CHECK_OUT, TapKind.FLAT])
def test_what_the_device_refused_has_no_effect(kind: TapKind) -> None:
    world = rider(missing_check_in=MissingCheckIn.HIGHEST)
    made = world.tap(kind, EAST, flags=TapFlag.OFFLINE)
    assert (made.reason, made.verdict) == (Reason.OFFLINE_REFUSED, Verdict.DENY)


def test_another_reason_goes_before_offline_refused() -> None:
    world = rider()
    _block(world, "LOST")
    assert world.enter(EAST, flags=TapFlag.OFFLINE).reason == Reason.MEDIUM_LOST


@pytest.mark.parametrize("flags", [OPENED, TapFlag.OFFLINE])
def test_what_cannot_be_placed_is_refused_offline_too(flags: int) -> None:
    world = rider()
    assert world.enter(999, flags=flags).reason == Reason.UNKNOWN_STOP
    flat = rider(flat_minor=-1)
    assert flat.tap(TapKind.FLAT, flags=flags).reason == Reason.NOT_PRICED
    flat.drop(flat.book.list_versions(0)[0].key)
    assert flat.tap(TapKind.FLAT, flags=flags).reason == Reason.TARIFF_NOT_LOADED


def test_late_entry_is_only_recorded() -> None:
    world = rider()
    world.ride(EAST, HILL)
    line = reference.Account(**{name: getattr(world.rider, name) for name in world.rider.__slots__})
    made = world.wait(HOUR_US).enter(LAKE, clock_us=-2 * HOUR_US, flags=OPENED)
    assert (made.reason, made.fare_minor, made.rules) == (Reason.OK, 0, 0)
    assert world.rider == line
    assert world.undo().reason == Reason.NOTHING_TO_REVERSE


def test_late_entry_with_a_lost_medium_says_so() -> None:
    world = rider()
    world.ride(EAST, HILL)
    _block(world, "LOST")
    made = world.wait(HOUR_US).enter(LAKE, clock_us=-2 * HOUR_US, flags=OPENED)
    assert (made.reason, made.rules) == (Reason.OK_DEBT, Rule.OFFLINE_ACCEPTED)


def test_late_exit_does_not_end_the_newer_journey() -> None:
    world = rider()
    world.enter(EAST)
    made = world.wait(MINUTE_US).leave(HILL, clock_us=-10 * MINUTE_US, flags=OPENED)
    assert (made.reason, made.fare_minor) == (Reason.OK_DEBT, 30_00)
    assert world.is_inside
    assert world.wait(20 * MINUTE_US).leave(HILL).fare_minor == 5_00
    back = world.reverse(*world.history[1])
    assert (back.reason, back.fare_minor, back.rules) == (Reason.OK, -30_00, Rule.MONEY_ONLY)


def test_exit_at_the_instant_of_entry_is_not_late() -> None:
    world = rider()
    world.enter(EAST)
    assert world.leave(HILL, flags=OPENED).fare_minor == 5_00


def test_clocks_that_differ_online_do_not_make_a_tap_late() -> None:
    world = rider()
    world.enter(EAST, clock_us=2 * MINUTE_US)
    made = world.wait(MINUTE_US).leave(HILL, clock_us=-MINUTE_US)
    assert (made.reason, made.fare_minor) == (Reason.OK, 5_00)
    assert world.enter(WEST, clock_us=-2 * MINUTE_US).reason == Reason.OK


def test_late_flat_is_charged_and_leaves_the_last_tap_alone() -> None:
    world = rider()
    world.tap(TapKind.FLAT, EAST)
    made = world.wait(HOUR_US).tap(TapKind.FLAT, EAST, clock_us=-2 * HOUR_US, flags=OPENED)
    assert (made.reason, made.fare_minor, world.rider.last_seq) == (Reason.OK, 2_00, 1)
    assert world.undo().rules == Rule.MONEY_ONLY
    assert world.reverse(*world.history[0]).rules == 0
    assert world.rider.balance_minor == 100_00


MONTHS = [
    # newest month, one before, month of the late tap (24_322), totals after
    ((24_323, 24_322), (200_00, 110_00), (200_00, 111_60), 1_60),
    ((24_323, 0), (200_00, 0), (200_00, 2_00), 2_00),
    ((24_324, 24_321), (200_00, 110_00), (200_00, 2_00), 2_00),
    ((24_324, 24_323), (200_00, 110_00), (200_00, 110_00), 2_00),
]


@pytest.mark.parametrize(("months", "before", "after", "fare"), MONTHS)
def test_late_flat_of_an_earlier_month(
    months: tuple[int, int], before: tuple[int, int], after: tuple[int, int], fare: int
) -> None:
    world = rider(39)
    period = world.rider.period
    period.month, period.prev_month = months
    period.month_paid_minor, period.prev_month_paid_minor = before
    made = world.tap(TapKind.FLAT, clock_us=-20 * 24 * HOUR_US, flags=OPENED)
    assert made.fare_minor == fare
    assert (period.month_paid_minor, period.prev_month_paid_minor) == after
