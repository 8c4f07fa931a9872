"""Journeys to be priced, as they come in from JSON: parsed, nothing priced yet.

A journey that cannot be read is a `Refused` with a reason, so that one bad entry does not spoil a
list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from fastpath.types import MediumKind
from gateway.tariffs.calendar import gtfs_us, local_us
from gateway.tariffs.journey_fields import (
    Fields,
    UnreadableError,
    parse_list,
    read_legs,
    read_number,
    read_text,
    read_times,
)

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class LegRequest:
    """One ride asked for. Stops by id or name; times "HH:MM:SS", from 24:00:00 on the next day."""

    from_stop: str
    to_stop: str
    network_id: str
    day: date
    dep_s: int
    arr_s: int | None
    line: int = 0
    """As validators send it; 0 = not said."""
    distance_m: int = 0
    """Handed in with the tap; 0 = not said."""
    from_area: str = ""
    to_area: str = ""


@dataclass(frozen=True, slots=True)
class JourneyRequest:
    """A journey asked for."""

    journey_id: str | int | None
    medium: MediumKind
    legs: tuple[LegRequest, ...]
    category: str = ""
    """A rider category by name or number; "" = the default one."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A journey that cannot be priced, and why: a stable word and a sentence."""

    journey_id: str | int | None
    reason: str
    detail: str


def parse_journeys(data: object) -> list[JourneyRequest | Refused]:
    """Read a list of journeys.

    Raises: TariffError: TARIFF_JOURNEYS: it is not a list at all.
    """
    return parse_list(data, _parse)


def instant_of(day: date, seconds: int, zone: ZoneInfo) -> int:
    """UTC microseconds of a time of a service date: by the clock, from 24:00:00 on as GTFS does.

    Raises: TariffError: TARIFF_LOCAL_TIME.
    """
    if seconds >= _DAY_S:
        return gtfs_us(day, seconds, zone)
    clock = time(seconds // 3600, seconds // 60 % 60, seconds % 60)
    return local_us(datetime.combine(day, clock), zone)


def _parse(fields: Fields, journey_id: str | int | None) -> JourneyRequest | Refused:
    try:
        medium, category = _medium(fields), read_text(fields, "rider_category_id")
        legs = tuple(_leg(leg) for leg in read_legs(fields))
        return JourneyRequest(journey_id, medium, legs, category)
    except UnreadableError as error:
        return Refused(journey_id, error.reason, error.detail)


def _medium(fields: Fields) -> MediumKind:
    medium = read_text(fields, "fare_media_id") or MediumKind.CARD.name
    try:
        return MediumKind[medium.upper()]
    except KeyError:
        known = ", ".join(kind.name.lower() for kind in MediumKind)
        raise UnreadableError("unknown_fare_media", f"{medium!r} is none of {known}") from None


def _leg(leg: Fields) -> LegRequest:
    day, dep_s, arr_s = read_times(leg)
    return LegRequest(
        from_stop=read_text(leg, "from_stop"),
        to_stop=read_text(leg, "to_stop"),
        network_id=read_text(leg, "network_id"),
        day=day,
        dep_s=dep_s,
        arr_s=arr_s,
        line=read_number(leg, "line"),
        distance_m=read_number(leg, "distance_m"),
        from_area=read_text(leg, "from_area"),
        to_area=read_text(leg, "to_area"),
    )
