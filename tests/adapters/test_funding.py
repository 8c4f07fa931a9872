"""Bank entries to accounts: once each, doubts held, returns taken back, refused refunds too."""

from __future__ import annotations

import datetime
import random
from dataclasses import replace

import pytest
from sqlalchemy import delete

from adapters.contract import Event, Money, Outcome, Status
from adapters.errors import Refusal
from adapters.funding.bank.bench import NOW_US, BankBench
from adapters.funding.bank.reference import build_reference
from adapters.funding.bank.simulator import CLOSED_ACCOUNT, Movement, signed, statement, webhook
from adapters.testing.remote import Trouble
from gateway.clock import OperationIds, derived_operation_id
from gateway.db import Database
from gateway.delivery.funding import BankEvents, Payout, PayoutDesk
from gateway.delivery.inbox import Inbox, Stored
from gateway.delivery.kinds import Configured
from gateway.delivery.outbox import Outbox, State
from gateway.delivery.receive import Letterbox
from gateway.delivery.relay import Relay, RelaySettings
from gateway.delivery.sealed import CommandSealer
from gateway.delivery.tables import INBOX
from gateway.errors import CommandError, Uncertain
from gateway.wallet.stores.fitting import JournalEnd, fit_registry
from tests.support.engine import Engine
from tests.support.registry import Clock

SEALER = CommandSealer([bytes(range(32))])
US = 1_000_000
ONE = Movement("E-1", 5000, build_reference(1001))
LOST = Movement("E-2", 300, "for Li Lei")
BACK = Movement("E-3", 5000, "", "debit", "E-1")


class Desk:
    """A bank's inbox with its handler and an engine."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.bench = BankBench()
        self.bank = Configured("city-bank", "bank", self.bench.make_adapter())
        self.engine = Engine(1001, 2002)
        self.inbox = Inbox(database)
        self.events = BankEvents("city-bank", self.engine, database)
        self.letterbox = Letterbox(database)

    def file(self, *movements: Movement, name: str = "S1") -> str:
        raw = statement(*movements, name=name)
        return str(self.letterbox.hand_in(self.bank, raw, NOW_US).result)

    def hook(self, movement: Movement) -> int:
        raw = webhook(movement)
        return self.letterbox.receive(self.bank, raw, signed(raw, NOW_US), NOW_US).status

    def apply(self) -> int:
        return self.inbox.apply("city-bank", self.events, NOW_US)

    def held(self) -> dict[str, str]:
        rows = self.inbox.list_events("city-bank", Stored.HELD)
        return {row["message_id"]: row["reason"] for row in rows}

    def decide(self, message_id: str, **decision: object) -> None:
        self.inbox.decide("city-bank", message_id, decision, NOW_US)


@pytest.fixture
def desk(database: Database) -> Desk:
    made = Desk(database)
    yield made
    made.bench.dispose()


def test_one_credit_whatever_the_number_of_deliveries(desk: Desk) -> None:
    for _ in range(3):
        assert desk.hook(ONE) == 200
        assert desk.file(ONE) == "accepted"
        assert desk.file(ONE, LOST, name="S2") == "accepted"
        desk.apply()
    assert desk.engine.balances == {1001: 5000, 2002: 0}


def test_the_credit_names_the_banks_reference(desk: Desk) -> None:
    desk.hook(ONE)
    desk.apply()
    assert desk.engine.sent == [
        (
            "credit",
            {
                "account_id": 1001,
                "amount_minor": 5000,
                "reference": "E-1",
                "note": "bank city-bank",
            },
        )
    ]


def test_once_even_when_the_registry_is_from_yesterday(desk: Desk) -> None:
    desk.hook(ONE)
    desk.apply()
    with desk.database.transaction() as connection:
        connection.execute(delete(INBOX))
    desk.file(ONE)
    assert desk.apply() == 1
    assert desk.engine.balances[1001] == 5000


def _day_us(hour: int) -> int:
    """Of the simulator's booking date, in UTC."""
    return int(datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC).timestamp() + hour * 3600) * US


@pytest.mark.parametrize("hour", [-14, -8, 0, 12])
def test_an_entry_of_a_local_day_is_credited_while_utc_has_yesterday(desk: Desk, hour: int) -> None:
    desk.engine.now_us = _day_us(hour)
    desk.hook(ONE)
    assert (desk.apply(), desk.held()) == (1, {})
    assert desk.engine.balances[1001] == 5000


