"""Running the example journeys inside a tariff file against an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fastpath.types import MediumKind, Reason, Rule, TapKind
from gateway.tariffs.calendar import local_us
from gateway.tariffs.explain import rule_names
from gateway.tariffs.loaded import LoadedTariff
from gateway.tariffs.pricing import PLENTY_MINOR, Purse, Rider, RiderRequest, TapRequest, open_rider
from gateway.tariffs.source import Example, ExampleLeg
from gateway.tariffs.units import format_amount

NO_RULES = Rule(0)


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


@dataclass(slots=True)
class _Run:
    """What the taps of an example came to."""

    reason: Reason = Reason.OK
    distance_m: int = 0
    rules: Rule = NO_RULES
    rides: list[int] = field(default_factory=list)


def run_examples(tariff: LoadedTariff) -> list[ExampleResult]:
    """Price every example of the file."""
    return [run_example(tariff, example) for example in tariff.source.examples]


def run_example(tariff: LoadedTariff, example: Example, purse: Purse = open_rider) -> ExampleResult:
    """Price one example and compare.

    Args: purse: opens the rider; the engine to be used.
    """
    rider = _rider(tariff, example, purse)
    run = _Run()
    for taps in _rides(tariff, example):
        if not _ride(rider, taps, run):
            break
    exponent = tariff.source.currency.exponent
    faults = tuple(_compare(example, run, exponent))
    return ExampleResult(example, sum(run.rides), run.reason, run.distance_m, faults)


def _ride(rider: Rider, taps: list[TapRequest], run: _Run) -> bool:
    """All taps of one ride; False = refused."""
    fare = 0
    for request in taps:
        tap = rider.tap(request)
        run.reason = tap.reason
        if not tap.reason.accepted:
            return False
        run.rules |= tap.rules
        run.distance_m = tap.distance_m
        fare += tap.fare_minor
    run.rides.append(fare)
    return True


def _rider(tariff: LoadedTariff, example: Example, purse: Purse) -> Rider:
    source = tariff.source
    numbers = {one.name: one.number for one in source.layers.categories}
    request = RiderRequest(
        medium=MediumKind[example.medium.upper()],
        at_us=_us(tariff, example.legs[0].entry),
        month_paid_minor=example.month_paid_minor,
        balance_minor=PLENTY_MINOR if example.balance_minor < 0 else example.balance_minor,
        category=numbers.get(example.category, 0),
        passes=tuple((one.name, _us(tariff, one.bought)) for one in example.passes),
        concessions=tuple(
            (numbers[one.category], _us(tariff, one.start), _us(tariff, one.until))
            for one in example.concessions
        ),
    )
    return purse({source.tariff_id: tariff.spec}, request)


def _us(tariff: LoadedTariff, at: datetime) -> int:
    return local_us(at, tariff.source.zone, tariff.source.clock_change)


def _rides(tariff: LoadedTariff, example: Example) -> Iterator[list[TapRequest]]:
    """The taps of each ride, trip after trip."""
    trip = done = 0
    calendar = tariff.source.calendar
    while done < example.trips:
        shift = timedelta(seconds=example.every_s) * trip
        trip += 1
        working = calendar.is_working((example.legs[0].entry + shift).date())
        if example.on_days not in ("all", "working" if working else "not_working"):
            continue
        done += 1
        for leg in example.legs:
            yield list(_taps(tariff, example, leg, shift))


def _taps(
    tariff: LoadedTariff, example: Example, leg: ExampleLeg, shift: timedelta
) -> Iterator[TapRequest]:
    if leg.flat:
        yield _tap(tariff, example, leg, (TapKind.FLAT, leg.from_stop, leg.entry + shift))
        return
    if leg.from_stop:
        yield _tap(tariff, example, leg, (TapKind.CHECK_IN, leg.from_stop, leg.entry + shift))
    if leg.to_stop:
        yield _tap(tariff, example, leg, (TapKind.CHECK_OUT, leg.to_stop, leg.exit + shift))


def _tap(
    tariff: LoadedTariff, example: Example, leg: ExampleLeg, what: tuple[TapKind, str, datetime]
) -> TapRequest:
    kind, stop, at = what
    return TapRequest(
        tariff_id=tariff.source.tariff_id,
        kind=kind,
        stop_id=tariff.stop_id(stop),
        ts_us=_us(tariff, at),
        desk=example.desk,
        line=leg.line,
        distance_m=0 if kind is TapKind.CHECK_IN else leg.ride_m,
    )


def _compare(example: Example, run: _Run, exponent: int) -> Iterator[str]:
    name = run.reason.name.lower()
    if example.reason and name != example.reason:
        yield f"reason is {name}, expected {example.reason}"
    if not example.reason and not run.reason.accepted:
        yield f"is refused: {name}"
    if example.total_minor is not None and sum(run.rides) != example.total_minor:
        expected = format_amount(example.total_minor, exponent)
        yield f"costs {format_amount(sum(run.rides), exponent)}, expected {expected}"
    if example.distance_m and run.distance_m != example.distance_m:
        yield f"is {run.distance_m} m, expected {example.distance_m} m"
    missing = set(example.rules) - set(rule_names(run.rules))
    if missing:
        yield f"the rules {', '.join(sorted(missing))} did not act"
    yield from _compare_rides(example, run.rides, exponent)


def _compare_rides(example: Example, fares: list[int], exponent: int) -> Iterator[str]:
    wanted = [fare for fare, count in example.each for _ in range(count)]
    for place, (fare, want) in enumerate(zip(fares, wanted, strict=False), start=1):
        if fare != want:
            said = f"ride {place} costs {format_amount(fare, exponent)}"
            yield f"{said}, expected {format_amount(want, exponent)}"
            break
    if wanted and len(wanted) != len(fares):
        yield f"has {len(fares)} rides, `each` lists {len(wanted)}"
    for after, want in example.running:
        total = sum(fares[:after])
        if after > len(fares) or total != want:
            said = f"the total after {min(after, len(fares))} rides is"
            said = f"{said} {format_amount(total, exponent)}"
            yield f"{said}, expected {format_amount(want, exponent)} after {after}"
