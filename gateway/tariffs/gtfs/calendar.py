"""Which services run on which days: calendar.txt and calendar_dates.txt together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from gateway.tariffs.gtfs.tables import Feed

ONE_DAY = timedelta(days=1)


class ServiceCalendar:
    """Services by day."""

    def __init__(self, feed: Feed) -> None:
        self._rows = feed.services
        self._added: dict[date, set[str]] = {}
        self._removed: dict[date, set[str]] = {}
        for one in feed.service_dates:
            into = self._added if one.is_added else self._removed
            into.setdefault(one.day, set()).add(one.service_id)

    def services_of(self, day: date) -> frozenset[str]:
        """What runs on a day."""
        regular = {
            row.service_id
            for row in self._rows
            if row.start <= day <= row.end and row.weekdays[day.weekday()]
        }
        return frozenset((regular | self._added.get(day, set())) - self._removed.get(day, set()))


def extent_of(feed: Feed) -> tuple[date, date] | None:
    """First and last day a feed speaks of: feed_info.txt, else its calendars; None = nothing."""
    days = [day for row in feed.services for day in (row.start, row.end)]
    days += [row.day for row in feed.service_dates if row.is_added]
    first = feed.first_day or min(days, default=None)
    last = feed.last_day or max(days, default=None)
    if first is None or last is None or last < first:
        return None
    return first, last


def days_between(first: date, count: int) -> Iterable[date]:
    """So many days from the first."""
    return (first + offset * ONE_DAY for offset in range(count))
