"""A rider on both engines at once: every tap of an example must be decided alike."""

from __future__ import annotations

from collections.abc import Mapping

from fastpath import reference
from fastpath.types import MediumState, Reason, Rule, TariffSpec
from gateway.tariffs.pricing import (
    TOKEN,
    PricedTap,
    RiderRequest,
    TapRequest,
    flags_of,
    held_cells,
)
from tests.fastpath.world import SLOT, World


class BothEngines:
    """Opened as `gateway.tariffs.pricing.open_rider` opens one."""

    def __init__(self, specs: Mapping[str, TariffSpec], request: RiderRequest) -> None:
        self._slots = {tariff_id: slot for slot, tariff_id in enumerate(specs)}
        first = next(iter(specs.values()))
        month, _ = reference.Version(1, first).find_calendar(request.at_us) or (0, 0)
        self._period = reference.Period(month=month, month_paid_minor=request.month_paid_minor)
        account = reference.Account(
            account_id=77,
            version=1,
            balance_minor=request.balance_minor,
            currency=first.currency,
            rider_category=request.category,
            period=reference.Period(month=month, month_paid_minor=request.month_paid_minor),
        )
        medium = reference.Medium(TOKEN, SLOT, request.medium, MediumState.ACTIVE)
        self._world = World(0, account=account, medium=medium)
        self._world.cells = held_cells(specs, request)
        for tariff_id, spec in specs.items():
            self._world.load(spec, self._slots[tariff_id])

    def tap(self, request: TapRequest) -> PricedTap:
        """Decide one tap on both; they must agree on the decision, the account and its cells."""
        world = self._world
        world.now_us = request.ts_us
        world.seq += 1
        tap = reference.Tap(
            kind=request.kind,
            stop=request.stop_id,
            device_ts_us=request.ts_us,
            now_us=request.ts_us,
            seq=world.seq,
            token=TOKEN,
            flags=flags_of(request),
            line=request.line,
            medium_kind=world.medium.kind if world.medium else 0,
            tariff_slot=self._slots[request.tariff_id],
            distance_m=request.distance_m,
        )
        wants = reference.wants_medium_period(world.spec_book, tap)
        world.medium_period = self._period if wants else None
        made = world.decide(tap)
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
