"""The reference engine by itself: it is the oracle, so its own parts are checked by hand."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import _commands, _core, _reversal, _tariff, reference, reference_model
from fastpath._tariff import Book, CompiledTariff
from fastpath.checks import BrokenInvariantError, sure
from fastpath.types import Reason, Rule, TapKind
from tests.fastpath.city import AIRPORT, BEGIN_US, DEPOT, EAST, HILL, WEST, at, town
from tests.fastpath.world import DAY_US, MINUTE_US

FOLDER = Path(reference.__file__).parent


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("reference*.py")))
def test_it_is_plain_python(name: str) -> None:
    allowed = {"fastpath"} | set(sys.stdlib_module_names)
    for node in ast.walk(ast.parse((FOLDER / name).read_text(encoding="utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            modules = [one.name for one in node.names]
        for module in modules:
            assert module.split(".")[0] in allowed
            assert not module.startswith("fastpath._")


def test_the_other_engine_is_the_compiled_one() -> None:
    for module in (_core, _reversal, _commands, _tariff):
        assert Path(module.__file__).suffix in {".so", ".pyd"}


def test_the_first_declared_reason_is_told() -> None:
    assert reference_model.first_told({Reason.ALREADY_IN, Reason.MEDIUM_LOST}) == Reason.MEDIUM_LOST
    assert reference_model.first_told({Reason.OK, Reason.OK_RISK, Reason.BUSY}) == Reason.BUSY
    assert reference_model.first_told(set()) is None


def test_pairs() -> None:
    version = reference.Version(1, town())
    assert version.find_pair(EAST, AIRPORT) == reference.Pair(
        2800, 300, 35000, Rule.SEPARATE_LINE | Rule.DISTANCE_BAND
    )
    assert version.find_pair(EAST, EAST) == reference.Pair(300, 0, 0, Rule.SAME_STATION)
    assert version.find_pair(EAST, DEPOT) is None
    assert version.find_pair(EAST, 999) is None
    assert version.highest_minor(HILL) == 30_00


def test_interchanges_are_directed_and_timed() -> None:
    version = reference.Version(1, town())
    assert version.has_interchange(WEST, HILL, 30 * MINUTE_US)
    assert not version.has_interchange(WEST, HILL, 30 * MINUTE_US + 1)
    assert not version.has_interchange(HILL, WEST, 0)


def test_calendar() -> None:
    version = reference.Version(1, town())
    assert version.find_calendar(BEGIN_US - 1) is None
    assert version.find_calendar(BEGIN_US) == (24_322, 20_758)
    assert version.find_calendar(at(31, "03:59")) == (24_322, 20_787)
    assert version.find_calendar(at(31, "04:00")) == (24_323, 20_788)
    assert version.find_calendar(BEGIN_US + 90 * DAY_US) is None


def test_early_bird() -> None:
    version = reference.Version(1, town())
    found = [
        version.find_discount(EAST, at(9, clock)) for clock in ("03:59", "04:00", "06:59", "07:00")
    ]
    assert found == [0, 1, 1, 0]
    assert version.find_discount(WEST, at(9, "06:00")) == 0


def test_a_period_keeps_two_months() -> None:
    period = reference.Period()
    for month, paid in ((5, 100), (7, 200), (6, 30), (5, 9), (7, 1)):
        if month >= period.prev_month:
            period.open_month(month)
        period.add(month=month, day=0, paid_minor=paid, trips=1)
    assert [period.total(month) for month in (5, 6, 7, 8)] == [0, 30, 201, 0]
    period.add(month=6, day=0, paid_minor=-31, trips=-9)
    assert (period.total(6), period.prev_month_trips) == (0, 0)


DAYS = st.integers(0, 20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(DAYS, st.none() | DAYS, st.booleans()), max_size=12), st.data())
def test_both_books_find_the_same(
    changes: list[tuple[int, int | None, bool]], data: st.DataObject
) -> None:
    book, spec_book = Book(), reference.SpecBook()
    for day, until, is_drop in changes:
        loaded = book.list_versions(0)
        if is_drop and loaded:
            key = loaded[0].key
            book.drop(0, key)
            spec_book.drop(0, key)
            continue
        until_us = BEGIN_US + (day + until) * DAY_US if until else 0
        spec = town(valid_from_us=BEGIN_US + day * DAY_US, valid_until_us=until_us)
        compiled = CompiledTariff.build(spec)
        if len(loaded) < 8 or day * DAY_US + BEGIN_US in {one.valid_from_us for one in loaded}:
            book.put(0, compiled)
            spec_book.put(0, compiled.key, spec)
    for day in range(-1, 45):
        ts_us = BEGIN_US + day * DAY_US + data.draw(st.sampled_from([-1, 0, 1]))
        found, same = book.find_at(0, ts_us), spec_book.find_at(0, ts_us)
        assert (found.key if found else None) == (same.key if same else None)


def test_an_example_by_hand() -> None:
    """The module's own words: subsidy first, then stored value; one overdraft at the exit."""
    book = reference.SpecBook()
    book.put(0, 1, town())
    account = reference.Account(account_id=1, currency=156, balance_minor=3_00, subsidy_minor=50)
    medium = reference.Medium(kind=1, state=1)
    now_us = at(9, "09:00")
    entry = reference.Tap(TapKind.CHECK_IN, WEST, now_us, now_us, seq=1)
    leave = reference.Tap(TapKind.CHECK_OUT, HILL, now_us + 1, now_us + 1, seq=2)
    assert reference.decide_tap(book, medium, account, None, entry).reason == Reason.OK
    made = reference.decide_tap(book, medium, account, None, leave)
    assert (made.reason, made.fare_minor, made.subsidy_minor) == (Reason.OK_OVERDRAFT, 4_00, 50)
    assert (account.balance_minor, account.subsidy_minor) == (-50, 0)
    again = reference.Tap(TapKind.CHECK_IN, WEST, now_us + 2, now_us + 2, seq=3)
    refused = reference.decide_tap(book, medium, account, None, again)
    assert refused.reason == Reason.INSUFFICIENT_BALANCE


def test_what_has_to_be_there_is_asked_for_without_an_assertion() -> None:
    """`python -O` drops assertions; these checks stay."""
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], path
    assert sure(0) == 0
    with pytest.raises(BrokenInvariantError):
        sure(None)
