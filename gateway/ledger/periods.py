"""Days and months of the settings' zone as instants, and their names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Period:
    """Local dates [first, behind)."""

    first: date
    behind: date
    zone: str

    @property
    def from_us(self) -> int:
        return start_of(self.first, self.zone)

    @property
    def until_us(self) -> int:
        return start_of(self.behind, self.zone)

    def as_dict(self) -> dict[str, str]:
        """As it goes into JSON; `last` is the last day inside."""
        last = self.behind - timedelta(days=1)
        return {"first": self.first.isoformat(), "last": last.isoformat(), "zone": self.zone}


def start_of(day: date, zone: str) -> int:
    """The instant a local date begins, microseconds UTC."""
    begins = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return int(begins.timestamp()) * US_PER_S


def parse_period(text: str, zone: str) -> Period:
    """`2026-11-28`, `2026-11`, or `2026-11-01..2026-11-15` (both inside). Raises: ValueError."""
    first_text, dots, last_text = text.partition("..")
    if dots:
        first, last = _date(first_text, text), _date(last_text, text)
        if last < first:
            raise ValueError(f"{text}: ends before it begins")
        return Period(first, last + timedelta(days=1), zone)
    if len(text) == len("2026-11"):
        first = _date(f"{text}-01", text)
        return Period(first, next_month(first), zone)
    first = _date(text, text)
    return Period(first, first + timedelta(days=1), zone)


def _date(day: str, text: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        said = "write 2026-11, 2026-11-28, or 2026-11-01..2026-11-15"
        raise ValueError(f"{text!r} is no period: {said}") from error


def next_month(first: date) -> date:
    """The first day of the month after."""
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1)


def local_date(at_us: int, zone: ZoneInfo) -> date:
    """The local date of an instant."""
    return datetime.fromtimestamp(at_us // US_PER_S, zone).date()


def month_name(day: date) -> str:
    """`2026-11`."""
    return f"{day.year:04d}-{day.month:02d}"
