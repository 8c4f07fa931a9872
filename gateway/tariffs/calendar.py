"""Working days, and local times as UTC instants.

Instants are UTC microseconds. zoneinfo needs the machine's zone files; where there are none (small
containers, Windows) the PyPI package `tzdata` supplies them without a change here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from gateway.errors import TariffError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S
NOON = time(12)


class ClockChange(StrEnum):
    """What to do with a local time that a clock change makes ambiguous or skips."""

    REFUSE = "refuse"
    EARLIER = "earlier"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Holiday:
    """A run of days off; `end` is the last of them."""

    name: str
    start: date
    end: date


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """What is known of one year."""

    year: int
    verified: bool
    source: str
    holidays: tuple[Holiday, ...]
    working: frozenset[date]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are worked. Years it does not list count weekends only."""

    name: str
    weekend: frozenset[int] = frozenset({5, 6})
    years: dict[int, CalendarYear] = field(default_factory=dict)

    def is_working(self, day: date) -> bool:
        """Whether the day is a working day: a swapped one is, a holiday is not."""
        year = self.years.get(day.year)
        if year is not None:
            if day in year.working:
                return True
            if self.find_holiday(day) is not None:
                return False
        return day.weekday() not in self.weekend

    def find_holiday(self, day: date) -> Holiday | None:
        """The public holiday the day belongs to."""
        year = self.years.get(day.year)
        for holiday in year.holidays if year else ():
            if holiday.start <= day <= holiday.end:
                return holiday
        return None

    def is_known(self, day: date) -> bool:
        """Whether a checked notice covers the day."""
        year = self.years.get(day.year)
        return year is not None and year.verified

    def describe(self, day: date) -> str:
        """One word or two on the day, for explanations."""
        holiday = self.find_holiday(day)
        year = self.years.get(day.year)
        if year is not None and day in year.working:
            kind = "swapped working day"
        elif holiday is not None:
            kind = f"public holiday ({holiday.name})"
        else:
            kind = "working day" if self.is_working(day) else "weekend"
        return kind if self.is_known(day) else f"{kind}, year not in the calendar"


def instant_us(moment: datetime) -> int:
    """UTC microseconds of an aware datetime, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def local_us(moment: datetime, zone: ZoneInfo, change: ClockChange = ClockChange.REFUSE) -> int:
    """UTC microseconds of a local time; a time with an offset is taken as it is.

    Raises: TariffError: TARIFF_LOCAL_TIME: the clock shows it twice or never, and `change` refuses.
    """
    if moment.tzinfo is not None:
        return instant_us(moment)
    first, second = (instant_us(moment.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first == second:
        return first
    if change is ClockChange.REFUSE:
        seen = "twice" if first < second else "never"
        raise TariffError(
            "TARIFF_LOCAL_TIME",
            f"{moment.isoformat()} happens {seen} in {zone.key}",
            hint="give the offset, as 2026-10-25T01:30:00+01:00; tariffs: set time.clock_change",
        )
    return min(first, second) if change is ClockChange.EARLIER else max(first, second)


def gtfs_us(day: date, seconds: int, zone: ZoneInfo) -> int:
    """Instant of a GTFS time: seconds after noon minus 12 h of the service date."""
    noon = local_us(datetime.combine(day, NOON), zone)
    return noon + (seconds - 43_200) * US_PER_S


def local_time(ts_us: int, zone: ZoneInfo) -> datetime:
    """The local time of an instant."""
    return (EPOCH + timedelta(microseconds=ts_us)).astimezone(zone)


def service_date(ts_us: int, zone: ZoneInfo, day_start: time) -> date:
    """The service date an instant belongs to."""
    local = local_time(ts_us, zone)
    began = local.time() >= day_start
    return local.date() if began else local.date() - timedelta(days=1)