def test_what_is_booked_for_a_later_day_waits_for_it(desk: Desk) -> None:
    desk.engine.now_us = _day_us(-15)
    desk.hook(ONE)
    assert desk.apply() == 0
    assert desk.inbox.count("city-bank") == {"parked": 1}
    desk.engine.now_us = _day_us(-14)
    assert desk.apply() == 1
    assert desk.engine.balances[1001] == 5000


@pytest.mark.parametrize("refused_before", [0, 2])
def test_a_credit_of_an_earlier_version_is_not_given_again(desk: Desk, refused_before: int) -> None:
    """Then midnight in UTC was the instant in the ids of a booking date's entries."""
    credit = {"account_id": 1001, "amount_minor": 5000}
    for number in range(refused_before + 1):
        desk.engine.refusals = {1001: "account_frozen"} if number < refused_before else {}
        parts = ("bank", "city-bank", "bank_credit", "E-1", str(number))
        operation_id = derived_operation_id(_day_us(0), *parts)
        desk.engine.exchange("credit", credit, operation_id=operation_id)
    desk.hook(ONE)
    assert desk.apply() == 1
    assert desk.engine.balances[1001] == 5000


@pytest.mark.parametrize("last_us", [NOW_US - 1, NOW_US])
def test_a_credit_that_a_restored_journal_lacks_is_given_again(desk: Desk, last_us: int) -> None:
    desk.hook(ONE)
    desk.apply()
    is_cut = last_us < NOW_US
    if is_cut:
        desk.engine = Engine(1001)
        desk.events = BankEvents("city-bank", desk.engine, desk.database)
    fit_registry(desk.database, JournalEnd(lambda _: True, 0, last_us, 0), "test")
    desk.file(ONE)
    assert desk.apply() == is_cut
    assert desk.engine.balances[1001] == 5000


def test_the_same_entry_with_another_amount_is_a_conflict(desk: Desk) -> None:
    desk.hook(ONE)
    desk.apply()
    assert desk.hook(Movement("E-1", 9000, ONE.reference)) == 422
    desk.apply()
    assert desk.engine.balances[1001] == 5000
    assert desk.inbox.count("city-bank") == {"applied": 1, "conflict": 1}


@pytest.mark.parametrize("trouble", ["down", "lost", "busy"])
def test_a_gateway_out_of_reach_is_no_reason_to_hold_or_lose(desk: Desk, trouble: str) -> None:
    desk.hook(ONE)
    # account_show, then the credit
    desk.engine.trouble.extend(["", trouble])
    with pytest.raises((CommandError, Uncertain)):
        desk.apply()
    assert desk.inbox.count("city-bank") == {"stored": 1}
    assert desk.apply() == 1
    assert desk.engine.balances[1001] == 5000


def test_an_unmatched_entry_waits_for_an_operator(desk: Desk) -> None:
    desk.hook(LOST)
    assert desk.apply() == 0
    (held,) = desk.inbox.list_events("city-bank", Stored.HELD)
    assert (held["reason"], held["reference"]) == ("no account of ours is named", "for Li Lei")
    assert held["amount_minor"] == 300
    desk.decide("E-2", account_id=2002)
    assert desk.apply() == 1
    assert desk.engine.balances == {1001: 0, 2002: 300}


@pytest.mark.parametrize("refusal", ["account_closed", "account_frozen", "balance_limit"])
def test_what_the_engine_refuses_is_held_and_can_be_tried_again(desk: Desk, refusal: str) -> None:
    desk.engine.refusals[1001] = refusal
    desk.hook(ONE)
    desk.apply()
    assert desk.held() == {"E-1": refusal}
    desk.decide("E-1")
    desk.apply()
    assert desk.held() == {"E-1": refusal}
    desk.engine.refusals.clear()
    desk.decide("E-1")
    assert desk.apply() == 1
    desk.file(ONE)
    desk.apply()
    assert desk.engine.balances[1001] == 5000


def test_a_refused_one_may_go_to_another_account_or_to_none(desk: Desk) -> None:
    desk.engine.refusals[1001] = "account_closed"
    desk.file(ONE, Movement("E-9", 7, build_reference(1001)))
    desk.apply()
    desk.decide("E-1", account_id=2002)
    desk.decide("E-9", ignore=True)
    assert desk.apply() == 2
    assert desk.engine.balances == {1001: 0, 2002: 5000}


def test_another_currency_is_held(desk: Desk) -> None:
    desk.engine.currency = 840
    desk.hook(ONE)
    desk.apply()
    assert desk.held() == {"E-1": "currency_mismatch"}


