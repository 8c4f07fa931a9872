# What taps, reversals and commands share: money that fits, and the running totals of a month.
from libc.stdint cimport int32_t, int64_t, uint32_t

from fastpath._layout cimport Account, Period

cdef extern from "money.h" nogil:
    const int64_t MONEY_MAX
    const int64_t FARE_MAX
    int64_t scale_half_up(int64_t amount_ppm, int64_t medium_ppm, int64_t tier_ppm,
                          int64_t unit_minor)
    enum:
        FACTORS_AT_ONCE
    int64_t scale_factors(int64_t amount_ppm, const int64_t* factors_ppm, int count,
                          int64_t unit_minor, int mode)
    int64_t proportion_half_up(int64_t a, int64_t b, int64_t c)
    bint add_money(int64_t a, int64_t b, int64_t* sum)


cdef inline int64_t spendable(const Account* account) noexcept nogil:
    return account.balance_minor + account.subsidy_minor - account.held_minor


cdef inline int64_t month_total(const Period* period, uint32_t month) noexcept nogil:
    if month == period.month:
        return period.month_paid_minor
    return period.prev_month_paid_minor if month == period.prev_month else 0


cdef inline int64_t month_trips(const Period* period, uint32_t month) noexcept nogil:
    if month == period.month:
        return period.month_trips
    return period.prev_month_trips if month == period.prev_month else 0


# Add to (with negative numbers: take from) a month and the newest day; never below 0.
cdef inline void add_to_period(Period* period, uint32_t month, uint32_t day, int64_t paid_minor,
                               int32_t trips) noexcept nogil:
    if month == period.month:
        period.month_paid_minor = max(0, period.month_paid_minor + paid_minor)
        period.month_trips = <uint32_t> max(0, <int64_t> period.month_trips + trips)
    elif month == period.prev_month:
        period.prev_month_paid_minor = max(0, period.prev_month_paid_minor + paid_minor)
        period.prev_month_trips = <uint32_t> max(0, <int64_t> period.prev_month_trips + trips)
    if day != 0 and day == period.day:
        period.day_paid_minor = max(0, period.day_paid_minor + paid_minor)
        period.day_trips = <uint32_t> max(0, <int64_t> period.day_trips + trips)
