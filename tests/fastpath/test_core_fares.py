"""Fares as a table, one journey a row; every row runs through both engines."""

from __future__ import annotations

import pytest

from fastpath.types import FACTOR_ONE_PPM, MonthBasis, MonthlyTier, OutOfStation, Reason, Rule
from tests.fastpath.city import (
    AIRPORT,
    EAST,
    HILL,
    LAKE,
    WEST,
    at,
    minor,
    rider,
    rows,
    stop_named,
    town,
)
from tests.fastpath.world import HOUR_US, MINUTE_US

JOURNEYS = """
# from     to       at     stay   paid    fare   nominal rules
  EAST     WEST     09:00  20     0.00    3.00   3.00    DISTANCE_BAND
  EAST     HILL     09:00  20     0.00    5.00   5.00    DISTANCE_BAND
  LAKE     EAST     09:00  90     0.00    8.00   8.00    BEYOND_BANDS
  WEST     AIRPORT  09:00  40     0.00    25.00  25.00   SEPARATE_LINE
  EAST     AIRPORT  09:00  40     0.00    28.00  28.00   SEPARATE_LINE+DISTANCE_BAND
  # the same station again
  HILL     HILL     09:00  5      0.00    3.00   3.00    SAME_STATION
  # four hours are allowed, a minute more is not; the surcharge is not discounted
  EAST     WEST     09:00  240    0.00    3.00   3.00    DISTANCE_BAND
  EAST     WEST     09:00  241    0.00    6.00   3.00    DISTANCE_BAND+OVERSTAY
  EAST     WEST     09:00  241    150.00  4.50   3.00    DISTANCE_BAND+OVERSTAY+MONTHLY_TIER
  # early bird: by the time and place of entry, on the discountable part
  EAST     HILL     06:59  20     0.00    2.50   5.00    DISTANCE_BAND+TIME_DISCOUNT
  EAST     HILL     07:00  20     0.00    5.00   5.00    DISTANCE_BAND
  HILL     EAST     06:59  20     0.00    5.00   5.00    DISTANCE_BAND
  EAST     AIRPORT  06:30  40     0.00    26.50  28.00   SEPARATE_LINE+DISTANCE_BAND+TIME_DISCOUNT
  # months: the tier of what was paid before; the trip that crosses is not split
  EAST     HILL     09:00  20     99.99   5.00   5.00    DISTANCE_BAND
  EAST     HILL     09:00  20     100.00  4.00   5.00    DISTANCE_BAND+MONTHLY_TIER
  EAST     HILL     09:00  20     149.99  4.00   5.00    DISTANCE_BAND+MONTHLY_TIER
  EAST     HILL     09:00  20     150.00  2.50   5.00    DISTANCE_BAND+MONTHLY_TIER
  EAST     HILL     09:00  20     399.99  2.50   5.00    DISTANCE_BAND+MONTHLY_TIER
  EAST     HILL     09:00  20     400.00  5.00   5.00    DISTANCE_BAND
  # factors multiply, then one rounding
  EAST     HILL     06:00  20     100.00  2.00   5.00    DISTANCE_BAND+TIME_DISCOUNT+MONTHLY_TIER
"""


def rules_named(text: str) -> int:
    found = Rule(0)
    for name in text.split("+"):
        found |= Rule[name]
    return int(found)


@pytest.mark.parametrize("row", rows(JOURNEYS), ids=" ".join)
def test_fare(row: list[str]) -> None:
    origin, destination, clock, stay, paid, fare, nominal, rules = row
    world = rider(9, clock)
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, minor(paid)
    made = world.ride(stop_named(origin), stop_named(destination), minutes=int(stay))
    assert Reason(made.reason) == Reason.OK
    assert (made.fare_minor, made.nominal_minor) == (minor(fare), minor(nominal))
    assert Rule(made.rules) == Rule(rules_named(rules))
    assert made.other_stop == stop_named(origin)


def test_forty_four_rides_of_five_in_a_month() -> None:
    """20 x 5.00, then 13 x 4.00 (100 > 152), then 11 x 2.50: published rule, worked by hand."""
    world = rider(1, "05:00", balance="1000.00")
    fares = []
    for _ in range(44):
        fares.append(world.ride(HILL, EAST).fare_minor)
        world.wait(600 * MINUTE_US)
    assert fares == [500] * 20 + [400] * 13 + [250] * 11
    assert sum(fares) == 179_50
    assert world.rider.period.month_trips == 44


@pytest.mark.parametrize(
    ("by_entry", "fare"), [(True, 4_00), (False, 5_00)], ids=["month of entry", "month of exit"]
)
def test_ride_over_the_end_of_a_month(by_entry: bool, fare: int) -> None:
    world = rider(31, "03:50", month_by_entry=by_entry)  # service day 30 ends at 04:00 of day 31
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, 120_00
    made = world.ride(HILL, EAST, minutes=20)
    assert made.fare_minor == fare
    period = world.rider.period
    expected = (24_322, 124_00, 0, 0) if by_entry else (24_323, 5_00, 24_322, 120_00)
    assert expected == (
        period.month,
        period.month_paid_minor,
        period.prev_month,
        period.prev_month_paid_minor,
    )


