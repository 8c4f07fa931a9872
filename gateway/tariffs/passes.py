"""When a pass that is sold ends."""

from __future__ import annotations

from bisect import bisect_right

from fastpath.layers import PassProduct, PassStart
from fastpath.types import TariffSpec
from gateway.tariffs.calendar import US_PER_DAY

SET_BY_FIRST_USE = 0


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
    if product.service_days:
        starts = spec.days.start_us
        last = bisect_right(starts, from_us) - 1 + product.service_days
        if 0 < last < len(starts):
            return starts[last]
        return from_us + product.service_days * US_PER_DAY
    return from_us + product.duration_us if product.duration_us else SET_BY_FIRST_USE
