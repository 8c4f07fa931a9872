"""Journeys to be priced, as they come in from JSON: parsed, nothing priced yet.

Absent keys and nulls are the same. A journey that cannot be read is a `Refused` with a reason, so
that one bad entry does not spoil a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from fastpath.types import MediumKind
from gateway.errors import TariffError
from gateway.tariffs.calendar import gtfs_us, local_us

_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)", re.ASCII)
_HOURS_MAX = 72
_NUMBER_MAX = 2**31 - 1
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


class _Unreadable(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


def parse_journeys(data: object) -> list[JourneyRequest | Refused]:
    """Read a list of journeys.

    Raises: TariffError: TARIFF_JOURNEYS: it is not a list at all.
    """
    if not isinstance(data, list):
        raise TariffError(
            "TARIFF_JOURNEYS",
            "the journeys are not a list",
            hint='write [{"id": ..., "legs": [...]}]',
        )
    return [_parse(item) for item in data]


def instant_of(day: date, seconds: int, zone: ZoneInfo) -> int:
    """UTC microseconds of a time of a service date: by the clock, from 24:00:00 on as GTFS does.

    Raises: TariffError: TARIFF_LOCAL_TIME.
    """
    if seconds >= _DAY_S:
        return gtfs_us(day, seconds, zone)
    clock = time(seconds // 3600, seconds // 60 % 60, seconds % 60)
    return local_us(datetime.combine(day, clock), zone)


def _parse(item: object) -> JourneyRequest | Refused:
    fields = item if isinstance(item, dict) else {}
    journey_id = fields.get("id")
    if not isinstance(journey_id, str | int):
        journey_id = None
    try:
        category = _text(fields, "rider_category_id")
        return JourneyRequest(journey_id, _medium(fields), tuple(_legs(fields)), category)
    except _Unreadable as error:
        return Refused(journey_id, error.reason, error.detail)


def _medium(fields: dict[str, object]) -> MediumKind:
    medium = _text(fields, "fare_media_id") or MediumKind.CARD.name
    try:
        return MediumKind[medium.upper()]
    except KeyError:
        known = ", ".join(kind.name.lower() for kind in MediumKind)
        raise _Unreadable("unknown_fare_media", f"{medium!r} is none of {known}") from None


def _legs(fields: dict[str, object]) -> Iterable[LegRequest]:
    legs = fields.get("legs")
    if not isinstance(legs, list) or not legs:
        raise _Unreadable("no_legs", "a journey needs a list `legs` with at least one leg")
    return [_leg(leg) for leg in legs]


def _leg(item: object) -> LegRequest:
    if not isinstance(item, dict):
        raise _Unreadable("bad_leg", "a leg is not an object")
    dep_s = _seconds(item, "dep")
    if dep_s is None:
        raise _Unreadable("bad_time", "a leg has no `dep`")
    return LegRequest(
        from_stop=_text(item, "from_stop"),
        to_stop=_text(item, "to_stop"),
        network_id=_text(item, "network_id"),
        day=_day(item),
        dep_s=dep_s,
        arr_s=_seconds(item, "arr"),
        line=_number(item, "line"),
        distance_m=_number(item, "distance_m"),
        from_area=_text(item, "from_area"),
        to_area=_text(item, "to_area"),
    )


def _number(fields: dict[str, object], key: str) -> int:
    text = _text(fields, key)
    if text and not (text.isdecimal() and int(text) <= _NUMBER_MAX):
        raise _Unreadable("bad_value", f"{key} must be a whole number")
    return int(text or 0)


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Unreadable("bad_value", f"{key} must be text")
    return str(value)


def _day(fields: dict[str, object]) -> date:
    text = _text(fields, "date")
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
    except ValueError:
        raise _Unreadable("bad_time", f"date {text!r} is not YYYY-MM-DD") from None


def _seconds(fields: dict[str, object], key: str) -> int | None:
    text = _text(fields, key)
    if not text:
        return None
    match = _CLOCK.fullmatch(text)
    if match is None or int(match[1]) >= _HOURS_MAX:
        raise _Unreadable("bad_time", f"{key} {text!r} is not HH:MM:SS")
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
