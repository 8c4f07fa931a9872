"""What a leg costs by a tariff with layers, from the leg to the caps, and what is kept of it.

docs/fares.md, "The order", is the text.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

from fastpath._case cimport Case, Charge, Lay, highest_of, is_joined, note_act, ride_origin
from fastpath._factors cimport Factors, apply_factors, find_factors
from fastpath._journey cimport find_cells, keep_chain, transferred
from fastpath._layers cimport (
    OVERSTAY_FEE, OVERSTAY_TWO_HIGHEST, SAME_STOP_FARE, SAME_STOP_FREE, SameStopRule,
)
from fastpath._layout cimport *
from fastpath._legs cimport (
    begin_leg, find_flat_leg, find_nominal_before, find_ride_leg, find_same_stop, stay_limit,
    tell_leg,
)
from fastpath._period cimport cap_charge, count_leg, find_pass, use_pass
from fastpath._tariff cimport stop_index


cdef void begin_layers(Case* case, Lay* lay) noexcept nogil:
    memset(lay, 0, sizeof(Lay))
    lay.layers = case.tariff.layers
    find_cells(case, lay)


# Steps 3 to 6: factors, transfer, pass, caps.
cdef void price_leg(Case* case, Lay* lay, uint32_t discount, Charge* charge) noexcept nogil:
    cdef Factors factors
    cdef bint is_later = is_joined(case)
    cdef int64_t paid_minor = case.account.journey_paid_minor if is_later else 0
    cdef int64_t before_minor = find_nominal_before(case, lay) if is_later else 0
    cdef int64_t price_minor
    cdef bint may_give_back
    find_factors(case, lay, discount, paid_minor, before_minor, &factors)
    price_minor = apply_factors(case, &factors, lay.leg.nominal_minor, lay.leg.discountable_minor,
                                True)
    charge.ride_minor = transferred(case, lay, &factors, price_minor, &may_give_back) - paid_minor
    if not may_give_back:
        charge.ride_minor = max(0, charge.ride_minor)
    charge.nominal_minor = max(0, lay.leg.nominal_minor - before_minor)
    charge.is_counted = True
    charge.is_new_trip = not is_later
    lay.has_leg = True
    if charge.ride_minor > 0 and find_pass(case, lay):
        charge.ride_minor = 0
        charge.by_pass = True
        case.out.rules |= RULE_PASS
        note_act(case, ACT_PASS, lay.pass_product)
    charge.ride_minor = cap_charge(case, lay, charge.ride_minor)


# Leaving where one entered, free or at the highest fare.
cdef void price_same_stop(Case* case, Lay* lay, const SameStopRule* same,
                          Charge* charge) noexcept nogil:
    case.out.rules |= RULE_SAME_STATION
    note_act(case, ACT_SAME_STOP, <uint32_t> (same - lay.layers.same_stops))
    if same.kind != SAME_STOP_FREE:
        charge.surcharge_minor = same.times * highest_of(case.tariff, case.stop)
        lay.ends_span = True


cdef void price_long_stay(Case* case, Lay* lay, Charge* charge) noexcept nogil:
    cdef int64_t highest_minor = highest_of(
        case.tariff, stop_index(case.tariff, ride_origin(case)))
    cdef int64_t paid_minor = case.account.journey_paid_minor if is_joined(case) else 0
    if lay.layers.scalars.overstay == OVERSTAY_TWO_HIGHEST:
        highest_minor += highest_of(case.tariff, case.stop)
    charge.surcharge_minor = max(0, highest_minor - paid_minor)
    lay.ends_span = True


cdef bint stays_too_long(const Case* case, const Lay* lay) noexcept nogil:
    cdef int64_t limit_us = stay_limit(case, lay)
    return limit_us >= 0 and case.ts_us - case.account.entry_ts_us > limit_us


cdef uint32_t joined_by(const Case* case, const Lay* lay, bint by_pair) noexcept nogil:
    if not is_joined(case):
        return 0
    return RULE_OUT_OF_STATION if by_pair or lay.layers.join_count == 0 else RULE_JOINED_LEG


cdef int price_layered_ride(Case* case, Lay* lay, bint by_pair, uint8_t discount,
                            Charge* charge) noexcept nogil:
    cdef const SameStopRule* same
    case.out.other_stop = ride_origin(case)
    begin_leg(case, lay)
    same = find_same_stop(case, lay)
    if same != NULL and same.kind != SAME_STOP_FARE:
        case.out.rules |= joined_by(case, lay, by_pair)
        price_same_stop(case, lay, same, charge)
        return REASON_OK
    if not find_ride_leg(case, lay, same):
        return REASON_NOT_PRICED
    case.out.rules |= joined_by(case, lay, by_pair)
    tell_leg(case, &lay.leg)
    if same != NULL:
        note_act(case, ACT_SAME_STOP, <uint32_t> (same - lay.layers.same_stops))
    elif stays_too_long(case, lay):
        case.out.rules |= RULE_OVERSTAY
        if lay.layers.scalars.overstay != OVERSTAY_FEE:
            price_long_stay(case, lay, charge)
            return REASON_OK
        charge.surcharge_minor = case.tariff.rules.overstay_minor
    price_leg(case, lay, discount, charge)
    return REASON_OK


cdef int price_layered_flat(Case* case, Lay* lay, uint8_t discount, Charge* charge) noexcept nogil:
    cdef Factors factors
    begin_leg(case, lay)
    if not find_flat_leg(case, lay):
        return REASON_NOT_PRICED
    tell_leg(case, &lay.leg)
    charge.nominal_minor = lay.leg.nominal_minor
    charge.ride_minor = lay.leg.nominal_minor
    if case.period == NULL:
        return REASON_OK
    if not lay.is_rider:
        price_leg(case, lay, discount, charge)
        return REASON_OK
    find_factors(case, lay, discount, 0, 0, &factors)
    charge.ride_minor = apply_factors(case, &factors, lay.leg.nominal_minor,
                                      lay.leg.discountable_minor, True)
    return REASON_OK


cdef void keep_layers(Case* case, Lay* lay, const Charge* charge,
                      int64_t journey_minor) noexcept nogil:
    if not case.is_late:
        keep_chain(case, lay, journey_minor, charge.ride_minor)
    if lay.has_leg:
        count_leg(case, lay, charge)
        use_pass(case, lay)