def test_an_account_that_is_none_is_held(desk: Desk) -> None:
    desk.hook(Movement("E-1", 1, build_reference(777)))
    desk.apply()
    assert desk.held() == {"E-1": "unknown_account"}


def test_a_return_takes_the_credit_back_into_debt_if_need_be(desk: Desk) -> None:
    desk.hook(ONE)
    desk.apply()
    desk.engine.balances[1001] = 1200
    for _ in range(2):
        desk.hook(BACK)
        desk.apply()
    assert desk.engine.balances[1001] == -3800


def test_a_return_before_its_credit_waits_for_it(desk: Desk) -> None:
    desk.hook(BACK)
    assert desk.apply() == 0
    assert desk.inbox.count("city-bank") == {"parked": 1}
    desk.hook(ONE)
    assert desk.apply() == 2
    assert desk.engine.balances[1001] == 0


def test_a_return_follows_the_operators_decision(desk: Desk) -> None:
    desk.file(LOST, Movement("E-3", 300, "", "debit", "E-2"))
    desk.apply()
    assert set(desk.held()) == {"E-2", "E-3"}
    desk.decide("E-2", account_id=2002)
    desk.decide("E-3")
    assert desk.apply() == 2
    assert [args["amount_minor"] for _, args in desk.engine.sent] == [300, -300]


def test_more_than_was_given_is_not_taken(desk: Desk) -> None:
    desk.file(ONE, Movement("E-3", 5001, "", "debit", "E-1"))
    desk.apply()
    assert desk.held() == {"E-3": "more than was given"}
    assert desk.engine.balances[1001] == 5000


def test_several_returns_are_never_more_than_was_given(desk: Desk) -> None:
    parts = [Movement(f"E-{n}", 2000, "", "debit", "E-1") for n in (3, 4, 5)]
    desk.file(ONE, *parts)
    assert desk.apply() == 3
    assert desk.held() == {"E-5": "more than was given"}
    assert desk.engine.balances[1001] == 1000
    desk.decide("E-5", ignore=True)
    desk.file(Movement("E-6", 1000, "", "debit", "E-1"), name="S2")
    assert desk.apply() == 2, "what was ignored does not count"
    assert desk.engine.balances[1001] == 0


def test_an_account_that_moves_meanwhile_is_read_again(desk: Desk) -> None:
    desk.hook(ONE)
    desk.apply()
    desk.engine.moves_between = 3
    desk.hook(BACK)
    assert desk.apply() == 1
    assert desk.engine.balances[1001] == 0
    desk.engine.moves_between = 1
    with desk.database.transaction() as connection:
        connection.execute(delete(INBOX).where(INBOX.c.message_id == "E-3"))
    desk.hook(BACK)
    assert desk.apply() == 1
    assert desk.engine.balances[1001] == 0, "the id that was done answers again"


@pytest.mark.parametrize("moves_before", [0, 1])
def test_a_return_whose_answer_was_lost_is_found_and_not_taken_again(
    desk: Desk, moves_before: int
) -> None:
    desk.hook(ONE)
    desk.apply()
    desk.hook(BACK)
    desk.engine.moves_between = moves_before
    # account_show and the adjustment, as often as the account moves in between
    desk.engine.trouble.extend(["", ""] * moves_before + ["", "lost"])
    with pytest.raises(Uncertain):
        desk.apply()
    assert desk.engine.balances[1001] == 0
    assert (desk.apply(), desk.held()) == (1, {})
    assert desk.engine.balances[1001] == 0


def test_a_refused_return_is_taken_once_when_an_operator_tries_again(desk: Desk) -> None:
    desk.hook(ONE)
    desk.apply()
    desk.engine.refusals[1001] = "account_closed"
    desk.hook(BACK)
    desk.apply()
    assert desk.held() == {"E-3": "account_closed"}
    desk.engine.refusals.clear()
    desk.engine.versions[1001] += 1
    desk.decide("E-3")
    assert desk.apply() == 1
    assert desk.engine.balances[1001] == 0


def test_money_that_leaves_unasked_is_held(desk: Desk) -> None:
    desk.hook(Movement("E-7", 99, "fees", "debit"))
    desk.apply()
    assert desk.held() == {"E-7": "money left our account unasked"}


