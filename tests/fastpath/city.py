"""A town small enough to check by hand, with Beijing's rules; service days begin at 04:00 UTC."""

from __future__ import annotations

from array import array
from dataclasses import replace

from fastpath.types import (
    DayTable,
    FarePart,
    MissingCheckIn,
    MonthlyTier,
    OutOfStation,
    TariffRules,
    TariffSpec,
    TimeDiscount,
)
from tests.fastpath.world import DAY_US, HOUR_US, MINUTE_US, World

EAST, WEST, HILL, LAKE, AIRPORT, DEPOT = 101, 102, 103, 104, 110, 120
STOPS = (EAST, WEST, HILL, LAKE, AIRPORT, DEPOT)
FIRST_DAY = 20_758  # 2026-11-01
DAYS = 90
BEGIN_US = FIRST_DAY * DAY_US + 4 * HOUR_US

PRICES = """
# from     to       CNY    m      part      of it discountable
  EAST     WEST     3.00   5000   BAND      3.00
  EAST     HILL     5.00   20000  BAND      5.00
  EAST     LAKE     8.00   60000  BEYOND    8.00
  EAST     AIRPORT  28.00  35000  COMBINED  3.00
  WEST     HILL     4.00   11000  BAND      4.00
  WEST     LAKE     7.00   45000  BEYOND    7.00
  WEST     AIRPORT  25.00  28000  SEPARATE  0.00
  HILL     LAKE     6.00   30000  BAND      6.00
  HILL     AIRPORT  30.00  50000  COMBINED  5.00
  LAKE     AIRPORT  31.00  70000  COMBINED  6.00
"""


def minor(text: str) -> int:
    """'12.34' -> 1234."""
    whole, _, cents = text.partition(".")
    sign = -1 if text.startswith("-") else 1
    return int(whole) * 100 + sign * int(cents or "0")


def rows(table: str) -> list[list[str]]:
    """Cells of a text table, without comments."""
    lines = [line.split("#")[0].split() for line in table.splitlines()]
    return [cells for cells in lines if cells]


def stop_named(name: str) -> int:
    found = globals()[name]
    assert isinstance(found, int)
    return found


def _matrices() -> dict[str, object]:
    count = len(STOPS)
    fare, share, metres = (array("i", [0]) * count**2 for _ in range(3))
    part = bytearray(count * count)
    for at in range(count * count):
        fare[at] = -1
    for origin, destination, price, distance, kind, discountable in rows(PRICES):
        pair = STOPS.index(stop_named(origin)), STOPS.index(stop_named(destination))
        for a, b in (pair, pair[::-1]):
            at = a * count + b
            fare[at], share[at], metres[at] = minor(price), minor(discountable), int(distance)
            part[at] = FarePart[kind]
    for at in range(0, count * count, count + 1):
        fare[at], share[at], part[at] = 300, 300, FarePart.BAND
    highest = [max(0, *fare[at * count : (at + 1) * count]) for at in range(count)]
    return {
        "od_fare_minor": fare,
        "od_discountable_minor": share,
        "od_distance_m": metres,
        "od_part": bytes(part),
        "highest_minor": array("i", highest),
    }


def early_bird(starts: array[int]) -> TimeDiscount:
    """Half price for who enters before 07:00 at EAST."""
    flags = bytes(stop == EAST for stop in STOPS)
    ends = array("q", [at + 3 * HOUR_US for at in starts[:-1]])
    return TimeDiscount("early bird", 500_000, flags, starts[:-1], ends)


RULES = TariffRules(
    entry_minimum_minor=300,
    exit_overdraft=True,
    same_stop_fare_minor=300,
    max_stay_us=4 * HOUR_US,
    overstay_minor=300,
    missing_check_in=MissingCheckIn.HIGHEST_AT_DESK,
    missing_check_out_after_us=12 * HOUR_US,
    passback_us=60_000_000,
    flat_minor=200,
)


def town(**changes: object) -> TariffSpec:
    """The tariff; keyword arguments replace fields of TariffRules, or of TariffSpec."""
    starts = array("q", [BEGIN_US + day * DAY_US for day in range(DAYS + 1)])
    months = array(
        "I", [24_322 if day < 30 else 24_323 if day < 61 else 24_324 for day in range(DAYS)]
    )
    of_rules = {name: value for name, value in changes.items() if name in TariffRules.__slots__}
    of_spec = {name: value for name, value in changes.items() if name not in of_rules}
    spec = TariffSpec(
        tariff_id="town",
        version="1",
        currency=156,
        valid_from_us=BEGIN_US,
        valid_until_us=0,
        stop_ids=array("I", STOPS),
        days=DayTable(FIRST_DAY, starts, months),
        rules=replace(RULES, **of_rules),  # type: ignore[arg-type]
        time_discounts=(early_bird(starts),),
        out_of_station=(OutOfStation(STOPS.index(WEST), STOPS.index(HILL), 30 * MINUTE_US),),
        monthly_tiers=(
            MonthlyTier(100_00, 800_000),
            MonthlyTier(150_00, 500_000),
            MonthlyTier(400_00, 1_000_000),
        ),
        **_matrices(),  # type: ignore[arg-type]
    )
    return replace(spec, **of_spec)  # type: ignore[arg-type]


def at(day: int, clock: str) -> int:
    """Instant of a service day (1 = the first) by the UTC clock."""
    hours, minutes = clock.split(":")
    return (FIRST_DAY + day - 1) * DAY_US + int(hours) * HOUR_US + int(minutes) * MINUTE_US


def rider(
    day: int = 9, clock: str = "09:00", *, balance: str = "100.00", **changes: object
) -> World:
    """A rider of the town with some money."""
    world = World(at(day, clock))
    world.rider.balance_minor = minor(balance)
    world.load(town(**changes))
    return world
