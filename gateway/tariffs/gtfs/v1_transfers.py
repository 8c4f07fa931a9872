"""Fares v1: `transfers` and `transfer_duration` as transfers of the engine.

A ride by a fare that permits transfers is followed by rides at no cost which that fare fits too, as
long as it lasts: so many of them, from the first boarding on. A ride whose own cheapest fare is
another one counts when the fare before fits it as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastpath.layers import Begins, Measured, Transfer, TransferEffect
from gateway.tariffs.calendar import US_PER_S
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.origins import Origin, Origins
from gateway.tariffs.gtfs.tables import FareAttribute, Feed
from gateway.tariffs.gtfs.v1 import Condition

FILE = "fare_attributes.txt"


def build_v1_transfers(
    feed: Feed, conditions: tuple[Condition, ...], origins: Origins, *, at_arrival: bool
) -> tuple[Transfer, ...]:
    """Group n is the n-th fare. Only between rides of one fare: what else may follow is not known
    before the ride.
    """
    fares = {one.fare.fare_id for one in conditions}
    return tuple(
        _transfer(fare, at, origins, at_arrival=at_arrival)
        for at, fare in enumerate(feed.fares, start=1)
        if fare.transfers != 0 and fare.fare_id in fares
    )


def _transfer(fare: FareAttribute, group: int, origins: Origins, *, at_arrival: bool) -> Transfer:
    return Transfer(
        from_group=group,
        to_group=group,
        effect=TransferEffect.FIRST_AND_TRANSFER,
        count_max=fare.transfers,
        window_us=fare.duration_s * US_PER_S if fare.duration_s >= 0 else -1,
        measured=Measured.DEPARTURE_TO_ARRIVAL if at_arrival else Measured.DEPARTURE_TO_DEPARTURE,
        begins=Begins.SPAN,
        source=origins.number_of(Origin(FILE, (fare.line,), frozenset({fare.fare_id}))),
    )


def warn_of_itineraries(feed: Feed, conditions: tuple[Condition, ...], findings: Findings) -> None:
    """Fares with transfers from zone to zone: which zones the whole trip crosses is not seen."""
    for fare in _by_zones(conditions):
        said = f"{fare.fare_id!r} permits transfers and names zones"
        findings.add("GTFS_ITINERARY", FILE, said, line=fare.line, field="transfers")


def _by_zones(conditions: tuple[Condition, ...]) -> Iterator[FareAttribute]:
    told = set()
    for one in conditions:
        zones = one.origin_id or one.destination_id or one.contains
        if zones and one.fare.transfers != 0 and one.fare.fare_id not in told:
            told.add(one.fare.fare_id)
            yield one.fare
