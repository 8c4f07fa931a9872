"""Quotes: what journeys cost and why, priced by the engine that decides taps.

A journey is priced tap by tap on a fresh account with money enough, so that joins, discounts,
overstay and rounding are the engine's and never computed a second time here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastpath.types import Rule, TapKind
from gateway.errors import TariffError
from gateway.tariffs.calendar import US_PER_S, local_time
from gateway.tariffs.explain import rule_names
from gateway.tariffs.journeys import JourneyRequest, LegRequest, Refused, instant_of, parse_journeys
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.pricing import PricedTap, Rider, TapRequest, open_rider
from gateway.tariffs.source import Station
from gateway.tariffs.units import format_amount

RIDE_US = 40 * 60 * US_PER_S
"""How long a ride takes when its arrival is not given."""


@dataclass(frozen=True, slots=True)
class LegQuote:
    """One ride of a priced journey. Stations are None on a flat tariff that names no stop."""

    tariff: LoadedTariff
    start: Station | None
    end: Station | None
    entry_us: int
    exit_us: int
    fare_minor: int
    nominal_minor: int
    distance_m: int
    period_paid_minor: int
    rules: Rule

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


def _price_legs(
    tariffs: Sequence[LoadedTariff], journey: JourneyRequest, month_paid_minor: int
) -> Iterable[LegQuote]:
    specs = {tariff.source.tariff_id: tariff.spec for tariff in tariffs}
    rider: Rider | None = None
    clock_us = 0
    for leg in journey.legs:
        tariff = _tariff_of(tariffs, leg)
        entry_us, exit_us = _times(tariff, leg)
        if entry_us < clock_us:
            raise NoPriceError("bad_time", "legs overlap or are out of order")
        clock_us = exit_us
        if rider is None:
            rider = open_rider(
                specs, medium=journey.medium, month_paid_minor=month_paid_minor, at_us=entry_us
            )
        yield price_leg(rider, tariff, (leg.from_stop, leg.to_stop), (entry_us, exit_us))


def _tariff_of(tariffs: Sequence[LoadedTariff], leg: LegRequest) -> LoadedTariff:
    if not leg.network_id:
        return tariffs[0]
    for tariff in tariffs:
        if tariff.source.tariff_id == leg.network_id:
            return tariff
    known = ", ".join(tariff.source.tariff_id for tariff in tariffs)
    raise NoPriceError("unknown_network", f"network {leg.network_id!r} is none of {known}")


def _times(tariff: LoadedTariff, leg: LegRequest) -> tuple[int, int]:
    zone = tariff.source.zone
    entry_us = instant_of(leg.day, leg.dep_s, zone)
    exit_us = entry_us + RIDE_US if leg.arr_s is None else instant_of(leg.day, leg.arr_s, zone)
    if exit_us < entry_us:
        raise NoPriceError("bad_time", "arr is before dep; after midnight write 24:10:00")
    return entry_us, exit_us


def price_leg(
    rider: Rider, tariff: LoadedTariff, stops: tuple[str, str], times: tuple[int, int]
) -> LegQuote:
    """One ride of a rider, from entry to exit. Stops are ids or names.

    Raises: TariffError: an unknown or ambiguous stop. NoPriceError: a tap is refused.
    """
    source = tariff.source
    if tariff.is_flat:
        paid = _tap(rider, TapRequest(source.tariff_id, TapKind.FLAT, 0, times[0]))
        return _leg_quote(tariff, (None, None), times, (paid,))
    stations = _stations(tariff, stops)
    kinds = (TapKind.CHECK_IN, TapKind.CHECK_OUT)
    taps = tuple(
        _tap(rider, TapRequest(source.tariff_id, kind, station.stop_id, at_us))
        for kind, station, at_us in zip(kinds, stations, times, strict=True)
    )
    return _leg_quote(tariff, stations, times, taps)


def _stations(tariff: LoadedTariff, stops: tuple[str, str]) -> tuple[Station, Station]:
    for key, text in zip(("from_stop", "to_stop"), stops, strict=True):
        if not text:
            raise NoPriceError("unknown_stop", f"a leg has no {key}; fares go by station")
    return tariff.names.get(stops[0]), tariff.names.get(stops[1])


def _tap(rider: Rider, request: TapRequest) -> PricedTap:
    tap = rider.tap(request)
    if not tap.reason.accepted:
        what = f"{request.kind.name.lower()} at stop {request.stop_id}"
        raise NoPriceError(tap.reason.name.lower(), f"{what} is refused")
    return tap


def _leg_quote(
    tariff: LoadedTariff,
    stations: tuple[Station | None, Station | None],
    times: tuple[int, int],
    taps: tuple[PricedTap, ...],
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
