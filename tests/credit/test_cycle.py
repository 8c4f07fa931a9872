"""The credit cycle over months: statements, repayments, lateness, instalments, write-off; and the
same with the process dying at every point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fastpath.types import Op
from gateway.credit.book import CLOSED, OPEN, CreditBook, CreditLine
from gateway.credit.cycle import CreditCycle
from gateway.credit.desk import CreditDesk
from gateway.credit.flows import Flows
from gateway.credit.policy import CreditPolicy, load_policy
from gateway.credit.statements import CreditStatement, Standing
from gateway.credit.wishes import Asked
from gateway.db import Database
from gateway.errors import CommandError, CreditError
from gateway.registry.notices import NoticeStore
from gateway.registry.store import open_registry
from gateway.resources import shipped_dir
from gateway.wallet.stores.again import do_again
from tests.credit.bank import Bank, Died
from tests.support.postgres import running_postgres

POLICY = load_policy(shipped_dir() / "credit" / "ride-first.toml")
ME = 7


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=POLICY.zone).timestamp()) * 1_000_000


def month(text: str) -> int:
    year, number = text.split("-")
    return int(year) * 12 + int(number) - 1


class World:
    """One rider with a credit line, from 10 January on."""

    def __init__(self, database: Database, policy: CreditPolicy = POLICY) -> None:
        self.bank = Bank(at("2026-01-10T12:00"))
        self.bank.open(ME)
        self.book = CreditBook(database)
        self.desk = CreditDesk(self.book, {policy.policy_id: policy}, self.bank, self.bank.clock)
        self.cycle = CreditCycle(self.desk, Flows(self.bank, desk_client=0), self.bank.clock)

    @property
    def account(self) -> object:
        return self.bank.accounts[ME]

    def until(self, text: str) -> None:
        """The clock goes on, and the cycle looks."""
        self.bank.now_us = at(text)
        self.cycle.run_once()

    def statements(self) -> list[CreditStatement]:
        with self.book.transaction() as connection:
            return self.book.list_statements(connection, ME)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield open_registry(tmp_path / "registry.sqlite", create=True)
        return
    database = open_registry(request.getfixturevalue("postgres"), create=True)
    with database.transaction() as connection:
        for table in ("lines", "statements", "plans", "instalments", "wishes"):
            connection.exec_driver_sql(f"DELETE FROM credit_{table}")
        connection.exec_driver_sql("DELETE FROM notices")
    yield database
    database.engine.dispose()


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def test_a_line_opens_by_score_and_tier_and_changes_with_them(world: World) -> None:
    assert world.desk.open_line(ME, "ride-first", score=650).limit_minor == 50_000
    assert world.bank.accounts[ME].limit_minor == 50_000
    with pytest.raises(CreditError) as caught:
        world.desk.open_line(ME, "ride-first", score=650)
    assert caught.value.code == "CREDIT_EXISTS"
    assert world.desk.change_score(ME, score=800).limit_minor == 200_000
    assert world.desk.change_score(ME, score=0).limit_minor == 0
    assert world.bank.accounts[ME].limit_minor == 0
    assert world.desk.close_line(ME).state == CLOSED
    with pytest.raises(CreditError):
        world.desk.change_score(ME, score=800)
    assert world.desk.open_line(ME, "ride-first", score=800).limit_minor == 200_000


def test_a_decision_is_made_once_under_its_name_and_the_journal_says_by_whom(world: World) -> None:
    me, first, second = world.bank.accounts[ME], Asked("a", "key:1", "k1"), Asked("b", "key:2")
    world.desk.open_line(ME, "ride-first", score=650, asked=Asked("o", "key:1", "k0", "why"))
    assert world.desk.change_score(ME, score=800, asked=first).limit_minor == 200_000
    assert world.desk.change_score(ME, score=500, asked=second).limit_minor == 5_000
    again = world.desk.change_score(ME, score=800, asked=first)
    assert (again.limit_minor, again.score) == (200_000, 800)  # the first answer
    assert me.limit_minor == 5_000  # and nothing done
    assert world.desk.open_line(ME, "ride-first", score=650, asked=Asked("o")).limit_minor == 50_000
    said = [args for op, args, _ in world.bank.answers.values() if op == "set_credit_limit"]
    assert [(one["actor"], one.get("idempotency_key")) for one in said] == [
        ("key:1", "k0"),
        ("key:1", "k1"),
        ("key:2", None),
    ]
    assert said[0]["note"] == "why"
    with pytest.raises(CreditError, match="something else"):
        world.desk.open_plan(ME, 30_000, 3, asked=first)
    with pytest.raises(CreditError, match="not 1: ask again"):
        world.desk.change_score(ME, score=800, asked=Asked("c"), agreed_minor=1)


def test_a_debt_that_others_gave_up_is_owed_no_more(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.bank.move(ME, -3_000, Op.CHECK_OUT)
    world.until("2026-03-15T12:00")
    assert [one.open_minor for one in world.statements()] == [3_000, 0]
    assert world.bank.accounts[ME].late
    world.bank.move(ME, 3_000, Op.WRITE_OFF, client=9)
    world.until("2026-03-20T12:00")
    assert [one.open_minor for one in world.statements()] == [0, 0]
    assert not world.bank.accounts[ME].late


@pytest.mark.parametrize("what", ["score", "close"])
def test_a_limit_that_was_not_carried_out_is_at_the_next_look(world: World, what: str) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.until("2026-01-11T12:00")
    world.bank.now_us = at("2026-01-12T12:00")
    world.bank.die_in = 0
    with pytest.raises(Died):
        world.desk.change_score(ME, score=0) if what == "score" else world.desk.close_line(ME)
    assert world.bank.accounts[ME].limit_minor == 50_000
    world.until("2026-01-12T12:01")
    assert world.bank.accounts[ME].limit_minor == 0


def test_an_older_wish_that_is_heard_last_is_not_the_last_word(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.bank.now_us = at("2026-01-12T12:00")
    world.bank.die_in = 0
    with pytest.raises(Died):
        world.desk.change_score(ME, score=800)
    with world.book.transaction() as connection:
        older = world.book.get_line(connection, ME)
    assert world.desk.change_score(ME, score=0).limit_minor == 0
    assert world.desk.push_limit(older).limit_minor == 0
    assert world.bank.accounts[ME].limit_minor == 0
    world.until("2026-01-13T12:00")
    with world.book.transaction() as connection:
        line = world.book.get_line(connection, ME)
    assert (line.limit_minor, line.wanted_limit_minor) == (0, 0)
    assert world.bank.accounts[ME].limit_minor == 0


def test_a_line_whose_limit_was_taken_back_is_closed_by_whoever_comes_next(world: World) -> None:
    closing = Asked("c", "key:1")
    world.desk.open_line(ME, "ride-first", score=650)
    world.until("2026-01-11T12:00")
    world.bank.die_in = 1
    with pytest.raises(Died):
        world.desk.close_line(ME, asked=closing)
    assert world.desk.find_open("c")
    with pytest.raises(CreditError, match="closing"):
        world.desk.change_score(ME, score=800)
    world.until("2026-01-12T12:01")
    assert (line_of(world).state, world.desk.find_open("c")) == (CLOSED, False)
    world.desk.open_line(ME, "ride-first", score=800)
    assert world.desk.close_line(ME, asked=closing).state == CLOSED  # the first answer
    assert (line_of(world).state, world.bank.accounts[ME].limit_minor) == (OPEN, 200_000)


def test_a_score_that_is_heard_behind_a_closing_opens_nothing(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.bank.now_us = at("2026-01-12T12:00")
    world.bank.die_in = 0
    with pytest.raises(Died):
        world.desk.change_score(ME, score=800, asked=Asked("s"))
    scored = line_of(world)
    world.bank.die_in = 1
    with pytest.raises(Died):
        world.desk.close_line(ME, asked=Asked("c"))
    assert world.desk.push_limit(scored).state == CLOSED
    assert world.desk.close_line(ME, asked=Asked("c")).state == CLOSED
    assert (line_of(world).state, world.bank.accounts[ME].limit_minor) == (CLOSED, 0)


def test_a_line_closed_behind_the_end_of_a_restored_journal_is_closed_again(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    before_us = world.bank.now_us
    world.bank.now_us = at("2026-01-12T12:00")
    world.desk.close_line(ME, asked=Asked("c"))
    world.bank.answers.clear()
    world.bank.accounts[ME].limit_minor = 50_000
    with world.book.transaction() as connection:
        assert do_again(connection, before_us, 0).limits == 1
        assert not do_again(connection, before_us, 0).limits
    world.until("2026-01-12T12:01")
    assert (line_of(world).state, world.bank.accounts[ME].limit_minor) == (CLOSED, 0)


def line_of(world: World) -> CreditLine:
    """As it stands in the book, a closed one too."""
    with world.book.transaction() as connection:
        line = world.book.find_line(connection, ME)
    assert line is not None
    return line


@pytest.mark.parametrize(("score", "policy"), [(10, "ride-first"), (900, "no-such")])
def test_no_rule_no_credit(world: World, score: int, policy: str) -> None:
    with pytest.raises(CreditError):
        world.desk.open_line(ME, policy, score=score)
    assert world.bank.accounts[ME].limit_minor == 0


def test_drawn_billed_late_and_back_again(world: World) -> None:
    bank, me = world.bank, world.bank.accounts[ME]
    world.desk.open_line(ME, "ride-first", score=650)
    bank.move(ME, -3_000, Op.CHECK_OUT)
    world.until("2026-01-31T23:59")
    assert world.statements() == []
    bank.now_us = at("2026-02-01T08:00")  # the cycle comes late: this ride is the next month's
    bank.move(ME, -500, Op.CHECK_OUT)
    world.until("2026-02-01T09:00")
    (february,) = world.statements()
    assert (february.month, february.amount_minor) == (month("2026-02"), 3_000)
    world.until("2026-02-23T23:59")
    assert not me.late
    world.until("2026-02-24T00:00")
    assert me.late
    bank.move(ME, 2_999)
    world.until("2026-02-25T00:00")
    assert me.late
    bank.move(ME, 1)
    world.until("2026-02-25T01:00")
    assert not me.late
    assert world.statements()[0].standing(bank.now_us) is Standing.PAID
    world.until("2026-03-01T00:00")
    assert world.statements()[1].amount_minor == 500


def test_the_owner_is_told_of_a_statement_before_it_is_due_and_when_it_is_late(
    world: World, database: Database
) -> None:
    def told() -> list[tuple[str, str, int]]:
        found = NoticeStore(database).list(ME, after=0, limit=10)
        return [(one.kind, one.body["month"], one.body["open_minor"]) for one in found]

    bank = world.bank
    world.desk.open_line(ME, "ride-first", score=650)
    bank.move(ME, -3_000, Op.CHECK_OUT)
    world.until("2026-02-01T09:00")
    world.until("2026-02-02T09:00")
    assert told() == [("credit_statement", "2026-02", 3_000)]
    (february,) = world.statements()
    bank.move(ME, 1_000)
    bank.now_us = february.due_us - 3 * 86_400_000_000 - 61_000_000
    world.cycle.run_once()
    assert len(told()) == 1
    for _ in range(3):
        bank.now_us += 61_000_000
        world.cycle.run_once()
    assert told()[1:] == [("credit_due", "2026-02", 2_000)]
    world.until("2026-02-24T00:00")
    world.until("2026-02-25T00:00")
    assert told()[2:] == [("credit_late", "2026-02", 2_000)]
    bank.move(ME, 2_000)
    world.until("2026-03-10T00:00")
    assert len(told()) == 3, "nothing was drawn in February: an empty statement tells nothing"


def test_a_month_without_debt_has_a_statement_of_nothing(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.bank.move(ME, 1_000)
    world.until("2026-04-15T00:00")
    assert [one.amount_minor for one in world.statements()] == [0, 0, 0]
    assert not world.bank.accounts[ME].late


def test_a_statement_waits_for_the_ledger(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.bank.move(ME, -3_000, Op.CHECK_OUT)
    world.bank.lag = 1
    world.until("2026-02-01T00:01")
    assert world.statements() == []
    world.bank.move(ME, -1, Op.CHECK_OUT)  # behind the closing: the wait is not for this one
    world.until("2026-02-01T00:02")
    assert [one.amount_minor for one in world.statements()] == [3_000]


def test_an_undone_ride_is_no_repayment(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.bank.move(ME, -3_000, Op.CHECK_OUT)
    world.until("2026-02-01T00:00")
    world.bank.move(ME, -700, Op.CHECK_OUT)
    world.bank.move(ME, 700, Op.REVERSAL)
    world.until("2026-02-10T00:00")
    assert world.statements()[0].open_minor == 3_000


def test_instalments_fall_due_with_the_next_statements(world: World) -> None:
    bank, me = world.bank, world.bank.accounts[ME]
    world.desk.open_line(ME, "ride-first", score=800)
    bank.move(ME, -100_000, Op.DEBIT)
    plan = world.desk.open_plan(ME, 100_000, 3, asked=Asked("one"))
    assert world.desk.open_plan(ME, 100_000, 3, asked=Asked("one")).plan_id == plan.plan_id
    assert (me.balance_minor, me.plans) == (0, {1: 100_000})
    world.until("2026-02-01T00:00")
    assert world.statements()[-1].amount_minor == 33_334
    bank.move(ME, 33_334)
    world.until("2026-03-01T00:00")
    assert [one.open_minor for one in world.statements()] == [0, 33_333]
    # the rest at once: the rider pays it in and repays the plan
    bank.move(ME, 33_333 + 33_333)
    bank.call(
        "plan_repay",
        {"account_id": ME, "key": 1, "amount_minor": 33_333},
        operation_id=b"early repayment!",
    )
    world.until("2026-04-01T00:00")
    assert world.statements()[-1].amount_minor == 0
    assert me.balance_minor == 0
    with world.book.transaction() as connection:
        assert [one.state for one in world.book.list_plans(connection, ME)] == ["done"]


def test_a_plan_is_paid_early_with_money_that_is_there(world: World) -> None:
    bank, me = world.bank, world.bank.accounts[ME]
    world.desk.open_line(ME, "ride-first", score=800)
    bank.move(ME, -90_000, Op.DEBIT)
    world.desk.open_plan(ME, 90_000, 3, asked=Asked("plan"))

    def repay(amount_minor: int, name: str) -> list[int]:
        plan = world.desk.repay_plan(ME, 1, amount_minor, asked=Asked(name, "key:1"))
        return [one.amount_minor for one in plan.left]

    with pytest.raises(CreditError, match="0 minor units"):
        repay(40_000, "early")
    bank.move(ME, 40_000)
    assert repay(40_000, "early") == [30_000, 20_000]
    assert repay(40_000, "early") == [30_000, 20_000]
    assert (me.balance_minor, me.plans) == (0, {1: 50_000})
    (said,) = [args for op, args, _ in bank.answers.values() if op == "plan_repay"]
    assert (said["actor"], said["amount_minor"]) == ("key:1", 40_000)
    with pytest.raises(CreditError, match="something else"):
        repay(1, "early")
    with pytest.raises(CreditError):
        repay(50_001, "too much")
    with pytest.raises(CreditError, match="no plan 2"):
        world.desk.repay_plan(ME, 2, 1, asked=Asked("none"))
    bank.move(ME, 50_000)
    assert repay(50_000, "rest") == []
    world.until("2026-02-01T00:00")
    assert world.statements()[-1].amount_minor == 0


def test_a_statement_that_turns_late_costs_its_fee_once(database: Database) -> None:
    world = World(database, replace(POLICY, late_fee_minor=700))
    bank, me = world.bank, world.bank.accounts[ME]
    world.desk.open_line(ME, "ride-first", score=650)
    bank.move(ME, -3_000, Op.CHECK_OUT)
    world.until("2026-02-23T23:59")
    assert me.balance_minor == -3_000
    for text in ("2026-02-24T00:00", "2026-02-25T00:00"):
        world.until(text)
        assert me.balance_minor == -3_700
    (said,) = [args for op, args, _ in bank.answers.values() if op == "debit"]
    assert (said["fee"], said["way_home"], said["note"]) == (True, True, "late: 2026-02")
    bank.move(ME, 3_000)
    bank.move(ME, -50_000 + 700, Op.DEBIT)  # the line is full
    world.until("2026-03-24T00:00")
    assert (me.late, me.balance_minor) == (True, -50_000)
    bank.move(ME, 10_000)
    world.until("2026-03-25T00:00")
    assert me.balance_minor == -40_000  # what could not be borne is not taken later


def test_a_plan_above_what_is_drawn_is_refused_and_leaves_nothing(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=800)
    with pytest.raises(CommandError):
        world.desk.open_plan(ME, 100_000, 3, asked=Asked("too much"))
    with world.book.transaction() as connection:
        assert world.book.list_plans(connection, ME) == []


def test_a_lost_statement_is_written_off_by_hand_once(world: World) -> None:
    bank, me = world.bank, world.bank.accounts[ME]
    world.desk.open_line(ME, "ride-first", score=650)
    bank.move(ME, -3_000, Op.CHECK_OUT)
    world.until("2026-02-01T00:00")
    with pytest.raises(CreditError):
        world.desk.write_off(ME, month("2026-02"))
    world.until("2026-09-01T00:00")
    assert me.late
    bank.move(ME, -100, Op.CHECK_OUT)  # the way home, in the running month
    assert world.desk.write_off(ME, month("2026-02")) == 3_000
    assert me.balance_minor == -100
    with pytest.raises(CreditError):
        world.desk.write_off(ME, month("2026-02"))
    world.until("2026-09-01T01:00")
    assert not me.late
    assert world.statements()[0].standing(bank.now_us) is Standing.WRITTEN_OFF


def test_closing_waits_for_what_is_owed(world: World) -> None:
    world.desk.open_line(ME, "ride-first", score=650)
    world.bank.move(ME, -1, Op.CHECK_OUT)
    with pytest.raises(CreditError):
        world.desk.close_line(ME)
    assert world.bank.accounts[ME].limit_minor == 50_000


def year(world: World, step: Callable[[Callable[[], object]], None]) -> tuple[object, ...]:
    """A year with everything in it; `step` runs each piece and survives its deaths."""
    bank = world.bank
    step(lambda: world.desk.open_line(ME, "ride-first", score=800))
    bank.move(ME, -90_000, Op.DEBIT)
    step(lambda: world.desk.open_plan(ME, 60_000, 6, asked=Asked("plan")))
    bank.move(ME, 35_000)
    step(lambda: world.desk.repay_plan(ME, 1, 5_000, asked=Asked("early", "key:1")))
    for text in ("2026-02-01T00:00", "2026-02-24T00:00", "2026-03-01T00:00", "2026-05-20T00:00"):
        bank.now_us = at(text)
        bank.move(ME, -50, Op.CHECK_OUT)
        step(world.cycle.run_once)
    bank.move(ME, 20_000)
    step(world.cycle.run_once)
    bank.now_us = at("2026-12-30T00:00")
    step(world.cycle.run_once)
    step(lambda: world.desk.write_off(ME, month("2026-04")))
    step(world.cycle.run_once)
    me = bank.accounts[ME]
    outside = (me.balance_minor, me.limit_minor, me.late, tuple(me.plans.items()))
    return (*outside, tuple(world.statements()), len(bank.records[ME]))


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_deaths_at_any_point_change_nothing(tmp_path: Path, step: int) -> None:
    def database(name: str) -> Database:
        return open_registry(tmp_path / name, create=True)

    calm = year(World(database("calm")), lambda piece: piece())
    assert calm[-1] > 15
    for point in range(step // 2, 2 * int(str(calm[-1])), step):
        world = World(database(f"{point}"))
        world.bank.die_in = point

        def survive(piece: Callable[[], object], world: World = world) -> None:
            try:
                piece()
            except Died:
                again(piece, world)

        assert year(world, survive) == calm, point


def again(piece: Callable[[], object], world: World) -> None:
    """After a death: the cycle finishes what was begun; the caller asks again."""
    world.bank.now_us += 1_000
    world.cycle.run_once()
    try:
        piece()
    except CreditError as error:  # done already
        if error.code not in ("CREDIT_EXISTS", "CREDIT_STATEMENT"):
            raise


def test_the_zone_is_the_policys() -> None:
    assert POLICY.zone == ZoneInfo("Asia/Shanghai")
