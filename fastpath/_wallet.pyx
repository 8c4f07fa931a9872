"""Money in and out of an account, its further purses, and closing it.

The rules stand in fastpath/reference_wallet.py; like the core this makes no Python object. Each
command looks for what speaks against it in order of precedence, then changes what it may.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath._cell_commands cimport blank_cell, find_cell, free_cell
from fastpath._commands cimport find_change_fault, find_money_fault, find_plain_fault, tell
from fastpath._extras cimport Extras
from fastpath._funding cimport draw_funds, find_funds_fault, has_ended, purses_left
from fastpath._layout cimport *
from fastpath._limits cimport LimitsC, ask_spend, check_balance_limit
from fastpath._totals cimport add_money
from fastpath._wallet_credit cimport decide_credit_command
from fastpath._wallet_holds cimport decide_hold_command, decide_refund


cdef bint is_wallet_command(uint8_t op) noexcept nogil:
    return (op == OP_CREDIT or op == OP_DEBIT or op == OP_ADJUST or op == OP_ACCOUNT_CLOSE
            or OP_PURSE_OPEN <= op <= OP_WRITE_OFF)


# --- money in and out -----------------------------------------------------------------------------

cdef bint is_malformed(const Command* command) noexcept nogil:
    if command.purse > PURSE_CELL or (command.purse == PURSE_CELL and command.facts.key < 2):
        return True
    if command.op == OP_ADJUST and command.expected_version == 0:
        return True
    if is_flagged_wrong(command, own_money(&command.facts)):
        return True
    return command.facts.purpose >= 32 and command.facts.purpose != PURPOSE_NONE


cdef bint is_flagged_wrong(const Command* command, uint8_t own) noexcept nogil:
    if own == FACT_PAYOUT:
        return command.purse != PURSE_STORED
    if own == FACT_TRANSFER:
        return command.op == OP_ADJUST
    return own != 0


# A correction goes through whatever the account's standing.
cdef int find_standing_fault(const Account* account, const Command* command) noexcept nogil:
    cdef uint16_t frozen = ACCOUNT_FROZEN_CREDIT if command.op == OP_CREDIT else ACCOUNT_FROZEN_DEBIT
    if command.op == OP_ADJUST:
        return find_money_fault(account, command, 0, 0)
    return find_money_fault(account, command, ACCOUNT_CLOSED, frozen)


# What the limits of the account's tier have against a debit or a credit. A payout that comes back
# was on the account before; what a transfer brings was not.
cdef int find_limit_fault(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef uint8_t own = own_money(&command.facts)
    if case.limits == NULL or command.op == OP_ADJUST or own == FACT_PAYOUT:
        return REASON_OK
    if command.op == OP_CREDIT:
        return check_balance_limit(case.limits, case.account, case.extras, command.amount_minor,
                                   command.now_us)
    if own != 0:
        return REASON_OK
    return ask_spend(case.limits, case.account, case.extras, command.amount_minor, command.now_us)


# Whether a payment from the purse that it names is for something else: earmarked money stays it.
# What is moved to the owner's other account, or corrected, is no payment.
cdef bint is_misused(const Command* command, uint32_t purposes) noexcept nogil:
    if command.op != OP_DEBIT or own_money(&command.facts) != 0:
        return False
    return command.facts.purpose >= 32 or purposes >> command.facts.purpose & 1 == 0


cdef int move_cell(WalletCase* case, int64_t moved_minor) noexcept nogil:
    cdef Cell* cell = find_cell(case.extras, CELL_PURSE, case.command.facts.key)
    cdef int64_t sum_minor
    cdef int fault
    if cell == NULL or (case.command.op != OP_ADJUST
                        and has_ended(&cell.purse, case.command.now_us)):
        return REASON_UNKNOWN_PURSE
    if is_misused(case.command, cell.purse.purposes):
        return REASON_UNKNOWN_PURSE
    if not add_money(cell.purse.balance_minor, moved_minor, &sum_minor):
        return REASON_AMOUNT_OVERFLOW
    if sum_minor < 0:
        return REASON_INSUFFICIENT_BALANCE
    fault = find_limit_fault(case)
    if fault != REASON_OK:
        return fault
    cell.purse.balance_minor = sum_minor
    case.out.amount_minor = moved_minor
    case.out.period_paid_minor = sum_minor
    note_purse(case, cell.key, moved_minor if moved_minor > 0 else -moved_minor)
    return REASON_OK


cdef void note_purse(WalletCase* case, uint64_t purse_id, int64_t amount_minor) noexcept nogil:
    case.out.parts.parts[0].purse_id = purse_id
    case.out.parts.parts[0].amount_minor = amount_minor
    case.out.part_count = 1


# Only the subsidy cannot go below 0.
cdef int move_inline(WalletCase* case, int64_t moved_minor) noexcept nogil:
    cdef Account* account = case.account
    cdef bint is_subsidy = case.command.purse == PURSE_SUBSIDY
    cdef int64_t* purse = &account.subsidy_minor if is_subsidy else &account.balance_minor
    cdef int64_t sum_minor
    cdef int fault
    if is_subsidy and is_misused(case.command, 1 << PURPOSE_TRANSIT):
        return REASON_UNKNOWN_PURSE
    if not add_money(purse[0], moved_minor, &sum_minor):
        return REASON_AMOUNT_OVERFLOW
    if is_subsidy and sum_minor < 0:
        return REASON_INSUFFICIENT_BALANCE
    fault = find_limit_fault(case)
    if fault != REASON_OK:
        return fault
    purse[0] = sum_minor
    case.out.amount_minor = moved_minor
    return REASON_OK


# Of the main purse alone, and nothing that is held.
cdef int take_own(WalletCase* case) noexcept nogil:
    cdef Account* account = case.account
    if account.balance_minor - account.held_minor < case.command.amount_minor:
        return REASON_INSUFFICIENT_BALANCE
    account.balance_minor -= case.command.amount_minor
    case.out.amount_minor = -case.command.amount_minor
    return REASON_OK


# A payment draws by the funding order of its purpose.
cdef int pay(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef Account* account = case.account
    cdef uint8_t purpose = command.facts.purpose
    cdef int64_t left_minor
    cdef int fault
    if not add_money(account.balance_minor, -command.amount_minor, &left_minor):
        return REASON_AMOUNT_OVERFLOW
    if own_money(&command.facts) != 0:
        return take_own(case)
    fault = find_funds_fault(account, case.extras, command.amount_minor,
                             purses_left(account, case.extras, purpose, command.now_us),
                             command.facts.flags & FACT_WAY_HOME != 0)
    if fault == REASON_OK:
        fault = find_limit_fault(case)
    if fault != REASON_OK:
        return fault
    left_minor = draw_funds(account, case.extras, purpose, command.amount_minor, command.now_us,
                            case.out)
    case.out.amount_minor = -command.amount_minor
    if left_minor > 0 and account.balance_minor < 0:
        case.out.rules |= RULE_CREDIT_LINE
    if case.out.subsidy_minor != 0:
        case.out.rules |= RULE_SUBSIDY
    return REASON_OK


cdef int move(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef int64_t moved_minor = command.amount_minor
    cdef int fault
    if is_malformed(command):
        return REASON_BAD_REQUEST
    fault = find_standing_fault(case.account, command)
    if fault != REASON_OK:
        return fault
    if moved_minor == 0 or (moved_minor < 0 and command.op != OP_ADJUST):
        return REASON_AMOUNT_INVALID
    if command.op == OP_DEBIT:
        moved_minor = -moved_minor
    if command.purse == PURSE_CELL:
        fault = move_cell(case, moved_minor)
    elif command.op == OP_DEBIT and command.purse == PURSE_STORED:
        fault = pay(case)
    else:
        fault = move_inline(case, moved_minor)
    if fault == REASON_OK and command.op == OP_DEBIT and own_money(&command.facts) == 0:
        note_spent(case)
    return fault


# --- purses ---------------------------------------------------------------------------------------

cdef bint is_as_asked(const Purse* purse, const Command* command) noexcept nogil:
    return (purse.expires_us == command.expires_us and purse.sponsor == command.facts.merchant
            and purse.purposes == command.facts.purposes
            and purse.priority == command.facts.number)


cdef int open_purse(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef Cell* cell
    cdef int fault
    if command.facts.key < 2 or command.facts.purposes == 0 or command.expires_us < 0:
        return REASON_BAD_REQUEST
    if 0 < command.expires_us <= command.now_us:
        return REASON_BAD_TIME
    fault = find_change_fault(case.account, command)
    if fault != REASON_OK:
        return fault
    cell = find_cell(case.extras, CELL_PURSE, command.facts.key)
    if cell != NULL:
        case.out.period_paid_minor = cell.purse.balance_minor
        return REASON_OK if is_as_asked(&cell.purse, command) else REASON_ALREADY_EXISTS
    cell = blank_cell(case.extras, CELL_PURSE, command.facts.key, command)
    if cell == NULL:
        return REASON_TOO_MANY_CELLS
    cell.purse.expires_us = command.expires_us
    cell.purse.sponsor = command.facts.merchant
    cell.purse.purposes = command.facts.purposes
    cell.purse.priority = command.facts.number
    return REASON_OK


# PURSE_CLOSE takes an empty purse away, PURSE_SWEEP an expired one with what is left in it.
cdef int end_purse(WalletCase* case) noexcept nogil:
    cdef const Command* command = case.command
    cdef bint is_swept = command.op == OP_PURSE_SWEEP
    cdef Cell* cell
    cdef int fault
    if command.facts.key < 2:
        return REASON_BAD_REQUEST
    if is_swept:
        fault = find_plain_fault(case.account, command)
    else:
        fault = find_change_fault(case.account, command)
    if fault != REASON_OK:
        return fault
    cell = find_cell(case.extras, CELL_PURSE, command.facts.key)
    if cell == NULL:
        return REASON_UNKNOWN_PURSE
    if is_swept and not has_ended(&cell.purse, command.now_us):
        return REASON_NOT_EXPIRED
    if not is_swept and cell.purse.balance_minor != 0:
        return REASON_BALANCE_NOT_ZERO
    if cell.purse.balance_minor != 0:
        case.out.amount_minor = -cell.purse.balance_minor
        note_purse(case, cell.key, cell.purse.balance_minor)
    free_cell(cell)
    return REASON_OK


# --- closing --------------------------------------------------------------------------------------

# Whether a cell has something that its owner would lose.
cdef bint is_kept(const Cell* cell, int64_t now_us) noexcept nogil:
    if cell.type == CELL_PURSE:
        return cell.purse.balance_minor != 0
    if cell.type == CELL_PASS:
        return cell.pass_.rides_left != 0 and not 0 < cell.pass_.until_us <= now_us
    return cell.type == CELL_PLAN


cdef int close_account(WalletCase* case) noexcept nogil:
    cdef Account* account = case.account
    cdef int fault = find_change_fault(account, case.command)
    cdef bint is_used
    cdef uint32_t i
    if fault != REASON_OK:
        return fault
    is_used = (account.balance_minor != 0 or account.subsidy_minor != 0
               or account.held_minor != 0 or account.journey_state == JOURNEY_OPEN)
    for i in range(case.extras.count):
        if case.extras.cells[i].type == CELL_HOLD:
            return REASON_HOLD_OPEN
        is_used = is_used or is_kept(&case.extras.cells[i], case.command.now_us)
    if is_used:
        return REASON_BALANCE_NOT_ZERO
    account.status |= ACCOUNT_CLOSED
    return REASON_OK


# --- all of them ----------------------------------------------------------------------------------

cdef int decide(WalletCase* case) noexcept nogil:
    cdef uint8_t op = case.command.op
    if op == OP_CREDIT or op == OP_DEBIT or op == OP_ADJUST:
        return move(case)
    if op == OP_ACCOUNT_CLOSE:
        return close_account(case)
    if op == OP_PURSE_OPEN:
        return open_purse(case)
    if op == OP_PURSE_CLOSE or op == OP_PURSE_SWEEP:
        return end_purse(case)
    if OP_HOLD_PLACE <= op <= OP_HOLD_EXPIRE:
        return decide_hold_command(case)
    return decide_refund(case) if op == OP_REFUND else decide_credit_command(case)


cdef void decide_wallet_command(Account* account, Extras* extras, const Paid* paid,
                                const LimitsC* limits, const Command* command,
                                Decision* out) noexcept nogil:
    cdef Extras none
    cdef WalletCase case
    cdef int reason
    memset(out, 0, sizeof(Decision))
    if extras == NULL:
        none.count = 0
        none.room = 0
        extras = &none
    case.account = account
    case.extras = extras
    case.paid = paid
    case.limits = limits
    case.command = command
    case.out = out
    reason = decide(&case)
    if reason != REASON_OK:
        memset(out, 0, sizeof(Decision))
    tell(account, command, reason, out)
