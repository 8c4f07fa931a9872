"""Wallet commands one case a row: each refusal, and which of two is told; both engines every time.

Fault cases E 34-43 of the gateway's list are named where they are held.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastpath import reference
from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Hold, Pass, Plan, Purse, Refunded
from fastpath.types import AccountStatus, FactFlag, Op, Purpose, Reason, Rule
from fastpath.wallet import Facts
from tests.fastpath.city import EAST, minor, rider, rows
from tests.fastpath.world import DAY_US, HOUR_US, World

PAID = reference.Paid(500, 0, ((3, 100), (2, 50)))
MONTH_US = 30 * DAY_US


def cells(now_us: int) -> list[Cell]:
    """Purse 2 for meals with 1.00, 3 for transit with 2.00, 4 ended with 0.50, 5 empty; hold 1 of
    5.00 with 4.00 left, hold 2 that has ended with 1.00; plan 1 with 3.00 of 6.00.
    """
    later, over = now_us + HOUR_US, now_us
    return [
        Cell(CellType.PURSE, 2, Purse(100, 0, 0, 1 << Purpose.MEAL, 5)),
        Cell(CellType.PURSE, 3, Purse(200, later, 7, 1 << Purpose.TRANSIT, 10)),
        Cell(CellType.PURSE, 4, Purse(50, over, 7, 3, 0)),
        Cell(CellType.PURSE, 5, Purse(0, 0, 0, 1, 0)),
        Cell(CellType.HOLD, 1, Hold(500, 100, 400, later)),
        Cell(CellType.HOLD, 2, Hold(100, 0, 100, over)),
        Cell(CellType.PLAN, 1, Plan(600, 300, 1, 6)),
    ]


def wallet(balance: str = "10.00", *, status: str = "-", credit: str = "5.00") -> World:
    world = rider(balance=balance)
    world.cells = cells(world.now_us)
    world.rider.held_minor, world.rider.credit_limit_minor = 500, minor(credit)
    world.rider.status = 0 if status == "-" else AccountStatus[status]
    return world


def order(world: World, op: Op, given: dict[str, Any]) -> reference.Command:
    """given: fields of the command and of its facts; `ends` is from now."""
    names = ("purse", "amount_minor", "expected_version", "currency")
    ends = given.pop("ends", None)
    of_command = {name: given.pop(name) for name in names if name in given}
    return reference.Command(
        op=op,
        account_id=77,
        now_us=world.now_us,
        expires_us=0 if ends is None else world.now_us + ends,
        facts=Facts(**given),
        **of_command,
    )


NAMES = {"key": "key", "to": "purpose", "ver": "expected_version", "cur": "currency"}


def read_given(text: str) -> dict[str, Any]:
    """Fields of `key=1,amount=4.00`."""
    given: dict[str, Any] = {}
    for pair in text.split(",") if text != "-" else []:
        name, _, value = pair.partition("=")
        if name == "amount":
            given["amount_minor"] = minor(value) if "." in value else int(value)
        elif name == "to":
            given["purpose"] = int(value) if value.isdigit() else Purpose[value]
        elif name == "flag":
            given["flags"] = FactFlag[value]
        elif name == "ends":
            given["ends"] = {"h": HOUR_US, "m": MONTH_US, "0": 0, "-": -1}[value]
        else:
            given[NAMES.get(name, name)] = int(value)
    return given


BIG = 1 << 60
CASES = f"""
# op             given                                    balance  status         reason
  PURSE_OPEN     key=9,purposes=1,number=3              10.00    -              OK
  PURSE_OPEN     key=9,purposes=1,ends=h                10.00    -              OK
  PURSE_OPEN     key=9,purposes=1,ends=0                10.00    CLOSED         BAD_TIME
  PURSE_OPEN     key=1,purposes=1                       10.00    CLOSED         BAD_REQUEST
  PURSE_OPEN     key=9,purposes=0                       10.00    -              BAD_REQUEST
  PURSE_OPEN     key=9,purposes=1                       10.00    CLOSED         ACCOUNT_CLOSED
  PURSE_OPEN     key=9,purposes=1,ver=8                 10.00    -              VERSION_CONFLICT
  PURSE_OPEN     key=2,purposes=2,number=5              10.00    -              OK
  PURSE_OPEN     key=2,purposes=3,number=5              10.00    -              ALREADY_EXISTS
  PURSE_OPEN     key=2,purposes=2,number=5,merchant=1   10.00    -              ALREADY_EXISTS
  PURSE_CLOSE    key=5                                  10.00    -              OK
  PURSE_CLOSE    key=2                                  10.00    -              BALANCE_NOT_ZERO
  PURSE_CLOSE    key=9                                  10.00    -              UNKNOWN_PURSE
  PURSE_CLOSE    key=9                                  10.00    CLOSED         ACCOUNT_CLOSED
  PURSE_SWEEP    key=4                                  10.00    FROZEN_DEBIT   OK
  PURSE_SWEEP    key=4                                  10.00    CLOSED         OK
  PURSE_SWEEP    key=3                                  10.00    -              NOT_EXPIRED
  PURSE_SWEEP    key=2                                  10.00    -              NOT_EXPIRED
  PURSE_SWEEP    key=9                                  10.00    -              UNKNOWN_PURSE
  CREDIT         purse=2,key=2,amount=1.00              10.00    -              OK
  CREDIT         purse=2,key=4,amount=1.00              10.00    -              UNKNOWN_PURSE
  CREDIT         purse=2,key=9,amount=1.00              10.00    FROZEN_CREDIT  ACCOUNT_FROZEN
  CREDIT         purse=2,key=9,amount=0                 10.00    -              AMOUNT_INVALID
  CREDIT         purse=2,key=2,amount={BIG}             10.00    -              AMOUNT_OVERFLOW
  CREDIT         purse=3,amount=1.00                    10.00    -              BAD_REQUEST
  DEBIT          purse=2,key=2,to=MEAL,amount=1.00      10.00    -              OK
  DEBIT          purse=2,key=2,to=MEAL,amount=1.01      10.00    -              INSUFFICIENT_BALANCE
  DEBIT          purse=2,key=2,to=TRANSIT,amount=1.00   10.00    -              UNKNOWN_PURSE
  DEBIT          purse=2,key=2,to=TRANSIT,amount=1.01   10.00    -              UNKNOWN_PURSE
  DEBIT          purse=2,key=2,amount=1.00              10.00    -              UNKNOWN_PURSE
  DEBIT          purse=2,key=2,to=NONE,amount=1.00      10.00    FROZEN_DEBIT   ACCOUNT_FROZEN
  DEBIT          purse=2,key=4,to=MEAL,amount=0.50      10.00    -              UNKNOWN_PURSE
  DEBIT          purse=1,to=TRANSIT,amount=0.50         10.00    -              INSUFFICIENT_BALANCE
  DEBIT          purse=1,to=MEAL,amount=2.00            10.00    -              UNKNOWN_PURSE
  DEBIT          purse=1,to=NONE,amount=2.00            10.00    -              UNKNOWN_PURSE
  DEBIT          purse=1,amount=0.50,flag=TRANSFER      10.00    -              INSUFFICIENT_BALANCE
  DEBIT          to=MEAL,amount=8.00                    10.00    -              OK
  DEBIT          to=MEAL,amount=8.01                    10.00    -              INSUFFICIENT_BALANCE
  DEBIT          to=TRANSIT,amount=9.00                 10.00    -              OK
  DEBIT          to=TRANSIT,amount=9.01                 10.00    -              INSUFFICIENT_BALANCE
  DEBIT          to=NONE,amount=7.00                    10.00    -              OK
  DEBIT          to=NONE,amount=7.01                    10.00    -              INSUFFICIENT_BALANCE
  DEBIT          to=NONE,amount=5.00                    10.00    CREDIT_LATE    OK
  DEBIT          to=NONE,amount=5.01                    10.00    CREDIT_LATE    CREDIT_LATE
  DEBIT          to=NONE,amount=7.01                    10.00    CREDIT_LATE    INSUFFICIENT_BALANCE
  DEBIT          to=NONE,amount=7.00,flag=WAY_HOME      10.00    CREDIT_LATE    OK
  DEBIT          to=MEAL,amount=5.00,flag=PAYOUT        10.00    -              OK
  DEBIT          to=MEAL,amount=5.01,flag=PAYOUT        10.00    -              INSUFFICIENT_BALANCE
  DEBIT          to=NONE,amount=5.01,flag=TRANSFER      10.00    -              INSUFFICIENT_BALANCE
  DEBIT          to=NONE,amount=5.00,flag=PAYOUT        10.00    CREDIT_LATE    OK
  DEBIT          to=NONE,amount=5.00,flag=PAYOUT        10.00    FROZEN_DEBIT   ACCOUNT_FROZEN
  DEBIT          purse=2,key=2,amount=1.00,flag=PAYOUT  10.00    -              BAD_REQUEST
  DEBIT          purse=2,key=2,amount=1.00,flag=TRANSFER 10.00   -              OK
  DEBIT          to=NONE,amount=1.00,flags=24           10.00    -              BAD_REQUEST
  CREDIT         purse=2,key=2,amount=1.00,flag=TRANSFER 10.00   -              OK
  CREDIT         purse=1,amount=1.00,flag=PAYOUT        10.00    -              BAD_REQUEST
  CREDIT         amount=1.00,flag=PAYOUT                10.00    FROZEN_CREDIT  ACCOUNT_FROZEN
  ADJUST         amount=-20.00,ver=1,flag=PAYOUT        10.00    -              OK
  ADJUST         amount=-1.00,ver=1,flag=TRANSFER       10.00    -              BAD_REQUEST
  DEBIT          to=32,amount=1.00                      10.00    -              BAD_REQUEST
  DEBIT          to=NONE,amount={(1 << 63) - 1}         10.00    -              AMOUNT_OVERFLOW
  DEBIT          to=NONE,amount=7.01                    10.00    FROZEN_DEBIT   ACCOUNT_FROZEN
  ADJUST         purse=2,key=4,amount=-0.50,ver=1       10.00    CLOSED         OK
  ADJUST         purse=2,key=2,amount=-1.01,ver=1       10.00    -              INSUFFICIENT_BALANCE
  HOLD_PLACE     key=9,amount=7.00,ends=h               10.00    -              OK
  HOLD_PLACE     key=9,amount=7.01,ends=h               10.00    -              INSUFFICIENT_BALANCE
  HOLD_PLACE     key=9,amount=7.00,ends=h               10.00    CREDIT_LATE    CREDIT_LATE
  HOLD_PLACE     key=1,amount=7.01,ends=h               10.00    -              INSUFFICIENT_BALANCE
  HOLD_PLACE     key=1,amount=1.00,ends=h               10.00    -              ALREADY_EXISTS
  HOLD_PLACE     key=9,amount=1.00                      10.00    FROZEN_DEBIT   BAD_TIME
  HOLD_PLACE     key=9,amount=1.00,ends=h               10.00    FROZEN_DEBIT   ACCOUNT_FROZEN
  HOLD_PLACE     key=9,amount=1.00,ends=h               10.00    FROZEN_CREDIT  OK
  HOLD_PLACE     key=9,amount=1.00,ends=h               10.00    CLOSED         ACCOUNT_CLOSED
  HOLD_PLACE     key=9,amount=0,ends=h                  10.00    -              AMOUNT_INVALID
  HOLD_PLACE     key=9,amount={BIG},ends=h              10.00    -              AMOUNT_OVERFLOW
  HOLD_PLACE     key=0,amount=1.00,ends=h               10.00    -              BAD_REQUEST
  HOLD_PLACE     key=9,amount=1.00,ends=h,cur=840       10.00    -              CURRENCY_MISMATCH
  HOLD_CAPTURE   key=1,amount=4.00                      10.00    -              OK
  HOLD_CAPTURE   key=1,amount=4.00                      0.00     FROZEN_DEBIT   OK
  HOLD_CAPTURE   key=1,amount=4.00                      -9.00    CREDIT_LATE    OK
  HOLD_CAPTURE   key=1,amount=4.01                      10.00    -              OVER_CAPTURE
  HOLD_CAPTURE   key=1,amount=0                         10.00    -              AMOUNT_INVALID
  HOLD_CAPTURE   key=2,amount=9.00                      10.00    -              HOLD_EXPIRED
  HOLD_CAPTURE   key=9,amount=1.00                      10.00    -              UNKNOWN_HOLD
  HOLD_CAPTURE   key=9,amount=0                         10.00    -              AMOUNT_INVALID
  HOLD_CAPTURE   key=1,amount=1.00,ver=8                10.00    -              VERSION_CONFLICT
  HOLD_RELEASE   key=1                                  10.00    CLOSED         OK
  HOLD_RELEASE   key=2                                  10.00    -              OK
  HOLD_RELEASE   key=9                                  10.00    -              UNKNOWN_HOLD
  HOLD_EXTEND    key=1,ends=m                           10.00    FROZEN_DEBIT   OK
  HOLD_EXTEND    key=1,ends=h                           10.00    -              BAD_TIME
  HOLD_EXTEND    key=1,ends=0                           10.00    CLOSED         BAD_TIME
  HOLD_EXTEND    key=2,ends=h                           10.00    -              HOLD_EXPIRED
  HOLD_EXTEND    key=9,ends=h                           10.00    -              UNKNOWN_HOLD
  HOLD_EXPIRE    key=2                                  10.00    FROZEN_DEBIT   OK
  HOLD_EXPIRE    key=1                                  10.00    -              NOT_EXPIRED
  HOLD_EXPIRE    key=9                                  10.00    -              UNKNOWN_HOLD
  SET_TIER       tier=15                                10.00    -              OK
  SET_TIER       tier=16                                10.00    CLOSED         BAD_REQUEST
  SET_TIER       tier=1                                 10.00    CLOSED         ACCOUNT_CLOSED
  CREDIT_STATE   flag=LATE                              10.00    -              OK
  CREDIT_STATE   flag=LATE                              10.00    CLOSED         ACCOUNT_CLOSED
  PLAN_OPEN      key=9,number=6,amount=2.00             -2.00    -              OK
  PLAN_OPEN      key=9,number=6,amount=2.01             -2.00    -              AMOUNT_INVALID
  PLAN_OPEN      key=9,number=0,amount=2.00             -2.00    -              BAD_REQUEST
  PLAN_OPEN      key=1,number=6,amount=2.00             -2.00    -              ALREADY_EXISTS
  PLAN_REPAY     key=1,amount=3.00                      10.00    FROZEN_DEBIT   OK
  PLAN_REPAY     key=1,amount=3.01                      10.00    -              AMOUNT_INVALID
  PLAN_REPAY     key=9,amount=3.00                      10.00    -              UNKNOWN_PLAN
  WRITE_OFF      amount=2.00,ver=1                      -2.00    CLOSED         OK
  WRITE_OFF      amount=2.01,ver=1                      -2.00    -              AMOUNT_INVALID
  WRITE_OFF      amount=2.00                            -2.00    -              BAD_REQUEST
  WRITE_OFF      amount=2.00,ver=8                      -2.00    -              VERSION_CONFLICT
  ACCOUNT_CLOSE  -                                      0.00     -              HOLD_OPEN
