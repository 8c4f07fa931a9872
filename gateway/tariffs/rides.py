"""Rides as riders make them: stops, lines, categories by name become the taps of one ride."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastpath.types import TapKind
from gateway.tariffs.calendar import US_PER_S
from gateway.tariffs.journeys import LegRequest
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.pricing import TapRequest
from gateway.tariffs.source import Station

CHANGE_US = 30 * 60 * US_PER_S
"""Within this time a rider who goes on from the same station is taken to have stayed inside."""


class NoPriceError(Exception):
    """A journey has no price: a stable word and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


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


def find_tariff_of(tariffs: Sequence[LoadedTariff], leg: LegRequest) -> tuple[LoadedTariff, int]:
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
