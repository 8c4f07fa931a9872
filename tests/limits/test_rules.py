"""Limits to the cent and to the microsecond: one row a case, on both engines."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from fastpath.cells import CellType
from fastpath.limits import LimitProfile
from fastpath.reference_cells import Cell
from fastpath.types import Reason
from tests.limits.both import LimitedAccount, at, limits, utc

LONDON = ZoneInfo("Europe/London")
OK, OVER, FULL = Reason.OK, Reason.LIMIT_EXCEEDED, Reason.BALANCE_LIMIT
DAY = LimitProfile(1, 0, day_minor=1000)
MONTH = LimitProfile(1, 0, month_minor=1000)
YEAR = LimitProfile(1, 0, year_minor=1000)
LIFETIME = LimitProfile(1, 0, lifetime_minor=1000)
PAYMENT = LimitProfile(1, 0, payment_minor=1000)

ROWS = {
    "the payment's limit is reached": (
        PAYMENT,
        "2026-03-01T12:00 1000 ok; 2026-03-01T12:00 1000 ok",
    ),
    "one cent over the payment's limit": (PAYMENT, "2026-03-01T12:00 1001 over"),
    "the day's limit is reached": (DAY, "2026-03-01T12:00 400 ok; 2026-03-01T13:00 600 ok"),
    "one cent over the day's": (DAY, "2026-03-01T12:00 400 ok; 2026-03-01T13:00 601 over"),
    "a refusal counts nothing": (
        DAY,
        "2026-03-01T12:00 400 ok; 2026-03-01T13:00 601 over; 2026-03-01T13:00 600 ok",
    ),
    "nothing is nothing, also above": (DAY, "2026-03-01T12:00 1000 ok; 2026-03-01T12:01 0 ok"),
    "the last microsecond of the day": (
        DAY,
        "2026-03-01T12:00 1000 ok; 2026-03-01T23:59:59.999999 1 over; 2026-03-02T00:00 1000 ok",
    ),
    "the month": (
        MONTH,
        "2026-02-27T12:00 1000 ok; 2026-02-28T23:59:59.999999 1 over; 2026-03-01T00:00 1000 ok;"
        "2026-03-31T23:59:59 1 over; 2026-04-01T00:00 1 ok",
    ),
    "the year": (
        YEAR,
        "2026-01-01T00:00 1000 ok; 2026-12-31T23:59:59.999999 1 over; 2027-01-01T00:00 1000 ok",
    ),
    "the lifetime": (
        LIFETIME,
        "2026-01-01T00:00 999 ok; 2027-12-31T00:00 1 ok; 2028-01-01T00:00 1 over",
    ),
    "the clock is stepped back over midnight: the window that is there": (
        DAY,
        "2026-03-02T00:10 600 ok; 2026-03-01T23:50 401 over; 2026-03-01T23:50 400 ok;"
        "2026-03-02T00:20 1 over; 2026-03-03T00:00 1 ok",
    ),
    "stepped back over New Year": (
        YEAR,
        "2027-01-01T00:00:01 600 ok; 2026-12-31T23:59:00 401 over; 2026-12-31T23:59:00 400 ok",
    ),
    "before the table the first day counts": (
        DAY,
        "2024-05-01T12:00 600 ok; 2025-12-31T12:00 401 over; 2026-01-01T12:00 400 ok;"
        "2026-01-02T00:00 9 ok",
    ),
    "behind the table the last day goes on": (
        DAY,
        "2028-03-10T12:00 600 ok; 2029-05-01T12:00 401 over; 2031-05-01T12:00 400 ok",
    ),
    "a limit of nothing": (LimitProfile(1, 0, day_minor=0), "2026-03-01T12:00 1 over"),
    "the lowest of two": (
        LimitProfile(1, 0, payment_minor=700, day_minor=1000, month_minor=1500),
        "2026-03-01T12:00 700 ok; 2026-03-01T12:00 301 over; 2026-03-01T12:00 300 ok;"
        "2026-03-02T12:00 501 over; 2026-03-02T12:00 500 ok; 2026-04-01T12:00 700 ok",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    profile, steps = ROWS[name]
    account = LimitedAccount(limits(profile))
    for step in steps.split(";"):
        when, amount, expected = step.split()
        reason = account.pay(int(amount), at(when))
        assert reason == {"ok": OK, "over": OVER}[expected], step


def test_a_day_of_23_and_one_of_25_hours() -> None:
    account = LimitedAccount(limits(DAY, zone=LONDON))
    for short, after in (
        ("2026-03-29T00:00", "2026-03-29T23:00"),
        ("2026-10-24T23:00", "2026-10-26T00:00"),
    ):
        first, last = utc(short), utc(after) - 1
        assert account.pay(1000, first) == OK
        assert account.may_spend(1, last) == OVER
        assert account.may_spend(1000, last + 1) == OK


def test_a_newer_profile_is_in_force_from_its_instant() -> None:
    noon = at("2026-06-01T12:00")
    account = LimitedAccount(limits(DAY, LimitProfile(1, noon, day_minor=3000)))
    assert account.pay(1001, noon - 1) == OVER
    assert account.pay(1000, noon - 1) == OK
    assert account.pay(2001, noon) == OVER
    assert account.pay(2000, noon) == OK


def test_a_profile_without_limits_ends_them() -> None:
    noon = at("2026-06-01T12:00")
    account = LimitedAccount(limits(DAY, LimitProfile(1, noon)))
    assert account.pay(1001, noon - 1) == OVER
    assert account.pay(10**9, noon) == OK
    assert account.cells == []


@pytest.mark.parametrize(
    "account",
    [
        LimitedAccount(None),
        LimitedAccount(limits(DAY), tier=2),
        LimitedAccount(limits(DAY), tier=200),
        LimitedAccount(limits(DAY), currency=978),
        LimitedAccount(limits(LimitProfile(1, at("2027-01-01T00:00"), day_minor=1))),
        LimitedAccount(limits()),
    ],
    ids=[
        "no limits",
        "other tier",
        "tier out of range",
        "other currency",
        "not yet",
        "no profiles",
    ],
)
def test_without_a_profile_nothing_is_counted(account: LimitedAccount) -> None:
    now_us = at("2026-06-01T12:00")
    assert account.pay(10**9, now_us) == OK
    assert account.credit(10**9, now_us) == OK
    assert not account.lacks_cell(now_us)
    assert account.cells == []


def test_the_cell_comes_with_the_first_spending() -> None:
    account = LimitedAccount(limits(DAY))
    now_us = at("2026-06-01T12:00")
    assert account.may_spend(1001, now_us) == OVER
    assert account.lacks_cell(now_us)
    assert account.cells == []
    account.pay(1, now_us)
    assert not account.lacks_cell(now_us)
    assert [one.type for one in account.cells] == [CellType.LIMITS]
    used = account.used
    assert (used.day, used.month, used.year) == (
        (date(2026, 6, 1) - date(1970, 1, 1)).days,
        2026 * 12 + 5,
        2026,
    )
    assert (used.day_minor, used.month_minor, used.year_minor, used.lifetime_minor) == (1, 1, 1, 1)


def test_without_room_it_is_not_counted_and_says_so() -> None:
    account = LimitedAccount(limits(DAY), cells=[Cell(CellType.PASS, 5, None)], cells_max=1)
    now_us = at("2026-06-01T12:00")
    assert account.lacks_cell(now_us)
    assert not account.count(5, now_us)


def test_what_is_counted_unasked_may_go_beyond() -> None:
    account = LimitedAccount(limits(DAY))
    now_us = at("2026-06-01T12:00")
    assert account.count(1500, now_us)
    assert account.may_spend(1, now_us) == OVER
    assert account.used.day_minor == 1500


def test_what_is_held_counts_as_spent() -> None:
    account = LimitedAccount(limits(DAY), held_minor=400)
    now_us = at("2026-06-01T12:00")
    assert account.pay(601, now_us) == OVER
    assert account.pay(600, now_us) == OK
    account.held_minor = 0
    assert account.pay(400, now_us) == OK


def test_given_back_the_same_day() -> None:
    account = LimitedAccount(limits(DAY))
    account.pay(1000, at("2026-06-01T12:00"))
    account.give_back(400, at("2026-06-01T12:00"))
    assert account.pay(401, at("2026-06-01T13:00")) == OVER
    assert account.pay(400, at("2026-06-01T13:00")) == OK


def test_given_back_after_midnight_only_where_the_window_is_the_same() -> None:
    account = LimitedAccount(limits(LimitProfile(1, 0, day_minor=1000, month_minor=1500)))
    spent_us = at("2026-06-01T23:59:59")
    account.pay(1000, spent_us)
    account.pay(500, at("2026-06-02T00:00:00"))
    account.give_back(1000, spent_us)
    used = account.used
    assert (used.day_minor, used.month_minor, used.year_minor, used.lifetime_minor) == (
        500,
        500,
        500,
        500,
    )
    assert account.pay(501, at("2026-06-02T00:00:01")) == OVER


def test_given_back_in_another_year_only_from_the_lifetime() -> None:
    account = LimitedAccount(limits(DAY))
    account.pay(800, at("2026-12-31T23:00"))
    account.pay(300, at("2027-01-01T01:00"))
    account.give_back(800, at("2026-12-31T23:00"))
    used = account.used
    assert (used.day_minor, used.month_minor, used.year_minor, used.lifetime_minor) == (
        300,
        300,
        300,
        300,
    )


def test_what_a_clock_set_back_counted_in_a_later_window_leaves_none_above_the_lifetime() -> None:
    account = LimitedAccount(limits(DAY))
    account.pay(600, at("2026-06-02T00:10"))
    account.count(300, at("2026-06-01T23:50"))
    account.give_back(300, at("2026-06-01T23:50"))
    assert (account.used.day_minor, account.used.lifetime_minor) == (600, 600)


def test_never_below_nothing() -> None:
    account = LimitedAccount(limits(DAY))
    now_us = at("2026-06-01T12:00")
    account.pay(300, now_us)
    account.give_back(900, now_us)
    assert account.used.day_minor == account.used.lifetime_minor == 0


def test_without_a_cell_nothing_is_given_back() -> None:
    account = LimitedAccount(limits(DAY))
    account.give_back(900, at("2026-06-01T12:00"))
    assert account.cells == []


def test_a_balance_above_a_new_cap_stays_and_cannot_grow() -> None:
    low, high = LimitProfile(1, 0, balance_minor=1000), LimitProfile(2, 0, balance_minor=5000)
    account = LimitedAccount(limits(low, high), tier=2, balance_minor=4000)
    now_us = at("2026-06-01T12:00")
    assert account.credit(1001, now_us) == FULL
    assert account.credit(1000, now_us) == OK
    account.tier = 1
    assert account.credit(1, now_us) == FULL
    assert account.balance_minor == 5000
    assert account.pay(4500, now_us) == OK
    assert account.credit(501, now_us) == FULL
    assert account.credit(500, now_us) == OK


def test_up_and_down_within_a_day_keeps_what_was_spent() -> None:
    account = LimitedAccount(limits(DAY, LimitProfile(2, 0, day_minor=9000)), tier=2)
    now_us = at("2026-06-01T12:00")
    assert account.pay(5000, now_us) == OK
    account.tier = 1
    assert account.pay(1, now_us) == OVER
    assert account.pay(1000, at("2026-06-02T00:00")) == OK


def test_huge_amounts_are_no_way_around() -> None:
    account = LimitedAccount(limits(DAY))
    now_us = at("2026-06-01T12:00")
    assert account.may_spend((1 << 63) - 1, now_us) == OVER
    assert account.count((1 << 60), now_us)
    assert account.count((1 << 60), now_us)
    assert account.used.day_minor == 1 << 60
    assert account.may_spend(1, now_us) == OVER