"""


@pytest.mark.parametrize("row", rows(CASES), ids=" ".join)
def test_every_refusal(row: list[str]) -> None:
    op, given, balance, status, reason = row
    world = wallet(balance, status=status)
    made = world.wallet_command(order(world, Op[op], read_given(given)))
    assert Reason(made.reason).name == reason


def test_the_order_of_drawing_is_priority_then_expiry_then_number() -> None:
    """The subsidy stands at priority 10; no more than four cells pay."""
    world = rider(balance="10.00")
    soon, late = world.now_us + 1, world.now_us + 2
    plan = [(7, 11, 0), (6, 10, 0), (5, 10, late), (4, 10, soon), (3, 10, soon), (2, 9, 0)]
    world.cells = [Cell(CellType.PURSE, key, Purse(10, ends, 0, 1, how)) for key, how, ends in plan]
    world.rider.subsidy_minor = 10
    taken = {"purpose": Purpose.TRANSIT, "amount_minor": 60}
    made = world.wallet_command(order(world, Op.DEBIT, taken))
    assert made.parts == ((2, 10), (3, 10), (4, 10), (5, 10))
    assert (made.subsidy_minor, world.rider.balance_minor) == (10, 990)
    assert made.rules == Rule.SUBSIDY


REFUNDS = """
# before  amount  charge      reason           main   purse_2  purse_3
  0       3.50    known       OK               3.50   0.00     0.00
  0       4.00    known       OK               3.50   0.50     0.00
  0       5.00    known       OK               3.50   0.50     1.00
  3.50    0.20    known       OK               0.00   0.20     0.00
  4.00    1.00    known       OK               0.00   0.00     1.00
  4.00    1.01    known       OVER_REFUND      -      -        -
  5.00    0.01    known       OVER_REFUND      -      -        -
  0       5.01    known       OVER_REFUND      -      -        -
  0       0       known       AMOUNT_INVALID   -      -        -
  0       1.00    unknown     UNKNOWN_CHARGE   -      -        -
  0       1.00    old         UNKNOWN_CHARGE   -      -        -
  0       5.00    gone        OK               5.00   0.00     0.00
