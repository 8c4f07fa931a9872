"""The reference engine's wallet commands: the specification that docs/wallet.md describes.

Money in and out of purses, purses themselves, closing; holds, refunds and the credit line stand in
reference_wallet_holds, _refunds and _credit. Each command collects *all* objections; the one
declared first in `Reason` is told. Must import only the standard library and fastpath.
"""

from __future__ import annotations

from copy import deepcopy

from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Extras, Pass, Plan, Purse
from fastpath.reference_commands_cells import put_new
from fastpath.reference_funding import (
    draw,
    find_purse,
    funds_objections,
    has_ended,
    purses_minor,
)
from fastpath.reference_limits import ask_spend, check_balance_limit
from fastpath.reference_model import Account, Command, Decision, LimitVersion, first_told, fits
from fastpath.reference_wallet_case import (
    CLOSED,
    PURSE_CELL,
    Paid,
    WalletCase,
    common_objections,
    is_purpose,
    money_objections,
    note_spent,
)
from fastpath.reference_wallet_credit import CREDIT_OPS
from fastpath.reference_wallet_holds import HOLD_OPS
from fastpath.reference_wallet_refunds import decide_refund
from fastpath.types import OWN_MONEY, AccountStatus, FactFlag, Op, Purpose, Reason, Rule, Verdict

__all__ = ["WALLET_OPS", "Paid", "decide_wallet_command"]

SUBSIDY, STORED = 1, 0


def decide_wallet_command(
    account: Account | None,
    extras: Extras | None,
    paid: Paid | None,
    command: Command,
    *,
    limits: LimitVersion | None = None,
) -> Decision:
    """Decide a wallet command; an accepted one changes account and extras.

    extras: all the account's cells (None: none and no room). paid: what the charge that a REFUND
    names took, None = not known. limits: of identity tiers. The caller writes the version.
    """
    after = deepcopy(extras) if extras is not None else Extras()
    out = Decision(ts_us=command.now_us)
    case = WalletCase(deepcopy(account), after, paid, command, out, limits)
    told = first_told(_DECIDE[Op(command.op)](case))
    if told is None and account is not None and case.account is not None:
        _take_over(account, case.account)
        if extras is not None:
            extras.cells, extras.room = after.cells, after.room
    else:
        out = Decision(reason=told or Reason.OK, ts_us=command.now_us)
    out.verdict = Verdict.DENY if told else Verdict.OPEN
    if account is not None:
        out.balance_minor = account.spendable_minor
    return out


def _take_over(account: Account, after: Account) -> None:
    account.balance_minor, account.subsidy_minor = after.balance_minor, after.subsidy_minor
    account.held_minor, account.status, account.tier = after.held_minor, after.status, after.tier


# --- money in and out -----------------------------------------------------------------------------


def _is_malformed(command: Command) -> bool:
    facts = command.facts
    bad_purse = command.purse > PURSE_CELL or (command.purse == PURSE_CELL and facts.key < 2)
    is_blind = command.op == Op.ADJUST and command.expected_version == 0
    own = facts.flags & OWN_MONEY
    pays_out = bool(own & FactFlag.PAYOUT)
    bad_flags = own == OWN_MONEY or (pays_out and command.purse != STORED)
    bad_flags |= command.op == Op.ADJUST and bool(own & FactFlag.TRANSFER)
    return bad_purse or is_blind or bad_flags or not is_purpose(facts.purpose)


def _find_purse(case: WalletCase) -> Purse | None:
    cell = find_purse(case.extras, case.command.facts.key)
    return cell.payload if cell is not None and isinstance(cell.payload, Purse) else None


def _move(case: WalletCase) -> set[Reason]:
    """CREDIT, DEBIT, ADJUST of one purse; a DEBIT of purse 0 draws by the funding order."""
    command = case.command
    if _is_malformed(command):
        return {Reason.BAD_REQUEST}
    barred = {
        Op.CREDIT: CLOSED | AccountStatus.FROZEN_CREDIT,
        Op.DEBIT: CLOSED | AccountStatus.FROZEN_DEBIT,
        Op.ADJUST: AccountStatus(0),
    }[Op(command.op)]
    found = money_objections(case, barred=barred)
    if case.account is None:
        return found
    if command.amount_minor == 0 or (command.amount_minor < 0 and command.op != Op.ADJUST):
        return found | {Reason.AMOUNT_INVALID}
    found |= _limit_objections(case)
    if command.purse == PURSE_CELL:
        found |= _move_cell(case)
    elif command.op == Op.DEBIT and command.purse == STORED:
        found |= _pay(case)
    else:
        found |= _move_inline(case)
    if command.op == Op.DEBIT and not _is_own_money(case):
        note_spent(case, command.amount_minor)
    return found


