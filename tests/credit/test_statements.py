"""Statements and plans: dates in the policy's zone, oldest first, never a cent more or less."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.credit.plans import Instalment, build_schedule, repay_early, split
from gateway.credit.policy import CreditPolicy, load_policy
from gateway.credit.statements import (
    CreditStatement,
    Standing,
    allocate,
    close_statement,
    close_us_of,
    is_late,
    months_closed,
)
from gateway.errors import CreditError
from gateway.resources import shipped_dir

POLICY = load_policy(shipped_dir() / "credit" / "ride-first.toml")
NOVEMBER = 2026 * 12 + 10
AMOUNTS = st.integers(0, 10_000)


def at(text: str, zone: str = "Asia/Shanghai") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


def in_zone(name: str, day: int = 1) -> CreditPolicy:
    return replace(POLICY, zone=ZoneInfo(name), statement_day=day)


def test_a_statement_closes_at_local_midnight() -> None:
    one = close_statement(POLICY, NOVEMBER, 1234, [])
    assert one.close_us == at("2026-11-01T00:00")
    assert one.due_us == at("2026-11-21T00:00")
    assert one.late_us == at("2026-11-24T00:00")
    assert one.lost_us == at("2027-05-20T00:00")


@pytest.mark.parametrize(
    ("zone", "day", "month", "local"),
    [
        ("Europe/London", 25, 2026 * 12 + 9, "2026-10-25T00:00"),  # clocks back at 02:00
        ("America/New_York", 8, 2026 * 12 + 2, "2026-03-08T00:00"),  # clocks forward at 02:00
        ("Africa/Cairo", 24, 2026 * 12 + 3, "2026-04-24T01:00"),  # there is no midnight
    ],
)
def test_days_on_which_clocks_change(zone: str, day: int, month: int, local: str) -> None:
    assert close_us_of(in_zone(zone, day), month) == at(local, zone)


def test_months_closed_are_each_named_once() -> None:
    begin, end = at("2026-11-01T00:00"), at("2027-02-01T00:00")
    assert list(months_closed(POLICY, begin, end)) == [NOVEMBER + one for one in (1, 2, 3)]
    assert list(months_closed(POLICY, begin - 1, begin)) == [NOVEMBER]
    assert list(months_closed(POLICY, begin, begin)) == []


def test_how_a_statement_stands() -> None:
    one = close_statement(POLICY, NOVEMBER, 1000, [])
    rows = [
        (one.close_us, Standing.OPEN),
        (one.due_us - 1, Standing.OPEN),
        (one.due_us, Standing.DUE),
        (one.late_us - 1, Standing.DUE),
        (one.late_us, Standing.LATE),
        (one.lost_us, Standing.LOST),
    ]
    for now_us, standing in rows:
        assert one.standing(now_us) is standing
    assert replace(one, paid_minor=1000).standing(one.lost_us) is Standing.PAID
    gone = replace(one, paid_minor=1, written_off_minor=999)
    assert gone.standing(one.lost_us) is Standing.WRITTEN_OFF
    assert is_late([one], one.late_us)
    assert not is_late([one], one.late_us - 1)


def test_an_older_statement_is_not_asked_for_twice() -> None:
    october = close_statement(POLICY, NOVEMBER - 1, 1000, [])
    november = close_statement(POLICY, NOVEMBER, 1300, [replace(october, paid_minor=200)])
    assert november.amount_minor == 500
    assert close_statement(POLICY, NOVEMBER, 100, [october]).amount_minor == 0


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=5), AMOUNTS)
def test_repayments_pay_the_oldest_first_and_nothing_is_lost(
    rows: list[tuple[int, int]], repaid_minor: int
) -> None:
    before = [
        CreditStatement(number, 0, 0, 0, 0, amount, min(paid, amount))
        for number, (amount, paid) in enumerate(rows)
    ]
    after, rest_minor = allocate(before, repaid_minor)
    more = [new.paid_minor - old.paid_minor for new, old in zip(after, before, strict=True)]
    assert sum(more) + rest_minor == repaid_minor
    assert all(one >= 0 for one in more)
    assert all(one.open_minor >= 0 for one in after)
    paid_later = [bool(one) for one in more]
    for number, one in enumerate(after):
        if one.open_minor:
            assert not any(paid_later[number + 1 :])
            assert rest_minor == 0


@given(st.integers(1, 10**9), st.integers(2, 60))
def test_parts_add_up_and_differ_by_one_at_most(amount_minor: int, count: int) -> None:
    parts = split(amount_minor, count)
    assert sum(parts) == amount_minor
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


def test_a_schedule_falls_into_the_next_statements() -> None:
    schedule = build_schedule(POLICY, 100_000, 3, at("2026-11-29T12:00"))
    assert [one.amount_minor for one in schedule] == [33_334, 33_333, 33_333]
    assert [one.due_us + 1 for one in schedule] == [
        at("2026-12-01T00:00"),
        at("2027-01-01T00:00"),
        at("2027-02-01T00:00"),
    ]


@pytest.mark.parametrize(("amount_minor", "count"), [(29_999, 3), (100_000, 4), (100_000, 1)])
def test_terms_that_are_not_offered(amount_minor: int, count: int) -> None:
    with pytest.raises(CreditError) as caught:
        build_schedule(POLICY, amount_minor, count, 0)
    assert caught.value.code == "CREDIT_PLAN_TERMS"


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.data())
def test_early_repayment_takes_the_last_instalments_away(
    parts: list[int], data: st.DataObject
) -> None:
    left = [Instalment(number, number, part) for number, part in enumerate(parts, start=1)]
    paid_minor = data.draw(st.integers(1, sum(parts)))
    after = repay_early(left, paid_minor)
    assert sum(one.amount_minor for one in after) == sum(parts) - paid_minor
    assert [one.number for one in after] == list(range(1, len(after) + 1))
    assert after[:-1] == left[: len(after)][:-1]
    with pytest.raises(CreditError):
        repay_early(left, sum(parts) + 1)