"""


@pytest.mark.parametrize("row", rows(REFUNDS), ids=" ".join)
def test_refunds(row: list[str]) -> None:
    """E 36: never more than was taken; the part of a purse that has gone is the main one's."""
    before, amount, charge, reason, *after = row
    world = wallet("0.00")
    charge_us = world.now_us - (MONTH_US + 1 if charge == "old" else 0)
    if before != "0":
        one = Refunded(5, 1, 500, minor(before), charge_us)
        world.cells.append(Cell(CellType.REFUND, 9, one))
    if charge == "gone":
        world.cells = [one for one in world.cells if one.type != CellType.PURSE]
    given = {"amount_minor": minor(amount), "charge_client": 5, "charge_high": 1, "charge_low": 9}
    paid = None if charge == "unknown" else reference.Paid(500, 0, PAID.parts, charge_us)
    had = {cell.key: cell.payload.balance_minor for cell in world.cells if is_purse(cell)}  # type: ignore[union-attr]
    made = world.wallet_command(order(world, Op.REFUND, given), paid)
    assert Reason(made.reason).name == reason
    if reason == "OK":
        has = {cell.key: cell.payload.balance_minor for cell in world.cells if is_purse(cell)}  # type: ignore[union-attr]
        given_back = [world.rider.balance_minor, *(has.get(k, 0) - had.get(k, 0) for k in (2, 3))]
        assert given_back == [minor(one) for one in after]
        assert made.period_paid_minor == minor(before if before != "0" else "0.00") + minor(amount)


