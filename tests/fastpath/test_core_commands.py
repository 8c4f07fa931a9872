"""Commands of the control plane, one case a row; every row runs through both engines."""

from __future__ import annotations

import pytest

from fastpath import reference
from fastpath.types import AccountStatus, MediumKind, MediumState, Op, Purpose, Reason, Rule
from tests.fastpath.city import EAST, minor, rider, rows
from tests.fastpath.world import SLOT, World

CASES = """
# command     purse amount   balance subsidy held credit  status        reason               after
  CREDIT      0     5.00     1.00    0.00    0.00 0.00   -             OK                   6.00
  CREDIT      1     5.00     1.00    0.00    0.00 0.00   -             OK                   5.00
  CREDIT      0     5.00     -9.00   0.00    0.00 0.00   -             OK                   -4.00
  CREDIT      0     5.00     1.00    0.00    0.00 0.00   FROZEN_DEBIT  OK                   6.00
  CREDIT      0     5.00     1.00    0.00    0.00 0.00   FROZEN_CREDIT ACCOUNT_FROZEN       1.00
  CREDIT      0     5.00     1.00    0.00    0.00 0.00   CLOSED        ACCOUNT_CLOSED       1.00
  CREDIT      0     0.00     1.00    0.00    0.00 0.00   -             AMOUNT_INVALID       1.00
  CREDIT      0     -1.00    1.00    0.00    0.00 0.00   -             AMOUNT_INVALID       1.00
  CREDIT      2     5.00     1.00    0.00    0.00 0.00   -             BAD_REQUEST          0.00
  DEBIT       0     5.00     5.00    0.00    0.00 0.00   -             OK                   0.00
  DEBIT       0     5.00     4.99    9.00    0.00 0.00   -             INSUFFICIENT_BALANCE 4.99
  DEBIT       0     5.00     5.00    0.00    0.01 0.00   -             INSUFFICIENT_BALANCE 5.00
  DEBIT       0     5.00     1.00    0.00    0.00 4.00   -             OK                   -4.00
  DEBIT       0     5.00     1.00    0.00    0.01 4.00   -             INSUFFICIENT_BALANCE 1.00
  DEBIT       1     5.00     9.00    5.00    0.00 0.00   -             OK                   0.00
  DEBIT       1     5.00     9.00    4.00    0.00 9.00   -             INSUFFICIENT_BALANCE 4.00
  DEBIT       0     5.00     9.00    0.00    0.00 0.00   FROZEN_DEBIT  ACCOUNT_FROZEN       9.00
  DEBIT       0     5.00     9.00    0.00    0.00 0.00   FROZEN_CREDIT OK                   4.00
  DEBIT       0     0.00     9.00    0.00    0.00 0.00   -             AMOUNT_INVALID       9.00
  ADJUST      0     -5.00    1.00    0.00    0.00 0.00   -             OK                   -4.00
  ADJUST      0     5.00     1.00    0.00    0.00 0.00   CLOSED        OK                   6.00
  ADJUST      1     -5.00    1.00    4.00    0.00 0.00   -             INSUFFICIENT_BALANCE 4.00
  ADJUST      1     -5.00    1.00    5.00    0.00 0.00   -             OK                   0.00
  ADJUST      0     0.00     1.00    0.00    0.00 0.00   -             AMOUNT_INVALID       1.00
"""


@pytest.mark.parametrize("row", rows(CASES), ids=" ".join)
def test_money(row: list[str]) -> None:
    op, purse, amount, balance, subsidy, held, credit, status, reason, after = row
    world = rider(balance=balance)
    account = world.rider
    account.subsidy_minor, account.held_minor = minor(subsidy), minor(held)
    account.credit_limit_minor = minor(credit)
    account.status = 0 if status == "-" else AccountStatus[status]
    expected_version = 1 if op == "ADJUST" else 0
    made = world.command(
        Op[op],
        purse=int(purse),
        amount_minor=minor(amount),
        expected_version=expected_version,
        facts=reference.Facts(purpose=Purpose.TRANSIT if purse == "1" else Purpose.NONE),
    )
    assert Reason(made.reason).name == reason
    assert (0, account.balance_minor, account.subsidy_minor)[
        {"0": 1, "1": 2, "2": 0}[purse]
    ] == minor(after)
    drew = op == "DEBIT" and reason == "OK" and account.balance_minor < 0
    assert (made.rules, made.fare_minor) == (Rule.CREDIT_LINE if drew else 0, 0)


