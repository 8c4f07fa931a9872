"""When a pass that is sold ends."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from fastpath.layers import PassProduct, PassStart
from fastpath.types import TariffSpec
from gateway.tariffs.calendar import US_PER_DAY

SET_BY_FIRST_USE = 0
DAYS_OF_WEEK = 7
MOST_DAYS_OF_MONTH = 31
MONDAY_SHIFT = 3
"""1970-01-01 was a Thursday."""


def find_pass(spec: TariffSpec, name: str) -> PassProduct | None:
    """The pass of this name."""
    passes = spec.layers.passes if spec.layers else ()
    return next((one for one in passes if one.name == name), None)


def pass_end_us(spec: TariffSpec, product: PassProduct, from_us: int) -> int:
    """The end of a pass bought at an instant; 0 = its first use sets it, or it has none.

    Invariants: as the engine does at a first use (docs/fares.md, passes).
    """
    if product.start is PassStart.FIRST_USE:
        return SET_BY_FIRST_USE
    if product.months or product.weeks:
        return _calendar_end_us(spec, product, from_us)
    if product.service_days:
        starts = spec.days.start_us
        last = bisect_right(starts, from_us) - 1 + product.service_days
        if 0 < last < len(starts):
            return starts[last]
        return from_us + product.service_days * US_PER_DAY
    return from_us + product.duration_us if product.duration_us else SET_BY_FIRST_USE


def _calendar_end_us(spec: TariffSpec, product: PassProduct, from_us: int) -> int:
    """When calendar months or weeks end, the one of the instant included."""
    days = spec.days
    length = DAYS_OF_WEEK * product.weeks or MOST_DAYS_OF_MONTH * product.months
    day = bisect_right(days.start_us, from_us) - 1
    if not 0 <= day < len(days.month):
        return from_us + length * US_PER_DAY
    if product.weeks:
        end = day - (days.first_day + day + MONDAY_SHIFT) % DAYS_OF_WEEK + length
        is_known = end < len(days.start_us)
    else:
        end = bisect_left(days.month, days.month[day] + product.months)
        is_known = end < len(days.month)
    return days.start_us[end] if is_known else from_us + length * US_PER_DAY
