"""Where simulated riders travel: stations with their crowds, ride times, walks, hours of service.

Made from compiled tariffs, so that riders see the network the gateway prices. No I/O, no clock, no
randomness of its own.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from fastpath.types import TariffSpec

US_PER_S = 1_000_000
HOUR_US = 3600 * US_PER_S
TRAIN_M_PER_S = 10
"""36 km/h with stops."""
WALK_IN_STATION_S = 240
OPENING_US = 5 * HOUR_US
"""Trains begin to run so long after the start of a service day."""
LOOK_BACK_US = 23 * HOUR_US + 1800 * US_PER_S
"""Half an hour less than a device's clock may be behind (TariffRules.clock_behind_us)."""


@dataclass(frozen=True, slots=True)
class Walk:
    """An out-of-station interchange: leave here, enter there in time, and it is one journey."""

    from_stop: int
    to_stop: int
    window_us: int


class World:
    """The network as riders see it.

    Args: spec: the subway's tariff. crowds: stop id -> relative number of riders, missing = 1.
    """

    def __init__(self, spec: TariffSpec, crowds: Mapping[int, int] | None = None) -> None:
        self._spec = spec
        self._index = {stop: at for at, stop in enumerate(spec.stop_ids)}
        self.stops: tuple[int, ...] = tuple(spec.stop_ids)
        self._crowds = [(crowds or {}).get(stop, 1) for stop in self.stops]
        self._use(self.stops)

    def _use(self, stops: tuple[int, ...]) -> None:
        self.open_stops = stops
        self._weights = list(accumulate(self._crowds[self._index[stop]] for stop in stops))
        inside = set(stops)
        self.walks = tuple(
            Walk(self.stops[join.from_idx], self.stops[join.to_idx], join.window_us)
            for join in self._spec.out_of_station
            if inside >= {self.stops[join.from_idx], self.stops[join.to_idx]}
        )

    def restrict(self, stops: set[int]) -> None:
        """From now on riders use only these stops: the ones that have a gate."""
        self._use(tuple(stop for stop in self.stops if stop in stops))

    def busiest(self, count: int) -> list[int]:
        """Stops by crowd, the ends of walks first so that interchanges happen; at most `count`."""
        ends = {walk.from_stop for walk in self.walks} | {walk.to_stop for walk in self.walks}
        ranked = sorted(
            zip(self.stops, self._crowds, strict=True),
            key=lambda item: (item[0] not in ends, -item[1], item[0]),
        )
        return [stop for stop, _ in ranked[:count]]

    def crowd(self, stop: int) -> int:
        """Relative number of riders of a stop."""
        return self._crowds[self._index[stop]]

    def choose_stop(self, rng: random.Random) -> int:
        """Any stop, busy ones more often."""
        return self.open_stops[bisect_right(self._weights, rng.random() * self._weights[-1])]

    def choose_target(self, rng: random.Random, start: int) -> int:
        """A stop one can ride to from here; `start` itself when there is none."""
        for _ in range(8):
            target = self.choose_stop(rng)
            if target != start and self.is_priced(start, target):
                return target
        return start

    def is_priced(self, start: int, end: int) -> bool:
        """Whether the tariff has a fare for this pair."""
        row, column = self._index[start], self._index[end]
        return self._spec.od_fare_minor[row * len(self.stops) + column] >= 0

    def ride_us(self, start: int, end: int) -> int:
        """From gate to gate."""
        metres = self._spec.od_distance_m[self._index[start] * len(self.stops) + self._index[end]]
        return (metres // TRAIN_M_PER_S + WALK_IN_STATION_S) * US_PER_S

    def opening_us(self, ts_us: int) -> int:
        """This instant, or when trains begin to run if that is later on its service day."""
        days = self._spec.days.start_us
        day = bisect_right(days, ts_us) - 1
        return ts_us if day < 0 else max(ts_us, days[day] + OPENING_US)


@dataclass(frozen=True, slots=True)
class Day:
    """The stretch of time the riders live through, and how they spread over it.

    begin_us and end_us are instants of the devices' clocks. cycle_us: from the start of one journey
    to the next. haste_ppm: ride times are multiplied by it when a rider has to make more journeys
    than a day has room for.
    """

    begin_us: int
    end_us: int
    cycle_us: int
    haste_ppm: int = 1_000_000

    def hurry(self, duration_us: int) -> int:
        """A duration as it passes on this day."""
        return duration_us * self.haste_ppm // 1_000_000


MEAN_RIDE_US = 26 * 60 * US_PER_S
PAUSE_MIN_US = 8 * 60 * US_PER_S
TAPS_A_JOURNEY = 2


def plan_day(now_us: int, *, riders: int, taps: int) -> Day:
    """A day that lies within the limits of the devices' clocks and has room for so many taps.

    Args: now_us: the server's clock. Source of the limits: TariffRules.clock_behind_us.
    """
    begin, end = now_us - LOOK_BACK_US, now_us - 60 * US_PER_S
    journeys = max(1, taps // (TAPS_A_JOURNEY * max(1, riders)))
    cycle = (end - begin - OPENING_US) // journeys
    natural = MEAN_RIDE_US + PAUSE_MIN_US
    haste = min(1_000_000, cycle * 1_000_000 // natural)
    return Day(begin, end, cycle, max(haste, 1_000))
