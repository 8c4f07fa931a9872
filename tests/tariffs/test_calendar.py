"""Working days, service days and local times, clock changes included."""

from __future__ import annotations

from array import array
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.errors import TariffError
from gateway.tariffs.calendar import ClockChange, gtfs_us, instant_us, local_us, service_date
from gateway.tariffs.compile import compile_tariff
from gateway.tariffs.load_calendar import load_calendar
from gateway.tariffs.reader import Findings

CHINA = Path(__file__).resolve().parents[2] / "config" / "calendars" / "china.toml"
LONDON = ZoneInfo("Europe/London")
NEW_YORK = ZoneInfo("America/New_York")
HOUR_US = 3_600_000_000


def utc(text: str) -> int:
    return instant_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.fixture(scope="module")
def china():
    findings = Findings()
    calendar = load_calendar(CHINA, findings)
    findings.raise_if_any()
    return calendar


@pytest.mark.parametrize(
    ("day", "working", "said"),
    [
        ("2026-11-23", True, "working day"),  # a Monday
        ("2026-11-22", False, "weekend"),
        ("2026-10-01", False, "public holiday (国庆节 National Day)"),
        ("2026-10-07", False, "public holiday (国庆节 National Day)"),
        ("2026-10-08", True, "working day"),
        ("2026-10-10", True, "swapped working day"),  # a Saturday
        ("2026-09-20", True, "swapped working day"),  # a Sunday
        ("2026-02-14", True, "swapped working day"),
        ("2026-02-23", False, "public holiday (春节 Spring Festival)"),
        ("2025-01-26", True, "swapped working day"),
        ("2025-10-08", False, "public holiday (国庆节、中秋节 National Day and Mid-Autumn)"),
        ("2025-10-11", True, "swapped working day"),
        ("2027-10-01", True, "working day, year not in the calendar"),  # a Friday
        ("2027-10-02", False, "weekend, year not in the calendar"),
    ],
)
def test_days_of_china(china, day, working, said):
    assert china.is_working(date.fromisoformat(day)) is working
    assert china.describe(date.fromisoformat(day)) == said


def test_how_many_days_china_works(china):
    """Counted from the notices: weekdays less holidays on weekdays, and the swapped days."""

    def count(year: int) -> int:
        days = (date(year, 1, 1) + timedelta(days=n) for n in range(365))
        return sum(china.is_working(day) for day in days)

    # 261 weekdays each; holidays on weekdays: 2025 1+6+1+3+1+6 = 18, 2026 2+6+1+3+1+1+5 = 19
    assert count(2025) == 261 - 18 + 5
    assert count(2026) == 261 - 19 + 6


@pytest.mark.parametrize(
    ("local", "zone", "expected"),
    [
        ("2026-11-23T08:00", "Asia/Shanghai", "2026-11-23T00:00"),
        ("2026-03-29T00:59:59", "Europe/London", "2026-03-29T00:59:59"),
        ("2026-03-29T02:00", "Europe/London", "2026-03-29T01:00"),
        ("2026-10-25T00:59:59", "Europe/London", "2026-10-24T23:59:59"),
        ("2026-10-25T02:00", "Europe/London", "2026-10-25T02:00"),
        ("2026-03-08T01:59:59", "America/New_York", "2026-03-08T06:59:59"),
        ("2026-03-08T03:00", "America/New_York", "2026-03-08T07:00"),
        ("2026-11-01T02:00", "America/New_York", "2026-11-01T07:00"),
    ],
)
def test_plain_local_times(local, zone, expected):
    assert local_us(datetime.fromisoformat(local), ZoneInfo(zone)) == utc(expected)


@pytest.mark.parametrize(
    ("local", "zone", "seen", "earlier", "later"),
    [
        ("2026-10-25T01:30", LONDON, "twice", "2026-10-25T00:30", "2026-10-25T01:30"),
        ("2026-03-29T01:30", LONDON, "never", "2026-03-29T00:30", "2026-03-29T01:30"),
        ("2026-11-01T01:30", NEW_YORK, "twice", "2026-11-01T05:30", "2026-11-01T06:30"),
        ("2026-03-08T02:30", NEW_YORK, "never", "2026-03-08T06:30", "2026-03-08T07:30"),
    ],
)
def test_times_of_a_clock_change(local, zone, seen, earlier, later):
    moment = datetime.fromisoformat(local)
    with pytest.raises(TariffError, match=seen) as caught:
        local_us(moment, zone)
    assert caught.value.code == "TARIFF_LOCAL_TIME"
    assert local_us(moment, zone, ClockChange.EARLIER) == utc(earlier)
    assert local_us(moment, zone, ClockChange.LATER) == utc(later)


def test_an_offset_settles_it():
    summer = datetime(2026, 10, 25, 1, 30, tzinfo=timezone(timedelta(hours=1)))
    assert local_us(summer, LONDON) == utc("2026-10-25T00:30")


@pytest.mark.parametrize(
    ("day", "seconds", "zone", "expected"),
    [
        ("2026-11-23", 25 * 3600, "Asia/Shanghai", "2026-11-23T17:00"),
        ("2026-03-28", 25 * 3600, "Europe/London", "2026-03-29T01:00"),
        ("2026-03-29", 8 * 3600, "Europe/London", "2026-03-29T07:00"),
        ("2026-03-29", 0, "Europe/London", "2026-03-28T23:00"),  # noon minus 12 h is not midnight
        ("2026-11-01", 25 * 3600, "America/New_York", "2026-11-02T06:00"),
        ("2028-02-28", 25 * 3600, "Europe/London", "2028-02-29T01:00"),  # a leap day
        ("2028-02-29", 25 * 3600, "America/New_York", "2028-03-01T06:00"),
        ("2027-02-28", 25 * 3600, "Europe/London", "2027-03-01T01:00"),  # none
    ],
)
def test_gtfs_times_count_from_noon_minus_twelve_hours(day, seconds, zone, expected):
    assert gtfs_us(date.fromisoformat(day), seconds, ZoneInfo(zone)) == utc(expected)