LIMITS = [
    (Op.CREDIT, 1 << 60, 0, Reason.OK),
    (Op.CREDIT, 1 << 60, 1, Reason.AMOUNT_OVERFLOW),
    (Op.CREDIT, (1 << 63) - 1, 1 << 60, Reason.AMOUNT_OVERFLOW),
    (Op.DEBIT, (1 << 63) - 1, -(1 << 60), Reason.AMOUNT_OVERFLOW),
    (Op.ADJUST, -(1 << 63), 0, Reason.AMOUNT_OVERFLOW),
    (Op.ADJUST, -(1 << 60), 0, Reason.OK),
]


@pytest.mark.parametrize(("op", "amount", "balance", "reason"), LIMITS)
def test_amounts_that_do_not_fit(op: Op, amount: int, balance: int, reason: Reason) -> None:
    world = rider()
    world.rider.balance_minor = balance
    assert world.command(op, amount_minor=amount, expected_version=1).reason == reason


def test_adjust_names_the_version_it_saw() -> None:
    world = rider()
    assert world.command(Op.ADJUST, amount_minor=1).reason == Reason.BAD_REQUEST
    assert (
        world.command(Op.ADJUST, amount_minor=1, expected_version=9).reason
        == Reason.VERSION_CONFLICT
    )
    assert world.command(Op.ADJUST, amount_minor=1, expected_version=1).reason == Reason.OK
    again = world.command(Op.ADJUST, amount_minor=1, expected_version=1)
    assert again.reason == Reason.VERSION_CONFLICT


@pytest.mark.parametrize("op", [Op.CREDIT, Op.DEBIT, Op.FREEZE, Op.SET_CATEGORY, Op.ACCOUNT_CLOSE])
def test_version_conflict(op: Op) -> None:
    world = rider()
    made = world.command(op, amount_minor=1, status_bits=1, expected_version=2)
    assert made.reason == Reason.VERSION_CONFLICT


def test_currency() -> None:
    world = rider()
    assert world.command(Op.CREDIT, amount_minor=1, currency=156).reason == Reason.OK
    other = world.command(Op.CREDIT, amount_minor=1, currency=840)
    assert other.reason == Reason.CURRENCY_MISMATCH


def test_open() -> None:
    world = World(1)
    world.account = reference.Account(account_id=77)
    assert world.command(Op.ACCOUNT_OPEN).reason == Reason.BAD_REQUEST
    assert world.command(Op.ACCOUNT_OPEN, currency=1000).reason == Reason.BAD_REQUEST
    assert world.command(Op.ACCOUNT_OPEN, currency=156, rider_category=3).reason == Reason.OK
    assert (world.rider.currency, world.rider.rider_category) == (156, 3)
    assert world.command(Op.ACCOUNT_OPEN, currency=156).reason == Reason.ALREADY_EXISTS


@pytest.mark.parametrize("left", ["balance_minor", "subsidy_minor", "held_minor"])
def test_close_needs_an_empty_account(left: str) -> None:
    world = rider(balance="0.00")
    setattr(world.rider, left, 1)
    assert world.command(Op.ACCOUNT_CLOSE).reason == Reason.BALANCE_NOT_ZERO
    setattr(world.rider, left, 0)
    assert world.command(Op.ACCOUNT_CLOSE).reason == Reason.OK
    assert world.rider.status == AccountStatus.CLOSED
    assert world.command(Op.ACCOUNT_CLOSE).reason == Reason.ACCOUNT_CLOSED


def test_close_needs_the_rider_outside() -> None:
    world = rider()
    world.enter(EAST)
    world.command(Op.DEBIT, amount_minor=100_00)
    assert world.command(Op.ACCOUNT_CLOSE).reason == Reason.BALANCE_NOT_ZERO


def test_freeze_and_unfreeze() -> None:
    world = rider()
    for bits in (0, 4, 8, 5):
        assert world.command(Op.FREEZE, status_bits=bits).reason == Reason.BAD_REQUEST
    world.command(Op.FREEZE, status_bits=3)
    assert world.rider.status == 3
    world.command(Op.UNFREEZE, status_bits=1)
    assert world.rider.status == AccountStatus.FROZEN_CREDIT


CREDIT_LIMITS = [
    (0, Reason.OK),
    (1 << 60, Reason.OK),
    (-1, Reason.AMOUNT_INVALID),
    ((1 << 60) + 1, Reason.AMOUNT_OVERFLOW),
]


