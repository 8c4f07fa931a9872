"""Fares under limits: what is asked, what is counted, what is given back; both engines at once."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from fastpath import reference
from fastpath.cells import CellType
from fastpath.limits import LimitProfile
from fastpath.reference_cells import Cell, Spent
from fastpath.types import Reason, Rule, TapFlag, TapKind, Verdict
from tests.fastpath.city import AIRPORT, EAST, HILL, WEST, at, rider
from tests.fastpath.world import DAY_US, HOUR_US, MINUTE_US, World
from tests.limits.both import limits

UTC = ZoneInfo("UTC")
OPENED = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED


def limited(*, day: int = 9, clock: str = "09:00", balance: str = "100.00", **most: int) -> World:
    """A rider of the town of tier 1 with these limits; dates are UTC's."""
    world = rider(day, clock, balance=balance)
    world.rider.tier = 1
    world.limit(limits(LimitProfile(1, 0, **most), first=date(2026, 10, 1), count=200, zone=UTC))
    return world


def spent(world: World) -> Spent:
    found = [one.payload for one in world.cells if one.type == CellType.LIMITS]
    assert len(found) == 1
    assert isinstance(found[0], Spent)
    return found[0]


def test_a_ride_is_counted_when_it_ends() -> None:
    world = limited(day_minor=1000)
    assert world.enter(EAST).reason == Reason.OK
    assert world.cells == []
    out = world.wait(20 * MINUTE_US).leave(HILL)
    assert (out.reason, out.fare_minor) == (Reason.OK, 500)
    assert out.rules & Rule.COUNTED
    assert spent(world).day_minor == 500


def test_a_check_in_asks_whether_anything_is_left() -> None:
    world = limited(day_minor=500)
    assert world.ride(EAST, HILL).reason == Reason.OK
    refused = world.wait(HOUR_US).enter(HILL)
    assert (refused.reason, refused.verdict) == (Reason.LIMIT_EXCEEDED, Verdict.DENY)
    assert not refused.rules & Rule.COUNTED
    world.now_us = at(10, "00:00")
    assert world.enter(HILL).reason == Reason.OK


def test_a_check_out_is_never_asked() -> None:
    world = limited(day_minor=100)
    out = world.ride(EAST, AIRPORT)
    assert (out.reason, out.fare_minor) == (Reason.OK, 2800)
    assert spent(world).day_minor == 2800


def test_the_fare_of_a_ride_over_midnight_counts_on_the_day_it_ends() -> None:
    world = limited(day_minor=500, clock="23:50")
    world.enter(EAST)
    world.wait(20 * MINUTE_US).leave(HILL)
    assert spent(world).day == date(2026, 11, 10).toordinal() - date(1970, 1, 1).toordinal()
    assert world.wait(HOUR_US).enter(HILL).reason == Reason.LIMIT_EXCEEDED


@pytest.mark.parametrize(("amount", "reason"), [(500, Reason.OK), (501, Reason.LIMIT_EXCEEDED)])
def test_a_flat_tap_asks_for_its_fare(amount: int, reason: Reason) -> None:
    world = limited(day_minor=500)
    out = world.tap(TapKind.FLAT, EAST, amount_minor=amount)
    assert out.reason == reason
    assert bool(world.cells) == (reason == Reason.OK)


def test_a_free_flat_tap_is_no_spending() -> None:
    world = limited(day_minor=0)
    out = world.tap(TapKind.FLAT, EAST, amount_minor=0)
    assert out.reason == Reason.OK
    assert not out.rules & Rule.COUNTED
    assert world.cells == []


def test_the_payment_limit_of_a_flat_tap() -> None:
    world = limited(payment_minor=300)
    assert world.tap(TapKind.FLAT, EAST, amount_minor=301).reason == Reason.LIMIT_EXCEEDED
    assert world.tap(TapKind.FLAT, EAST, amount_minor=300).reason == Reason.OK


def test_a_ride_that_an_offline_gate_let_through_posts_as_debt_and_counts() -> None:
    world = limited(day_minor=100)
    out = world.tap(TapKind.FLAT, EAST, amount_minor=700, flags=OPENED)
    assert (out.reason, out.verdict) == (Reason.OK_DEBT, Verdict.OPEN_WITH_DEBT)
    assert out.rules & Rule.COUNTED
    assert spent(world).day_minor == 700


def test_an_old_offline_tap_counts_when_it_arrives() -> None:
    world = limited(day_minor=10_000)
    world.tap(TapKind.FLAT, EAST, amount_minor=700, flags=OPENED, clock_us=-3 * DAY_US)
    assert spent(world).day == world.now_us // DAY_US