def test_nominal_amounts_may_feed_the_month() -> None:
    world = rider(month_basis=MonthBasis.NOMINAL)
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, 149_00
    assert world.ride(EAST, HILL).fare_minor == 4_00
    assert world.rider.period.month_paid_minor == 154_00
    world.wait(60 * MINUTE_US)
    assert world.ride(EAST, HILL).fare_minor == 2_50


def test_out_of_station_interchange_costs_the_difference() -> None:
    world = rider()
    assert world.ride(EAST, WEST).fare_minor == 3_00
    joined = world.wait(30 * MINUTE_US).enter(HILL)
    assert (joined.rules, joined.other_stop) == (Rule.OUT_OF_STATION, EAST)
    last = world.wait(20 * MINUTE_US).leave(LAKE)
    assert (last.fare_minor, last.nominal_minor, last.other_stop) == (5_00, 5_00, EAST)
    assert last.rules == Rule.OUT_OF_STATION | Rule.BEYOND_BANDS
    assert (world.rider.leg_count, world.rider.period.month_trips) == (2, 1)


def test_a_way_back_by_an_interchange_is_a_journey_of_its_own() -> None:
    """HILL to EAST costs 5.00, not EAST to EAST; neither half continues, and the early bird of the
    way out is not one of the way back.
    """
    world = rider(9, "06:30")
    assert world.ride(EAST, WEST).fare_minor == 1_50
    assert world.wait(10 * MINUTE_US).enter(HILL).rules == Rule.OUT_OF_STATION
    last = world.wait(20 * MINUTE_US).leave(EAST)
    assert (last.fare_minor, last.nominal_minor, last.other_stop) == (5_00, 5_00, HILL)
    assert last.rules == Rule.DISTANCE_BAND
    assert world.rider.period.month_trips == 2
    world.undo()
    assert world.rider.period.month_trips == 1
    assert world.leave(LAKE).rules & Rule.OUT_OF_STATION


def test_nothing_continues_a_journey_that_came_back() -> None:
    """WEST to EAST, EAST back to WEST by foot and train: what follows at HILL is new."""
    world = rider(out_of_station=(OutOfStation(0, 2, HOUR_US), OutOfStation(1, 2, HOUR_US)))
    world.ride(WEST, EAST)
    assert world.wait(10 * MINUTE_US).enter(HILL).rules == Rule.OUT_OF_STATION
    assert world.wait(20 * MINUTE_US).leave(WEST).fare_minor == 4_00
    assert world.wait(10 * MINUTE_US).enter(HILL).rules == 0
    assert world.wait(20 * MINUTE_US).leave(LAKE).fare_minor == 6_00


def test_interchange_too_late_or_the_other_way_begins_a_new_journey() -> None:
    world = rider()
    world.ride(EAST, WEST)
    assert world.wait(30 * MINUTE_US + 1).enter(HILL).rules == 0
    assert world.wait(MINUTE_US).leave(LAKE).fare_minor == 6_00
    other_way = rider()
    other_way.ride(EAST, HILL)
    assert other_way.wait(MINUTE_US).enter(WEST).rules == 0


def test_tier_of_an_interchange_is_the_one_before_the_journey() -> None:
    world = rider()
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, 99_00
    assert world.ride(EAST, WEST).fare_minor == 3_00
    world.wait(10 * MINUTE_US).enter(HILL)
    assert world.wait(20 * MINUTE_US).leave(LAKE).fare_minor == 5_00
    world.wait(60 * MINUTE_US)
    assert world.ride(EAST, HILL).fare_minor == 4_00


def test_early_bird_holds_for_the_whole_journey() -> None:
    world = rider(9, "06:30")
    assert world.ride(EAST, WEST).fare_minor == 1_50
    world.wait(20 * MINUTE_US).enter(HILL)  # 07:20
    last = world.wait(20 * MINUTE_US).leave(LAKE)
    assert last.fare_minor == 4_00 - 1_50
    assert last.rules & Rule.TIME_DISCOUNT


def test_medium_factor_and_rounding() -> None:
    factors = (FACTOR_ONE_PPM, 333_333, *(FACTOR_ONE_PPM,) * 14)
    for unit, fare in ((1, 1_67), (5, 1_65), (10, 1_70), (100, 2_00)):
        world = rider(medium_factor_ppm=factors, round_to_minor=unit)
        made = world.ride(EAST, HILL)
        assert made.fare_minor == fare
        assert made.rules == Rule.DISTANCE_BAND | Rule.MEDIUM_FACTOR


def test_a_fare_that_no_factor_touches_is_not_rounded() -> None:
    world = rider(round_to_minor=100, same_stop_fare_minor=333)
    assert world.ride(EAST, EAST).fare_minor == 333


