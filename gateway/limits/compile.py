"""LimitSource -> LimitSpec: local dates become instants, so that the engine knows no time zone.

The table of days depends on the machine's zone files. What it compiled to is kept by its digest, so
an audit years later uses the same days whatever the files say by then.
"""

from __future__ import annotations

from array import array
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fastpath.limits import LimitProfile, LimitSpec
from gateway.limits.source import LimitSource
from gateway.tariffs.calendar import instant_us

FIRST_DAY = date(2015, 1, 1)
LAST_DAY = date(2059, 12, 31)
"""Local days in the table. Outside of it the nearest day counts: windows would never begin anew."""
_EPOCH = date(1970, 1, 1)
_ONE_DAY = timedelta(days=1)


def compile_limits(source: LimitSource) -> LimitSpec:
    """Make a file's profiles and calendar ready for the engines."""
    days = [FIRST_DAY + i * _ONE_DAY for i in range((LAST_DAY - FIRST_DAY).days + 1)]
    starts = [day_start_us(day, source.zone) for day in (*days, LAST_DAY + _ONE_DAY)]
    profiles = [
        LimitProfile(one.tier, day_start_us(one.start, source.zone), *one.amounts)
        for one in source.profiles
    ]
    return LimitSpec(
        limits_id=source.limits_id,
        version=source.version,
        currency=source.currency.number,
        first_day=(FIRST_DAY - _EPOCH).days,
        start_us=array("q", starts),
        month=array("I", [day.year * 12 + day.month - 1 for day in days]),
        profiles=tuple(sorted(profiles, key=lambda one: (one.tier, one.from_us))),
    )


def day_start_us(day: date, zone: ZoneInfo) -> int:
    """The instant a local date begins.

    Where clocks show midnight twice it is the first time; where they skip it, the moment they do.
    """
    return instant_us(datetime.combine(day, time(), tzinfo=zone))
