"""Wallet commands under limits: debits, holds, refunds, credits, passes, tiers; both engines."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fastpath import reference
from fastpath.cells import CellType
from fastpath.limits import LimitProfile
from fastpath.reference_cells import Cell, Purse, Spent
from fastpath.reference_commands_cells import pack_lines
from fastpath.types import FactFlag, Op, Purpose, Reason, Rule
from tests.fastpath.city import EAST, at
from tests.fastpath.world import DAY_US, HOUR_US, World
from tests.limits.both import limits

UTC = ZoneInfo("UTC")
OK, OVER, FULL = Reason.OK, Reason.LIMIT_EXCEEDED, Reason.BALANCE_LIMIT
ANY = 1 << Purpose.MEAL


def wallet(*profiles: LimitProfile, tier: int = 1, balance: int = 100_00, **most: int) -> World:
    """An account of a tier with these limits at noon; dates are UTC's."""
    world = World(at(9, "12:00"))
    world.rider.balance_minor, world.rider.tier = balance, tier
    made = profiles or (LimitProfile(1, 0, **most),)
    world.limit(limits(*made, first=date(2026, 10, 1), count=200, zone=UTC))
    return world


def do(world: World, op: Op, amount: int = 0, **facts: Any) -> Reason:
    """One command; what belongs to Facts goes there."""
    head = {name: facts.pop(name) for name in ("purse", "expires_us", "pass_id") if name in facts}
    if op == Op.PASS_ADD:
        head |= {"rides": -1}
    order = {"amount_minor": amount, "facts": reference.Facts(**facts)} | head
    return Reason(world.command(op, **order).reason)


def debit(world: World, amount: int, **how: Any) -> Reason:
    return do(world, Op.DEBIT, amount, **how)


def hold(world: World, amount: int, key: int = 7) -> Reason:
    return do(world, Op.HOLD_PLACE, amount, key=key, expires_us=world.now_us + 2 * DAY_US)


def refund(
    world: World, charged: int, amount: int, *, spent_us: int, counted: bool = True
) -> Reason:
    """Give back of a debit made then."""
    facts = reference.Facts(charge_client=1, charge_high=1, charge_low=charged)
    order = reference.Command(
        Op.REFUND, 77, now_us=world.now_us, amount_minor=amount, facts=facts, horizon_us=30 * DAY_US
    )
    paid = reference.Paid(charged, charge_us=spent_us, is_counted=counted, spent_us=spent_us)
    return Reason(world.wallet_command(order, paid).reason)


def spent(world: World) -> Spent:
    found = [one.payload for one in world.cells if one.type == CellType.LIMITS]
    assert len(found) == 1
    assert isinstance(found[0], Spent)
    return found[0]


def used(world: World) -> tuple[int, int, int, int]:
    one = spent(world)
    return one.day_minor, one.month_minor, one.year_minor, one.lifetime_minor


def last_rules(world: World, op: Op, amount: int, **facts: Any) -> int:
    order = {"amount_minor": amount, "facts": reference.Facts(**facts)}
    return world.command(op, **order).rules


# --- debits ---------------------------------------------------------------------------------------


def test_a_debit_to_the_cent() -> None:
    world = wallet(day_minor=1000, payment_minor=700)
    assert debit(world, 701) == OVER
    assert debit(world, 700) == OK
    assert debit(world, 301) == OVER
    assert world.cells[0].payload == spent(world)
    assert used(world) == (700, 700, 700, 700)
    assert debit(world, 300) == OK
    assert debit(world.wait(12 * HOUR_US - 1), 1) == OVER
    assert debit(world.wait(1), 700) == OK
    assert used(world) == (700, 1700, 1700, 1700)


def test_a_counted_debit_says_so() -> None:
    world = wallet(day_minor=1000)
    assert last_rules(world, Op.DEBIT, 10) & Rule.COUNTED
    world.limit(None)
    assert not last_rules(world, Op.DEBIT, 10) & Rule.COUNTED
    assert used(world) == (10, 10, 10, 10)


def test_every_purse_counts() -> None:
    world = wallet(day_minor=1000)
    world.rider.subsidy_minor = 500
    world.cells = [Cell(CellType.PURSE, 5, Purse(900, purposes=ANY, priority=1))]
    assert debit(world, 300, purse=1, purpose=0) == OK
    assert debit(world, 300, purse=2, key=5, purpose=1) == OK
    assert debit(world, 300, purpose=Purpose.MEAL) == OK
    assert used(world)[0] == 900
    assert debit(world, 101, purse=2, key=5, purpose=1) == OVER
    assert debit(world, 100, purse=2, key=5, purpose=1) == OK