def test_a_service_day_begins_where_the_tariff_says():
    four = datetime(2000, 1, 1, 4, 30).time()  # noqa: DTZ001
    before, after = utc("2026-07-02T03:29:59"), utc("2026-07-02T03:30")
    assert service_date(before, LONDON, four) == date(2026, 7, 1)
    assert service_date(after, LONDON, four) == date(2026, 7, 2)


EARLY = """
[[time_discount]]
name = "early"
title = { zh = "早", en = "Early" }
factor = "0.5"
days = "working"
until = 07:00:00
check_in_at = ["东"]
"""


def compiled(write_town, zone: str, *changes: tuple[str, str], more: str = EARLY):
    lines = f'zone = "{zone}"\ncalendar = "lazy"\nservice_day_start = 04:00:00'
    return compile_tariff(write_town(('zone = "Asia/Shanghai"', lines), *changes, more=more))


def test_day_table_over_both_clock_changes_of_london(write_town):
    spec = compiled(write_town, "Europe/London")
    days = spec.days
    lengths = [end - start for start, end in zip(days.start_us, days.start_us[1:], strict=False)]
    first = date(2026, 1, 1)
    spring, autumn = (date(2026, 3, 28) - first).days, (date(2026, 10, 24) - first).days
    assert lengths[spring] == 23 * HOUR_US
    assert lengths[autumn] == 25 * HOUR_US
    assert {*lengths[:spring], *lengths[spring + 1 : autumn]} == {24 * HOUR_US}
    assert days.first_day == (first - date(1970, 1, 1)).days
    assert days.start_us[0] == spec.valid_from_us == utc("2026-01-01T04:00")
    assert days.month[0] == 2026 * 12
    assert days.month[31] == 2026 * 12 + 1
    assert len(days.start_us) == len(days.month) + 1
    assert spec.valid_until_us == utc("2027-01-01T04:00")
    assert days.start_us[-1] > spec.valid_until_us + spec.rules.offline_horizon_us


def test_windows_follow_the_calendar_and_the_clock(write_town):
    spec = compiled(write_town, "Europe/London")
    window = spec.time_discounts[0]

    def span(day: str) -> tuple[int, int]:
        at = (date.fromisoformat(day) - date(2026, 1, 1)).days
        return window.start_us[at], window.end_us[at]

    assert span("2026-01-05") == (utc("2026-01-05T04:00"), utc("2026-01-05T07:00"))
    assert span("2026-07-06") == (utc("2026-07-06T03:00"), utc("2026-07-06T06:00"))
    assert span("2026-03-03") == (0, 0)  # a holiday
    assert span("2026-03-08") == (utc("2026-03-08T04:00"), utc("2026-03-08T07:00"))  # swapped
    assert span("2026-03-15") == (0, 0)  # Sunday
    assert span("2026-03-14") != (0, 0)  # this town works on Saturdays
    assert window.stop_flags == bytes([1, 0, 0, 0, 0])


def test_a_window_after_midnight_belongs_to_the_service_day_before(write_town):
    night = ("until = 07:00:00", "from = 23:00:00\nuntil = 00:30:00")
    spec = compiled(write_town, "America/New_York", night)
    at = (date(2026, 1, 5) - date(2026, 1, 1)).days
    window = spec.time_discounts[0]
    assert window.start_us[at] == utc("2026-01-06T04:00")
    assert window.end_us[at] == utc("2026-01-06T05:30")


def test_a_boundary_inside_a_clock_change_is_refused_unless_told(write_town):
    night = ("until = 07:00:00", "from = 23:00:00\nuntil = 02:30:00")
    every = ('days = "working"', 'days = "all"')
    with pytest.raises(TariffError) as caught:
        compiled(write_town, "America/New_York", night, every)
    assert caught.value.code == "TARIFF_LOCAL_TIME"
    assert "2026-03-08T02:30:00 happens never" in str(caught.value)
    later = ("service_day_start = 04:00:00", 'service_day_start = 04:00:00\nclock_change = "later"')
    assert compiled(write_town, "America/New_York", night, every, later).time_discounts


def test_a_window_that_ends_before_it_begins_is_refused(write_town):
    wrong = ("until = 07:00:00", "from = 08:00:00\nuntil = 07:00:00")
    with pytest.raises(TariffError, match="ends before it begins"):
        compiled(write_town, "Asia/Shanghai", wrong)


def test_arrays_have_the_types_of_the_engine(write_town):
    spec = compiled(write_town, "Asia/Shanghai")
    types = {
        "stop_ids": spec.stop_ids,
        "od_fare_minor": spec.od_fare_minor,
        "od_distance_m": spec.od_distance_m,
        "start_us": spec.days.start_us,
        "month": spec.days.month,
    }
    assert all(isinstance(one, array) for one in types.values())
    assert {name: one.typecode for name, one in types.items()} == {
        "stop_ids": "I",
        "od_fare_minor": "i",
        "od_distance_m": "I",
        "start_us": "q",
        "month": "I",
    }
