"""Holds: money reserved on main purse and credit line, then captured in parts, released, expired.

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Hold
from fastpath.reference_commands_cells import put_new
from fastpath.reference_funding import funds_objections
from fastpath.reference_limits import ask_spend
from fastpath.reference_model import fits
from fastpath.reference_wallet_case import (
    CLOSED,
    WalletCase,
    common_objections,
    is_purpose,
    money_objections,
    note_spent,
)
from fastpath.types import AccountStatus, FactFlag, Op, Reason, Rule


def _find_hold(case: WalletCase) -> tuple[Cell, Hold] | None:
    cell = case.extras.find(CellType.HOLD, case.command.facts.key)
    hold = cell.payload if cell is not None else None
    return (cell, hold) if cell is not None and isinstance(hold, Hold) else None


def _place(case: WalletCase) -> set[Reason]:
    command, facts = case.command, case.command.facts
    if facts.key == 0 or not is_purpose(facts.purpose):
        return {Reason.BAD_REQUEST}
    found = money_objections(case, barred=CLOSED | AccountStatus.FROZEN_DEBIT)
    if command.expires_us <= command.now_us:
        found.add(Reason.BAD_TIME)
    if case.account is None:
        return found
    if command.amount_minor <= 0:
        return found | {Reason.AMOUNT_INVALID}
    if not fits(case.account.held_minor + command.amount_minor):
        return found | {Reason.AMOUNT_OVERFLOW}
    found |= funds_objections(case.account, case.extras, command.amount_minor)
    amount_minor = command.amount_minor
    found |= ask_spend(case.limits, case.account, case.extras, amount_minor, command.now_us)
    if _find_hold(case):
        return found | {Reason.ALREADY_EXISTS}
    hold = Hold(amount_minor, 0, amount_minor, command.expires_us, facts.merchant, facts.purpose)
    fault = put_new(case.extras, Cell(CellType.HOLD, facts.key, hold), command)
    case.account.held_minor += amount_minor
    case.out.period_paid_minor = amount_minor
    return found | ({fault} if fault else set())


def _capture(case: WalletCase) -> set[Reason]:
    """Part of a hold, whatever froze the account since; `final` gives back the rest."""
    command = case.command
    found, there = _open_hold(case, money_objections(case))
    if case.account is None or there is None:
        return found
    cell, hold = there
    if command.amount_minor <= 0:
        return found | {Reason.AMOUNT_INVALID}
    if hold.expires_us <= command.now_us:
        return found | {Reason.HOLD_EXPIRED}
    if command.amount_minor > hold.left_minor:
        return found | {Reason.OVER_CAPTURE}
    if not fits(case.account.balance_minor - command.amount_minor):
        return found | {Reason.AMOUNT_OVERFLOW}
    case.account.balance_minor -= command.amount_minor
    case.out.amount_minor = -command.amount_minor
    note_spent(case, command.amount_minor)
    case.out.rules |= Rule.CREDIT_LINE if case.account.balance_minor < 0 else 0
    hold.captured_minor += command.amount_minor
    _let_go(case, hold, command.amount_minor)
    if command.facts.flags & FactFlag.FINAL:
        _let_go(case, hold, hold.left_minor)
    case.out.period_paid_minor = hold.left_minor
    if hold.left_minor == 0:
        cell.free()
    return found


def _let_go(case: WalletCase, hold: Hold, amount_minor: int) -> None:
    hold.left_minor -= amount_minor
    case.owner.held_minor -= amount_minor


def _open_hold(
    case: WalletCase, found: set[Reason]
) -> tuple[set[Reason], tuple[Cell, Hold] | None]:
    """The hold that a command is about, and what speaks against naming it."""
    if case.command.facts.key == 0:
        return {Reason.BAD_REQUEST}, None
    there = _find_hold(case) if case.account is not None else None
    if case.account is not None and there is None:
        found = found | {Reason.UNKNOWN_HOLD}
        if case.command.op == Op.HOLD_CAPTURE and case.command.amount_minor <= 0:
            found.add(Reason.AMOUNT_INVALID)
    return found, there


def _release(case: WalletCase) -> set[Reason]:
    found, there = _open_hold(case, common_objections(case))
    if there is not None:
        _end(case, *there)
    return found


def _end(case: WalletCase, cell: Cell, hold: Hold) -> None:
    _let_go(case, hold, hold.left_minor)
    cell.free()


def _extend(case: WalletCase) -> set[Reason]:
    """Only to later than it lasts, only while it does."""
    command = case.command
    found, there = _open_hold(case, common_objections(case, barred=CLOSED))
    if Reason.BAD_REQUEST not in found and command.expires_us <= command.now_us:
        found.add(Reason.BAD_TIME)
    if there is None:
        return found
    hold = there[1]
    if hold.expires_us <= command.now_us:
        found.add(Reason.HOLD_EXPIRED)
    if command.expires_us <= hold.expires_us:
        found.add(Reason.BAD_TIME)
    hold.expires_us = command.expires_us
    case.out.period_paid_minor = hold.left_minor
    return found


def _expire(case: WalletCase) -> set[Reason]:
    found, there = _open_hold(case, common_objections(case))
    if there is None:
        return found
    if there[1].expires_us > case.command.now_us:
        return found | {Reason.NOT_EXPIRED}
    _end(case, *there)
    return found


HOLD_OPS = {
    Op.HOLD_PLACE: _place,
    Op.HOLD_CAPTURE: _capture,
    Op.HOLD_RELEASE: _release,
    Op.HOLD_EXTEND: _extend,
    Op.HOLD_EXPIRE: _expire,
}
