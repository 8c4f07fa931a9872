# One tap on its way through the rules: what the parts of the core hand each other.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath._extras cimport Extras
from fastpath._layers cimport COUNTERS_MAX, PASS_CELLS_MAX, LayersC, Scope
from fastpath._layout cimport (
    ACTS_MAX, KIND_CHECK_OUT, Account, Cell, Counter, Decision, Medium, Period, Tap,
)
from fastpath._tariff cimport NO_STOP, TariffBook, TariffC, book_at, day_index

cdef struct Case:
    const TariffBook* book
    const Medium* medium
    Account* account
    Period* period            # whose totals count; NULL = nobody's
    Extras* extras            # copies of the account's cells; NULL = none wanted
    const Tap* tap
    Decision* out
    const TariffC* tariff     # prices this tap
    int64_t ts_us             # fare time
    uint32_t stop             # index of the tap's stop
    uint32_t month            # of the monthly totals; 0 = none in this tariff or calendar
    uint32_t day
    bint is_ride              # a check-out that ends the open journey
    bint is_joined            # ... and with it a later leg of the journey
    bint is_late              # an offline tap from before the journey line's newest instant
    bint is_offline
    bint is_opened            # the device let the rider through: no state refuses this tap

# What a tap costs.
cdef struct Charge:
    int64_t ride_minor        # counts towards journey and month
    int64_t surcharge_minor   # overstay, incomplete journeys: counts nowhere
    int64_t nominal_minor
    bint is_counted
    bint is_new_trip
    bint by_pass              # counts, but with nothing

# A leg that has a price: what the tables say about it, and when it was made.
cdef struct Leg:
    int64_t dep_us
    int64_t arr_us
    int64_t nominal_minor     # -1 = not priced
    int64_t discountable_minor
    uint32_t distance_m
    uint32_t zones
    uint32_t source
    uint32_t column
    uint32_t rules            # RULE_*: told when the leg is used
    uint16_t group
    uint8_t stay
    uint8_t network
    uint8_t category
    uint8_t frame_in
    uint8_t medium            # kind
    bint needs_distance       # priced by a distance that came with the tap

cdef enum:                    # Lay.reading
    READING_UNKNOWN = 0
    READING_NOTHING = 1       # outside the calendar, or before the counter's window
    READING_FRESH = 2         # a new window
    READING_SAME = 3          # the stored one

# What a tariff with layers needs beside the case. Only made for such tariffs.
cdef struct Lay:
    const LayersC* layers
    Leg leg
    Cell* chain               # the owner's, NULL = not kept (yet)
    Cell* before
    Cell* span                # NULL = none is kept
    bint keeps_chain          # by the tariff's rules, or for a pass that the account holds
    Counter* counters[COUNTERS_MAX]
    Cell* passes[PASS_CELLS_MAX]
    uint32_t pass_count
    uint32_t new_counters     # of the tariff, not kept yet
    uint32_t free_places
    uint8_t reading[COUNTERS_MAX]
    uint32_t window[COUNTERS_MAX]
    uint32_t months[2]        # calendar of the fare time and of the entry
    uint32_t days[2]
    uint8_t calendar[2]       # 0 = not looked up, 1 = outside, 2 = found
    int64_t nominal_before_minor  # of the part of a joined journey before this leg
    Cell* used_pass
    uint32_t pass_product
    bint takes_ride
    bint has_leg              # chain and counters learn of the leg
    bint ends_span
    bint by_transfer
    bint is_rider             # one more rider on a medium that was just used


cdef inline void note_act(Case* case, uint32_t kind, uint32_t number) noexcept nogil:
    if case.out.act_count < ACTS_MAX:
        case.out.acts[case.out.act_count] = kind << 24 | number
        case.out.act_count += 1


# Whether a later leg that goes back to where the journey began is a journey of its own. Not where
# only joins are: there the legs of a feed are one leg, wherever it ends.
cdef inline bint splits_round_trips(const TariffC* tariff) noexcept nogil:
    return (tariff.layers == NULL or tariff.layers.join_count == 0
            or tariff.layers.same_stop_count > 0 or tariff.rules.same_stop_fare_minor >= 0
            or tariff.interchange_rows[tariff.stop_count] > 0)


# Whether this check-out ends a later leg of a journey.
cdef inline bint is_joined(const Case* case) noexcept nogil:
    return case.is_joined


# Where the ride began that this check-out ends: with the journey, or with a leg on its own.
cdef inline uint32_t ride_origin(const Case* case) noexcept nogil:
    if case.account.leg_count > 1 and not case.is_joined:
        return case.account.entry_stop
    return case.account.origin_stop


# Whether a network, category or zone is among the bits of a mask.
cdef inline bint has_bit(uint32_t mask, uint32_t number) noexcept nogil:
    return mask >> number & 1


# Whether a leg is in the scope of the n-th counter, period rule or pass.
cdef inline bint in_scope(const Scope* scopes, uint32_t number, const Leg* leg) noexcept nogil:
    return scopes == NULL or (scopes[number].frames >> leg.frame_in & 1
                              and has_bit(scopes[number].media, leg.medium))


# Only the two newest months are kept; what comes later than that is not counted (and has no tier).
cdef inline bint is_countable(const Case* case) noexcept nogil:
    return case.month != 0 and case.month >= case.period.prev_month


cdef inline bint knows_any_stop(const TariffC* tariff) noexcept nogil:
    return (tariff.layers != NULL and tariff.layers.has_legs
            and tariff.layers.scalars.any_stop != 0)


# Highest fare of a stop index; NO_STOP only with any_stop.
cdef inline int64_t highest_of(const TariffC* tariff, uint32_t stop) noexcept nogil:
    if stop == NO_STOP:
        return tariff.layers.scalars.highest_any_minor if knows_any_stop(tariff) else 0
    return tariff.highest_minor[stop]


# Month and service day as the pricing tariff has them, else as the one in force then.
cdef inline bint find_calendar(const Case* case, int64_t instant_us, uint32_t* month,
                               uint32_t* service_day) noexcept nogil:
    cdef const TariffC* tariff = case.tariff
    cdef int64_t day = day_index(tariff, instant_us)
    if day < 0:
        tariff = book_at(case.book, case.tap.tariff_slot, instant_us)
        day = day_index(tariff, instant_us) if tariff != NULL else -1
    if day < 0:
        return False
    month[0] = tariff.day_month[day]
    service_day[0] = <uint32_t> (tariff.rules.first_day + day)
    return True