@pytest.mark.parametrize(("amount", "reason"), CREDIT_LIMITS)
def test_credit_limit(amount: int, reason: Reason) -> None:
    world = rider()
    assert world.command(Op.SET_CREDIT_LIMIT, amount_minor=amount).reason == reason
    assert world.rider.credit_limit_minor == (amount if reason == Reason.OK else 0)


@pytest.mark.parametrize("op", [0, 1, 2, 3, 5, 6, 7, 8, 15, 27, 99, 255])
def test_what_is_no_command_is_a_bad_request(op: int) -> None:
    assert rider().command(op).reason == Reason.BAD_REQUEST


def test_commands_on_an_unknown_account() -> None:
    world = rider()
    world.account = None
    for op in (Op.CREDIT, Op.DEBIT, Op.SET_CATEGORY, Op.FREEZE, Op.ACCOUNT_CLOSE, Op.MEDIUM_LINK):
        made = world.command(op, amount_minor=1, status_bits=1, medium_kind=1)
        assert made.reason == Reason.UNKNOWN_ACCOUNT


LINKS = [
    # state before, whose, reason, state after
    (0, SLOT, Reason.OK, MediumState.ACTIVE),
    (MediumState.ACTIVE, SLOT, Reason.OK, MediumState.ACTIVE),
    (MediumState.ACTIVE, 6, Reason.ALREADY_EXISTS, MediumState.ACTIVE),
    (MediumState.LOST, SLOT, Reason.OK, MediumState.LOST),
    (MediumState.LOST, 6, Reason.ALREADY_EXISTS, MediumState.LOST),
    (MediumState.DENYLISTED, 6, Reason.ALREADY_EXISTS, MediumState.DENYLISTED),
    (MediumState.EXPIRED, 6, Reason.OK, MediumState.ACTIVE),
    (MediumState.EXPIRED, SLOT, Reason.OK, MediumState.EXPIRED),
    (MediumState.REPLACED, SLOT, Reason.OP_CONFLICT, MediumState.REPLACED),
    (MediumState.REPLACED, 6, Reason.OP_CONFLICT, MediumState.REPLACED),
]


@pytest.mark.parametrize(("state", "slot", "reason", "after"), LINKS)
def test_link(state: int, slot: int, reason: Reason, after: int) -> None:
    world = rider()
    world.medium = reference.Medium(bytes(16), slot, MediumKind.CARD if state else 0, state)
    made = world.command(Op.MEDIUM_LINK, medium_kind=MediumKind.PHONE, expires_us=99)
    assert Reason(made.reason) == reason
    assert world.medium.state == after
    if reason == Reason.OK:
        assert (world.medium.kind, world.medium.expires_us) == (MediumKind.PHONE, 99)


@pytest.mark.parametrize(("kind", "expires_us"), [(0, 0), (7, 0), (1, -1)])
def test_link_that_is_malformed(kind: int, expires_us: int) -> None:
    made = rider().command(Op.MEDIUM_LINK, medium_kind=kind, expires_us=expires_us)
    assert made.reason == Reason.BAD_REQUEST


@pytest.mark.parametrize("before", MediumState)
@pytest.mark.parametrize("after", MediumState)
def test_medium_state(before: MediumState, after: MediumState) -> None:
    world = rider()
    assert world.medium is not None
    world.medium.state = before
    made = world.command(Op.MEDIUM_STATE, medium_state=after)
    is_final = before == MediumState.REPLACED and after != before
    assert Reason(made.reason) == (Reason.OP_CONFLICT if is_final else Reason.OK)
    assert world.medium.state == (before if is_final else after)


def test_medium_state_of_somebody_elses_medium() -> None:
    world = rider()
    assert world.medium is not None
    world.medium.account_slot = 6
    made = world.command(Op.MEDIUM_STATE, medium_state=MediumState.LOST)
    assert made.reason == Reason.UNKNOWN_MEDIUM
    world.medium.account_slot, world.medium.state = SLOT, 0
    made = world.command(Op.MEDIUM_STATE, medium_state=MediumState.LOST)
    assert made.reason == Reason.UNKNOWN_MEDIUM
    for state in (0, 6):
        made = world.command(Op.MEDIUM_STATE, medium_state=state)
        assert made.reason == Reason.BAD_REQUEST
