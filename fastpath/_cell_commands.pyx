"""Passes, concessions and re-rating: commands on an account and copies of its cells.

The rules stand in docs/fares.md, "Commands". Like the core this makes no Python object.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath._commands cimport find_change_fault, find_money_fault
from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._funding cimport find_funds_fault
from fastpath._layout cimport *
from fastpath._limits cimport LimitsC, ask_spend, count_spend, uncount_spend
from fastpath._totals cimport add_money, spendable

cdef extern from *:
    """
    /* How long a pass or concession that is over stays for taps that come late. */
    #define KEPT_AFTER_US ((int64_t)2592000000000)
    """
    const int64_t KEPT_AFTER_US


cdef bint is_cell_command(uint8_t op) noexcept nogil:
    return op == OP_PASS_ADD or op == OP_PASS_REMOVE or op == OP_CONCESSION or op == OP_RERATE


# Whether nothing that may still come can need it.
cdef bint is_over(const Cell* cell, const Command* command) noexcept nogil:
    cdef int64_t floor_us = command.now_us - KEPT_AFTER_US
    if cell.type == CELL_REFUND:
        return cell.refunded.charge_us < command.now_us - command.horizon_us
    if cell.type == CELL_CONCESSION:
        return cell.concession.until_us < floor_us
    if cell.type != CELL_PASS:
        return False
    if cell.pass_.until_us != 0 and cell.pass_.until_us < floor_us:
        return True
    return cell.pass_.rides_left == 0 and cell.pass_.last_used_us < floor_us


# A blank cell for something new: one that is over, or one more; NULL = no room.
cdef Cell* blank_cell(Extras* extras, uint8_t type, uint64_t key,
                      const Command* command) noexcept nogil:
    cdef uint32_t i = 0
    cdef uint32_t next_index = 0
    while i < extras.count and not is_over(&extras.cells[i], command):
        i += 1
    if i == extras.count:
        if extras.room == 0:
            return NULL
        extras.index[i] = 0
        extras.count += 1
        extras.room -= 1
    else:
        next_index = extras.cells[i].next
    memset(&extras.cells[i], 0, sizeof(Cell))
    extras.cells[i].next = next_index
    extras.cells[i].type = type
    extras.cells[i].key = key
    return &extras.cells[i]


cdef Cell* find_cell(Extras* extras, uint8_t type, uint64_t key) noexcept nogil:
    cdef uint32_t i
    for i in range(extras.count):
        if extras.cells[i].type == type and extras.cells[i].key == key:
            return &extras.cells[i]
    return NULL


cdef void free_cell(Cell* cell) noexcept nogil:
    cdef uint32_t next_index = cell.next
    memset(cell, 0, sizeof(Cell))
    cell.next = next_index


# Charge (or below 0: give back) from the stored value.
cdef int charge(Account* account, int64_t amount_minor, bint commit, Decision* out) noexcept nogil:
    cdef int64_t left_minor
    if not add_money(account.balance_minor, -amount_minor, &left_minor):
        return REASON_AMOUNT_OVERFLOW
    if commit:
        account.balance_minor = left_minor
        out.fare_minor = amount_minor
        if amount_minor > 0 and left_minor < 0:
            out.rules |= RULE_CREDIT_LINE
    return REASON_OK


cdef int add_pass(Account* account, Extras* extras, const LimitsC* limits,
                  const Command* command, Decision* out) noexcept nogil:
    cdef Cell* cell
    cdef int fault
    if (command.purse != 0 or command.pass_id == 0 or command.from_us < 0 or command.rides < -1 or command.rides == 0
            or (command.expires_us != 0 and command.expires_us <= command.from_us)):
        return REASON_BAD_REQUEST
    fault = find_money_fault(account, command, ACCOUNT_CLOSED,
                             ACCOUNT_FROZEN_DEBIT if command.amount_minor > 0 else 0)
    if fault != REASON_OK:
        return fault
    if command.amount_minor < 0:
        return REASON_AMOUNT_INVALID
    fault = charge(account, command.amount_minor, False, out)
    if fault == REASON_OK and command.amount_minor > 0:
        fault = find_funds_fault(account, extras, command.amount_minor, 0, False)
        if fault == REASON_OK:
            fault = ask_spend(limits, account, extras, command.amount_minor, command.now_us)
    if fault != REASON_OK:
        return fault
    cell = blank_cell(extras, CELL_PASS, command.pass_id, command)
    if cell == NULL:
        return REASON_TOO_MANY_CELLS
    cell.pass_.from_us = command.from_us
    cell.pass_.until_us = command.expires_us
    cell.pass_.rides_left = command.rides
    if count_spend(limits, account, extras, command.amount_minor, command.now_us):
        out.rules |= RULE_COUNTED
    return charge(account, command.amount_minor, True, out)


# The one named by id and, when that is not 0, by the beginning of its time.
cdef int remove_pass(Account* account, Extras* extras, const Command* command,
                     Decision* out) noexcept nogil:
    cdef uint32_t i = 0
    cdef int fault
    if command.purse != 0 or command.pass_id == 0:
        return REASON_BAD_REQUEST
    fault = find_money_fault(account, command, ACCOUNT_CLOSED, 0)
    if fault != REASON_OK:
        return fault
    if command.amount_minor < 0:
        return REASON_AMOUNT_INVALID
    fault = charge(account, -command.amount_minor, False, out)
    if fault != REASON_OK:
        return fault
    while i < extras.count:
        if (extras.cells[i].type == CELL_PASS and extras.cells[i].key == command.pass_id
                and command.from_us in (0, extras.cells[i].pass_.from_us)):
            free_cell(&extras.cells[i])
            return charge(account, -command.amount_minor, True, out)
        i += 1
    return REASON_NOTHING_TO_REVERSE


# A span that ends where it begins takes the concession away.
cdef int set_concession(Account* account, Extras* extras, const Command* command) noexcept nogil:
    cdef Cell* cell
    cdef int fault = find_change_fault(account, command)
    if command.from_us < 0 or command.expires_us < command.from_us:
        return REASON_BAD_REQUEST
    if fault != REASON_OK:
        return fault
    cell = find_cell(extras, CELL_CONCESSION, command.rider_category)
    if command.expires_us == command.from_us:
        if cell == NULL:
            return REASON_NOTHING_TO_REVERSE
        free_cell(cell)
        return REASON_OK
    if cell == NULL:
        cell = blank_cell(extras, CELL_CONCESSION, command.rider_category, command)
    if cell == NULL:
        return REASON_TOO_MANY_CELLS
    cell.concession.from_us = command.from_us
    cell.concession.until_us = command.expires_us
    return REASON_OK


cdef bint is_total(uint8_t type) noexcept nogil:
    return (type == CELL_MEDIUM_PERIOD or type == CELL_COUNTERS or type == CELL_CHAIN
            or type == CELL_CHAIN_BEFORE or type == CELL_SPAN)


# What a re-rating brings: totals, and what passes that the account holds have been used for.
cdef bint is_rerated(uint8_t type) noexcept nogil:
    return is_total(type) or type == CELL_PASS


# Cells become those of the images, by type and key; totals without one are freed, passes stay.
cdef int replace_cells(Extras* extras, const Rerate* rerate) noexcept nogil:
    cdef bint is_given[EXTRA_CELLS]
    cdef uint32_t i, k, next_index
    cdef const Cell* image
    memset(is_given, 0, sizeof(is_given))
    for k in range(rerate.cell_count):
        image = &rerate.cells[k]
        i = 0
        while i < extras.count and (is_given[i] or extras.cells[i].type != image.type
                                    or extras.cells[i].key != image.key):
            i += 1
        next_index = extras.cells[i].next if i < extras.count else 0
        if i == extras.count:
            if image.type == CELL_PASS:
                return REASON_NOTHING_TO_REVERSE
            if extras.room == 0:
                return REASON_TOO_MANY_CELLS
            extras.index[i] = 0
            extras.count += 1
            extras.room -= 1
        extras.cells[i] = image[0]
        extras.cells[i].next = next_index
        is_given[i] = True
    for i in range(extras.count):
        if not is_given[i] and is_total(extras.cells[i].type):
            free_cell(&extras.cells[i])
    return REASON_OK


# Journeys and periods as history makes them; the difference goes through whatever the standing.
# It is counted unasked, as of now: what was spent more, or comes off what was spent.
cdef int rerate_account(Account* account, Extras* extras, const Rerate* rerate,
                        const LimitsC* limits, const Command* command,
                        Decision* out) noexcept nogil:
    cdef uint32_t first_cell
    cdef uint32_t k
    cdef int fault
    if command.expected_version == 0 or command.purse != 0 or rerate == NULL:
        return REASON_BAD_REQUEST
    for k in range(rerate.cell_count):
        if not is_rerated(rerate.cells[k].type):
            return REASON_BAD_REQUEST
    fault = find_money_fault(account, command, 0, 0)
    if fault != REASON_OK:
        return fault
    fault = charge(account, command.amount_minor, False, out)
    if fault != REASON_OK:
        return fault
    fault = replace_cells(extras, rerate)
    if fault != REASON_OK:
        return fault
    first_cell = account.first_cell
    memcpy(<uint8_t*> account + LINE_BYTES, rerate.lines, sizeof(rerate.lines))
    account.first_cell = first_cell
    if count_spend(limits, account, extras, command.amount_minor, command.now_us):
        out.rules |= RULE_COUNTED
    uncount_spend(limits, extras, -command.amount_minor, command.now_us)
    return charge(account, command.amount_minor, True, out)


cdef void decide_cell_command(Account* account, Extras* extras, const Rerate* rerate,
                              const LimitsC* limits, const Command* command,
                              Decision* out) noexcept nogil:
    cdef int reason = REASON_BAD_REQUEST
    cdef Extras none
    memset(out, 0, sizeof(Decision))
    if extras == NULL:
        none.owner = 0
        none.count = 0
        none.room = 0
        extras = &none
    if command.op == OP_PASS_ADD:
        reason = add_pass(account, extras, limits, command, out)
    elif command.op == OP_PASS_REMOVE:
        reason = remove_pass(account, extras, command, out)
    elif command.op == OP_CONCESSION:
        reason = set_concession(account, extras, command)
    elif command.op == OP_RERATE:
        reason = rerate_account(account, extras, rerate, limits, command, out)
    out.reason = <uint8_t> reason
    out.verdict = VERDICT_OPEN if reason == REASON_OK else VERDICT_DENY
    out.ts_us = command.now_us
    if account != NULL:
        out.balance_minor = spendable(account)
