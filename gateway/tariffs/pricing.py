"""The one place where quotes and examples reach an engine.

`open_rider` gives a rider with money enough on an engine of their own, which decides each tap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from fastpath import reference
from fastpath.cells import CellType
from fastpath.reference_cells import Cell, Concession, Extras, Pass
from fastpath.types import (
    MediumKind,
    MediumState,
    Reason,
    Rule,
    TapFlag,
    TapKind,
    TariffSpec,
)
from gateway.tariffs.passes import find_pass, pass_end_us

PLENTY_MINOR = 1_000_000_00
TOKEN = bytes(range(1, 17))
CELLS_MAX = 16


@dataclass(frozen=True, slots=True)
class TapRequest:
    """One tap of a rider: on which tariff, what, where (0 = no stop), when."""

    tariff_id: str
    kind: TapKind
    stop_id: int
    ts_us: int
    desk: bool = False
    line: int = 0
    distance_m: int = 0
    """Handed in with the tap."""
    is_late: bool = False
    """Made offline and let through; it arrives when it is asked for."""


@dataclass(frozen=True, slots=True)
class RiderRequest:
    """Who rides: in the month of `at_us` account and medium have paid `month_paid_minor`.

    passes: name and instant of purchase. concessions: category, from, until.
    """

    medium: MediumKind
    at_us: int
    month_paid_minor: int = 0
    balance_minor: int = PLENTY_MINOR
    category: int = 0
    passes: tuple[tuple[str, int], ...] = ()
    concessions: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PricedTap:
    """What the engine decided."""

    reason: Reason
    rules: Rule
    fare_minor: int
    nominal_minor: int
    distance_m: int
    period_paid_minor: int
    balance_minor: int
    acts: tuple[int, ...] = ()
    network: int = 0


class Rider(Protocol):
    """One account with one medium."""

    def tap(self, request: TapRequest) -> PricedTap:
        """Decide one tap and keep its effect."""
        ...


Purse = Callable[[Mapping[str, TariffSpec], RiderRequest], Rider]
"""Opens a rider on some engine."""


def open_rider(specs: Mapping[str, TariffSpec], request: RiderRequest) -> Rider:
    """A fresh account on the reference engine. The switch between engines is this line."""
    return ReferenceRider(specs, request)


def held_cells(specs: Mapping[str, TariffSpec], request: RiderRequest) -> list[Cell]:
    """The passes and concessions a rider begins with; passes of unknown names are left out."""
    cells = []
    for name, bought_us in request.passes:
        for spec in specs.values():
            product = find_pass(spec, name)
            if product is not None:
                until_us = pass_end_us(spec, product, bought_us)
                held = Pass(bought_us, until_us, 0, product.rides)
                cells.append(Cell(CellType.PASS, product.pass_id, held))
                break
    for category, from_us, until_us in request.concessions:
        cells.append(Cell(CellType.CONCESSION, category, Concession(from_us, until_us)))
    return cells


class ReferenceRider:
    """A rider on the reference engine."""

    def __init__(self, specs: Mapping[str, TariffSpec], request: RiderRequest) -> None:
        self._slots = {tariff_id: slot for slot, tariff_id in enumerate(specs)}
        self._book = reference.SpecBook()
        for slot, spec in enumerate(specs.values()):
            self._book.put(slot, slot + 1, spec)
        first = next(iter(specs.values()))
        period = _seed(first, request)
        self._account = reference.Account(
            account_id=1,
            balance_minor=request.balance_minor,
            currency=first.currency,
            rider_category=request.category,
            period=replace(period),
        )
        self._medium = reference.Medium(token=TOKEN, kind=request.medium, state=MediumState.ACTIVE)
        self._medium_period = period
        cells = held_cells(specs, request)
        self._extras = Extras(0, cells, CELLS_MAX - len(cells))
        self._seq = 0

    def tap(self, request: TapRequest) -> PricedTap:
        """Decide one tap and keep its effect."""
        self._seq += 1
        tap = reference.Tap(
            kind=request.kind,
            stop=request.stop_id,
            device_ts_us=request.ts_us,
            now_us=request.ts_us,
            seq=self._seq,
            token=TOKEN,
            flags=flags_of(request),
            line=request.line,
            medium_kind=self._medium.kind,
            tariff_slot=self._slots[request.tariff_id],
            distance_m=request.distance_m,
        )
        wants_medium = reference.wants_medium_period(self._book, tap)
        period = self._medium_period if wants_medium else None
        owner = reference.wants_extras(self._book, self._account, tap)
        self._extras.owner = owner or 0
        extras = None if owner is None else self._extras
        made = reference.decide_tap(
            self._book, self._medium, self._account, period, tap, extras=extras
        )
        return PricedTap(
            reason=Reason(made.reason),
            rules=Rule(made.rules),
            fare_minor=made.fare_minor,
            nominal_minor=made.nominal_minor,
            distance_m=made.distance_m,
            period_paid_minor=made.period_paid_minor,
            balance_minor=made.balance_minor,
            acts=tuple(made.acts),
            network=made.network,
        )


def flags_of(request: TapRequest) -> int:
    """Bits of the tap."""
    desk = TapFlag.SERVICE_DESK if request.desk else 0
    late = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED if request.is_late else 0
    return int(desk | late)


def _seed(spec: TariffSpec, request: RiderRequest) -> reference.Period:
    month, _ = reference.Version(1, spec).find_calendar(request.at_us) or (0, 0)
    return reference.Period(month=month, month_paid_minor=request.month_paid_minor)
