"""The one place where quotes and examples reach an engine.

`open_rider` gives a rider with money enough on an engine of their own, which decides each tap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from fastpath import reference
from fastpath.types import (
    MediumKind,
    MediumState,
    Reason,
    Rule,
    TapFlag,
    TapKind,
    TariffSpec,
)

PLENTY_MINOR = 1_000_000_00


@dataclass(frozen=True, slots=True)
class TapRequest:
    """One tap of a rider: on which tariff, what, where (0 = no stop), when."""

    tariff_id: str
    kind: TapKind
    stop_id: int
    ts_us: int
    desk: bool = False


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


class Rider(Protocol):
    """One account with one medium."""

    def tap(self, request: TapRequest) -> PricedTap:
        """Decide one tap and keep its effect."""
        ...


def open_rider(
    specs: Mapping[str, TariffSpec],
    *,
    medium: MediumKind,
    at_us: int,
    month_paid_minor: int = 0,
    balance_minor: int = PLENTY_MINOR,
) -> Rider:
    """A fresh account; in the month of `at_us` it and its medium have paid `month_paid_minor`.

    The switch between engines is this line.
    """
    return _ReferenceRider(specs, medium, _seed(specs, at_us, month_paid_minor), balance_minor)


def _seed(specs: Mapping[str, TariffSpec], at_us: int, month_paid_minor: int) -> reference.Period:
    first = reference.Version(1, next(iter(specs.values())))
    month, _ = first.find_calendar(at_us) or (0, 0)
    return reference.Period(month=month, month_paid_minor=month_paid_minor)


class _ReferenceRider:
    """A rider on the reference engine."""

    def __init__(
        self,
        specs: Mapping[str, TariffSpec],
        medium: MediumKind,
        period: reference.Period,
        balance_minor: int,
    ) -> None:
        self._slots = {tariff_id: slot for slot, tariff_id in enumerate(specs)}
        self._book = reference.SpecBook()
        for slot, spec in enumerate(specs.values()):
            self._book.put(slot, slot + 1, spec)
        currency = next(iter(specs.values())).currency
        self._account = reference.Account(
            account_id=1, balance_minor=balance_minor, currency=currency, period=replace(period)
        )
        self._medium = reference.Medium(kind=medium, state=MediumState.ACTIVE)
        self._medium_period = replace(period)
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
            flags=TapFlag.SERVICE_DESK if request.desk else 0,
            medium_kind=self._medium.kind,
            tariff_slot=self._slots[request.tariff_id],
        )
        wants_medium = reference.wants_medium_period(self._book, tap)
        period = self._medium_period if wants_medium else None
        made = reference.decide_tap(self._book, self._medium, self._account, period, tap)
        return PricedTap(
            reason=Reason(made.reason),
            rules=Rule(made.rules),
            fare_minor=made.fare_minor,
            nominal_minor=made.nominal_minor,
            distance_m=made.distance_m,
            period_paid_minor=made.period_paid_minor,
            balance_minor=made.balance_minor,
        )
