"""Running the example journeys inside a tariff file against the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastpath.types import MediumKind, Reason, TapKind
from gateway.tariffs.calendar import local_us
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.pricing import PLENTY_MINOR, Rider, TapRequest, open_rider
from gateway.tariffs.source import Example
from gateway.tariffs.units import format_amount

TRIP_EVERY = timedelta(hours=12)
"""Distance in time between the trips of one example."""


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """What an example cost, and what about it is not as the file says."""

    example: Example
    total_minor: int
    reason: Reason
    distance_m: int
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is as the file says."""
        return not self.faults


def run_examples(tariff: LoadedTariff) -> list[ExampleResult]:
    """Price every example of the file."""
    return [run_example(tariff, example) for example in tariff.source.examples]


def run_example(tariff: LoadedTariff, example: Example) -> ExampleResult:
    """Price one example and compare."""
    rider = _rider(tariff, example)
    total, reason, distance_m = 0, Reason.OK, 0
    for request in _taps(tariff, example):
        tap = rider.tap(request)
        reason = tap.reason
        if not reason.accepted:
            break
        total += tap.fare_minor
        distance_m = tap.distance_m
    exponent = tariff.source.currency.exponent
    faults = tuple(_compare(example, total, reason, distance_m, exponent))
    return ExampleResult(example, total, reason, distance_m, faults)


def _rider(tariff: LoadedTariff, example: Example) -> Rider:
    source = tariff.source
    first = example.flat_at or example.legs[0].entry
    return open_rider(
        {source.tariff_id: tariff.spec},
        medium=MediumKind[example.medium.upper()],
        at_us=local_us(first, source.zone),
        month_paid_minor=example.month_paid_minor,
        balance_minor=PLENTY_MINOR if example.balance_minor < 0 else example.balance_minor,
    )


def _taps(tariff: LoadedTariff, example: Example) -> Iterator[TapRequest]:
    for trip in range(example.trips):
        shift = TRIP_EVERY * trip
        if example.flat_at is not None:
            yield _tap(tariff, TapKind.FLAT, "", example.flat_at + shift, desk=False)
        for leg in example.legs:
            desk = example.desk
            if leg.from_stop:
                yield _tap(tariff, TapKind.CHECK_IN, leg.from_stop, leg.entry + shift, desk=desk)
            if leg.to_stop:
                yield _tap(tariff, TapKind.CHECK_OUT, leg.to_stop, leg.exit + shift, desk=desk)


def _tap(tariff: LoadedTariff, kind: TapKind, stop: str, at: datetime, *, desk: bool) -> TapRequest:
    source = tariff.source
    stop_id = tariff.names.get(stop).stop_id if stop else 0
    return TapRequest(source.tariff_id, kind, stop_id, local_us(at, source.zone), desk)


def _compare(
    example: Example, total_minor: int, reason: Reason, distance_m: int, exponent: int
) -> Iterator[str]:
    name = reason.name.lower()
    if example.reason and name != example.reason:
        yield f"reason is {name}, expected {example.reason}"
    if not example.reason and not reason.accepted:
        yield f"is refused: {name}"
    if example.total_minor is not None and total_minor != example.total_minor:
        expected = format_amount(example.total_minor, exponent)
        yield f"costs {format_amount(total_minor, exponent)}, expected {expected}"
    if example.distance_m and distance_m != example.distance_m:
        yield f"is {distance_m} m, expected {example.distance_m} m"