def _is_own_money(case: WalletCase) -> bool:
    return bool(case.command.facts.flags & OWN_MONEY)


def _limit_objections(case: WalletCase) -> set[Reason]:
    """What the limits of the account's tier have against a debit or a credit.

    A payout that comes back was on the account before; what a transfer brings was not.
    """
    command = case.command
    asked = (case.limits, case.owner, case.extras, command.amount_minor, command.now_us)
    if command.facts.flags & FactFlag.PAYOUT:
        return set()
    if command.op == Op.DEBIT:
        return set() if _is_own_money(case) else ask_spend(*asked)
    return check_balance_limit(*asked) if command.op == Op.CREDIT else set()


def _signed_amount(command: Command) -> int:
    return -command.amount_minor if command.op == Op.DEBIT else command.amount_minor


def _is_misused(case: WalletCase, purposes: int) -> bool:
    """Whether a payment from the purse that it names is for something else: earmarked money stays
    it. What is moved to the owner's other account, or corrected, is no payment.
    """
    command = case.command
    if command.op != Op.DEBIT or _is_own_money(case):
        return False
    return command.facts.purpose >= 32 or not purposes >> command.facts.purpose & 1


def _move_cell(case: WalletCase) -> set[Reason]:
    command, purse = case.command, _find_purse(case)
    if purse is None or (command.op != Op.ADJUST and has_ended(purse, command.now_us)):
        return {Reason.UNKNOWN_PURSE}
    if _is_misused(case, purse.purposes):
        return {Reason.UNKNOWN_PURSE}
    moved = _signed_amount(command)
    if not fits(purse.balance_minor + moved):
        return {Reason.AMOUNT_OVERFLOW}
    if purse.balance_minor + moved < 0:
        return {Reason.INSUFFICIENT_BALANCE}
    purse.balance_minor += moved
    case.out.amount_minor, case.out.period_paid_minor = moved, purse.balance_minor
    case.out.parts = ((command.facts.key, abs(moved)),)
    return set()


def _move_inline(case: WalletCase) -> set[Reason]:
    """Stored value by CREDIT or ADJUST, the subsidy by all three: that never goes below 0."""
    command, account = case.command, case.owner
    moved = _signed_amount(command)
    name = "subsidy_minor" if command.purse == SUBSIDY else "balance_minor"
    if command.purse == SUBSIDY and _is_misused(case, 1 << Purpose.TRANSIT):
        return {Reason.UNKNOWN_PURSE}
    after_minor = getattr(account, name) + moved
    if not fits(after_minor):
        return {Reason.AMOUNT_OVERFLOW}
    if command.purse == SUBSIDY and after_minor < 0:
        return {Reason.INSUFFICIENT_BALANCE}
    setattr(account, name, after_minor)
    case.out.amount_minor = moved
    return set()


def _pay(case: WalletCase) -> set[Reason]:
    command, account = case.command, case.owner
    if not fits(account.balance_minor - command.amount_minor):
        return {Reason.AMOUNT_OVERFLOW}
    if _is_own_money(case):
        return _take_own(case)
    purpose, at_us, amount_minor = command.facts.purpose, command.now_us, command.amount_minor
    purses = purses_minor(account, case.extras, purpose, at_us)
    is_way_home = bool(command.facts.flags & FactFlag.WAY_HOME)
    found = funds_objections(
        account, case.extras, amount_minor, purses=purses, is_way_home=is_way_home
    )
    if found:
        return found
    out = case.out
    out.subsidy_minor, out.parts = draw(account, case.extras, purpose, amount_minor, at_us)
    out.amount_minor = -amount_minor
    rest = amount_minor - out.subsidy_minor - sum(part for _, part in out.parts)
    out.rules |= Rule.CREDIT_LINE if rest > 0 and account.balance_minor < 0 else 0
    out.rules |= Rule.SUBSIDY if out.subsidy_minor else 0
    return set()