LATE = """
# place cell  said  amount reason          given back in all
  0     -     0.00  1.00   UNKNOWN_CHARGE  -
  7     -     0.00  5.00   OK              5.00
  7     -     0.00  5.01   OVER_REFUND     -
  7     -     2.00  3.00   OK              5.00
  7     -     2.00  3.01   OVER_REFUND     -
  7     4.00  0.00  1.00   OK              5.00
  7     4.00  0.00  1.01   OVER_REFUND     -
  7     1.00  4.00  1.00   OK              5.00
  7     1.00  4.00  1.01   OVER_REFUND     -
"""


@pytest.mark.parametrize("row", rows(LATE), ids=" ".join)
def test_a_late_refund_counts_what_cell_or_ledger_know(row: list[str]) -> None:
    """Its charge is behind the horizon: of the two that say what went back, the greater holds."""
    place, cell, said, amount, reason, after = row
    world = wallet("0.00")
    charge_us = world.now_us - MONTH_US - 1
    if cell != "-":
        world.cells.append(Cell(CellType.REFUND, 9, Refunded(5, 1, 500, minor(cell), charge_us)))
    given = {"amount_minor": minor(amount), "charge_client": 5, "charge_high": 1, "charge_low": 9}
    asked = order(world, Op.REFUND, given | {"key": int(place)})
    made = world.wallet_command(
        replace(asked, expires_us=minor(said)), reference.Paid(500, 0, PAID.parts, charge_us)
    )
    assert Reason(made.reason).name == reason
    if reason == "OK":
        assert made.period_paid_minor == minor(after)
        (kept,) = (one.payload for one in world.cells if one.type == CellType.REFUND)
        assert isinstance(kept, Refunded)
        assert (kept.refunded_minor, kept.charge_us) == (minor(after), world.now_us)


