"""Prices of journeys on a feed: a leg becomes the taps a rider would make, on the same engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from fastpath.types import MediumKind, Reason, TapKind
from gateway.errors import TariffError
from gateway.tariffs.calendar import local_time
from gateway.tariffs.gtfs.explain import Explainer
from gateway.tariffs.gtfs.journeys import (
    Expected,
    JourneyRequest,
    LegRequest,
    Refused,
    parse_journeys,
)
from gateway.tariffs.gtfs.loaded import LoadedFeed
from gateway.tariffs.gtfs.numbers import area_key, network_key
from gateway.tariffs.gtfs.riders import ANY_MEDIUM
from gateway.tariffs.gtfs.rows import parse_money
from gateway.tariffs.journey_fields import UnreadableError
from gateway.tariffs.journeys import instant_of
from gateway.tariffs.pricing import PricedTap, Rider, RiderRequest, TapRequest, open_rider
from gateway.tariffs.units import format_amount

NO_STOP = 0
NO_LINE = 0
REFUSALS = {
    Reason.TARIFF_NOT_LOADED: "the feed does not hold on that day",
    Reason.NOT_PRICED: "no rule and product of the feed fit this leg",
    Reason.UNKNOWN_STOP: "the leg names neither a stop nor an area of the feed",
}


@dataclass(frozen=True, slots=True)
class LegTaps:
    """A leg as taps: numbers that validators would send, UTC microseconds."""

    from_stop: int
    to_stop: int
    line: int
    dep_us: int
    arr_us: int


@dataclass(frozen=True, slots=True)
class Options:
    """What a quote shows beside the price."""

    all_options: bool = False
    """List every product row that the matching rules name."""
    explained: bool = False
    """Each leg has `why`: the rows that acted, in words."""


def quote_journeys(
    loaded: LoadedFeed, data: object, options: Options | None = None
) -> list[dict[str, object]]:
    """Price a list of journeys as it comes from JSON; the answer is ready for JSON.

    Raises: TariffError: TARIFF_JOURNEYS: `data` is not a list.
    """
    options = options or Options()
    return [quote_journey(loaded, journey, options) for journey in parse_journeys(data)]


def quote_journey(
    loaded: LoadedFeed, journey: JourneyRequest | Refused, options: Options
) -> dict[str, object]:
    """One journey: total, legs, rules; what cannot be priced has a reason and never raises."""
    currency = loaded.built.currency
    quoted: dict[str, object] = {"id": journey.journey_id}
    total = None
    try:
        if isinstance(journey, Refused):
            raise UnreadableError(journey.reason, journey.detail)
        legs, total_minor = _price(loaded, journey, options)
        total = format_amount(total_minor, currency.exponent)
        quoted |= {"total": total, "currency": currency.code, "legs": legs}
    except TariffError as error:
        quoted |= _refused(error.code.lower(), f"{error.detail} ({error.hint})")
    except UnreadableError as error:
        quoted |= _refused(error.reason, error.detail)
    if journey.expect is not None:
        met = is_met(loaded, journey.expect, total)
        quoted |= {"expected": journey.expect.total, "as_expected": met}
    return quoted


def is_met(loaded: LoadedFeed, expect: Expected, total: str | None) -> bool:
    """Whether a total is the expected one, in the expected currency."""
    if total is None or expect.total is None:
        return total is None and expect.total is None
    currency = loaded.built.currency
    return parse_money(expect.total, currency.exponent) == parse_money(
        total, currency.exponent
    ) and expect.currency in ("", currency.code)


def list_taps(loaded: LoadedFeed, legs: Iterable[LegRequest]) -> Iterator[LegTaps]:
    """The taps of each leg.

    Raises: UnreadableError: an unknown place or line, legs out of order. TariffError: a local
        time that happens twice or never.
    """
    clock_us = 0
    for leg in legs:
        zone = loaded.built.zone
        taps = LegTaps(
            from_stop=_stop(loaded, leg.from_stop, leg.from_area),
            to_stop=_stop(loaded, leg.to_stop, leg.to_area),
            line=_line(loaded, leg),
            dep_us=instant_of(leg.day, leg.dep_s, zone),
            arr_us=instant_of(leg.day, leg.arr_s, zone),
        )
        if not clock_us <= taps.dep_us <= taps.arr_us:
            raise UnreadableError("bad_time", "legs overlap or are out of order")
        clock_us = taps.arr_us
        yield taps


def _refused(reason: str, detail: str) -> dict[str, object]:
    return {"total": None, "currency": None, "legs": [], "reason": reason, "detail": detail}


def _price(
    loaded: LoadedFeed, journey: JourneyRequest, options: Options
) -> tuple[list[dict[str, object]], int]:
    legs = list(list_taps(loaded, journey.legs))
    kind, category = _medium(loaded, journey), _category(loaded, journey)
    spec = loaded.built.spec
    # Beyond our own kinds stand the feed's media: the engine takes any of its sixteen.
    request = RiderRequest(medium=cast("MediumKind", kind), at_us=legs[0].dep_us, category=category)
    rider = open_rider({spec.tariff_id: spec}, request)
    explainer = Explainer(loaded, category, kind)
    shown, total_minor = [], 0
    for taps in legs:
        entered, left = _ride(rider, spec.tariff_id, taps)
        fare_minor = entered.fare_minor + left.fare_minor
        total_minor += fare_minor
        acts = (*entered.acts, *left.acts)
        one = _shown(loaded, taps, fare_minor) | {"rules": explainer.list_rules(acts)}
        if options.all_options:
            one["options"] = explainer.list_options(acts)
        if options.explained:
            one["why"] = [note.as_dict() for note in explainer.list_notes(acts)]
        shown.append(one)
    return shown, total_minor


def _ride(rider: Rider, tariff_id: str, taps: LegTaps) -> tuple[PricedTap, PricedTap]:
    kinds = (TapKind.CHECK_IN, TapKind.CHECK_OUT)
    places = ((taps.from_stop, taps.dep_us), (taps.to_stop, taps.arr_us))
    made = []
    for kind, (stop, at_us) in zip(kinds, places, strict=True):
        tap = rider.tap(TapRequest(tariff_id, kind, stop, at_us, line=taps.line))
        if not tap.reason.accepted:
            said = REFUSALS.get(tap.reason, f"{kind.name.lower()} is refused")
            raise UnreadableError(tap.reason.name.lower(), said)
        made.append(tap)
    return made[0], made[1]


def _shown(loaded: LoadedFeed, taps: LegTaps, fare_minor: int) -> dict[str, object]:
    built = loaded.built
    return {
        "dep": local_time(taps.dep_us, built.zone).isoformat(),
        "arr": local_time(taps.arr_us, built.zone).isoformat(),
        "from": taps.from_stop,
        "to": taps.to_stop,
        "line": taps.line,
        "fare": format_amount(fare_minor, built.currency.exponent),
    }


def _stop(loaded: LoadedFeed, stop: str, area: str) -> int:
    key = stop or (area_key(area) if area else "")
    if not key:
        return NO_STOP
    numbers = loaded.built.places.numbers
    if key not in numbers:
        if stop and loaded.built.any_stop:
            return NO_STOP
        raise UnreadableError("unknown_stop", f"{stop or area!r} is not in the feed")
    return numbers[key]


def _line(loaded: LoadedFeed, leg: LegRequest) -> int:
    key = leg.route_id or (network_key(leg.network_id) if leg.network_id else "")
    if not key:
        return NO_LINE
    numbers = loaded.built.networks.numbers
    if key not in numbers:
        said = f"{leg.route_id or leg.network_id!r} is not in the feed"
        raise UnreadableError("unknown_network", said)
    return numbers[key]


def _medium(loaded: LoadedFeed, journey: JourneyRequest) -> int:
    """A medium of the feed by its id, or one of our kinds by its name."""
    media_id = journey.media_id
    if not media_id:
        return ANY_MEDIUM
    known = loaded.built.riders.kind_of_media
    if media_id in known:
        return known[media_id]
    if media_id.upper() in MediumKind.__members__:
        return MediumKind[media_id.upper()]
    raise UnreadableError("unknown_fare_media", f"{media_id!r} is not in the feed")


def _category(loaded: LoadedFeed, journey: JourneyRequest) -> int:
    number = loaded.built.riders.number_of(journey.category_id)
    if number is None:
        said = f"{journey.category_id!r} is not in the feed"
        raise UnreadableError("unknown_rider_category", said)
    return number
