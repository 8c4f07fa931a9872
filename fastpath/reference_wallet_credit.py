"""Tier, late state, instalment plans and debts given up.

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Plan
from fastpath.reference_commands_cells import put_new
from fastpath.reference_funding import main_minor
from fastpath.reference_model import fits
from fastpath.reference_wallet_case import CLOSED, WalletCase, common_objections, money_objections
from fastpath.types import AccountStatus, FactFlag, Op, Reason

TIERS = 16


def _set_tier(case: WalletCase) -> set[Reason]:
    if case.command.facts.tier >= TIERS:
        return {Reason.BAD_REQUEST}
    found = common_objections(case, barred=CLOSED)
    if case.account is not None:
        case.account.tier = case.command.facts.tier
    return found


def _set_late(case: WalletCase) -> set[Reason]:
    found = common_objections(case, barred=CLOSED)
    if case.account is not None:
        case.account.status &= ~AccountStatus.CREDIT_LATE
        if case.command.facts.flags & FactFlag.LATE:
            case.account.status |= AccountStatus.CREDIT_LATE
    return found


def _find_plan(case: WalletCase) -> tuple[Cell, Plan] | None:
    cell = case.extras.find(CellType.PLAN, case.command.facts.key)
    plan = cell.payload if cell is not None else None
    return (cell, plan) if cell is not None and isinstance(plan, Plan) else None


def _open_plan(case: WalletCase) -> set[Reason]:
    """Drawn credit becomes a plan: what the credit line has left stays what it was."""
    command, facts = case.command, case.command.facts
    if facts.key == 0 or facts.number == 0:
        return {Reason.BAD_REQUEST}
    found = money_objections(case, barred=CLOSED)
    if case.account is None:
        return found
    if not 0 < command.amount_minor <= -case.account.balance_minor:
        return found | {Reason.AMOUNT_INVALID}
    if _find_plan(case):
        return found | {Reason.ALREADY_EXISTS}
    amount_minor = command.amount_minor
    plan = Plan(amount_minor, amount_minor, command.now_us, facts.number)
    fault = put_new(case.extras, Cell(CellType.PLAN, facts.key, plan), command)
    case.account.balance_minor += amount_minor
    case.out.amount_minor = case.out.period_paid_minor = amount_minor
    return found | ({fault} if fault else set())


def _repay_plan(case: WalletCase) -> set[Reason]:
    """An instalment is due, or paid early: it goes back to the main purse."""
    command = case.command
    if command.facts.key == 0:
        return {Reason.BAD_REQUEST}
    found = money_objections(case)
    if case.account is None:
        return found
    there = _find_plan(case)
    if command.amount_minor <= 0:
        return found | {Reason.AMOUNT_INVALID}
    if there is None:
        return found | {Reason.UNKNOWN_PLAN}
    cell, plan = there
    if command.amount_minor > plan.outstanding_minor:
        return found | {Reason.AMOUNT_INVALID}
    if not fits(case.account.balance_minor - command.amount_minor):
        return found | {Reason.AMOUNT_OVERFLOW}
    before = main_minor(case.account, case.extras, is_way_home=True)
    case.account.balance_minor -= command.amount_minor
    plan.outstanding_minor -= command.amount_minor
    after = main_minor(case.account, case.extras, is_way_home=True)
    if after < min(0, before):
        found.add(Reason.INSUFFICIENT_BALANCE)
    case.out.amount_minor = -command.amount_minor
    case.out.period_paid_minor = plan.outstanding_minor
    if plan.outstanding_minor == 0:
        cell.free()
    return found


def _write_off(case: WalletCase) -> set[Reason]:
    """A debt is given up, up to nothing owed, whatever the account's standing."""
    command = case.command
    if command.expected_version == 0:
        return {Reason.BAD_REQUEST}
    found = money_objections(case)
    if case.account is None:
        return found
    if not 0 < command.amount_minor <= -case.account.balance_minor:
        return found | {Reason.AMOUNT_INVALID}
    case.account.balance_minor += command.amount_minor
    case.out.amount_minor = command.amount_minor
    return found


CREDIT_OPS = {
    Op.SET_TIER: _set_tier,
    Op.CREDIT_STATE: _set_late,
    Op.PLAN_OPEN: _open_plan,
    Op.PLAN_REPAY: _repay_plan,
    Op.WRITE_OFF: _write_off,
}