def test_a_charge_that_is_known_by_its_id_is_no_late_one() -> None:
    """Two ways at once would count apart."""
    world = wallet("0.00")
    given = {"amount_minor": 1, "charge_client": 5, "charge_high": 1, "charge_low": 9, "key": 7}
    paid = reference.Paid(500, 0, PAID.parts, world.now_us - MONTH_US)
    made = world.wallet_command(order(world, Op.REFUND, given), paid)
    assert made.reason == Reason.UNKNOWN_CHARGE


@pytest.mark.parametrize("own", [0, FactFlag.PAYOUT, FactFlag.TRANSFER])
@pytest.mark.parametrize("said", [0, FactFlag.PAYOUT, FactFlag.TRANSFER])
def test_a_payout_or_transfer_is_given_back_as_what_it_was(own: int, said: int) -> None:
    """Else money that went to a bank could come back as the refund of a purchase."""
    world = wallet("0.00")
    given = {"amount_minor": 500, "charge_client": 5, "charge_high": 1, "charge_low": 9}
    paid = reference.Paid(500, charge_us=world.now_us, own_money=own)
    made = world.wallet_command(order(world, Op.REFUND, {**given, "flags": said}), paid)
    assert made.reason == (Reason.OK if own == said else Reason.UNKNOWN_CHARGE)


