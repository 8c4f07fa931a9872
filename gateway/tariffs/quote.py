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

from fastpath.types import MediumKind, Reason, Rule, TapKind
from gateway.errors import TariffError
from gateway.tariffs.calendar import US_PER_S, local_time
from gateway.tariffs.explain import RuleNote, explain, rule_names
from gateway.tariffs.explain_factor import find_factor, find_frame, note_factor
from gateway.tariffs.journeys import JourneyRequest, LegRequest, Refused, instant_of, parse_journeys
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.pricing import PricedTap, Rider, RiderRequest, TapRequest, open_rider
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
    acts: tuple[int, ...] = ()
    network: int = 0
    category: int = 0
    medium: MediumKind = MediumKind.CARD

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
    notes = explain(leg.rules, tariff.source, group=group, acts=leg.acts, spec=tariff.spec)
    frame = find_frame(tariff.source, tariff.spec, leg.entry_us)
    factor = find_factor(tariff.source, frame=frame, category=leg.category, medium=leg.medium)
    if factor is None:
        return notes
    named = note_factor(tariff.source, factor)
    return [named if note.rule is Rule.LEG_FACTOR else note for note in notes]


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


@dataclass(frozen=True, slots=True)
class Ride:
    """A leg with its tariff, stops and instants found. once: one tap, at boarding."""

    tariff: LoadedTariff
    stations: tuple[Station | None, Station | None]
    stops: tuple[int, int]
    times: tuple[int, int]
    line: int = 0
    distance_m: int = 0
    once: bool = False

    def goes_on_as(self, following: Ride) -> bool:
        """Whether the rider changes to the next ride without leaving."""
        if self.once or following.once or self.tariff is not following.tariff:
            return False
        gap_us = following.times[0] - self.times[1]
        here, there = self.stations[1], following.stations[0]
        return here is not None and here == there and gap_us <= CHANGE_US

    def taps(self) -> Iterator[TapRequest]:
        """The taps a rider makes."""
        tariff_id = self.tariff.source.tariff_id
        if self.once:
            kinds = [(TapKind.FLAT, self.stops[0], self.times[0])]
        else:
            kinds = [
                (TapKind.CHECK_IN, self.stops[0], self.times[0]),
                (TapKind.CHECK_OUT, self.stops[1], self.times[1]),
            ]
        for kind, stop, at_us in kinds:
            metres = 0 if kind is TapKind.CHECK_IN else self.distance_m
            yield TapRequest(tariff_id, kind, stop, at_us, line=self.line, distance_m=metres)


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
    first = rides[0]
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
        yield replace(paid, start=ride.stations[0], entry_us=ride.times[0])
        first = following


def _find_rides(tariffs: Sequence[LoadedTariff], legs: Sequence[LegRequest]) -> Iterator[Ride]:
    clock_us = 0
    for leg, following in zip_longest(legs, legs[1:]):
        tariff, line = _tariff_of(tariffs, leg)
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


def _tariff_of(tariffs: Sequence[LoadedTariff], leg: LegRequest) -> tuple[LoadedTariff, int]:
    """The tariff that network_id names, or that has a network of this name; and the line."""
    if not leg.network_id:
        return tariffs[0], leg.line
    for tariff in tariffs:
        if tariff.source.tariff_id == leg.network_id:
            return tariff, leg.line
        for network in tariff.source.layers.networks:
            if network.name == leg.network_id:
                return tariff, leg.line or (network.lines[0] if network.lines else 0)
    names = [tariff.source.tariff_id for tariff in tariffs]
    names += [one.name for tariff in tariffs for one in tariff.source.layers.networks]
    known = ", ".join(names)
    raise NoPriceError("unknown_network", f"network {leg.network_id!r} is none of {known}")


def stop_in(tariff: LoadedTariff, zone: str) -> str:
    """A stop that lies in this zone only; "" = there is none."""
    stops = tariff.source.network.stations
    return next((str(one.stop_id) for one in stops if one.zones == (zone,)), "")


def find_category(tariff: LoadedTariff, text: str) -> int:
    """The number of a rider category given by name or number.

    Raises: NoPriceError: the tariff has no such category.
    """
    numbers = {one.name: one.number for one in tariff.source.layers.categories}
    if text in numbers:
        return numbers[text]
    if text in {"", "0", "adult"}:
        return 0
    if text.isdecimal() and int(text) in numbers.values():
        return int(text)
    known = ", ".join(numbers) or "the tariff has none"
    raise NoPriceError("unknown_rider_category", f"rider category {text!r}: {known}")


def find_ride(
    tariff: LoadedTariff, ends: tuple[str, str], times: tuple[int, int], line: int = 0
) -> Ride:
    """A ride between stops given by id or name.

    Raises: TariffError: an unknown or ambiguous stop. NoPriceError: a stop is not given.
    """
    once = tariff.taps_once(line)
    if not tariff.source.network.stations:
        numbers = [int(text) if text.isdecimal() else 0 for text in ends]
        stops = (numbers[0] or (0 if once else 1), numbers[1] or 2)
        return Ride(tariff, (None, None), stops, times, line, once=once)
    found = []
    for key, text in zip(("from_stop", "to_stop"), ends, strict=True):
        if not text and not once:
            raise NoPriceError("unknown_stop", f"a leg has no {key}; fares go by station")
        found.append(tariff.names.get(text) if text and not tariff.is_flat else None)
    numbers = [station.stop_id if station else 0 for station in found]
    return Ride(tariff, (found[0], found[1]), (numbers[0], numbers[1]), times, line, once=once)


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
    )