def test_closing_a_forgotten_journey_counts_its_fare() -> None:
    world = limited(day_minor=100_000)
    world.enter(EAST)
    out = world.wait(13 * HOUR_US).enter(HILL)
    assert out.fare_minor > 0
    assert out.rules & Rule.COUNTED
    assert spent(world).day_minor == out.fare_minor


def test_money_comes_before_limits_and_limits_before_room() -> None:
    world = limited(day_minor=0, balance="1.00")
    assert world.enter(EAST).reason == Reason.INSUFFICIENT_BALANCE
    world.rider.balance_minor = 5000
    world.cells = [Cell(CellType.PASS, n, reference.Pass(until_us=1)) for n in range(1, 17)]
    assert world.enter(EAST).reason == Reason.LIMIT_EXCEEDED


def test_without_room_for_the_cell_no_ride_begins() -> None:
    world = limited(day_minor=5000)
    world.cells = [Cell(CellType.PASS, n, reference.Pass(until_us=1)) for n in range(1, 17)]
    assert world.enter(EAST).reason == Reason.TOO_MANY_CELLS
    assert world.tap(TapKind.FLAT, EAST, amount_minor=1).reason == Reason.TOO_MANY_CELLS
    assert world.tap(TapKind.FLAT, EAST, amount_minor=0).reason == Reason.OK


def test_what_was_begun_without_limits_ends_uncounted_only_without_room() -> None:
    world = limited(day_minor=5000)
    book = world.spec_book.limits
    assert book is not None
    world.limit(None)
    world.enter(EAST)
    world.cells = [Cell(CellType.PASS, n, reference.Pass(until_us=1)) for n in range(1, 17)]
    world.limit(book.spec)
    out = world.wait(20 * MINUTE_US).leave(HILL)
    assert out.reason == Reason.OK
    assert not out.rules & Rule.COUNTED


def test_an_undone_ride_is_given_back_the_same_day() -> None:
    world = limited(day_minor=500)
    world.ride(EAST, HILL)
    undone = world.undo()
    assert undone.fare_minor == -500
    assert spent(world) == Spent(day=spent(world).day, month=spent(world).month, year=2026)
    assert world.wait(MINUTE_US).leave(HILL).reason == Reason.OK
    assert spent(world).day_minor == 500


def test_an_undone_ride_of_yesterday_is_given_back_to_month_and_year() -> None:
    world = limited(day_minor=900, clock="23:30")
    world.tap(TapKind.FLAT, EAST, amount_minor=700)
    yesterday = world.history[-1]
    world.wait(HOUR_US).tap(TapKind.FLAT, WEST, amount_minor=200)
    world.reverse(*yesterday)
    used = spent(world)
    assert (used.day_minor, used.month_minor, used.year_minor, used.lifetime_minor) == (
        *(200, 200, 200, 200),
    )


def test_what_was_never_counted_gives_nothing_back() -> None:
    world = limited(day_minor=900)
    book = world.spec_book.limits
    assert book is not None
    world.limit(None)
    world.tap(TapKind.FLAT, EAST, amount_minor=700)
    before = world.history[-1]
    world.limit(book.spec)
    world.wait(HOUR_US).tap(TapKind.FLAT, WEST, amount_minor=300)
    world.reverse(*before)
    assert spent(world).day_minor == 300


def test_undoing_goes_on_when_the_tariff_is_gone() -> None:
    world = limited(day_minor=900)
    world.tap(TapKind.FLAT, EAST, amount_minor=700)
    world.drop(world.book.list_versions(0)[0].key)
    assert world.undo().reason == Reason.OK
    assert spent(world).day_minor == 0


def test_the_clock_is_stepped_back_over_midnight() -> None:
    world = limited(day_minor=1000, day=10, clock="00:05")
    world.tap(TapKind.FLAT, EAST, amount_minor=700)
    world.now_us = at(9, "23:58")
    assert world.tap(TapKind.FLAT, WEST, amount_minor=301).reason == Reason.LIMIT_EXCEEDED
    assert world.tap(TapKind.FLAT, WEST, amount_minor=300).reason == Reason.OK
    world.now_us = at(10, "00:06")
    assert world.tap(TapKind.FLAT, HILL, amount_minor=1).reason == Reason.LIMIT_EXCEEDED


def test_an_inspector_is_told_the_same_as_ever() -> None:
    world = limited(day_minor=0)
    assert world.tap(TapKind.INSPECT).reason == Reason.NOT_CHECKED_IN


def test_nobody_has_limits_without_a_profile_for_the_tier() -> None:
    world = limited(day_minor=0)
    world.rider.tier = 2
    assert world.ride(EAST, HILL).reason == Reason.OK
    assert world.cells == []
    assert not world.history[-1][1].rules & Rule.COUNTED