def test_money_comes_before_limits() -> None:
    world = wallet(day_minor=1000, balance=100)
    assert debit(world, 2000) == Reason.INSUFFICIENT_BALANCE
    assert debit(world, 2000, purse=2, key=5, purpose=1) == Reason.UNKNOWN_PURSE


def test_limits_come_before_room_and_room_is_asked_for() -> None:
    world = wallet(day_minor=1000)
    world.cells = [Cell(CellType.PURSE, n, Purse(1)) for n in range(2, 18)]
    assert debit(world, 1001) == OVER
    assert debit(world, 1000) == Reason.TOO_MANY_CELLS
    assert hold(world, 1000) == Reason.TOO_MANY_CELLS


def test_a_correction_is_neither_asked_nor_counted() -> None:
    world = wallet(day_minor=0, balance_minor=0)
    version = world.rider.version
    assert do(world, Op.ADJUST, -50) == Reason.BAD_REQUEST
    made = world.command(Op.ADJUST, amount_minor=-50, expected_version=version)
    assert made.reason == OK
    assert world.command(Op.ADJUST, amount_minor=90, expected_version=version + 1).reason == OK
    assert world.cells == []


# --- holds ----------------------------------------------------------------------------------------


def test_what_is_not_spent_is_neither_asked_nor_counted() -> None:
    """A balance limit still keeps a transfer from making a balance grow beyond it."""
    world = wallet(day_minor=1000, balance_minor=100_00)
    assert debit(world, 2000, flags=FactFlag.PAYOUT) == OK
    assert debit(world, 2000, flags=FactFlag.TRANSFER) == OK
    assert not [one for one in world.cells if one.type == CellType.LIMITS]
    assert do(world, Op.CREDIT, 4000, flags=FactFlag.TRANSFER) == OK
    assert do(world, Op.CREDIT, 1, flags=FactFlag.TRANSFER) == FULL
    assert do(world, Op.CREDIT, 2000, flags=FactFlag.PAYOUT) == OK


def test_a_rerated_difference_counts_on_its_day_unasked() -> None:
    world = wallet(day_minor=1000)

    def rerate(amount_minor: int) -> int:
        order = reference.Command(
            Op.RERATE,
            77,
            now_us=world.now_us,
            amount_minor=amount_minor,
            expected_version=world.rider.version,
        )
        made = world.cell_command(order, reference.Rerate(pack_lines(world.rider)))
        assert made.reason == OK
        return made.rules

    assert debit(world, 900) == OK
    assert rerate(300) & Rule.COUNTED
    assert used(world) == (1200, 1200, 1200, 1200)
    assert debit(world, 1) == OVER
    world.wait(DAY_US)
    assert debit(world, 800) == OK
    assert not rerate(-500) & Rule.COUNTED
    assert used(world) == (300, 1500, 1500, 1500)
    assert debit(world, 700) == OK


def test_holds_do_not_add_up_to_more_than_the_limit() -> None:
    world = wallet(day_minor=1000)
    assert hold(world, 1001) == OVER
    assert hold(world, 600) == OK
    assert hold(world, 401, key=8) == OVER
    assert hold(world, 400, key=8) == OK
    assert debit(world, 1) == OVER
    assert used(world) == (0, 0, 0, 0)


def test_a_capture_is_counted_and_not_asked() -> None:
    world = wallet(day_minor=1000)
    assert hold(world, 1000) == OK
    low = limits(LimitProfile(1, 0, day_minor=10), first=date(2026, 10, 1), count=200, zone=UTC)
    world.limit(low)
    assert do(world, Op.HOLD_CAPTURE, 600, key=7) == OK
    assert used(world)[0] == 600
    assert do(world, Op.HOLD_CAPTURE, 400, key=7) == OK
    assert used(world)[0] == 1000
    assert debit(world, 1) == OVER


def test_a_capture_counts_on_its_own_day() -> None:
    world = wallet(day_minor=1000)
    hold(world, 1000)
    world.wait(12 * HOUR_US)
    assert debit(world, 1) == OVER
    assert do(world, Op.HOLD_CAPTURE, 1000, key=7) == OK
    assert used(world)[0] == 1000


def test_a_released_hold_gives_the_limit_back() -> None:
    world = wallet(day_minor=1000)
    hold(world, 1000)
    assert do(world, Op.HOLD_RELEASE, key=7) == OK
    assert debit(world, 1000) == OK


