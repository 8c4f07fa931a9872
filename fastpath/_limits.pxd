# Limits of identity tiers: what a decision asks about them (fastpath/reference_limits.py is the
# specification). No limits loaded is one branch; all of it works on copies of the account's cells.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastpath._extras cimport Extras
from fastpath._layout cimport Account

cdef enum:
    TIERS_MAX = 16
    NO_LIMIT = -1

# As it stands in the blob: all int64. Amounts are minor units, NO_LIMIT = none.
cdef struct LimitProfile:
    int64_t tier
    int64_t from_us
    int64_t payment_minor
    int64_t day_minor
    int64_t month_minor
    int64_t year_minor
    int64_t lifetime_minor
    int64_t balance_minor

cdef struct LimitsC:
    uint64_t key                      # first 8 bytes of the blob's SHA-256, little-endian; never 0
    uint32_t currency
    uint32_t day_count                # > 0
    int64_t first_day                 # days since 1970-01-01
    const int64_t* day_start_us       # day_count + 1
    const uint32_t* day_month         # year * 12 + month - 1
    const LimitProfile* profiles      # ascending (tier, from_us)
    uint32_t rows[TIERS_MAX + 1]      # where the profiles of a tier begin

# Local dates.
cdef struct Dates:
    uint32_t day                      # days since 1970-01-01
    uint32_t month                    # year * 12 + month - 1
    uint32_t year

# Those of an instant; outside the table of days the nearest there is.
cdef void find_dates(const LimitsC* limits, int64_t ts_us, Dates* out) noexcept nogil
# The profile that applies to an account, NULL = nothing limits it.
cdef const LimitProfile* find_limits(const LimitsC* limits, const Account* account,
                                     int64_t now_us) noexcept nogil
# OK or LIMIT_EXCEEDED, for so much more now. What is held counts as if it were spent.
cdef int check_spend(const LimitsC* limits, const Account* account, const Extras* extras,
                     int64_t amount_minor, int64_t now_us) noexcept nogil
# Whether spending would need a cell that the account does not have yet.
cdef bint lacks_limits_cell(const LimitsC* limits, const Account* account, const Extras* extras,
                            int64_t now_us) noexcept nogil
# See to it that what is spent later can be counted: OK or TOO_MANY_CELLS.
cdef int reserve_spend(const LimitsC* limits, const Account* account, Extras* extras,
                       int64_t now_us) noexcept nogil
# What the limits, or no room to count it, have against a command that spends so much now.
cdef int ask_spend(const LimitsC* limits, const Account* account, Extras* extras,
                   int64_t amount_minor, int64_t now_us) noexcept nogil
# Count what was spent; True = counted, so that it can be given back.
cdef bint count_spend(const LimitsC* limits, const Account* account, Extras* extras,
                      int64_t amount_minor, int64_t now_us) noexcept nogil
# Give back what was counted at an instant, in windows that are still the same.
cdef void uncount_spend(const LimitsC* limits, Extras* extras, int64_t amount_minor,
                        int64_t spent_us) noexcept nogil
# OK or BALANCE_LIMIT, for so much more on all purses together.
cdef int check_balance_limit(const LimitsC* limits, const Account* account, const Extras* extras,
                             int64_t amount_minor, int64_t now_us) noexcept nogil