def is_purse(cell: Cell) -> bool:
    return cell.type == CellType.PURSE


def test_the_memory_of_a_refund_outlives_the_charge() -> None:
    """Its cell may be taken for something new only when nobody can name the charge any more."""
    for age_us, reason in ((MONTH_US, Reason.TOO_MANY_CELLS), (MONTH_US + 1, Reason.OK)):
        world = rider()
        world.cells_max = 1
        world.cells = [Cell(CellType.REFUND, 9, Refunded(5, 1, 500, 500, world.now_us - age_us))]
        made = world.wallet_command(order(world, Op.PURSE_OPEN, {"key": 2, "purposes": 1}))
        assert made.reason == reason


def test_a_hold_captured_to_its_end_is_gone() -> None:
    """E 35: of two captures that do not both fit, the second is refused."""
    world = wallet()
    first = world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 300}))
    assert (first.amount_minor, first.period_paid_minor) == (-300, 100)
    second = world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 300}))
    assert second.reason == Reason.OVER_CAPTURE
    world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 100}))
    gone = world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 1}))
    assert gone.reason == Reason.UNKNOWN_HOLD
    assert world.rider.held_minor == 100


def test_a_final_capture_lets_the_rest_go() -> None:
    world = wallet()
    final = {"key": 1, "amount_minor": 1, "flags": FactFlag.FINAL}
    made = world.wallet_command(order(world, Op.HOLD_CAPTURE, final))
    assert (made.period_paid_minor, world.rider.held_minor) == (0, 100)


def test_a_hold_expires_at_its_instant_and_not_before() -> None:
    """E 34: whichever of expiry and capture comes first, the other finds nothing."""
    world = wallet()
    world.wait(HOUR_US - 1)
    assert world.wallet_command(order(world, Op.HOLD_EXPIRE, {"key": 1})).reason == (
        Reason.NOT_EXPIRED
    )
    world.wait(1)
    late = world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 1}))
    assert late.reason == Reason.HOLD_EXPIRED
    assert world.wallet_command(order(world, Op.HOLD_EXPIRE, {"key": 1})).reason == Reason.OK
    late = world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 1}))
    assert late.reason == Reason.UNKNOWN_HOLD


CLOSING = [
    ([Cell(CellType.HOLD, 1, Hold(1, 0, 1, 1))], Reason.HOLD_OPEN),
    ([Cell(CellType.PURSE, 2, Purse(1))], Reason.BALANCE_NOT_ZERO),
    ([Cell(CellType.PURSE, 2, Purse(0))], Reason.OK),
    ([Cell(CellType.PLAN, 1, Plan(1, 1))], Reason.BALANCE_NOT_ZERO),
    ([Cell(CellType.PASS, 1, Pass(0, 0, 0, -1))], Reason.BALANCE_NOT_ZERO),
    ([Cell(CellType.PASS, 1, Pass(0, 1, 0, -1))], Reason.OK),
    ([Cell(CellType.PASS, 1, Pass(0, 0, 0, 0))], Reason.OK),
]


@pytest.mark.parametrize(("held", "reason"), CLOSING)
def test_closing_needs_an_empty_wallet(held: list[Cell], reason: Reason) -> None:
    """E 38."""
    world = rider(balance="0.00")
    world.cells = held
    assert world.wallet_command(order(world, Op.ACCOUNT_CLOSE, {})).reason == reason


def test_a_credit_limit_below_what_is_used() -> None:
    """E 41: nothing new is drawn, what was held can still be captured, and money comes back."""
    world = rider(balance="-4.00")
    world.rider.credit_limit_minor, world.rider.held_minor = 500, 100
    world.cells = [Cell(CellType.HOLD, 1, Hold(100, 0, 100, world.now_us + 1))]
    assert world.command(Op.SET_CREDIT_LIMIT, amount_minor=100).reason == Reason.OK
    short = world.wallet_command(order(world, Op.DEBIT, {"amount_minor": 1}))
    assert short.reason == Reason.INSUFFICIENT_BALANCE
    assert world.enter(EAST).reason == Reason.INSUFFICIENT_BALANCE
    taken = world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 100}))
    assert (taken.reason, world.rider.balance_minor) == (Reason.OK, -500)


