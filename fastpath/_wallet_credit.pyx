"""Tier, late state, instalment plans and debts given up.

The rules stand in fastpath/reference_wallet_credit.py; like the core this makes no Python object.
"""

from libc.stdint cimport int64_t

from fastpath._cell_commands cimport blank_cell, find_cell, free_cell
from fastpath._commands cimport find_change_fault, find_money_fault
from fastpath._funding cimport main_left
from fastpath._layout cimport *
from fastpath._totals cimport add_money
from fastpath._wallet cimport WalletCase

cdef enum:
    TIERS = 16


cdef int set_tier(WalletCase* case) noexcept nogil:
    cdef int fault
    if case.command.facts.tier >= TIERS:
        return REASON_BAD_REQUEST
    fault = find_change_fault(case.account, case.command)
    if fault == REASON_OK:
        case.account.tier = case.command.facts.tier
    return fault


cdef int set_late(WalletCase* case) noexcept nogil:
    cdef int fault = find_change_fault(case.account, case.command)
    if fault != REASON_OK:
        return fault
    if case.command.facts.flags & FACT_LATE:
        case.account.status |= ACCOUNT_CREDIT_LATE
    else:
        case.account.status &= ~ACCOUNT_CREDIT_LATE
    return REASON_OK


# Drawn credit becomes a plan: what the credit line has left stays what it was.
cdef int open_plan(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef Cell* cell
    cdef int fault
    if command.facts.key == 0 or command.facts.number == 0:
        return REASON_BAD_REQUEST
    fault = find_money_fault(case.account, command, ACCOUNT_CLOSED, 0)
    if fault != REASON_OK:
        return fault
    if not 0 < command.amount_minor <= -case.account.balance_minor:
        return REASON_AMOUNT_INVALID
    if find_cell(case.extras, CELL_PLAN, command.facts.key) != NULL:
        return REASON_ALREADY_EXISTS
    cell = blank_cell(case.extras, CELL_PLAN, command.facts.key, command)
    if cell == NULL:
        return REASON_TOO_MANY_CELLS
    cell.plan.principal_minor = command.amount_minor
    cell.plan.outstanding_minor = command.amount_minor
    cell.plan.opened_us = command.now_us
    cell.plan.instalments = command.facts.number
    case.account.balance_minor += command.amount_minor
    case.out.amount_minor = command.amount_minor
    case.out.period_paid_minor = command.amount_minor
    return REASON_OK


# Whether money held would be left without cover that it had.
cdef bint uncovers(const WalletCase* case, int64_t before_minor) noexcept nogil:
    return main_left(case.account, case.extras, True) < min(0, before_minor)


# An instalment is due, or paid early: it goes back to the main purse.
cdef int repay_plan(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef int64_t before_minor
    cdef int64_t left_minor
    cdef Cell* cell
    cdef int fault
    if command.facts.key == 0:
        return REASON_BAD_REQUEST
    fault = find_money_fault(case.account, command, 0, 0)
    if fault != REASON_OK:
        return fault
    if command.amount_minor <= 0:
        return REASON_AMOUNT_INVALID
    cell = find_cell(case.extras, CELL_PLAN, command.facts.key)
    if cell == NULL:
        return REASON_UNKNOWN_PLAN
    if command.amount_minor > cell.plan.outstanding_minor:
        return REASON_AMOUNT_INVALID
    if not add_money(case.account.balance_minor, -command.amount_minor, &left_minor):
        return REASON_AMOUNT_OVERFLOW
    before_minor = main_left(case.account, case.extras, True)
    case.account.balance_minor = left_minor
    cell.plan.outstanding_minor -= command.amount_minor
    if uncovers(case, before_minor):
        case.account.balance_minor += command.amount_minor
        return REASON_INSUFFICIENT_BALANCE
    case.out.amount_minor = -command.amount_minor
    case.out.period_paid_minor = cell.plan.outstanding_minor
    if cell.plan.outstanding_minor == 0:
        free_cell(cell)
    return REASON_OK


# A debt is given up, up to nothing owed, whatever the account's standing.
cdef int write_off(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef int fault
    if command.expected_version == 0:
        return REASON_BAD_REQUEST
    fault = find_money_fault(case.account, command, 0, 0)
    if fault != REASON_OK:
        return fault
    if not 0 < command.amount_minor <= -case.account.balance_minor:
        return REASON_AMOUNT_INVALID
    case.account.balance_minor += command.amount_minor
    case.out.amount_minor = command.amount_minor
    return REASON_OK


cdef int decide_credit_command(WalletCase* case) noexcept nogil:
    if case.command.op == OP_SET_TIER:
        return set_tier(case)
    if case.command.op == OP_CREDIT_STATE:
        return set_late(case)
    if case.command.op == OP_PLAN_OPEN:
        return open_plan(case)
    return repay_plan(case) if case.command.op == OP_PLAN_REPAY else write_off(case)
