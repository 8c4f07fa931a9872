"""One ride priced and explained: distance, path, bands, discounts, month, and the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from fastpath.types import FACTOR_ONE_PPM, MediumKind, Rule
from gateway.errors import TariffError
from gateway.tariffs.calendar import local_time, local_us, service_date
from gateway.tariffs.explain import RuleNote
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.network import ON_FOOT, Stretch
from gateway.tariffs.prices import Price, Prices, Ride
from gateway.tariffs.pricing import RiderRequest, open_rider
from gateway.tariffs.quote import (
    RIDE_US,
    LegQuote,
    explain_leg,
    price_stay,
)
from gateway.tariffs.rides import NoPriceError, find_category, find_ride
from gateway.tariffs.source import DiscountWindow, TariffSource
from gateway.tariffs.units import AmountError, format_amount, format_factor, parse_amount


@dataclass(frozen=True, slots=True)
class SingleRequest:
    """One ride asked for by a person. `at` and `until` are ISO times, local without an offset."""

    start: str
    end: str
    at: str
    until: str = ""
    medium: str = "card"
    month_paid: str = "0.00"
    category: str = ""
    line: int = 0
    distance_m: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """A priced ride with all that led to the price."""

    tariff: LoadedTariff
    leg: LegQuote
    price: Price | None
    month_paid_minor: int
    language: str = ""

    @property
    def notes(self) -> list[RuleNote]:
        """The rules that acted."""
        group = self.price.rides[0].group if self.price and len(self.price.rides) == 1 else "main"
        return explain_leg(self.leg, group)

    def as_dict(self) -> dict[str, object]:
        """The explanation as it goes into JSON."""
        source = self.tariff.source
        return self.leg.as_dict() | {
            "tariff": source.tariff_id,
            "version": source.version,
            "currency": source.currency.code,
            "nominal": self._amount(self.leg.nominal_minor),
            "day": self._day(),
            "rides": [self._ride_fields(ride) for ride in self._rides()],
            "path": [self._stretch_fields(one) for one in self._path()],
            "discounts": [_window_fields(window) for window in self._windows()],
            "month": self._month(),
            "rules": [note.as_dict() for note in self.notes],
            "warnings": list(self._warnings()),
        }

    def lines(self) -> Iterator[str]:
        """The explanation as text, the fare first."""
        source = self.tariff.source
        yield f"{self._amount(self.leg.fare_minor)} {source.currency.code}"
        if self.leg.start and self.leg.end:
            ends = [f"{one.zh} {one.latin}" for one in (self.leg.start, self.leg.end)]
            yield f"{ends[0]} → {ends[1]}, {self.leg.distance_m / 1000:.3f} km"
        yield f"{local_time(self.leg.entry_us, source.zone):%Y-%m-%d %H:%M} ({self._day()})"
        for ride in self._rides():
            yield f"  {self._amount(ride.fare_minor)}  {ride.group}: {self._band_text(ride)}"
        for one in self._path():
            yield f"  {_line_text(one)}: {one.stations[0]} → {one.stations[-1]}, {one.metres} m"
        for window in self._windows():
            yield f"  × {format_factor(window.factor_ppm)}  {window.title['en']}"
        if self.leg.rules & Rule.MONTHLY_TIER:
            month = self._month()
            yield f"  × {month['factor']}  {month['paid_before']} already paid this month"
        for note in self.notes:
            yield f"  {note.text(self.language)}"
        yield from self._warnings()

    def _amount(self, minor: int) -> str:
        return format_amount(minor, self.tariff.source.currency.exponent)

    def _day(self) -> str:
        source = self.tariff.source
        day = service_date(self.leg.entry_us, source.zone, source.day_start)
        return source.calendar.describe(day)

    def _rides(self) -> tuple[Ride, ...]:
        if self.price is None or self.leg.rules & Rule.SAME_STATION:
            return ()
        return self.price.rides

    def _path(self) -> Iterator[Stretch]:
        prices = self.tariff.prices
        for ride in self._rides() if prices else ():
            yield from _path_of(prices, ride) if prices else ()

    def _ride_fields(self, ride: Ride) -> dict[str, object]:
        return {
            "group": ride.group,
            "from": ride.start,
            "to": ride.end,
            "distance_m": ride.metres,
            "fare": self._amount(ride.fare_minor),
            "band": self._band_text(ride),
        }

    def _band_text(self, ride: Ride) -> str:
        group = next(one for one in self.tariff.source.network.groups if one.name == ride.group)
        band = self.tariff.prices.band(ride.group, ride.metres) if self.tariff.prices else None
        if not group.bands:
            return "one price for the line"
        if band is None or band.to_m == 0:
            return f"{ride.metres} m, over {group.bands[-1].to_m} m"
        over = ride.metres - band.to_m
        spare = f", {over} m over, within the tolerance" if over > 0 else ""
        return f"{ride.metres} m, up to {band.to_m} m{spare}"

    def _stretch_fields(self, one: Stretch) -> dict[str, object]:
        names = {line.zh: line.en for line in self.tariff.source.network.lines}
        line = {"zh": one.line, "en": names[one.line]} if one.line != ON_FOOT else None
        return {"line": line, "stations": list(one.stations), "distance_m": one.metres}

    def _windows(self) -> list[DiscountWindow]:
        """Time discounts that may have acted: the engine says only that one did."""
        if not self.leg.rules & Rule.TIME_DISCOUNT or self.leg.start is None:
            return []
        windows = self.tariff.source.windows
        return [one for one in windows if self.leg.start.zh in one.stations]

    def _month(self) -> dict[str, object]:
        tiers = self.tariff.source.tiers
        reached = [tier for tier in tiers if tier.from_minor <= self.month_paid_minor]
        factor = reached[-1].factor_ppm if reached else FACTOR_ONE_PPM
        return {
            "paid_before": self._amount(self.month_paid_minor),
            "factor": format_factor(factor),
            "paid_after": self._amount(self.leg.period_paid_minor),
        }

    def _warnings(self) -> Iterator[str]:
        source = self.tariff.source
        day = service_date(self.leg.entry_us, source.zone, source.day_start)
        if source.windows and not source.calendar.is_known(day):
            yield f"{day} is in no year of calendar {source.calendar.name}: weekends only"
        if any(one.line == ON_FOOT for one in self._path()):
            yield "the shortest way has a walk between two stations (out-of-station interchange)"


def quote_single(tariff: LoadedTariff, request: SingleRequest) -> Explanation:
    """Price and explain one ride.

    Raises: TariffError: TARIFF_STATION_…, TARIFF_LOCAL_TIME, TARIFF_QUOTE (a refused tap).
    """
    source = tariff.source
    entry_us = _instant(source, request.at)
    exit_us = _instant(source, request.until) if request.until else entry_us + RIDE_US
    paid_minor = _month_paid(source, request.month_paid)
    medium = _medium(request.medium)
    try:
        category = find_category(tariff, request.category)
        who = RiderRequest(medium, entry_us, paid_minor, category=category)
        ends = (request.start, request.end)
        ride = find_ride(tariff, ends, (entry_us, exit_us), request.line)
        rider = open_rider({source.tariff_id: tariff.spec}, who)
        leg = price_stay(rider, replace(ride, distance_m=request.distance_m))
        leg = replace(leg, category=category, medium=medium)
    except NoPriceError as error:
        hint = f"`faregate tariff show {source.tariff_id}` tells what it covers"
        raise TariffError("TARIFF_QUOTE", f"{error.reason}: {error.detail}", hint) from error
    price = None
    if tariff.prices and leg.start and leg.end:
        price = tariff.prices.find_price(leg.start.zh, leg.end.zh)
    return Explanation(tariff, leg, price, paid_minor)


def _instant(source: TariffSource, text: str) -> int:
    try:
        return local_us(datetime.fromisoformat(text), source.zone)
    except ValueError as error:
        hint = "as 2026-11-23T08:00, local time of the tariff"
        raise TariffError("TARIFF_QUOTE", f"{text!r} is not a date and time", hint) from error


def _medium(text: str) -> MediumKind:
    try:
        return MediumKind[text.upper()]
    except KeyError as error:
        known = ", ".join(kind.name.lower() for kind in MediumKind)
        raise TariffError("TARIFF_QUOTE", f"{text!r} is not a medium", f"one of {known}") from error


def _month_paid(source: TariffSource, text: str) -> int:
    try:
        return parse_amount(text, source.currency.exponent)
    except AmountError as error:
        raise TariffError("TARIFF_QUOTE", f"month paid: {error}", 'as "120.00"') from error


def _path_of(prices: Prices, ride: Ride) -> tuple[Stretch, ...]:
    return prices.graphs[ride.group].find_path(ride.start, ride.end) or ()


def _line_text(one: Stretch) -> str:
    return "walk" if one.line == ON_FOOT else one.line


def _window_fields(window: DiscountWindow) -> dict[str, object]:
    return {
        "name": window.name,
        "title": window.title,
        "factor": format_factor(window.factor_ppm),
        "until": window.end.isoformat(),
    }
