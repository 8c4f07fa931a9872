"""What a journey between two stations costs, before time, medium and period discounts.

A journey uses the main network, a separately priced line, or separately priced lines at one or both
ends of a main-network ride; then the parts add up, at the interchange that makes the sum cheapest.
Of equal prices the one with fewer parts wins, then the shorter: the order of files never matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from fastpath.types import FarePart
from gateway.tariffs.network import build_graph
from gateway.tariffs.source import FareGroup, Network


@dataclass(frozen=True, slots=True)
class BandFare:
    """Price of one distance in one group. `to_m` is the band's end; 0 = behind the last one."""

    fare_minor: int
    part: FarePart
    to_m: int


@dataclass(frozen=True, slots=True)
class Ride:
    """The part of a journey inside one price group."""

    group: str
    start: str
    end: str
    metres: int
    fare_minor: int


@dataclass(frozen=True, slots=True)
class Price:
    """A whole journey: its rides in order and how their prices came together."""

    rides: tuple[Ride, ...]
    fare_minor: int
    metres: int
    part: FarePart
    main_minor: int
    """The share of the main network: what time discounts touch."""


@dataclass(frozen=True, slots=True)
class _Access:
    """A way from a station to the main network: nothing, or a ride on its own line to a gate."""

    gate: str
    ride: Ride | None


def find_band(group: FareGroup, metres: int) -> BandFare | None:
    """The band a distance falls into; None = the group prices no such distance.

    With a tolerance t, t - 1 metres over the end of a band are still inside, t metres are not.
    """
    priced = metres - max(group.tolerance_m - 1, 0)
    for band in group.bands:
        if priced <= band.to_m:
            return BandFare(band.fare_minor, FarePart.BAND, band.to_m)
    beyond = group.beyond
    if beyond is None:
        return None
    if beyond.per_m == 0:
        return BandFare(beyond.fare_minor, FarePart.BEYOND, 0)
    last = group.bands[-1]
    steps = -(-(priced - last.to_m) // beyond.per_m)
    return BandFare(last.fare_minor + steps * beyond.add_minor, FarePart.BEYOND, 0)


class Prices:
    """Prices of all journeys of a network. Distances are searched once a station and kept."""

    def __init__(self, network: Network) -> None:
        self.graphs = {group.name: build_graph(network, group) for group in network.groups}
        self._groups = {group.name: group for group in network.groups}
        self._main = next(group for group in network.groups if group.is_main)
        self._distances: dict[tuple[str, str], dict[str, int]] = {}
        self._bands: dict[tuple[str, int], BandFare | None] = {}
        self._member = {
            station.zh: tuple(name for name, graph in self.graphs.items() if station.zh in graph)
            for station in network.stations
        }
        self._only_main = (self._main.name,)
        self._accesses = {
            station.zh: tuple(self._access(station.zh)) for station in network.stations
        }

    def on_main(self, name: str) -> bool:
        """Whether the station is part of the main network."""
        return name in self.graphs[self._main.name]

    def band(self, group: str, metres: int) -> BandFare | None:
        """As `find_band`, remembered."""
        key = (group, metres)
        if key not in self._bands:
            self._bands[key] = find_band(self._groups[group], metres)
        return self._bands[key]

    def find_price(self, start: str, end: str) -> Price | None:
        """The cheapest price of a journey; None = it cannot be priced."""
        found = list(self._within_one_group(start, end))
        if not (self.on_main(start) and self.on_main(end)):
            found.extend(self._combined(start, end))
        return min(found, key=_preference, default=None)

    def find_plain(self, start: str, end: str) -> tuple[int, BandFare] | None:
        """Metres and band when only the main network can be meant: most pairs, without ceremony."""
        if self._member[start] != self._only_main or self._member[end] != self._only_main:
            return None
        metres = self._distances_m(self._main.name, start).get(end)
        band = None if metres is None else self.band(self._main.name, metres)
        return None if metres is None or band is None else (metres, band)

    def find_ride(self, group: str, start: str, end: str) -> Ride | None:
        """A ride inside one group; None = no way, or no price."""
        metres = self._distances_m(group, start).get(end)
        if metres is None:
            return None
        band = self.band(group, metres)
        return None if band is None else Ride(group, start, end, metres, band.fare_minor)

    def _within_one_group(self, start: str, end: str) -> Iterator[Price]:
        for name in self._member[start]:
            ride = self.find_ride(name, start, end)
            if ride is not None:
                yield self._price_one(ride)

    def _price_one(self, ride: Ride) -> Price:
        if ride.group != self._main.name:
            return Price((ride,), ride.fare_minor, ride.metres, FarePart.SEPARATE, 0)
        band = self.band(ride.group, ride.metres)
        part = band.part if band else FarePart.NOT_PRICED
        return Price((ride,), ride.fare_minor, ride.metres, part, ride.fare_minor)

    def _combined(self, start: str, end: str) -> Iterator[Price]:
        for first, last in product(self._accesses[start], self._accesses[end]):
            if first.ride and last.ride and first.ride.group == last.ride.group:
                continue
            middle = self._middle(first, last)
            if middle is None:
                continue
            back = last.ride and Ride(
                last.ride.group,
                last.ride.end,
                last.ride.start,
                last.ride.metres,
                last.ride.fare_minor,
            )
            rides = tuple(ride for ride in (first.ride, *middle, back) if ride is not None)
            if len(rides) > 1:
                yield _price_sum(rides, main_minor=sum(ride.fare_minor for ride in middle))

    def _middle(self, first: _Access, last: _Access) -> tuple[Ride, ...] | None:
        """The main-network ride between two gates: none when it is the same gate."""
        if first.gate == last.gate:
            return ()
        ride = self.find_ride(self._main.name, first.gate, last.gate)
        return None if ride is None else (ride,)

    def _access(self, name: str) -> Iterator[_Access]:
        if self.on_main(name):
            yield _Access(name, None)
            return
        for group, graph in self.graphs.items():
            if group == self._main.name or name not in graph:
                continue
            for gate in filter(self.on_main, graph.names):
                ride = self.find_ride(group, name, gate)
                if ride is not None:
                    yield _Access(gate, ride)

    def _distances_m(self, group: str, start: str) -> dict[str, int]:
        key = (group, start)
        if key not in self._distances:
            self._distances[key] = self.graphs[group].distances_m(start)
        return self._distances[key]


def _price_sum(rides: tuple[Ride, ...], *, main_minor: int) -> Price:
    fare = sum(ride.fare_minor for ride in rides)
    metres = sum(ride.metres for ride in rides)
    return Price(rides, fare, metres, FarePart.COMBINED, main_minor)


def _preference(price: Price) -> tuple[int, int, int, str]:
    return price.fare_minor, len(price.rides), price.metres, price.rides[0].end
