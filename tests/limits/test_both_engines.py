"""Random limits, random histories: both engines alike, and the laws of limits after every step."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath._limit_book import LimitBook
from fastpath.limits import NO_LIMIT, LimitProfile, LimitSpec
from fastpath.reference_limits import WINDOWS, find_limits, used_in_windows
from fastpath.types import Reason
from tests.limits.both import LimitedAccount, limits

FIRST = date(2026, 12, 20)
DAYS = 70
DAY_US = 86_400_000_000
AMOUNT = st.one_of(st.just(NO_LIMIT), st.integers(0, 2000))
ZONES = st.sampled_from([ZoneInfo("Asia/Shanghai"), ZoneInfo("America/Sao_Paulo"), ZoneInfo("UTC")])


@st.composite
def books(draw: st.DrawFn) -> LimitSpec:
    """Up to two tiers with up to two profiles each."""
    zone = draw(ZONES)
    spec = limits(first=FIRST, count=DAYS, zone=zone)
    profiles = {}
    for _ in range(draw(st.integers(0, 4))):
        tier = draw(st.integers(0, 2))
        from_us = draw(st.sampled_from([0, *spec.start_us[5:40:7]]))
        profiles[tier, from_us] = LimitProfile(tier, from_us, *(draw(AMOUNT) for _ in range(6)))
    return limits(*profiles.values(), first=FIRST, count=DAYS, zone=zone)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pay", "pay", "count", "credit", "back", "tier", "hold", "book"]),
        st.integers(0, 1500),
        st.integers(-DAY_US, 9 * DAY_US),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(books(), books(), STEPS, st.integers(0, 2))
def test_random_histories(first: LimitSpec, second: LimitSpec, steps, tier: int) -> None:
    account = LimitedAccount(first, tier=tier)
    now_us = first.start_us[3]
    paid: list[tuple[int, int]] = []
    for what, amount, wait_us in steps:
        now_us += wait_us
        before = used_now(account, now_us)
        if what == "pay" and account.pay(amount, now_us) == Reason.OK:
            paid.append((amount, now_us))
            check_within(account, amount, before, now_us)
        elif what == "count" and account.count(amount, now_us):
            paid.append((amount, now_us))
        elif what == "credit":
            account.credit(amount, now_us)
        elif what == "back" and paid:
            account.give_back(*paid.pop())
        elif what == "tier":
            account.tier = amount % 3
        elif what == "hold":
            account.held_minor = amount % 300
        elif what == "book":
            account.take(second if account.spec is first else first)
        check_cell(account)


def used_now(account: LimitedAccount, now_us: int) -> tuple[int, int, int, int]:
    assert account.version is not None
    used = account.used if account.cells else None
    return used_in_windows(account.version, used, now_us)


def check_within(
    account: LimitedAccount, amount: int, before: tuple[int, ...], now_us: int
) -> None:
    """What was accepted fits every limit there is, with what is held."""
    profile = find_limits(account.version, account.account, now_us)
    if profile is None or amount == 0:
        return
    most = (profile.day_minor, profile.month_minor, profile.year_minor, profile.lifetime_minor)
    for spent, limit in zip(before, most, strict=True):
        assert limit == NO_LIMIT or spent + account.held_minor + amount <= limit
    assert profile.payment_minor == NO_LIMIT or amount <= profile.payment_minor


def check_cell(account: LimitedAccount) -> None:
    """One cell at most; a shorter window never holds more than a longer one of the same date."""
    assert len(account.cells) <= 1
    if not account.cells:
        return
    used = account.used
    spent = [getattr(used, f"{name}_minor") for name in WINDOWS] + [used.lifetime_minor]
    assert all(one >= 0 for one in spent)
    assert used.month // 12 == used.year
    assert date(1970, 1, 1) + timedelta(days=used.day) >= FIRST


@given(books())
def test_a_book_is_what_it_was_made_of(spec: LimitSpec) -> None:
    book = LimitBook.build(spec)
    assert book.spec() == spec
    again = LimitBook.load(book.blob)
    assert (again.key, again.digest) == (book.key, book.digest)
