"""Limit profiles ready for the engines: what an account of an identity tier may spend and hold.

Made by gateway.limits, immutable. Must import only the standard library. Money is int minor units
of the book's currency, instants are int microseconds UTC, -1 = no limit.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass

NO_LIMIT = -1
TIERS_MAX = 16
PROFILES_MAX = 64
AMOUNT_MAX_MINOR = 1 << 60

AMOUNTS = (
    "payment_minor",
    "day_minor",
    "month_minor",
    "year_minor",
    "lifetime_minor",
    "balance_minor",
)
"""The limits of a profile, in the order of the compiled form."""


class LimitSpecError(ValueError):
    """A LimitSpec that cannot be compiled."""

    code = "LIMITS_SPEC"


class LimitBlobError(ValueError):
    """Bytes that are not sound compiled limits of this format."""

    code = "LIMITS_BLOB"


@dataclass(frozen=True, slots=True)
class LimitProfile:
    """The limits of a tier from an instant on, until the tier's next profile; -1 = none."""

    tier: int
    from_us: int
    payment_minor: int = NO_LIMIT
    day_minor: int = NO_LIMIT
    month_minor: int = NO_LIMIT
    year_minor: int = NO_LIMIT
    lifetime_minor: int = NO_LIMIT
    balance_minor: int = NO_LIMIT

    @property
    def has_any(self) -> bool:
        """Whether it limits anything."""
        return any(getattr(self, name) != NO_LIMIT for name in AMOUNTS)


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """All profiles, and the local days that their windows are counted by.

    Local day i since first_day (days since 1970-01-01) lasts from start_us[i] to start_us[i + 1];
    month[i] is year * 12 + month - 1. profiles: ascending (tier, from_us).
    """

    limits_id: str
    version: str
    currency: int
    first_day: int
    start_us: array[int]
    month: array[int]
    profiles: tuple[LimitProfile, ...]

    def find_profile(self, tier: int, ts_us: int) -> LimitProfile | None:
        """The newest profile of a tier at an instant, None = there is none yet."""
        fitting = [one for one in self.profiles if one.tier == tier and one.from_us <= ts_us]
        return fitting[-1] if fitting else None

    def find_dates(self, ts_us: int) -> tuple[int, int, int]:
        """(day, month, year) of an instant; outside the table the nearest day there is."""
        last = len(self.month) - 1
        place = min(max(bisect_right(self.start_us, ts_us) - 1, 0), last)
        return self.first_day + place, self.month[place], self.month[place] // 12
