"""What each tap costs, from the leg to the caps: the order of docs/fares.md.

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import replace

from fastpath.layers import OverstayKind, SameStop, SameStopKind
from fastpath.reference_case import Case, Charge, Leg, entry_version
from fastpath.reference_factors import discounted, find_factors
from fastpath.reference_journey import joined_by, transferred
from fastpath.reference_legs import (
    find_flat_leg,
    find_ride_leg,
    find_same_stop,
    nominal_before,
    stay_limit,
    tell_leg,
)
from fastpath.reference_model import FARE_MAX
from fastpath.reference_period import cap_charge, find_pass
from fastpath.types import Act, Reason, Rule

UNCOUNTED = Charge(is_counted=False)


def price_ride(case: Case) -> Charge | None:
    """Price the journey that this check-out ends; None = the tariff has no price."""
    out = case.out
    out.other_stop = origin_stop = case.ride_origin
    decided = find_same_stop(case, origin_stop)
    if decided is not None and decided[1].kind != SameStopKind.FARE:
        return _same_stop(case, *decided)
    leg = find_ride_leg(case, origin_stop, decided[1] if decided else None)
    if leg is None:
        return None
    out.rules |= joined_by(case)
    tell_leg(case, leg)
    if decided is not None:
        case.act(Act.SAME_STOP, decided[0])
    stays_too_long = decided is None and _stays_too_long(case, leg)
    if stays_too_long:
        out.rules |= Rule.OVERSTAY
        if case.layers.overstay != OverstayKind.FEE:
            return _overstay_highest(case)
    charge = _price_leg(case, leg, discount=case.ride_discount)
    charge.surcharge_minor = case.tariff.rules.overstay_minor if stays_too_long else 0
    return charge


def _same_stop(case: Case, index: int, one: SameStop) -> Charge:
    case.out.rules |= Rule.SAME_STATION | joined_by(case)
    case.act(Act.SAME_STOP, index)
    if one.kind == SameStopKind.FREE:
        return replace(UNCOUNTED)
    highest_minor = one.times * case.tariff.highest_minor(case.tap.stop)
    return replace(UNCOUNTED, surcharge_minor=highest_minor, ends_span=True)


def _stays_too_long(case: Case, leg: Leg) -> bool:
    limit_us = stay_limit(case, leg)
    return limit_us >= 0 and case.ts_us - case.owner.entry_ts_us > limit_us


def _overstay_highest(case: Case) -> Charge:
    version = case.tariff
    highest_minor = version.highest_minor(case.ride_origin)
    if case.layers.overstay == OverstayKind.TWO_HIGHEST:
        highest_minor += version.highest_minor(case.tap.stop)
    paid_minor = case.owner.journey_paid_minor if case.is_joined else 0
    left_minor = max(0, highest_minor - paid_minor)
    return replace(UNCOUNTED, surcharge_minor=left_minor, ends_span=True)


def _price_leg(case: Case, leg: Leg, *, discount: int) -> Charge:
    """Steps 3 to 6: factors, transfer, pass, caps."""
    is_joined = case.is_joined
    paid_minor = case.owner.journey_paid_minor if is_joined else 0
    before_minor = nominal_before(case) if is_joined else 0
    factors = find_factors(
        case,
        leg,
        discount=discount,
        before_minor=paid_minor,
        nominal_before_minor=before_minor,
    )
    price_minor = discounted(case, factors, leg.nominal_minor, leg.discountable_minor)
    cost_minor, by_transfer, may_give_back = transferred(case, leg, factors, price_minor)
    ride_minor = cost_minor - paid_minor
    if not may_give_back:
        ride_minor = max(0, ride_minor)
    charge = Charge(
        ride_minor=ride_minor,
        nominal_minor=max(0, leg.nominal_minor - before_minor),
        is_new_trip=not is_joined,
        leg=leg,
        by_transfer=by_transfer,
    )
    _cover(case, leg, charge)
    charge.ride_minor = cap_charge(case, leg, charge.ride_minor)
    return charge


def _cover(case: Case, leg: Leg, charge: Charge) -> None:
    covering = find_pass(case, leg) if charge.ride_minor > 0 else None
    if covering is None:
        return
    index, charge.used_pass, charge.takes_ride = covering
    charge.ride_minor = 0
    case.out.rules |= Rule.PASS
    case.act(Act.PASS, index)


def price_missing_check_in(case: Case) -> Charge:
    """The highest fare of the stop."""
    case.out.rules |= Rule.MISSING_CHECK_IN
    highest_minor = case.tariff.highest_minor(case.tap.stop)
    return replace(
        UNCOUNTED, surcharge_minor=highest_minor, nominal_minor=highest_minor, ends_span=True
    )


def price_missing_check_out(case: Case) -> Charge:
    """The highest fare from the origin of the open journey, less what its earlier legs cost."""
    account = case.owner
    version = entry_version(case) or case.tariff
    if not version.knows(account.origin_stop):
        return replace(UNCOUNTED)
    left_minor = max(0, version.highest_minor(account.origin_stop) - account.journey_paid_minor)
    return replace(UNCOUNTED, surcharge_minor=left_minor, nominal_minor=left_minor)


def price_flat(case: Case, *, is_rider: bool) -> tuple[Charge, Reason | None]:
    """What a flat tap costs; is_rider: one more rider of a group."""
    amount_minor = case.tap.amount_minor
    if amount_minor != -1:
        if not 0 <= amount_minor <= FARE_MAX:
            return Charge(), Reason.AMOUNT_INVALID
        case.out.rules |= Rule.DEVICE_AMOUNT
        return Charge(
            ride_minor=amount_minor, nominal_minor=amount_minor, is_counted=not is_rider
        ), None
    leg = find_flat_leg(case)
    if leg is None:
        return Charge(), Reason.NOT_PRICED
    tell_leg(case, leg)
    if case.period is None:
        return Charge(ride_minor=leg.nominal_minor, nominal_minor=leg.nominal_minor), None
    discount = 0
    if case.tariff.legs is not None and case.tariff.legs.flat_by_leg:
        discount = case.tariff.find_discount(case.tap.stop, case.ts_us)
    if not is_rider:
        return _price_leg(case, leg, discount=discount), None
    factors = find_factors(case, leg, discount=discount, before_minor=0, nominal_before_minor=0)
    price_minor = discounted(case, factors, leg.nominal_minor, leg.discountable_minor)
    return Charge(ride_minor=price_minor, nominal_minor=leg.nominal_minor, is_counted=False), None
