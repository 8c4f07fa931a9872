"""Funding of payments: purses by priority, then the main purse, then the credit line.

The rules stand in fastpath/reference_funding.py; like the core this makes no Python object.
Precondition: each amount of an account lies within +-2^60, so that seven of them fit an int64.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath._extras cimport Extras
from fastpath._layout cimport *
from fastpath._totals cimport MONEY_MAX, add_money

cdef enum:
    SUBSIDY_PRIORITY = 10
    OF_SUBSIDY = 0xFFFFFFFF    # Sources.at: not a cell

# Where money comes from, in the order of drawing.
cdef struct Sources:
    uint32_t count
    uint32_t at[PARTS_MAX + 1]     # index of a cell among the extras


cdef bint has_ended(const Purse* purse, int64_t at_us) noexcept nogil:
    return purse.expires_us != 0 and purse.expires_us <= at_us


cdef inline bint can_pay(const Cell* cell, uint8_t purpose, int64_t at_us) noexcept nogil:
    return (cell.type == CELL_PURSE and cell.purse.balance_minor > 0 and purpose < 32
            and cell.purse.purposes >> purpose & 1 != 0 and not has_ended(&cell.purse, at_us))


# Whether purse a pays before purse b; expiry 0 = last.
cdef bint is_before(const Cell* a, const Cell* b) noexcept nogil:
    cdef uint64_t a_us = <uint64_t> a.purse.expires_us - 1
    cdef uint64_t b_us = <uint64_t> b.purse.expires_us - 1
    if a.purse.priority != b.purse.priority:
        return a.purse.priority < b.purse.priority
    return a.key < b.key if a_us == b_us else a_us < b_us


cdef inline bint is_before_subsidy(const Cell* cell) noexcept nogil:
    return (cell.purse.priority < SUBSIDY_PRIORITY
            or (cell.purse.priority == SUBSIDY_PRIORITY and cell.purse.expires_us != 0))


# Keep the first PARTS_MAX purses in order.
cdef void insert(const Extras* extras, uint32_t cell, Sources* sources) noexcept nogil:
    cdef uint32_t place = sources.count
    if place == PARTS_MAX:
        if not is_before(&extras.cells[cell], &extras.cells[sources.at[place - 1]]):
            return
        place -= 1
    else:
        sources.count += 1
    while place > 0 and is_before(&extras.cells[cell], &extras.cells[sources.at[place - 1]]):
        sources.at[place] = sources.at[place - 1]
        place -= 1
    sources.at[place] = cell


cdef void insert_subsidy(const Extras* extras, Sources* sources) noexcept nogil:
    cdef uint32_t place = sources.count
    while place > 0 and not is_before_subsidy(&extras.cells[sources.at[place - 1]]):
        sources.at[place] = sources.at[place - 1]
        place -= 1
    sources.at[place] = OF_SUBSIDY
    sources.count += 1


cdef void find_sources(const Account* account, const Extras* extras, uint8_t purpose,
                       int64_t at_us, Sources* sources) noexcept nogil:
    cdef uint32_t i
    sources.count = 0
    if extras != NULL:
        for i in range(extras.count):
            if can_pay(&extras.cells[i], purpose, at_us):
                insert(extras, i, sources)
    if purpose == PURPOSE_TRANSIT and account.subsidy_minor > 0:
        insert_subsidy(extras, sources)


cdef inline int64_t left_in(const Account* account, const Extras* extras,
                            uint32_t at) noexcept nogil:
    return account.subsidy_minor if at == OF_SUBSIDY else extras.cells[at].purse.balance_minor


cdef int64_t purses_left(const Account* account, const Extras* extras, uint8_t purpose,
                         int64_t at_us) noexcept nogil:
    cdef Sources sources
    cdef int64_t sum_minor = 0
    cdef uint32_t i
    find_sources(account, extras, purpose, at_us, &sources)
    for i in range(sources.count):
        sum_minor += left_in(account, extras, sources.at[i])
    return sum_minor


cdef int64_t plans_outstanding(const Extras* extras) noexcept nogil:
    cdef int64_t sum_minor = 0
    cdef uint32_t i
    if extras == NULL:
        return 0
    for i in range(extras.count):
        if extras.cells[i].type == CELL_PLAN:
            sum_minor = min(MONEY_MAX, sum_minor + extras.cells[i].plan.outstanding_minor)
    return sum_minor


cdef int64_t main_left(const Account* account, const Extras* extras,
                       bint is_way_home) noexcept nogil:
    cdef int64_t credit_minor = 0
    if is_way_home or not account.status & ACCOUNT_CREDIT_LATE:
        credit_minor = max(0, account.credit_limit_minor - plans_outstanding(extras))
    return account.balance_minor - account.held_minor + credit_minor


cdef int find_funds_fault(const Account* account, const Extras* extras, int64_t amount_minor,
                          int64_t purses_minor, bint is_way_home) noexcept nogil:
    if purses_minor + main_left(account, extras, is_way_home) >= amount_minor:
        return REASON_OK
    if purses_minor + main_left(account, extras, True) >= amount_minor:
        return REASON_CREDIT_LATE
    return REASON_INSUFFICIENT_BALANCE


cdef void note_part(uint64_t purse_id, int64_t amount_minor, Decision* out) noexcept nogil:
    if out.part_count == 0:
        memset(&out.parts, 0, sizeof(Parts))
    out.parts.parts[out.part_count].purse_id = purse_id
    out.parts.parts[out.part_count].amount_minor = amount_minor
    out.part_count += 1


cdef int64_t draw_funds(Account* account, Extras* extras, uint8_t purpose, int64_t amount_minor,
                        int64_t at_us, Decision* out) noexcept nogil:
    cdef Sources sources
    cdef Cell* cell
    cdef int64_t part_minor
    cdef uint32_t i
    find_sources(account, extras, purpose, at_us, &sources)
    for i in range(sources.count):
        part_minor = max(0, min(amount_minor, left_in(account, extras, sources.at[i])))
        amount_minor -= part_minor
        if sources.at[i] == OF_SUBSIDY:
            account.subsidy_minor -= part_minor
            out.subsidy_minor = part_minor
        elif part_minor > 0:
            cell = &extras.cells[sources.at[i]]
            cell.purse.balance_minor -= part_minor
            note_part(cell.key, part_minor, out)
    account.balance_minor -= amount_minor
    return amount_minor


cdef Purse* find_purse(Extras* extras, uint64_t purse_id) noexcept nogil:
    cdef uint32_t i
    if extras == NULL:
        return NULL
    for i in range(extras.count):
        if extras.cells[i].type == CELL_PURSE and extras.cells[i].key == purse_id:
            return &extras.cells[i].purse
    return NULL


cdef int64_t split_parts(Extras* extras, const Parts* parts, uint8_t part_count, int64_t at_us,
                         Decision* out) noexcept nogil:
    cdef int64_t main_minor = 0
    cdef const Purse* purse
    cdef uint8_t i
    for i in range(part_count):
        purse = find_purse(extras, parts.parts[i].purse_id)
        if purse == NULL or has_ended(purse, at_us):
            main_minor += parts.parts[i].amount_minor
        else:
            note_part(parts.parts[i].purse_id, parts.parts[i].amount_minor, out)
    return main_minor


cdef bint put_parts(Extras* extras, const Decision* out) noexcept nogil:
    cdef int64_t sum_minor
    cdef const Part* part
    cdef uint8_t i
    for i in range(out.part_count):
        part = &out.parts.parts[i]
        if not add_money(find_purse(extras, part.purse_id).balance_minor, part.amount_minor,
                         &sum_minor):
            return False
    for i in range(out.part_count):
        part = &out.parts.parts[i]
        find_purse(extras, part.purse_id).balance_minor += part.amount_minor
    return True