def test_a_hold_keeps_the_room_in_which_its_captures_are_counted() -> None:
    world = wallet(day_minor=1000)
    world.cells = [Cell(CellType.PURSE, n, Purse(1)) for n in range(2, 17)]
    assert hold(world, 10) == Reason.TOO_MANY_CELLS
    world.cells.pop()
    assert hold(world, 10) == OK
    assert do(world, Op.HOLD_CAPTURE, 10, key=7) == OK
    assert used(world)[0] == 10


# --- what is given back ---------------------------------------------------------------------------


def test_a_refund_the_same_day() -> None:
    world = wallet(day_minor=1000)
    assert debit(world, 1000) == OK
    assert refund(world, 1000, 400, spent_us=world.now_us) == OK
    assert used(world) == (600, 600, 600, 600)
    assert debit(world, 401) == OVER
    assert debit(world, 400) == OK


def test_a_refund_after_midnight_leaves_the_new_day_alone() -> None:
    world = wallet(day_minor=1000, month_minor=1500)
    debit(world, 1000)
    spent_us = world.now_us
    debit(world.wait(DAY_US), 500)
    assert debit(world, 1) == OVER
    assert refund(world, 1000, 1000, spent_us=spent_us) == OK
    assert used(world) == (500, 500, 500, 500)
    assert debit(world, 501) == OVER


def test_a_refund_of_what_was_never_counted() -> None:
    world = wallet(day_minor=1000)
    debit(world, 300)
    assert refund(world, 700, 700, spent_us=world.now_us, counted=False) == OK
    assert used(world)[0] == 300


def test_a_refund_is_accepted_above_the_balance_limit() -> None:
    world = wallet(balance_minor=1000, balance=1000)
    debit(world, 600)
    spent_us = world.now_us
    assert do(world, Op.CREDIT, 600) == OK
    assert do(world, Op.CREDIT, 1) == FULL
    assert refund(world, 600, 600, spent_us=spent_us) == OK
    assert world.rider.balance_minor == 1600


# --- balance and tier -----------------------------------------------------------------------------


@pytest.mark.parametrize("purse", [{"purse": 0}, {"purse": 1}, {"purse": 2, "key": 5}])
def test_a_credit_asks_for_all_purses_together(purse: dict[str, int]) -> None:
    world = wallet(balance_minor=1000, balance=300)
    world.rider.subsidy_minor = 200
    world.cells = [
        Cell(CellType.PURSE, 5, Purse(100, purposes=ANY)),
        Cell(CellType.PURSE, 6, Purse(100, purposes=ANY)),
    ]
    assert do(world, Op.CREDIT, 301, **purse) == FULL
    assert do(world, Op.CREDIT, 300, **purse) == OK
    assert world.money() == 1000


def test_from_a_high_tier_to_a_low_one_with_more_than_that_may_hold() -> None:
    low = LimitProfile(1, 0, day_minor=500, balance_minor=1000)
    high = LimitProfile(2, 0, day_minor=5000, balance_minor=50_000)
    world = wallet(low, high, tier=2, balance=40_000)
    assert debit(world, 3000) == OK
    assert do(world, Op.SET_TIER, tier=1) == OK
    assert world.rider.balance_minor == 37_000
    assert do(world, Op.CREDIT, 1) == FULL
    assert debit(world, 1) == OVER
    assert do(world, Op.SET_TIER, tier=2) == OK
    assert do(world, Op.CREDIT, 13_000) == OK
    assert debit(world, 2000) == OK
    assert debit(world, 1) == OVER
    assert do(world, Op.SET_TIER, tier=16) == Reason.BAD_REQUEST


def test_a_debt_leaves_more_room() -> None:
    world = wallet(balance_minor=1000, balance=-500)
    assert do(world, Op.CREDIT, 1501) == FULL
    assert do(world, Op.CREDIT, 1500) == OK


# --- passes ---------------------------------------------------------------------------------------


def test_a_pass_is_bought_under_the_limits() -> None:
    world = wallet(day_minor=1000)
    assert do(world, Op.PASS_ADD, 1001, pass_id=3) == OVER
    assert do(world, Op.PASS_ADD, 600, pass_id=3) == OK
    assert used(world)[0] == 600
    assert do(world, Op.PASS_ADD, 0, pass_id=4) == OK
    assert debit(world, 401) == OVER
    assert last_rules(world, Op.DEBIT, 400) & Rule.COUNTED


def test_fares_and_debits_share_the_windows() -> None:
    from tests.fastpath.city import town

    world = wallet(day_minor=1000)
    world.load(town())
    assert debit(world, 600) == OK
    assert world.tap(3, EAST, amount_minor=401).reason == OVER
    assert world.tap(3, EAST, amount_minor=400).reason == OK
    assert world.enter(EAST).reason == OVER
