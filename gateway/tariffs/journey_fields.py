"""Fields of journeys as they come in from JSON, for tariffs and for feeds alike.

Absent keys and nulls are the same. Times are "HH:MM:SS" of a date, from 24:00:00 on the next day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TypeVar

from gateway.errors import TariffError

Fields = Mapping[str, object]
Parsed = TypeVar("Parsed")

_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)", re.ASCII)
_HOURS_MAX = 72
_NUMBER_MAX = 2**31 - 1


class UnreadableError(Exception):
    """A journey says something that cannot be used: a stable word and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


def parse_list(data: object, parse: Callable[[Fields, str | int | None], Parsed]) -> list[Parsed]:
    """Read a list of journeys, each with the id it names.

    Raises: TariffError: TARIFF_JOURNEYS: it is not a list at all.
    """
    if not isinstance(data, list):
        raise TariffError(
            "TARIFF_JOURNEYS",
            "the journeys are not a list",
            hint='write [{"id": ..., "legs": [...]}]',
        )
    found = []
    for item in data:
        fields: Fields = item if isinstance(item, dict) else {}
        journey_id = fields.get("id")
        found.append(parse(fields, journey_id if isinstance(journey_id, str | int) else None))
    return found


def read_legs(fields: Fields) -> list[Fields]:
    """The legs, each an object with a time of departure. Raises: UnreadableError."""
    legs = fields.get("legs")
    if not isinstance(legs, list) or not legs:
        raise UnreadableError("no_legs", "a journey needs a list `legs` with at least one leg")
    for leg in legs:
        if not isinstance(leg, dict):
            raise UnreadableError("bad_leg", "a leg is not an object")
    return legs


def read_times(leg: Fields) -> tuple[date, int, int | None]:
    """(date, departure, arrival if it says one). Raises: UnreadableError."""
    dep_s = read_seconds(leg, "dep")
    if dep_s is None:
        raise UnreadableError("bad_time", "a leg has no `dep`")
    arr_s = read_seconds(leg, "arr")
    if arr_s is not None and arr_s < dep_s:
        raise UnreadableError("bad_time", "arr is before dep; after midnight write 24:10:00")
    return read_day(leg), dep_s, arr_s


def read_text(fields: Fields, key: str) -> str:
    """Text or a number as text; "" = not said. Raises: UnreadableError."""
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableError("bad_value", f"{key} must be text")
    return str(value)


def read_number(fields: Fields, key: str) -> int:
    """A whole number; 0 = not said. Raises: UnreadableError."""
    text = read_text(fields, key)
    if text and not (text.isdecimal() and int(text) <= _NUMBER_MAX):
        raise UnreadableError("bad_value", f"{key} must be a whole number")
    return int(text or 0)


def read_day(fields: Fields) -> date:
    """Raises: UnreadableError."""
    text = read_text(fields, "date")
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
    except ValueError:
        raise UnreadableError("bad_time", f"date {text!r} is not YYYY-MM-DD") from None


def read_seconds(fields: Fields, key: str) -> int | None:
    """Seconds of a time; None = not said. Raises: UnreadableError."""
    text = read_text(fields, key)
    if not text:
        return None
    match = _CLOCK.fullmatch(text)
    if match is None or int(match[1]) >= _HOURS_MAX:
        raise UnreadableError("bad_time", f"{key} {text!r} is not HH:MM:SS")
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
