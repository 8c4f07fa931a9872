"""The network as riders see it."""

from __future__ import annotations

import random
from collections import Counter

from fastpath.types import OutOfStation
from gateway.simulate.roster import BUS_SLOT, METRO_SLOT, plan_places
from gateway.simulate.world import World
from tests.support.tariff import STOPS, small_spec

HOUR_US = 3_600_000_000


def with_walk() -> World:
    spec = small_spec()
    walk = OutOfStation(STOPS.index(12), STOPS.index(14), HOUR_US)
    fields = {name: getattr(spec, name) for name in spec.__slots__} | {"out_of_station": (walk,)}
    return World(type(spec)(**fields), {11: 9})


def test_busy_stops_are_chosen_more_often() -> None:
    world, rng = with_walk(), random.Random(1)
    chosen = Counter(world.choose_stop(rng) for _ in range(2_000))
    assert set(chosen) == set(STOPS)
    assert chosen[11] > 3 * max(chosen[stop] for stop in STOPS[1:])


def test_a_target_is_another_stop() -> None:
    world, rng = with_walk(), random.Random(1)
    for _ in range(200):
        assert world.choose_target(rng, 13) in {11, 12, 14}


def test_a_longer_ride_takes_longer() -> None:
    world = with_walk()
    assert world.ride_us(11, 14) > world.ride_us(11, 12) > 0


def test_riders_keep_to_the_stops_that_have_a_gate() -> None:
    world, rng = with_walk(), random.Random(1)
    world.restrict({11, 12})
    assert {world.choose_stop(rng) for _ in range(200)} == {11, 12}
    assert world.walks == ()


def test_a_walk_stays_when_both_its_ends_have_a_gate() -> None:
    world = with_walk()
    world.restrict({12, 14})
    assert [(walk.from_stop, walk.to_stop) for walk in world.walks] == [(12, 14)]


def test_gates_stand_at_walks_and_busy_stops_first() -> None:
    assert with_walk().busiest(3) == [12, 14, 11]


def test_places_for_every_sort_of_validator() -> None:
    places = plan_places(with_walk(), 12, with_bus=True)
    assert sum(place.is_handheld for place in places) == 1
    buses = [place for place in places if place.tariff_slot == BUS_SLOT]
    gates = [place.stop_id for place in places if place.stop_id]
    assert len(buses) == 1
    assert len(gates) == 10
    assert Counter(gates)[11] > Counter(gates)[13] > 0, "the busy stop has more gates"


def test_without_a_bus_tariff_there_are_no_buses() -> None:
    places = plan_places(with_walk(), 6, with_bus=False)
    assert {place.tariff_slot for place in places} == {METRO_SLOT}
