"""Holds: money reserved on main purse and credit line; and refunds of what was taken.

The rules stand in fastpath/reference_wallet_holds.py and _refunds.py; like the core this makes no
Python object.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastpath._cell_commands cimport blank_cell, find_cell, free_cell
from fastpath._commands cimport find_change_fault, find_money_fault, find_plain_fault
from fastpath._funding cimport find_funds_fault, put_parts, split_parts
from fastpath._layout cimport *
from fastpath._limits cimport check_spend, reserve_spend, uncount_spend
from fastpath._totals cimport add_money
from fastpath._wallet cimport Paid, WalletCase, note_spent, own_money


# --- holds ----------------------------------------------------------------------------------------

cdef int find_place_fault(const WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef int64_t sum_minor
    cdef int fault
    if command.facts.key == 0 or (command.facts.purpose >= 32
                                  and command.facts.purpose != PURPOSE_NONE):
        return REASON_BAD_REQUEST
    if command.expires_us <= command.now_us:
        return REASON_BAD_TIME
    fault = find_money_fault(case.account, command, ACCOUNT_CLOSED, ACCOUNT_FROZEN_DEBIT)
    if fault != REASON_OK:
        return fault
    if command.amount_minor <= 0:
        return REASON_AMOUNT_INVALID
    if not add_money(case.account.held_minor, command.amount_minor, &sum_minor):
        return REASON_AMOUNT_OVERFLOW
    fault = find_funds_fault(case.account, case.extras, command.amount_minor, 0, False)
    if fault == REASON_OK:
        fault = check_spend(case.limits, case.account, case.extras, command.amount_minor,
                            command.now_us)
    if fault != REASON_OK:
        return fault
    if find_cell(case.extras, CELL_HOLD, command.facts.key) != NULL:
        return REASON_ALREADY_EXISTS
    return REASON_OK


cdef int place_hold(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef int fault = find_place_fault(case)
    cdef Cell* cell
    if fault == REASON_OK:   # its captures will be counted
        fault = reserve_spend(case.limits, case.account, case.extras, command.now_us)
    if fault != REASON_OK:
        return fault
    cell = blank_cell(case.extras, CELL_HOLD, command.facts.key, command)
    if cell == NULL:
        return REASON_TOO_MANY_CELLS
    cell.hold.placed_minor = command.amount_minor
    cell.hold.left_minor = command.amount_minor
    cell.hold.expires_us = command.expires_us
    cell.hold.merchant = command.facts.merchant
    cell.hold.purpose = command.facts.purpose
    case.account.held_minor += command.amount_minor
    case.out.period_paid_minor = command.amount_minor
    return REASON_OK


cdef void let_go(WalletCase* case, Hold* hold, int64_t amount_minor) noexcept nogil:
    hold.left_minor -= amount_minor
    case.account.held_minor -= amount_minor


cdef void end_hold(WalletCase* case, Cell* cell) noexcept nogil:
    let_go(case, &cell.hold, cell.hold.left_minor)
    free_cell(cell)


# Whatever froze the account since the hold was placed.
cdef int capture_hold(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef int fault = find_money_fault(case.account, command, 0, 0)
    cdef int64_t left_minor
    cdef Cell* cell
    if fault != REASON_OK:
        return fault
    if command.amount_minor <= 0:
        return REASON_AMOUNT_INVALID
    cell = find_cell(case.extras, CELL_HOLD, command.facts.key)
    if cell == NULL:
        return REASON_UNKNOWN_HOLD
    if cell.hold.expires_us <= command.now_us:
        return REASON_HOLD_EXPIRED
    if command.amount_minor > cell.hold.left_minor:
        return REASON_OVER_CAPTURE
    if not add_money(case.account.balance_minor, -command.amount_minor, &left_minor):
        return REASON_AMOUNT_OVERFLOW
    case.account.balance_minor = left_minor
    case.out.amount_minor = -command.amount_minor
    note_spent(case)
    if left_minor < 0:
        case.out.rules |= RULE_CREDIT_LINE
    cell.hold.captured_minor += command.amount_minor
    let_go(case, &cell.hold, command.amount_minor)
    if command.facts.flags & FACT_FINAL:
        let_go(case, &cell.hold, cell.hold.left_minor)
    case.out.period_paid_minor = cell.hold.left_minor
    if cell.hold.left_minor == 0:
        free_cell(cell)
    return REASON_OK


cdef int release_hold(WalletCase* case) noexcept nogil:
    cdef int fault = find_plain_fault(case.account, case.command)
    cdef Cell* cell
    if fault != REASON_OK:
        return fault
    cell = find_cell(case.extras, CELL_HOLD, case.command.facts.key)
    if cell == NULL:
        return REASON_UNKNOWN_HOLD
    if case.command.op == OP_HOLD_EXPIRE and cell.hold.expires_us > case.command.now_us:
        return REASON_NOT_EXPIRED
    end_hold(case, cell)
    return REASON_OK


# Only to later than it lasts, only while it does.
cdef int extend_hold(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef Cell* cell = find_cell(case.extras, CELL_HOLD, command.facts.key)
    cdef int fault
    if command.expires_us <= command.now_us:
        return REASON_BAD_TIME
    if case.account != NULL and cell != NULL and command.expires_us <= cell.hold.expires_us:
        return REASON_BAD_TIME
    fault = find_change_fault(case.account, command)
    if fault != REASON_OK:
        return fault
    if cell == NULL:
        return REASON_UNKNOWN_HOLD
    if cell.hold.expires_us <= command.now_us:
        return REASON_HOLD_EXPIRED
    cell.hold.expires_us = command.expires_us
    case.out.period_paid_minor = cell.hold.left_minor
    return REASON_OK


cdef int decide_hold_command(WalletCase* case) noexcept nogil:
    if case.command.facts.key == 0:
        return REASON_BAD_REQUEST
    if case.command.op == OP_HOLD_PLACE:
        return place_hold(case)
    if case.command.op == OP_HOLD_CAPTURE:
        return capture_hold(case)
    return extend_hold(case) if case.command.op == OP_HOLD_EXTEND else release_hold(case)


# --- refunds --------------------------------------------------------------------------------------

cdef Refunded* find_refunded(const WalletCase* case) noexcept nogil:
    cdef const Facts* facts = &case.command.facts
    cdef Cell* cell
    cdef uint32_t i
    for i in range(case.extras.count):
        cell = &case.extras.cells[i]
        if (cell.type == CELL_REFUND and cell.key == facts.charge_low
                and cell.refunded.client == facts.charge_client
                and cell.refunded.id_high == facts.charge_high):
            return &cell.refunded
    return NULL


# Of a charge behind the answer horizon: the command says where its record lies (facts.key).
cdef bint is_late(const Command* command) noexcept nogil:
    return command.facts.key != 0 and command.facts.flags & FACT_FARE == 0


# What was given back of the charge: what the cell knows. Of a late one the cell may be gone, and the
# command says what the ledger knows (expires_us): the greater holds.
cdef int64_t given_back(const WalletCase* case, const Refunded* refunded) noexcept nogil:
    cdef int64_t before_minor = refunded.refunded_minor if refunded != NULL else 0
    return max(before_minor, case.command.expires_us) if is_late(case.command) else before_minor


cdef int find_refund_fault(const WalletCase* case, int64_t before_minor) noexcept nogil:
    cdef const Command* command = case.command
    cdef int fault
    if command.facts.charge_high == 0 and command.facts.charge_low == 0:
        return REASON_BAD_REQUEST
    fault = find_money_fault(case.account, command, ACCOUNT_CLOSED, 0)
    if fault != REASON_OK:
        return fault
    if command.amount_minor <= 0:
        return REASON_AMOUNT_INVALID
    if (case.paid == NULL or not case.paid.is_known
            or (case.paid.charge_us < command.now_us - command.horizon_us) != is_late(command)
            or case.paid.own_money != own_money(&command.facts)):
        return REASON_UNKNOWN_CHARGE
    if command.amount_minor > case.paid.charged_minor - before_minor:
        return REASON_OVER_REFUND
    return REASON_OK


# What goes where: main purse first, then purse cells, the last drawn first, then the subsidy.
cdef struct Slices:
    int64_t skip_minor          # given back before
    int64_t amount_minor        # still to give
    int64_t main_minor
    int64_t subsidy_minor
    uint32_t count
    Parts parts


cdef int64_t take_slice(Slices* slices, int64_t part_minor) noexcept nogil:
    cdef int64_t skipped_minor = min(slices.skip_minor, part_minor)
    cdef int64_t taken_minor = min(slices.amount_minor, part_minor - skipped_minor)
    slices.skip_minor -= skipped_minor
    slices.amount_minor -= taken_minor
    return taken_minor


cdef void find_slices(const Paid* paid, Slices* slices) noexcept nogil:
    cdef int64_t main_minor = paid.charged_minor - paid.subsidy_minor
    cdef int64_t taken_minor
    cdef uint32_t i
    for i in range(paid.part_count):
        main_minor -= paid.parts.parts[i].amount_minor
    slices.main_minor = take_slice(slices, main_minor)
    slices.count = 0
    i = paid.part_count
    while i > 0:
        i -= 1
        taken_minor = take_slice(slices, paid.parts.parts[i].amount_minor)
        if taken_minor > 0:
            slices.parts.parts[slices.count].purse_id = paid.parts.parts[i].purse_id
            slices.parts.parts[slices.count].amount_minor = taken_minor
            slices.count += 1
    slices.subsidy_minor = take_slice(slices, paid.subsidy_minor)


cdef int give_back(WalletCase* case, int64_t before_minor) noexcept nogil:
    cdef Account* account = case.account
    cdef Slices slices
    cdef int64_t balance_minor
    cdef int64_t subsidy_minor
    slices.skip_minor = before_minor
    slices.amount_minor = case.command.amount_minor
    find_slices(case.paid, &slices)
    slices.main_minor += split_parts(case.extras, &slices.parts, <uint8_t> slices.count,
                                     case.command.now_us, case.out)
    if (not add_money(account.balance_minor, slices.main_minor, &balance_minor)
            or not add_money(account.subsidy_minor, slices.subsidy_minor, &subsidy_minor)
            or not put_parts(case.extras, case.out)):
        return REASON_AMOUNT_OVERFLOW
    account.balance_minor = balance_minor
    account.subsidy_minor = subsidy_minor
    case.out.subsidy_minor = -slices.subsidy_minor
    if slices.subsidy_minor != 0:
        case.out.rules |= RULE_SUBSIDY
    return REASON_OK


# The cell that remembers what was given back; a new one is the last thing that may fail.
cdef int decide_refund(WalletCase* case) noexcept nogil:
    cdef const Facts* facts = &case.command.facts
    cdef Refunded* refunded = find_refunded(case)
    cdef Account saved
    cdef Cell* cell
    cdef int64_t before_minor = given_back(case, refunded)
    cdef int fault = find_refund_fault(case, before_minor)
    if fault != REASON_OK:
        return fault
    saved = case.account[0]
    fault = give_back(case, before_minor)
    if fault != REASON_OK:
        return fault
    if refunded == NULL:
        cell = blank_cell(case.extras, CELL_REFUND, facts.charge_low, case.command)
        if cell == NULL:
            case.account[0] = saved
            return REASON_TOO_MANY_CELLS
        refunded = &cell.refunded
        refunded.client = facts.charge_client
        refunded.id_high = facts.charge_high
        refunded.charged_minor = case.paid.charged_minor
        refunded.charge_us = case.paid.charge_us
    if is_late(case.command):  # kept until the ledger cannot but know of this one
        refunded.charge_us = case.command.now_us
    refunded.refunded_minor = before_minor + case.command.amount_minor
    if case.paid.is_counted:
        uncount_spend(case.limits, case.extras, case.command.amount_minor, case.paid.spent_us)
    case.out.amount_minor = case.command.amount_minor
    case.out.period_paid_minor = refunded.refunded_minor
    return REASON_OK
