"""Quotes: what journeys cost and why, priced by the engine that decides taps.

A journey is priced tap by tap on a fresh account with money enough, so that joins, discounts,
overstay and rounding are the engine's and never computed a second time here.

Legs are rides between boarding and alighting. Where one ends at the station where the next begins,
within CHANGE_US, the rider changes trains and makes no tap: both are one stay inside the gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from fastpath.types import MediumKind, Reason, Rule
from gateway.errors import TariffError
from gateway.tariffs.calendar import US_PER_S, local_time
from gateway.tariffs.explain import RuleNote, explain, rule_names
from gateway.tariffs.explain_rows import RideFacts
from gateway.tariffs.journeys import JourneyRequest, LegRequest, Refused, instant_of, parse_journeys
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.pricing import PricedTap, Rider, RiderRequest, TapRequest, open_rider
from gateway.tariffs.rides import (
    NoPriceError,
    Ride,
    find_category,
    find_ride,
    find_tariff_of,
    stop_in,
)
from gateway.tariffs.source import Station
from gateway.tariffs.units import format_amount

RIDE_US = 40 * 60 * US_PER_S
"""How long a ride takes at most when its arrival is not given."""
NO_RULES = Rule(0)

_REFUSALS = {
    Reason.TARIFF_NOT_LOADED: "the tariff is not valid on that day",
    Reason.NOT_PRICED: "the tariff has no price between these stations",
    Reason.PASSBACK: "the same medium again at the same place too soon",
}


JOINED = Rule.OUT_OF_STATION | Rule.JOINED_LEG


@dataclass(frozen=True, slots=True)
class LegQuote:
    """One ride of a priced journey. Stations are None on a flat tariff that names no stop.

    A ride that goes on without a tap costs nothing itself: the last one of the stay has the fare.
    """

    tariff: LoadedTariff
    start: Station | None
    end: Station | None
    entry_us: int
    exit_us: int
    fare_minor: int = 0
    nominal_minor: int = 0
    distance_m: int = 0
    period_paid_minor: int = 0
    rules: Rule = NO_RULES
    goes_on: bool = False
    acts: tuple[int, ...] = ()
    network: int = 0
    category: int = 0
    medium: MediumKind = MediumKind.CARD
    stops: tuple[int, int] = (0, 0)
    left_stop: int = 0
    """Where the stay before ended; 0 = there was none."""
    origin_stop: int = 0
    """Where the journey began that this ride is priced with."""

    def as_dict(self) -> dict[str, object]:
        """The leg as it goes into JSON."""
        source = self.tariff.source
        return {
            "network_id": source.tariff_id,
            **_stop_fields("from", self.start),
            **_stop_fields("to", self.end),
            "dep": local_time(self.entry_us, source.zone).isoformat(),
            "arr": local_time(self.exit_us, source.zone).isoformat(),
            "fare": format_amount(self.fare_minor, source.currency.exponent),
            "distance_m": self.distance_m,
            "rules": rule_names(self.rules),
            "goes_on": self.goes_on,
        }


def _why(leg: LegQuote, *, explained: bool) -> dict[str, object]:
    return {"why": [note.as_dict() for note in explain_leg(leg)]} if explained else {}


def explain_leg(leg: LegQuote, group: str = "") -> list[RuleNote]:
    """The rules that acted on a ride. Args: group: the price group of its distance."""
    tariff = leg.tariff
    facts = RideFacts(
        entry_us=leg.entry_us,
        exit_us=leg.exit_us,
        category=leg.category,
        medium=leg.medium,
        network=leg.network,
        left_stop=leg.left_stop,
        entry_stop=leg.stops[0],
        origin_stop=leg.origin_stop,
        exit_stop=leg.stops[1],
    )
    return explain(
        leg.rules, tariff.source, group=group, acts=leg.acts, spec=tariff.spec, facts=facts
    )


@dataclass(frozen=True, slots=True)
class Quote:
    """A priced journey, or the reason why it has no price."""

    journey_id: str | int | None
    currency: str
    exponent: int
    total_minor: int | None
    legs: tuple[LegQuote, ...]
    reason: str = "ok"
    detail: str = ""

    def as_dict(self, *, explained: bool = False) -> dict[str, object]:
        """The quote as it goes into JSON."""
        priced = self.total_minor is not None
        fields: dict[str, object] = {
            "id": self.journey_id,
            "total": format_amount(self.total_minor or 0, self.exponent) if priced else None,
            "currency": self.currency,
            "legs": [leg.as_dict() | _why(leg, explained=explained) for leg in self.legs],
        }
        return fields if priced else fields | {"reason": self.reason, "detail": self.detail}


def quote_journey(
    tariffs: Sequence[LoadedTariff],
    journey: JourneyRequest | Refused,
    *,
    month_paid_minor: int = 0,
) -> Quote:
    """Price one journey. A leg's network_id chooses the tariff; without one it is the first.

    Args: month_paid_minor: what the medium has paid this month before, for monthly tiers.
    Returns: a Quote; what cannot be priced has a reason and never raises.
    """
    currency = tariffs[0].source.currency
    try:
        if isinstance(journey, Refused):
            raise NoPriceError(journey.reason, journey.detail)
        legs = tuple(_price_legs(tariffs, journey, month_paid_minor))
    except TariffError as error:
        reason, detail = error.code.lower(), f"{error.detail} ({error.hint})"
    except NoPriceError as error:
        reason, detail = error.reason, error.detail
    else:
        total = sum(leg.fare_minor for leg in legs)
        return Quote(journey.journey_id, currency.code, currency.exponent, total, legs)
    return Quote(journey.journey_id, currency.code, currency.exponent, None, (), reason, detail)


def quote_journeys(
    tariffs: Sequence[LoadedTariff],
    data: object,
    *,
    month_paid_minor: int = 0,
    explained: bool = False,
) -> list[dict[str, object]]:
    """Price a list of journeys as it comes from JSON; the answer is ready for JSON.

    Args: explained: each leg has `why`: the rules that acted, with file and line.
    Raises: TariffError: TARIFF_JOURNEYS: `data` is not a list.
    """
    return [
        quote_journey(tariffs, journey, month_paid_minor=month_paid_minor).as_dict(
            explained=explained
        )
        for journey in parse_journeys(data)
    ]


def _stop_fields(key: str, station: Station | None) -> dict[str, object]:
    if station is None:
        return {f"{key}_stop": None}
    return {f"{key}_stop": station.stop_id, key: {"zh": station.zh, "en": station.latin}}


def _price_legs(
    tariffs: Sequence[LoadedTariff], journey: JourneyRequest, month_paid_minor: int
) -> Iterator[LegQuote]:
    specs = {tariff.source.tariff_id: tariff.spec for tariff in tariffs}
    rides = list(_find_rides(tariffs, journey.legs))
    request = RiderRequest(
        medium=journey.medium,
        at_us=rides[0].times[0],
        month_paid_minor=month_paid_minor,
        category=find_category(tariffs[0], journey.category),
    )
    rider = open_rider(specs, request)
    first, left_stop, origin_stop = rides[0], 0, 0
    for ride, following in zip_longest(rides, rides[1:]):
        if following is not None and ride.goes_on_as(following):
            start, end = ride.stations
            yield LegQuote(ride.tariff, start, end, ride.times[0], ride.times[1], goes_on=True)
            continue
        stay = replace(
            ride,
            stations=(first.stations[0], ride.stations[1]),
            stops=(first.stops[0], ride.stops[1]),
            times=(first.times[0], ride.times[1]),
        )
        paid = replace(price_stay(rider, stay), category=request.category, medium=request.medium)
        if not paid.rules & JOINED:
            origin_stop = stay.stops[0]
        paid = replace(paid, left_stop=left_stop, origin_stop=origin_stop)
        yield replace(paid, start=ride.stations[0], entry_us=ride.times[0])
        first, left_stop = following, stay.stops[1]


def _find_rides(tariffs: Sequence[LoadedTariff], legs: Sequence[LegRequest]) -> Iterator[Ride]:
    clock_us = 0
    for leg, following in zip_longest(legs, legs[1:]):
        tariff, line = find_tariff_of(tariffs, leg)
        zone = tariff.source.zone
        entry_us = instant_of(leg.day, leg.dep_s, zone)
        if entry_us < clock_us:
            raise NoPriceError("bad_time", "legs overlap or are out of order")
        if leg.arr_s is not None:
            clock_us = instant_of(leg.day, leg.arr_s, zone)
        else:
            limit_us = instant_of(following.day, following.dep_s, zone) if following else None
            clock_us = entry_us + RIDE_US
            clock_us = clock_us if limit_us is None else max(entry_us, min(clock_us, limit_us))
        if clock_us < entry_us:
            raise NoPriceError("bad_time", "arr is before dep; after midnight write 24:10:00")
        ends = [leg.from_stop or stop_in(tariff, leg.from_area)]
        ends.append(leg.to_stop or stop_in(tariff, leg.to_area))
        found = find_ride(tariff, (ends[0], ends[1]), (entry_us, clock_us), line)
        yield replace(found, distance_m=leg.distance_m)


def price_stay(rider: Rider, ride: Ride) -> LegQuote:
    """From check-in to check-out, or one boarding.

    Raises: NoPriceError: a tap is refused.
    """
    return _leg_quote(ride, [_tap(rider, request) for request in ride.taps()])


def _tap(rider: Rider, request: TapRequest) -> PricedTap:
    tap = rider.tap(request)
    if not tap.reason.accepted:
        what = f"{request.kind.name.lower()} at stop {request.stop_id} is refused"
        why = f": {_REFUSALS[tap.reason]}" if tap.reason in _REFUSALS else ""
        raise NoPriceError(tap.reason.name.lower(), what + why)
    return tap


def _leg_quote(ride: Ride, taps: Sequence[PricedTap]) -> LegQuote:
    rules = Rule(0)
    for tap in taps:
        rules |= tap.rules
    return LegQuote(
        tariff=ride.tariff,
        start=ride.stations[0],
        end=ride.stations[1],
        entry_us=ride.times[0],
        exit_us=ride.times[1],
        fare_minor=sum(tap.fare_minor for tap in taps),
        nominal_minor=sum(tap.nominal_minor for tap in taps),
        distance_m=taps[-1].distance_m,
        period_paid_minor=taps[-1].period_paid_minor,
        rules=rules,
        acts=tuple(act for tap in taps for act in tap.acts),
        network=taps[-1].network,
        stops=ride.stops,
        origin_stop=ride.stops[0],
    )