def test_after_a_freeze_nothing_new_and_the_way_home() -> None:
    """E 37, for one account."""
    world = wallet()
    assert world.enter(EAST).reason == Reason.OK
    world.command(Op.FREEZE, status_bits=AccountStatus.FROZEN_DEBIT)
    for op, given in (
        (Op.DEBIT, {"amount_minor": 1}),
        (Op.HOLD_PLACE, {"key": 9, "amount_minor": 1, "ends": HOUR_US}),
    ):
        assert world.wallet_command(order(world, op, given)).reason == Reason.ACCOUNT_FROZEN
    world.wait(HOUR_US // 2)
    taken = world.wallet_command(order(world, Op.HOLD_CAPTURE, {"key": 1, "amount_minor": 100}))
    assert taken.reason == Reason.OK
    assert world.leave(EAST).reason == Reason.OK_DEBT
    assert world.enter(EAST).reason == Reason.ACCOUNT_FROZEN


def test_a_late_credit_line_lets_a_rider_out_and_nobody_in() -> None:
    world = rider(balance="3.00")
    world.rider.credit_limit_minor = 10_00
    assert world.enter(EAST).reason == Reason.OK
    world.wallet_command(order(world, Op.CREDIT_STATE, {"flags": FactFlag.LATE}))
    world.wallet_command(order(world, Op.DEBIT, {"amount_minor": 300}))
    assert world.wait(HOUR_US // 2).leave(EAST).reason == Reason.OK
    assert world.rider.balance_minor == -300
    assert world.wait(HOUR_US).enter(EAST).reason == Reason.CREDIT_LATE
    world.wallet_command(order(world, Op.CREDIT_STATE, {}))
    assert world.enter(EAST).reason == Reason.OK


MOVES = [
    ({}, {}, 6, Reason.OK),
    ({"status": AccountStatus.CLOSED}, {}, 6, Reason.ACCOUNT_CLOSED),
    ({"currency": 840}, {}, 6, Reason.CURRENCY_MISMATCH),
    ({}, {"journey_state": 1, "version": 9}, 6, Reason.VERSION_CONFLICT),
    ({}, {"journey_state": 1}, 6, Reason.ALREADY_IN),
    ({}, {}, 5, Reason.ALREADY_EXISTS),
]


@pytest.mark.parametrize(("to", "leaves", "slot", "reason"), MOVES)
def test_moving_a_medium(
    to: dict[str, int], leaves: dict[str, int], slot: int, reason: Reason
) -> None:
    world = rider()
    assert world.medium is not None
    world.medium.account_slot = slot
    for name, value in to.items():
        setattr(world.rider, name, value)
    old = reference.Account(**{"account_id": 9, "version": 3, "currency": 156} | leaves)
    assert world.move(order(world, Op.MEDIUM_MOVE, {"key": 3}), old).reason == reason


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (0, Reason.UNKNOWN_MEDIUM),
        (2, Reason.MEDIUM_LOST),
        (3, Reason.MEDIUM_EXPIRED),
        (4, Reason.MEDIUM_LOST),
        (5, Reason.DENYLISTED),
    ],
)
def test_only_an_active_medium_moves(state: int, reason: Reason) -> None:
    world = rider()
    assert world.medium is not None
    world.medium.state, world.medium.account_slot = state, 6
    old = reference.Account(account_id=9, currency=156)
    assert world.move(order(world, Op.MEDIUM_MOVE, {}), old).reason == reason


def test_wallet_commands_on_an_unknown_account() -> None:
    world = rider()
    world.account, world.cells = None, []
    given = {"key": 9, "amount_minor": 1, "purposes": 1, "number": 1, "charge_low": 1}
    for op in (Op.CREDIT, Op.DEBIT, Op.ACCOUNT_CLOSE, *range(Op.PURSE_OPEN, Op.MEDIUM_MOVE)):
        ends = HOUR_US if op in (Op.HOLD_PLACE, Op.HOLD_EXTEND) else None
        said = given | ({"expected_version": 1} if op == Op.WRITE_OFF else {})
        said |= {} if ends is None else {"ends": ends}
        made = world.wallet_command(order(world, Op(op), said))
        assert made.reason == Reason.UNKNOWN_ACCOUNT, Op(op)
