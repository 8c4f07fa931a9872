# From a nominal price to the price of a leg: every factor, rounded once (docs/fares.md, step 3).
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from fastpath._case cimport Case, Lay

cdef enum:
    TIERS_AT_ONCE = 17            # the month's and 16 period rules

# A total on its steps: each step begins at an int64, and its factor is the int64 behind it.
cdef struct TierUse:
    const char* steps
    uint32_t step_bytes
    uint32_t step_count
    int64_t total
    int64_t factor_ppm            # of the step that the total lies in
    int32_t place                 # that step, -1 = before the first
    uint32_t rule
    uint32_t act
    int32_t number                # of the act, -1 = that of the step
    bint is_split

cdef struct Factors:
    int64_t time_ppm
    uint32_t time_number
    int64_t medium_ppm
    int64_t leg_ppm
    uint32_t tier_count
    TierUse tiers[TIERS_AT_ONCE]

# What acts on the leg of this tap. discount: number of the time discount, 0 = none. before_minor,
# nominal_before_minor: what earlier legs of the journey cost and would cost. `lay` NULL: a tariff
# without layers.
cdef void find_factors(Case* case, Lay* lay, uint32_t discount, int64_t before_minor,
                       int64_t nominal_before_minor, Factors* factors) noexcept nogil
# is_told: note on the decision what acted.
cdef int64_t apply_factors(Case* case, const Factors* factors, int64_t nominal_minor,
                           int64_t discountable_minor, bint is_told) noexcept nogil
