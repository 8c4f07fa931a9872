"""Limits of identity tiers inside a decision; like the core this makes no Python object.

The rules stand in fastpath/reference_limits.py. Windows are local dates: a later date begins one
anew, so nothing is scanned at midnight; an earlier one counts into the window that is there.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._layout cimport *
from fastpath._totals cimport MONEY_MAX

cdef extern from * nogil:
    """
    #define LIMIT_DAY_US 86400000000LL
    """
    const int64_t LIMIT_DAY_US


cdef const LimitProfile* find_limits(const LimitsC* limits, const Account* account,
                                     int64_t now_us) noexcept nogil:
    cdef const LimitProfile* one
    cdef uint32_t i
    if limits == NULL or account.tier >= TIERS_MAX or limits.currency != account.currency:
        return NULL
    i = limits.rows[account.tier + 1]
    while i > limits.rows[account.tier]:
        i -= 1
        one = &limits.profiles[i]
        if one.from_us <= now_us:
            return one if has_any(one) else NULL
    return NULL


cdef bint has_any(const LimitProfile* one) noexcept nogil:
    return (one.payment_minor & one.day_minor & one.month_minor & one.year_minor
            & one.lifetime_minor & one.balance_minor) != NO_LIMIT


# Local date of an instant; outside the table the nearest there is. Loading checked that the guess
# is off by a day or two at most.
cdef void find_dates(const LimitsC* limits, int64_t ts_us, Dates* out) noexcept nogil:
    cdef int64_t last = <int64_t> limits.day_count - 1
    cdef int64_t day = 0
    if ts_us > limits.day_start_us[0]:
        day = min((ts_us - limits.day_start_us[0]) // LIMIT_DAY_US, last)
    while day > 0 and ts_us < limits.day_start_us[day]:
        day -= 1
    while day < last and ts_us >= limits.day_start_us[day + 1]:
        day += 1
    out.day = <uint32_t> (limits.first_day + day)
    out.month = limits.day_month[day]
    out.year = out.month // 12


cdef const Spent* find_used(const Extras* extras) noexcept nogil:
    cdef uint32_t i
    if extras == NULL:
        return NULL
    for i in range(extras.count):
        if extras.cells[i].type == CELL_LIMITS:
            return &extras.cells[i].spent
    return NULL


cdef inline bint is_above(int64_t spent_minor, int64_t more_minor, int64_t limit) noexcept nogil:
    return limit != NO_LIMIT and spent_minor + more_minor > limit


cdef int check_spend(const LimitsC* limits, const Account* account, const Extras* extras,
                     int64_t amount_minor, int64_t now_us) noexcept nogil:
    cdef const LimitProfile* profile = find_limits(limits, account, now_us)
    cdef const Spent* used
    cdef Spent spent
    cdef Dates dates
    cdef int64_t more_minor
    if profile == NULL or amount_minor <= 0:
        return REASON_OK
    amount_minor = min(amount_minor, MONEY_MAX + 1)   # above any limit; more could pass int64
    more_minor = account.held_minor + amount_minor
    memset(&spent, 0, sizeof(Spent))
    used = find_used(extras)
    if used != NULL:
        find_dates(limits, now_us, &dates)
        spent.day_minor = used.day_minor if dates.day <= used.day else 0
        spent.month_minor = used.month_minor if dates.month <= used.month else 0
        spent.year_minor = used.year_minor if dates.year <= used.year else 0
        spent.lifetime_minor = used.lifetime_minor
    if (is_above(0, amount_minor, profile.payment_minor)
            or is_above(spent.day_minor, more_minor, profile.day_minor)
            or is_above(spent.month_minor, more_minor, profile.month_minor)
            or is_above(spent.year_minor, more_minor, profile.year_minor)
            or is_above(spent.lifetime_minor, more_minor, profile.lifetime_minor)):
        return REASON_LIMIT_EXCEEDED
    return REASON_OK


cdef bint lacks_limits_cell(const LimitsC* limits, const Account* account, const Extras* extras,
                            int64_t now_us) noexcept nogil:
    return find_limits(limits, account, now_us) != NULL and find_used(extras) == NULL


# A new cell of the account, NULL = no room.
cdef Spent* make_used(Extras* extras) noexcept nogil:
    cdef Cell* cell
    if extras == NULL or extras.room == 0 or extras.count >= EXTRA_CELLS:
        return NULL
    cell = &extras.cells[extras.count]
    memset(cell, 0, sizeof(Cell))
    cell.type = CELL_LIMITS
    extras.index[extras.count] = 0
    extras.count += 1
    extras.room -= 1
    return &cell.spent


cdef int reserve_spend(const LimitsC* limits, const Account* account, Extras* extras,
                       int64_t now_us) noexcept nogil:
    if not lacks_limits_cell(limits, account, extras, now_us):
        return REASON_OK
    return REASON_OK if make_used(extras) != NULL else REASON_TOO_MANY_CELLS


cdef int ask_spend(const LimitsC* limits, const Account* account, Extras* extras,
                   int64_t amount_minor, int64_t now_us) noexcept nogil:
    cdef int fault
    if limits == NULL or amount_minor <= 0:
        return REASON_OK
    fault = check_spend(limits, account, extras, amount_minor, now_us)
    return fault if fault != REASON_OK else reserve_spend(limits, account, extras, now_us)


cdef inline int64_t added(int64_t spent_minor, int64_t amount_minor) noexcept nogil:
    return max(0, min(MONEY_MAX, spent_minor + amount_minor))


cdef bint count_spend(const LimitsC* limits, const Account* account, Extras* extras,
                      int64_t amount_minor, int64_t now_us) noexcept nogil:
    cdef Spent* used
    cdef Dates dates
    if limits == NULL or amount_minor <= 0 or find_limits(limits, account, now_us) == NULL:
        return False
    used = <Spent*> find_used(extras)
    if used == NULL:
        used = make_used(extras)
    if used == NULL:
        return False
    find_dates(limits, now_us, &dates)
    if dates.day > used.day:
        used.day = dates.day
        used.day_minor = 0
    if dates.month > used.month:
        used.month = dates.month
        used.month_minor = 0
    if dates.year > used.year:
        used.year = dates.year
        used.year_minor = 0
    used.day_minor = added(used.day_minor, amount_minor)
    used.month_minor = added(used.month_minor, amount_minor)
    used.year_minor = added(used.year_minor, amount_minor)
    used.lifetime_minor = added(used.lifetime_minor, amount_minor)
    return True


cdef void uncount_spend(const LimitsC* limits, Extras* extras, int64_t amount_minor,
                        int64_t spent_us) noexcept nogil:
    cdef Spent* used = <Spent*> find_used(extras)
    cdef Dates dates
    if limits == NULL or used == NULL or amount_minor <= 0:
        return
    find_dates(limits, spent_us, &dates)
    if dates.day == used.day:
        used.day_minor = added(used.day_minor, -amount_minor)
    if dates.month == used.month:
        used.month_minor = added(used.month_minor, -amount_minor)
    if dates.year == used.year:
        used.year_minor = added(used.year_minor, -amount_minor)
    used.lifetime_minor = added(used.lifetime_minor, -amount_minor)
    # A clock that was set back may have counted it in a later window: none is left above the lifetime.
    used.day_minor = min(used.day_minor, used.lifetime_minor)
    used.month_minor = min(used.month_minor, used.lifetime_minor)
    used.year_minor = min(used.year_minor, used.lifetime_minor)


cdef int check_balance_limit(const LimitsC* limits, const Account* account, const Extras* extras,
                             int64_t amount_minor, int64_t now_us) noexcept nogil:
    cdef const LimitProfile* profile = find_limits(limits, account, now_us)
    cdef int64_t sum_minor = account.balance_minor + account.subsidy_minor
    cdef uint32_t i
    if profile == NULL or profile.balance_minor == NO_LIMIT or amount_minor <= 0:
        return REASON_OK
    if extras != NULL:
        for i in range(extras.count):
            if extras.cells[i].type == CELL_PURSE:
                sum_minor += extras.cells[i].purse.balance_minor
            if sum_minor > MONEY_MAX:   # above any limit; more could pass int64
                return REASON_BALANCE_LIMIT
    return REASON_BALANCE_LIMIT if sum_minor + amount_minor > profile.balance_minor else REASON_OK
