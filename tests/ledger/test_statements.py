"""Statements: opening and closing balances, words, roll-ups; consumption and budgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastpath.types import Op, Purpose, Rule
from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger.consumption import BudgetState, check_budget, consumption
from gateway.ledger.periods import parse_period
from gateway.ledger.statements import Group, Statement, Statements, Wanted
from tests.ledger.scribe import ZONE, Scribe, take, writing

RIDER = 1001
HOSPITAL = 5001
CANTEEN = 7001


def tell(scribe: Scribe) -> None:
    """Two months of one rider, and somebody else in between."""
    scribe.credit(RIDER, 10_000, "2026-10-05 09:00")
    scribe.ride(RIDER, 300, "2026-10-05 10:00", rules=int(Rule.DISTANCE_BAND | Rule.TIME_DISCOUNT))
    scribe.credit(2002, 5_000)
    scribe.pay(RIDER, 2_500, Purpose.MEDICAL, HOSPITAL, "2026-10-31 23:59")
    scribe.pay(RIDER, 800, Purpose.MEAL, CANTEEN, "2026-11-01 00:01")
    scribe.refund(RIDER, 500, Purpose.MEDICAL, HOSPITAL, "2026-11-02 12:00")
    scribe.ride(2002, 400)
    facts = {"key": 9, "purpose": int(Purpose.MEDICAL), "merchant": HOSPITAL, "amount_minor": 700}
    scribe.write(Op.HOLD_PLACE, RIDER, when="2026-11-03 08:00", held=700, facts=facts)
    scribe.ride(RIDER, 400, "2026-11-03 09:00")
    scribe.write(Op.ADJUST, RIDER, main=-50, notes={0: "cli:root", 2: "a lost card"})


@pytest.fixture
def statements(tmp_path: Path, ledger: Database) -> Statements:
    with writing(tmp_path) as scribe:
        tell(scribe)
    take(tmp_path, ledger, batch_records=4)
    return Statements(ledger, names={f"merchant:{HOSPITAL}": "Union Hospital"})


def of(statements: Statements, text: str, **wanted: int) -> Statement:
    return statements.of_account(Wanted(RIDER, parse_period(text, ZONE), **wanted))


def test_a_month_opens_where_the_last_one_closed(statements: Statements) -> None:
    october, november = of(statements, "2026-10"), of(statements, "2026-11")
    assert (october.opening_minor, october.closing_minor) == (0, 7_200)
    assert (november.opening_minor, november.closing_minor) == (7_200, 6_450)
    assert [entry.balance_minor for entry in october.entries] == [10_000, 9_700, 7_200]
    days = [of(statements, f"2026-11-0{day}") for day in (1, 2, 3)]
    assert [day.opening_minor for day in days] == [7_200, 6_400, 6_900]
    assert days[-1].closing_minor == november.closing_minor


def test_every_amount_says_why(statements: Statements) -> None:
    said = of(statements, "2026-10").as_dict()
    ride, hospital = said["entries"][1:]
    assert ride["what"] == "ride"
    assert ride["why"] == ["priced by distance bands", "discount by time and place of entry"]
    assert ride["why_zh"][1] == "按进站时间和车站享受优惠"
    assert (ride["counterpart"], ride["purpose"]) == ("operator:1", "transit")
    assert (hospital["what_zh"], hospital["counterpart_name"]) == ("付款", "Union Hospital")
    assert hospital["date"] == "2026-10-31"
    assert said["as_of"]["seq"] == 10
    entries = of(statements, "2026-11-03").as_dict()["entries"]
    held = entries[0]
    assert (held["op"], held["amount_minor"], held["held_minor"]) == ("hold_place", 0, 700)
    assert (entries[-1]["op"], entries[-1]["note"]) == ("adjust", "a lost card")


def test_parts_of_it_and_totals(statements: Statements) -> None:
    whole = "2026-10-01..2026-11-30"
    medical = of(statements, whole, purpose=int(Purpose.MEDICAL))
    assert [entry.amount_minor for entry in medical.entries] == [-2_500, 500, 0]
    assert medical.closing_minor == 6_450
    canteen = of(statements, whole, merchant=CANTEEN)
    assert [entry.amount_minor for entry in canteen.entries] == [-800]
    by_month = of(statements, whole).totals(Group.MONTH)
    assert [(one.key, one.in_minor, one.out_minor) for one in by_month] == [
        ("2026-10", 10_000, 2_800),
        ("2026-11", 500, 1_250),
    ]
    by_purpose = {one.key: one for one in of(statements, whole).totals(Group.PURPOSE)}
    assert by_purpose["transit"].out_minor == 700
    merchants = {one.key for one in of(statements, whole).totals(Group.MERCHANT)}
    assert merchants >= {"operator:1", f"merchant:{HOSPITAL}", "funding", "adjustments"}
    assert len(of(statements, whole).totals(Group.DAY)) == 5


def test_consumption_leaves_out_what_is_none(statements: Statements) -> None:
    found = consumption(of(statements, "2026-10-01..2026-11-30"))
    assert [(one.month, one.counterpart, one.spent_minor) for one in found] == [
        ("2026-10", f"merchant:{HOSPITAL}", 2_500),
        ("2026-10", "operator:1", 300),
        ("2026-11", f"merchant:{CANTEEN}", 800),
        ("2026-11", "operator:1", 400),
        ("2026-11", f"merchant:{HOSPITAL}", -500),
    ]


@pytest.mark.parametrize(
    ("budget", "state"),
    [
        (3_000, BudgetState.NONE),
        (800, BudgetState.NEAR),
        (700, BudgetState.NEAR),
        (699, BudgetState.OVER),
        (0, BudgetState.OVER),
    ],
)
def test_a_budget_warns(statements: Statements, budget: int, state: BudgetState) -> None:
    entries = of(statements, "2026-10-01..2026-11-30").entries
    found = check_budget(entries, "2026-11", budget)
    assert (found.used_minor, found.left_minor) == (700, budget - 700)
    assert found.warning is state


def test_who_is_not_known_is_named(statements: Statements) -> None:
    with pytest.raises(LedgerError) as refused:
        statements.of_account(Wanted(42, parse_period("2026-11", ZONE)))
    assert refused.value.code == "LEDGER_NOT_FOUND"


@pytest.mark.parametrize("text", ["2026-13", "yesterday", "2026-11-02..2026-11-01", ""])
def test_a_period_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_period(text, ZONE)


def test_an_hour_is_missing_or_twice_when_clocks_change() -> None:
    london = parse_period("2026-03-29", "Europe/London")
    assert (london.until_us - london.from_us) // 3_600_000_000 == 23
    assert london.as_dict() == {
        "first": "2026-03-29",
        "last": "2026-03-29",
        "zone": "Europe/London",
    }