def _take_own(case: WalletCase) -> set[Reason]:
    """Of the main purse alone, and nothing that is held."""
    account, amount_minor = case.owner, case.command.amount_minor
    if account.balance_minor - account.held_minor < amount_minor:
        return {Reason.INSUFFICIENT_BALANCE}
    account.balance_minor -= amount_minor
    case.out.amount_minor = -amount_minor
    return set()


# --- purses ---------------------------------------------------------------------------------------


def _open_purse(case: WalletCase) -> set[Reason]:
    command, facts = case.command, case.command.facts
    if facts.key < 2 or facts.purposes == 0 or command.expires_us < 0:
        return {Reason.BAD_REQUEST}
    found = common_objections(case, barred=CLOSED)
    if 0 < command.expires_us <= command.now_us:
        found.add(Reason.BAD_TIME)
    made = Purse(0, command.expires_us, facts.merchant, facts.purposes, facts.number)
    there = _find_purse(case)
    if there is None:
        fault = put_new(case.extras, Cell(CellType.PURSE, facts.key, made), command)
        return found | ({fault} if fault else set())
    made.balance_minor = case.out.period_paid_minor = there.balance_minor
    return found if there == made else found | {Reason.ALREADY_EXISTS}


def _close_purse(case: WalletCase) -> set[Reason]:
    return _end_purse(case, common_objections(case, barred=CLOSED), is_swept=False)


def _sweep_purse(case: WalletCase) -> set[Reason]:
    """What is left in an expired purse goes back, whatever the account's standing."""
    return _end_purse(case, common_objections(case), is_swept=True)


def _end_purse(case: WalletCase, found: set[Reason], *, is_swept: bool) -> set[Reason]:
    key = case.command.facts.key
    if key < 2:
        return {Reason.BAD_REQUEST}
    cell, purse = find_purse(case.extras, key), _find_purse(case)
    if case.account is None:
        return found
    if cell is None or purse is None:
        return found | {Reason.UNKNOWN_PURSE}
    if is_swept and not has_ended(purse, case.command.now_us):
        return found | {Reason.NOT_EXPIRED}
    if not is_swept and purse.balance_minor:
        return found | {Reason.BALANCE_NOT_ZERO}
    if purse.balance_minor:
        case.out.amount_minor = -purse.balance_minor
        case.out.parts = ((key, purse.balance_minor),)
    cell.free()
    return found


# --- closing --------------------------------------------------------------------------------------


def _close(case: WalletCase) -> set[Reason]:
    found = common_objections(case, barred=CLOSED)
    if case.account is None:
        return found
    account, now_us = case.owner, case.command.now_us
    if any(cell.type == CellType.HOLD for cell in case.extras.cells):
        found.add(Reason.HOLD_OPEN)
    money = account.balance_minor or account.subsidy_minor or account.held_minor
    if money or account.is_open or any(_is_kept(cell, now_us) for cell in case.extras.cells):
        found.add(Reason.BALANCE_NOT_ZERO)
    account.status |= AccountStatus.CLOSED
    return found


def _is_kept(cell: Cell, now_us: int) -> bool:
    """Whether a cell has something that its owner would lose."""
    match cell.payload:
        case Purse(balance_minor=balance_minor):
            return balance_minor != 0
        case Plan():
            return True
        case Pass(until_us=until_us, rides_left=rides_left):
            return rides_left != 0 and not 0 < until_us <= now_us
    return False


_DECIDE = {
    Op.CREDIT: _move,
    Op.DEBIT: _move,
    Op.ADJUST: _move,
    Op.ACCOUNT_CLOSE: _close,
    Op.PURSE_OPEN: _open_purse,
    Op.PURSE_CLOSE: _close_purse,
    Op.PURSE_SWEEP: _sweep_purse,
    Op.REFUND: decide_refund,
    **HOLD_OPS,
    **CREDIT_OPS,
}
WALLET_OPS = tuple(_DECIDE)
"""Commands that are decided here."""