def test_any_mix_of_deliveries_and_crashes_gives_each_once(desk: Desk) -> None:
    rng = random.Random(5)
    credits = [Movement(f"E-{n}", n + 1, build_reference(1001)) for n in range(30)]
    returns = [Movement(f"R-{n}", n + 1, "", "debit", f"E-{n}") for n in range(0, 30, 3)]
    movements = credits + returns
    for _ in range(80):
        rng.choice([desk.hook, desk.file])(rng.choice(movements))
        desk.engine.moves_between = rng.choice([0, 0, 1])
        desk.engine.trouble.extend(rng.choices(["", "down", "lost"], [6, 1, 1], k=2))
        try:
            desk.apply()
        except (CommandError, Uncertain):
            continue
    desk.engine.trouble.clear()
    desk.file(*movements)
    desk.apply()
    assert desk.held() == {}
    assert desk.engine.balances[1001] == sum(range(1, 31)) - sum(range(1, 31, 3))


# --- refunds to a bank account --------------------------------------------------------------------


@pytest.fixture
def payout() -> Payout:
    operation_id = OperationIds().make(NOW_US)
    return Payout(operation_id, 1001, Money(800, 156), "DE-77", "Han Meimei")


async def carry(desk: Desk, clock: Clock, *troubles: Trouble) -> None:
    """The relay, against the bank, until the queue is empty."""
    await desk.bench.remote.start()
    desk.bench.remote.on_write.extend(troubles)
    outbox = Outbox(desk.database)
    try:
        async with desk.bench.opened() as adapter:
            settings = RelaySettings(deadline_s=2.0)
            relay = Relay(
                "city-bank",
                adapter,
                outbox,
                clock.now_us,
                on_outcome=desk.events.on_outcome,
                open_command=SEALER.open,
                settings=settings,
                monotonic=clock.monotonic,
            )
            for _ in range(20):
                if not outbox.oldest_us("city-bank"):
                    return
                await relay.work()
                clock.forward(10.0)
    finally:
        await desk.bench.remote.stop()


def place(desk: Desk, payout: Payout, clock: Clock) -> str:
    payouts = PayoutDesk("city-bank", desk.engine, desk.database, SEALER)
    return payouts.place(payout, clock.us).code


async def test_a_refund_leaves_the_account_once_and_reaches_the_bank_once(
    desk: Desk, payout: Payout, clock: Clock
) -> None:
    desk.engine.balances[1001] = 1000
    for _ in range(3):
        assert place(desk, payout, clock) == "ok"
    await carry(desk, clock, Trouble.DROP_AFTER)
    assert desk.engine.balances[1001] == 200
    assert desk.bench.remote.effects == {payout.key: 1}
    assert Outbox(desk.database).find(payout.key)[0] is State.DONE


@pytest.mark.parametrize("refused", [False, True])
async def test_a_refund_that_a_restored_journal_lacks_is_taken_out_again(
    desk: Desk, payout: Payout, clock: Clock, refused: bool
) -> None:
    desk.engine.balances[1001] = 1000
    made = replace(payout, destination=CLOSED_ACCOUNT) if refused else payout
    place(desk, made, clock)
    await carry(desk, clock)
    desk.apply()
    desk.engine = Engine(1001)
    desk.engine.balances[1001] = 1000
    desk.events = BankEvents("city-bank", desk.engine, desk.database)
    for _ in range(2):
        fit_registry(desk.database, JournalEnd(lambda _: True, 0, 0, 0), "test")
        desk.apply()
        assert desk.engine.balances[1001] == (1000 if refused else 200)
    wanted = ["debit", "credit"] if refused else ["debit"]
    assert [op for op, _ in desk.engine.sent] == wanted


def restore(desk: Desk, balance_minor: int) -> None:
    """Put a journal of before everything beside the registry."""
    desk.engine = Engine(1001)
    desk.engine.balances[1001] = balance_minor
    desk.events = BankEvents("city-bank", desk.engine, desk.database)
    fit_registry(desk.database, JournalEnd(lambda _: True, 0, 0, 0), "test")


@pytest.mark.parametrize("refused", [False, True])
async def test_what_a_restored_account_lacks_is_taken_out_into_debt(
    desk: Desk, payout: Payout, clock: Clock, refused: bool
) -> None:
    """The money is gone; and what the bank refused comes back only to what was taken."""
    desk.engine.balances[1001] = 1000
    place(desk, replace(payout, destination=CLOSED_ACCOUNT) if refused else payout, clock)
    await carry(desk, clock)
    desk.apply()
    restore(desk, 300)
    for _ in range(2):
        desk.apply()
        assert desk.engine.balances[1001] == (300 if refused else -500)
    wanted = ["debit", "adjust", "credit"] if refused else ["debit", "adjust"]
    assert [op for op, _ in desk.engine.sent] == wanted
    assert {args["flow"] for _, args in desk.engine.sent} == {"payout"}


