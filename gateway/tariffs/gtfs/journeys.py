"""Journeys to be priced on a feed, as they come in from JSON: parsed, nothing priced yet.

A journey that cannot be read is a `Refused` with a reason, so that one bad entry does not spoil a
list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gateway.tariffs.journey_fields import (
    Fields,
    UnreadableError,
    parse_list,
    read_legs,
    read_text,
    read_times,
)


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


def parse_journeys(data: object) -> list[JourneyRequest | Refused]:
    """Read a list of journeys.

    Raises: TariffError: TARIFF_JOURNEYS: it is not a list at all.
    """
    return parse_list(data, _parse)


def _parse(fields: Fields, journey_id: str | int | None) -> JourneyRequest | Refused:
    expect = _expected(fields.get("expect"))
    try:
        media, category = read_text(fields, "fare_media_id"), read_text(fields, "rider_category_id")
        legs = tuple(_leg(leg) for leg in read_legs(fields))
        return JourneyRequest(journey_id, media, category, legs, expect)
    except UnreadableError as error:
        return Refused(journey_id, error.reason, error.detail, expect)


def _expected(item: object) -> Expected | None:
    if not isinstance(item, dict):
        return None
    total, currency = item.get("total"), item.get("currency")
    return Expected(None if total is None else str(total), str(currency or ""))


def _leg(leg: Fields) -> LegRequest:
    day, dep_s, arr_s = read_times(leg)
    return LegRequest(
        network_id=read_text(leg, "network_id"),
        route_id=read_text(leg, "route_id"),
        from_stop=read_text(leg, "from_stop"),
        to_stop=read_text(leg, "to_stop"),
        from_area=read_text(leg, "from_area"),
        to_area=read_text(leg, "to_area"),
        day=day,
        dep_s=dep_s,
        arr_s=dep_s if arr_s is None else arr_s,
    )