def test_open_journey_keeps_the_tariff_of_its_entry() -> None:
    world = rider(9, "09:00")
    dearer = town(version="2", valid_from_us=at(9, "09:10"), same_stop_fare_minor=900)
    newer = world.load(dearer)
    world.enter(EAST)
    old_key = world.rider.entry_tariff
    made = world.wait(20 * MINUTE_US).leave(EAST)
    assert (made.fare_minor, made.tariff_key) == (3_00, old_key)
    world.undo()
    world.drop(old_key)
    made = world.wait(MINUTE_US).leave(EAST)
    assert Reason(made.reason) == Reason.TARIFF_NOT_LOADED  # none was in force at the entry
    world.load(town(version="1b", same_stop_fare_minor=700))
    made = world.wait(MINUTE_US).leave(EAST)
    assert made.fare_minor == 7_00
    world.wait(60 * MINUTE_US)
    assert (world.ride(EAST, EAST).fare_minor, newer.key) == (9_00, world.rider.entry_tariff)


@pytest.mark.parametrize(
    ("amount", "paid", "fare", "rules"),
    [
        (-1, "0.00", 2_00, Rule.FLAT_FARE),
        (-1, "100.00", 1_60, Rule.FLAT_FARE | Rule.MONTHLY_TIER),
        (7_77, "100.00", 7_77, Rule.DEVICE_AMOUNT),
        (0, "0.00", 0, Rule.DEVICE_AMOUNT),
    ],
)
def test_flat(amount: int, paid: str, fare: int, rules: Rule) -> None:
    world = rider()
    world.rider.period.month, world.rider.period.month_paid_minor = 24_322, minor(paid)
    made = world.tap(3, 0, amount_minor=amount)
    assert (Reason(made.reason), made.fare_minor, Rule(made.rules)) == (Reason.OK, fare, rules)
    assert world.rider.period.month_paid_minor == minor(paid) + fare


def test_tariff_without_tiers_counts_nothing() -> None:
    world = rider(monthly_tiers=())
    world.ride(EAST, HILL)
    world.tap(3, 0, amount_minor=5_00)
    assert world.rider.period == type(world.rider.period)()


def test_first_tier_may_begin_at_nothing() -> None:
    world = rider(monthly_tiers=(MonthlyTier(0, 900_000), MonthlyTier(5_00, 500_000)))
    assert world.ride(EAST, HILL).fare_minor == 4_50
    world.wait(60 * MINUTE_US)
    assert world.ride(EAST, HILL).fare_minor == 4_50
    world.wait(60 * MINUTE_US)
    assert world.ride(EAST, HILL).fare_minor == 2_50


MONEY = """
# balance subsidy credit held    fare  reason               rules                     left   subsidy
  10.00   0.00    0.00   0.00    5.00  OK                   -                           5.00    0.00
  10.00   2.00    0.00   0.00    5.00  OK                   SUBSIDY                     7.00    0.00
  10.00   9.00    0.00   0.00    5.00  OK                   SUBSIDY                     10.00   4.00
  4.00    0.00    0.00   0.00    5.00  OK_OVERDRAFT         EXIT_OVERDRAFT              -1.00   0.00
  3.00    1.00    0.00   0.00    5.00  OK_OVERDRAFT         SUBSIDY+EXIT_OVERDRAFT      -1.00   0.00
  4.00    0.00    2.00   0.00    5.00  OK                   CREDIT_LINE                 -1.00   0.00
  10.00   0.00    0.00   6.00    5.00  OK_OVERDRAFT         EXIT_OVERDRAFT              5.00    0.00
  10.00   0.00    0.00   10.00   5.00  OK_OVERDRAFT         EXIT_OVERDRAFT              5.00    0.00
  10.00   0.00    0.00   10.01   5.00  INSUFFICIENT_BALANCE -                           10.00   0.00
"""


@pytest.mark.parametrize("row", rows(MONEY), ids=" ".join)
def test_where_the_money_comes_from(row: list[str]) -> None:
    balance, subsidy, credit, held, fare, reason, rules, left, subsidy_left = row
    world = rider()
    world.enter(EAST)
    account = world.rider
    account.balance_minor, account.subsidy_minor = minor(balance), minor(subsidy)
    account.credit_limit_minor, account.held_minor = minor(credit), minor(held)
    made = world.wait(20 * MINUTE_US).leave(HILL)
    expected = Rule(rules_named(rules)) if rules != "-" else Rule(0)
    assert Reason(made.reason).name == reason
    assert made.fare_minor == (minor(fare) if Reason(made.reason).accepted else 0)
    assert Rule(made.rules) & ~Rule.DISTANCE_BAND == expected
    assert (account.balance_minor, account.subsidy_minor) == (minor(left), minor(subsidy_left))


def test_a_ride_to_the_airport_and_back() -> None:
    world = rider(balance="53.00")
    assert world.ride(WEST, AIRPORT).fare_minor == 25_00
    world.wait(60 * MINUTE_US)
    back = world.ride(AIRPORT, EAST)
    assert (back.fare_minor, back.balance_minor) == (28_00, 0)
    assert Reason(world.wait(60 * MINUTE_US).enter(EAST).reason) == Reason.INSUFFICIENT_BALANCE
