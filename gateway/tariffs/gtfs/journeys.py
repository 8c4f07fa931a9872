"""Journeys to be priced on a feed, as they come in from JSON: parsed, nothing priced yet.

Absent keys and nulls are the same. A journey that cannot be read is a `Refused` with a reason, so
that one bad entry does not spoil a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from gateway.errors import TariffError
from gateway.tariffs.gtfs.rows import parse_time

HOURS_MAX_S = 72 * 3600


@dataclass(frozen=True, slots=True)
class LegRequest:
    """One ride asked for; "" = not given. Times are seconds of a GTFS time of the date."""

    network_id: str
    route_id: str
    from_stop: str
    to_stop: str
    from_area: str
    to_area: str
    day: date
    dep_s: int
    arr_s: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What a journey must cost; total None = it has no price."""

    total: str | None
    currency: str


@dataclass(frozen=True, slots=True)
class JourneyRequest:
    """A journey asked for."""

    journey_id: str | int | None
    media_id: str
    category_id: str
    legs: tuple[LegRequest, ...]
    expect: Expected | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A journey that cannot be priced, and why: a stable word and a sentence."""

    journey_id: str | int | None
    reason: str
    detail: str
    expect: Expected | None


class UnreadableError(Exception):
    """A journey says something that cannot be used."""

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


def _parse(item: object) -> JourneyRequest | Refused:
    fields: Mapping[str, object] = item if isinstance(item, dict) else {}
    journey_id = fields.get("id")
    if not isinstance(journey_id, str | int):
        journey_id = None
    expect = _expected(fields.get("expect"))
    try:
        media, category = _text(fields, "fare_media_id"), _text(fields, "rider_category_id")
        return JourneyRequest(journey_id, media, category, _legs(fields), expect)
    except UnreadableError as error:
        return Refused(journey_id, error.reason, error.detail, expect)


def _expected(item: object) -> Expected | None:
    if not isinstance(item, dict):
        return None
    total, currency = item.get("total"), item.get("currency")
    return Expected(None if total is None else str(total), str(currency or ""))


def _legs(fields: Mapping[str, object]) -> tuple[LegRequest, ...]:
    legs = fields.get("legs")
    if not isinstance(legs, list) or not legs:
        raise UnreadableError("no_legs", "a journey needs a list `legs` with at least one leg")
    return tuple(_leg(leg) for leg in legs)


def _leg(item: object) -> LegRequest:
    if not isinstance(item, dict):
        raise UnreadableError("bad_leg", "a leg is not an object")
    dep_s = _seconds(item, "dep")
    if dep_s is None:
        raise UnreadableError("bad_time", "a leg has no `dep`")
    arr_s = _seconds(item, "arr")
    if arr_s is not None and arr_s < dep_s:
        said = "arr is before dep; after midnight write 24:10:00"
        raise UnreadableError("bad_time", said)
    return LegRequest(
        network_id=_text(item, "network_id"),
        route_id=_text(item, "route_id"),
        from_stop=_text(item, "from_stop"),
        to_stop=_text(item, "to_stop"),
        from_area=_text(item, "from_area"),
        to_area=_text(item, "to_area"),
        day=_day(item),
        dep_s=dep_s,
        arr_s=dep_s if arr_s is None else arr_s,
    )


def _text(fields: Mapping[str, object], key: str) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableError("bad_value", f"{key} must be text")
    return str(value)


def _day(fields: Mapping[str, object]) -> date:
    text = _text(fields, "date")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UnreadableError("bad_time", f"date {text!r} is not YYYY-MM-DD") from None


def _seconds(fields: Mapping[str, object], key: str) -> int | None:
    text = _text(fields, key)
    if not text:
        return None
    seconds = parse_time(text)
    if seconds is None or seconds >= HOURS_MAX_S:
        raise UnreadableError("bad_time", f"{key} {text!r} is not HH:MM:SS")
    return seconds
