"""Layer 1 of the reference engine: what one leg costs before anything discounts it.

docs/fares.md, "Layer 1", is the text. Must import only the standard library and fastpath.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from fastpath.checks import sure
from fastpath.layers import Bands, Frames, Legs, SameStop
from fastpath.reference_case import Case, Leg, find_category, network_of
from fastpath.reference_model import FARE_MAX, PART_RULES, Pair, Version
from fastpath.types import Act, FarePart, Rule


def frame_at(version: Version, frames: Frames, ts_us: int) -> int:
    """Which time frame an instant lies in; 0 outside the day table."""
    day = version.find_day(ts_us)
    if day is None:
        return 0
    begun = [i for i in range(frames.row[day], frames.row[day + 1]) if frames.start_us[i] <= ts_us]
    return frames.frame[begun[-1]] if begun else 0


def band_price(bands: Bands, distance_m: int) -> tuple[int, Rule] | None:
    """Price of a distance, and whether it lies behind the last band; None = not priced."""
    at = bisect_left(bands.to_m, distance_m)
    rule = Rule.DISTANCE_BAND
    if at < len(bands.to_m):
        fare_minor = bands.fare_minor[at]
    elif bands.per_m:
        end_m, fare_minor = (bands.to_m[-1], bands.fare_minor[-1]) if bands.to_m else (0, 0)
        if fare_minor >= 0:
            fare_minor += -(-(distance_m - end_m) // bands.per_m) * bands.add_minor
        rule = Rule.BEYOND_BANDS
    else:
        fare_minor, rule = bands.beyond_minor, Rule.BEYOND_BANDS
    return (fare_minor, rule) if 0 <= fare_minor <= FARE_MAX else None


def product_price(legs: Legs, product: int, category: int, medium_kind: int) -> int:
    """Price of a product, -1 = not sold to this category on this medium."""
    if product < 0:
        return -1
    return legs.products[(product * legs.category_count + category) * 16 + (medium_kind & 15)]


def bands_of(version: Version, column: int) -> Bands | None:
    """The bands of a column, if it prices by distance."""
    legs = version.legs
    return legs.bands[column] if legs is not None and column < len(legs.bands) else None


def _class_of(version: Version, legs: Legs, stop: int, *, is_flat: bool) -> int | None:
    index = version.index_of.get(stop)
    if index is not None:
        return legs.stop_class[index]
    return 0 if legs.any_stop or is_flat else None


def _cell_leg(case: Case, legs: Legs, leg: Leg, classes: tuple[int, int], frame_out: int) -> Leg:
    """Everything but the price that the cell of this leg says; the price is -1 if it has none."""
    line = (leg.network * legs.frames.count + leg.frame_in) * legs.frames.count + frame_out
    column = legs.column[line * legs.category_count + leg.category]
    if column < 0:
        return replace(leg, rules=Rule.LEG_RULE)
    at = (column * legs.class_count + classes[0]) * legs.class_count + classes[1]
    found = replace(
        leg,
        nominal_minor=legs.fare[at],
        discountable_minor=legs.discountable[at],
        distance_m=legs.distance_m[at],
        group=legs.group[at],
        stay=legs.stay[at],
        zones=legs.zones[at] if legs.zones else 0xFFFF_FFFF,
        source=legs.source[at],
        column=column,
        rules=Rule.LEG_RULE,
    )
    bands = bands_of(case.tariff, column)
    if bands is not None:
        return _by_bands(found, bands, case.tap.distance_m)
    found.rules |= PART_RULES[FarePart(legs.part[at])]
    if legs.products:
        found.nominal_minor = product_price(
            legs, found.nominal_minor, leg.category, case.tap.medium_kind
        )
        found.discountable_minor = max(0, found.nominal_minor)
    return found


def _by_bands(leg: Leg, bands: Bands, given_m: int) -> Leg:
    leg.needs_distance = leg.distance_m == 0
    if leg.needs_distance:
        leg.distance_m = given_m
        leg.rules |= Rule.GIVEN_DISTANCE if given_m else Rule(0)
    priced = band_price(bands, leg.distance_m)
    leg.nominal_minor, rule = priced or (-1, Rule(0))
    leg.rules |= rule
    leg.discountable_minor = max(0, leg.nominal_minor)
    return leg


def _of_pair(leg: Leg, pair: Pair) -> Leg:
    return replace(
        leg,
        nominal_minor=pair.fare_minor,
        discountable_minor=pair.discountable_minor,
        distance_m=pair.distance_m,
        rules=pair.rules,
    )


def blank_leg(case: Case) -> Leg:
    """The leg that this tap ends, without a price."""
    dep_us = case.dep_us
    category, rules = find_category(case, dep_us)
    legs = case.tariff.legs
    return Leg(
        nominal_minor=-1,
        network=network_of(case),
        category=category,
        frame_in=frame_at(case.tariff, legs.frames, dep_us) if legs else 0,
        medium=case.tap.medium_kind & 15,
        dep_us=dep_us,
        arr_us=case.ts_us,
        rules=rules,
    )


def find_ride_leg(case: Case, origin_stop: int, same: SameStop | None) -> Leg | None:
    """The leg from the journey's origin to here; None = the tariff has no price.

    same: what the tariff says about leaving where one entered, if it makes it an ordinary fare.
    """
    version, exit_stop = case.tariff, case.tap.stop
    blank = blank_leg(case)
    fixed_minor = -1
    if origin_stop == exit_stop and version.knows(exit_stop):
        fixed_minor = same.fare_minor if same else version.rules.same_stop_fare_minor
    if version.legs is None:
        pair = version.find_pair(origin_stop, exit_stop, is_plain=True)
        leg = _of_pair(blank, pair) if pair else replace(blank)
        if origin_stop not in version.index_of or exit_stop not in version.index_of:
            return None
    else:
        found = _find_cell(case, version.legs, blank, origin_stop, exit_stop)
        if found is None:
            return None
        leg = found
    if fixed_minor >= 0:
        leg.nominal_minor, leg.discountable_minor, leg.distance_m = fixed_minor, 0, 0
        leg.rules, leg.source = Rule.SAME_STATION, 0
    elif same is not None:
        leg.rules |= Rule.SAME_STATION
    leg.rules |= blank.rules
    return leg if leg.nominal_minor >= 0 else None


def _find_cell(
    case: Case, legs: Legs, blank: Leg, origin_stop: int, exit_stop: int, *, is_flat: bool = False
) -> Leg | None:
    version = case.tariff
    origin = _class_of(version, legs, origin_stop, is_flat=is_flat)
    destination = _class_of(version, legs, exit_stop, is_flat=is_flat)
    if origin is None or destination is None:
        return None
    frame_out = frame_at(version, legs.frames, blank.arr_us)
    return _cell_leg(case, legs, blank, (origin, destination), frame_out)


def find_flat_leg(case: Case) -> Leg | None:
    """The leg of a flat tap without an amount; None = the tariff has no price."""
    version, blank = case.tariff, blank_leg(case)
    if version.legs is not None and version.legs.flat_by_leg:
        stop = case.tap.stop
        leg = _find_cell(case, version.legs, blank, stop, stop, is_flat=True)
        leg = sure(leg)
        leg.rules |= blank.rules
        return leg if leg.nominal_minor >= 0 else None
    if version.rules.flat_minor < 0:
        return None
    return replace(
        blank, nominal_minor=version.rules.flat_minor, rules=blank.rules | Rule.FLAT_FARE
    )


def nominal_before(case: Case) -> int:
    """What the part of a joined journey before its last leg would cost without discounts."""
    account, version, legs = case.owner, case.tariff, case.tariff.legs
    if legs is None:
        pair = version.find_pair(account.origin_stop, account.exit_stop)
        return pair.fare_minor if pair else 0
    blank = replace(blank_leg(case), arr_us=account.entry_ts_us)
    leg = _find_cell(case, legs, blank, account.origin_stop, account.exit_stop)
    if leg is not None and leg.needs_distance:
        return max(0, account.journey_paid_minor)
    return max(0, leg.nominal_minor) if leg else 0


def tell_leg(case: Case, leg: Leg) -> None:
    """Note on the decision what the tables said."""
    case.out.rules |= leg.rules
    case.out.distance_m = leg.distance_m
    if leg.source:
        case.act(Act.LEG, leg.source)


def find_same_stop(case: Case, origin_stop: int) -> tuple[int, SameStop] | None:
    """What decides about leaving where one entered: (index, entry)."""
    if origin_stop != case.tap.stop or not case.tariff.knows(origin_stop):
        return None
    stay_us = case.ts_us - case.dep_us
    for index, one in enumerate(case.layers.same_stop):
        if one.until_us == -1 or stay_us <= one.until_us:
            return index, one
    return None


def stay_limit(case: Case, leg: Leg) -> int:
    """How long one may stay, -1 = as long as one likes."""
    legs = case.tariff.legs
    if legs is not None and legs.stays_us:
        return legs.stays_us[leg.stay * legs.frames.count + leg.frame_in]
    return case.tariff.rules.max_stay_us
