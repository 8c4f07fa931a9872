"""Business days of a clearing house: from one local hour to the same hour of the next day."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

US = 1_000_000


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """A zone, and the local time at which its day begins (HH:MM)."""

    zone: ZoneInfo
    starts: datetime.time

    @classmethod
    def build(cls, zone: str, starts: str) -> BusinessDays:
        """Raises: ZoneInfoNotFoundError."""
        return cls(ZoneInfo(zone), datetime.time.fromisoformat(starts))

    def start_us(self, day: datetime.date) -> int:
        """Where a day begins, UTC. A time that clocks skip counts as just after the gap."""
        local = datetime.datetime.combine(day, self.starts, self.zone)
        return int(local.timestamp()) * US

    def end_us(self, day: datetime.date) -> int:
        """Where it ends: 23 or 25 hours later when clocks change."""
        return self.start_us(day + datetime.timedelta(days=1))

    def day_of(self, at_us: int) -> datetime.date:
        """The business day of an instant."""
        local = datetime.datetime.fromtimestamp(at_us // US, self.zone)
        day = local.date()
        return day if at_us >= self.start_us(day) else day - datetime.timedelta(days=1)