async def test_a_refused_refund_waits_until_a_restored_journal_has_its_debit(
    desk: Desk, payout: Payout, clock: Clock
) -> None:
    desk.engine.balances[1001] = 1000
    place(desk, replace(payout, destination=CLOSED_ACCOUNT), clock)
    await carry(desk, clock)
    desk.apply()
    restore(desk, 1000)
    desk.engine.refusals[1001] = "account_closed"
    desk.apply()
    again, back = f"again:{payout.key}", f"refused:{payout.key}"
    waits = {back: "it was not taken out again"}
    assert desk.held() == {again: "account_closed"} | waits
    desk.engine.refusals.clear()
    desk.decide(back)
    desk.apply()
    assert (desk.engine.balances[1001], desk.held()[back]) == (1000, waits[back])
    desk.decide(again)
    desk.apply()
    assert (desk.engine.balances[1001], desk.held()) == (200, waits)
    desk.decide(back)
    desk.apply()
    assert (desk.engine.balances[1001], desk.held()) == (1000, {})


async def test_an_order_that_would_be_sealed_otherwise_by_now_stays_as_it_is(
    desk: Desk, payout: Payout, clock: Clock
) -> None:
    """Its owner was erased or found between two tries."""
    desk.engine.balances[1001] = 1000
    assert place(desk, payout, clock) == "ok"
    outbox = Outbox(desk.database)
    before = outbox.show(payout.key)
    other = CommandSealer([bytes(32)])
    payouts = PayoutDesk("city-bank", desk.engine, desk.database, other)
    assert payouts.place(payout, clock.us + 1).ok
    assert outbox.show(payout.key) == before
    assert desk.engine.balances[1001] == 200


async def test_more_than_there_is_never_reaches_the_bank(
    desk: Desk, payout: Payout, clock: Clock
) -> None:
    assert place(desk, payout, clock) == "insufficient_balance"
    assert Outbox(desk.database).count("city-bank") == {}


async def test_a_refund_that_the_bank_refuses_comes_back_once(
    desk: Desk, clock: Clock, payout: Payout
) -> None:
    desk.engine.balances[1001] = 1000
    closed = Payout(payout.operation_id, 1001, payout.money, CLOSED_ACCOUNT)
    place(desk, closed, clock)
    await carry(desk, clock)
    assert Outbox(desk.database).find(closed.key)[1].refusal is Refusal.CLOSED
    for _ in range(3):
        desk.apply()
    assert desk.engine.balances[1001] == 1000
    (row,) = desk.inbox.list_events("city-bank", Stored.APPLIED)
    assert row["kind"] == "payout_refused"


async def test_a_refund_never_comes_back_twice(desk: Desk, payout: Payout, clock: Clock) -> None:
    desk.engine.balances[1001] = 1000
    closed = Payout(payout.operation_id, 1001, payout.money, CLOSED_ACCOUNT)
    place(desk, closed, clock)
    await carry(desk, clock)
    desk.apply()
    desk.file(Movement("E-6", 800, "", "credit", closed.key))
    desk.apply()
    assert desk.held() == {"E-6": "more than was paid out"}
    assert desk.engine.balances[1001] == 1000


async def test_a_refund_in_the_statement_is_known_and_may_be_returned(
    desk: Desk, payout: Payout, clock: Clock
) -> None:
    desk.engine.balances[1001] = 800
    place(desk, payout, clock)
    await carry(desk, clock)
    booked = Movement("E-5", 800, payout.key, "debit")
    desk.file(booked, Movement("E-6", 800, "", "credit", payout.key))
    assert desk.apply() == 2
    assert desk.engine.balances[1001] == 800


def test_a_done_refund_gives_nothing_back(desk: Desk) -> None:
    event = Event("x", "payout_refused", "k", 0, "k")
    with desk.database.transaction() as connection:
        desk.events.on_outcome(connection, letter_of(), Outcome(Status.DONE))
    assert desk.inbox.count("city-bank") == {}
    assert event.version == 0


def letter_of() -> object:
    from types import SimpleNamespace

    return SimpleNamespace(command=SimpleNamespace(money=Money(1, 156), facts={}, key="k"))
