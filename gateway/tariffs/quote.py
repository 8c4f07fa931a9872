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

from fastpath.types import Reason, Rule, TapKind
from gateway.errors import TariffError
from gateway.tariffs.calendar import US_PER_S, local_time
from gateway.tariffs.explain import rule_names
from gateway.tariffs.journeys import JourneyRequest, LegRequest, Refused, instant_of, parse_journeys
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.pricing import PricedTap, Rider, TapRequest, open_rider
from gateway.tariffs.source import Station
from gateway.tariffs.units import format_amount

RIDE_US = 40 * 60 * US_PER_S
"""How long a ride takes at most when its arrival is not given."""
NO_RULES = Rule(0)
CHANGE_US = 30 * 60 * US_PER_S
"""Within this time a rider who goes on from the same station is taken to have stayed inside."""

_REFUSALS = {
    Reason.TARIFF_NOT_LOADED: "the tariff is not valid on that day",
    Reason.NOT_PRICED: "the tariff has no price between these stations",
    Reason.PASSBACK: "the same medium again at the same place too soon",
}


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

    def as_dict(self) -> dict[str, object]:
        """The quote as it goes into JSON."""
        priced = self.total_minor is not None
        fields: dict[str, object] = {
            "id": self.journey_id,
            "total": format_amount(self.total_minor or 0, self.exponent) if priced else None,
            "currency": self.currency,
            "legs": [leg.as_dict() for leg in self.legs],
        }
        return fields if priced else fields | {"reason": self.reason, "detail": self.detail}


class NoPriceError(Exception):
    """A journey has no price: a stable word and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


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
    tariffs: Sequence[LoadedTariff], data: object, *, month_paid_minor: int = 0
) -> list[dict[str, object]]:
    """Price a list of journeys as it comes from JSON; the answer is ready for JSON.

    Raises: TariffError: TARIFF_JOURNEYS: `data` is not a list.
    """
    return [
        quote_journey(tariffs, journey, month_paid_minor=month_paid_minor).as_dict()
        for journey in parse_journeys(data)
    ]


def _stop_fields(key: str, station: Station | None) -> dict[str, object]:
    if station is None:
        return {f"{key}_stop": None}
    return {f"{key}_stop": station.stop_id, key: {"zh": station.zh, "en": station.latin}}


@dataclass(frozen=True, slots=True)
class _Ride:
    """A leg with its tariff, stations and instants found."""

    tariff: LoadedTariff
    stations: tuple[Station | None, Station | None]
    times: tuple[int, int]

    def goes_on_as(self, following: _Ride) -> bool:
        """Whether the rider changes to the next ride without leaving."""
        gap_us = following.times[0] - self.times[1]
        here, there = self.stations[1], following.stations[0]
        same_place = here is not None and here == there and self.tariff is following.tariff
        return same_place and gap_us <= CHANGE_US


def _price_legs(
    tariffs: Sequence[LoadedTariff], journey: JourneyRequest, month_paid_minor: int
) -> Iterator[LegQuote]:
    specs = {tariff.source.tariff_id: tariff.spec for tariff in tariffs}
    rides = list(_find_rides(tariffs, journey.legs))
    at_us = rides[0].times[0]
    rider = open_rider(specs, medium=journey.medium, month_paid_minor=month_paid_minor, at_us=at_us)
    first = rides[0]
    for ride, following in zip_longest(rides, rides[1:]):
        if following is not None and ride.goes_on_as(following):
            start, end = ride.stations
            yield LegQuote(ride.tariff, start, end, ride.times[0], ride.times[1], goes_on=True)
            continue
        paid = price_stay(
            rider,
            ride.tariff,
            (first.stations[0], ride.stations[1]),
            (first.times[0], ride.times[1]),
        )
        yield replace(paid, start=ride.stations[0], entry_us=ride.times[0])
        first = following


def _find_rides(tariffs: Sequence[LoadedTariff], legs: Sequence[LegRequest]) -> Iterator[_Ride]:
    clock_us = 0
    for leg, following in zip_longest(legs, legs[1:]):
        tariff = _tariff_of(tariffs, leg)
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
        stations = find_stations(tariff, leg.from_stop, leg.to_stop)
        yield _Ride(tariff, stations, (entry_us, clock_us))


def _tariff_of(tariffs: Sequence[LoadedTariff], leg: LegRequest) -> LoadedTariff:
    if not leg.network_id:
        return tariffs[0]
    for tariff in tariffs:
        if tariff.source.tariff_id == leg.network_id:
            return tariff
    known = ", ".join(tariff.source.tariff_id for tariff in tariffs)
    raise NoPriceError("unknown_network", f"network {leg.network_id!r} is none of {known}")


def find_stations(
    tariff: LoadedTariff, start: str, end: str
) -> tuple[Station | None, Station | None]:
    """Both ends of a ride by id or name; None for both on a flat tariff.

    Raises: TariffError: an unknown or ambiguous stop. NoPriceError: a stop is not given.
    """
    if tariff.is_flat:
        return None, None
    for key, text in (("from_stop", start), ("to_stop", end)):
        if not text:
            raise NoPriceError("unknown_stop", f"a leg has no {key}; fares go by station")
    return tariff.names.get(start), tariff.names.get(end)


def price_stay(
    rider: Rider,
    tariff: LoadedTariff,
    stations: tuple[Station | None, Station | None],
    times: tuple[int, int],
) -> LegQuote:
    """From check-in to check-out, or one boarding on a flat tariff.

    Raises: NoPriceError: a tap is refused.
    """
    tariff_id = tariff.source.tariff_id
    if tariff.is_flat:
        taps = [_tap(rider, TapRequest(tariff_id, TapKind.FLAT, 0, times[0]))]
    else:
        kinds = (TapKind.CHECK_IN, TapKind.CHECK_OUT)
        stops = [station.stop_id if station else 0 for station in stations]
        taps = [
            _tap(rider, TapRequest(tariff_id, kind, stop, at_us))
            for kind, stop, at_us in zip(kinds, stops, times, strict=True)
        ]
    return _leg_quote(tariff, stations, times, taps)


def _tap(rider: Rider, request: TapRequest) -> PricedTap:
    tap = rider.tap(request)
    if not tap.reason.accepted:
        what = f"{request.kind.name.lower()} at stop {request.stop_id} is refused"
        why = f": {_REFUSALS[tap.reason]}" if tap.reason in _REFUSALS else ""
        raise NoPriceError(tap.reason.name.lower(), what + why)
    return tap


def _leg_quote(
    tariff: LoadedTariff,
    stations: tuple[Station | None, Station | None],
    times: tuple[int, int],
    taps: Sequence[PricedTap],
) -> LegQuote:
    rules = Rule(0)
    for tap in taps:
        rules |= tap.rules
    return LegQuote(
        tariff=tariff,
        start=stations[0],
        end=stations[1],
        entry_us=times[0],
        exit_us=times[1],
        fare_minor=sum(tap.fare_minor for tap in taps),
        nominal_minor=sum(tap.nominal_minor for tap in taps),
        distance_m=taps[-1].distance_m,
        period_paid_minor=taps[-1].period_paid_minor,
        rules=rules,
    )
