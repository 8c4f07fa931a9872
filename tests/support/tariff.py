"""A tariff small enough to check by hand: four stops in a row, 1 CNY a stop travelled, 3 CNY at
least.
"""

from __future__ import annotations

from array import array

from fastpath.api import CompiledTariff
from fastpath.types import (
    CapOwner,
    DayTable,
    FarePart,
    MissingCheckIn,
    MonthlyTier,
    TariffRules,
    TariffSpec,
)

STOPS = (11, 12, 13, 14)
FIRST_DAY = 20_000  # 2024-10-04
DAYS = 2_000
DAY_US = 86_400_000_000


def fare_minor(entry: int, leave: int) -> int:
    """What this tariff asks between two stops."""
    return 200 + 100 * max(1, abs(STOPS.index(entry) - STOPS.index(leave)))


def small_spec(**rules: object) -> TariffSpec:
    """The tariff; keyword arguments go into its TariffRules."""
    pairs = [(a, b) for a in STOPS for b in STOPS]
    days = range(FIRST_DAY, FIRST_DAY + DAYS + 1)
    scalars: dict[str, object] = {
        "entry_minimum_minor": 300,
        "exit_overdraft": True,
        "passback_us": 5_000_000,
        "missing_check_in": MissingCheckIn.HIGHEST_AT_DESK,
        "missing_check_out_after_us": 4 * 3_600_000_000,
        "flat_minor": 150,
        "cap_owner": CapOwner.ACCOUNT,
    }
    return TariffSpec(
        tariff_id="small",
        version="1",
        currency=156,
        valid_from_us=FIRST_DAY * DAY_US,
        valid_until_us=(FIRST_DAY + DAYS) * DAY_US,
        stop_ids=array("I", STOPS),
        od_fare_minor=array("i", [fare_minor(a, b) for a, b in pairs]),
        od_distance_m=array("I", [1000 * abs(a - b) for a, b in pairs]),
        od_part=bytes([FarePart.BAND] * len(pairs)),
        highest_minor=array("i", [max(fare_minor(a, b) for b in STOPS) for a in STOPS]),
        days=DayTable(
            FIRST_DAY,
            array("q", [day * DAY_US for day in days]),
            array("I", [24_297 + (day - FIRST_DAY) // 30 for day in days][:-1]),
        ),
        od_discountable_minor=array("i", [fare_minor(a, b) for a, b in pairs]),
        rules=TariffRules(**(scalars | rules)),  # type: ignore[arg-type]
        monthly_tiers=(MonthlyTier(0, 1_000_000), MonthlyTier(10_000, 800_000)),
    )


def small_tariff(**rules: object) -> CompiledTariff:
    """The same, compiled."""
    return CompiledTariff.build(small_spec(**rules))
