"""Laws that hold for every layered tariff and every day of taps, by the reference engine."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import replace

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastpath import reference
from fastpath.layers import (
    Counter,
    Layers,
    OverstayKind,
    PeriodKind,
    PeriodRule,
    SameStopKind,
    Step,
    TransferEffect,
    Window,
)
from fastpath.reference_model import FARE_MAX
from fastpath.types import MissingCheckIn, Reason, Rule, TapFlag, TariffSpec
from tests.fastpath.layered_town import Traveller
from tests.fastpath.strategies import MIDDLE_US
from tests.fastpath.strategies_layers import LAYER_DAYS, LayerTap, extras, layered_specs

ROOMY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
GIVES_BACK = (TransferEffect.TRANSFER_ONLY,)


class Day:
    """Plays a random day for one traveller."""

    def __init__(self, spec: TariffSpec, cells: reference.Extras) -> None:
        self.spec = spec
        self.rider = Traveller(spec, extras=deepcopy(cells))
        self.now_us = MIDDLE_US

    def tap(self, step: LayerTap) -> tuple[reference.Tap, reference.Decision]:
        """Traveller.tap checks that the rider loses the fare, or nothing."""
        self.now_us += step.gap_us
        stops = self.spec.stop_ids
        self.rider.tap(
            step.kind,
            stops[step.place] if step.place < len(stops) else 5,
            self.now_us,
            device_ts_us=self.now_us + step.clock_us,
            line=step.line,
            distance_m=step.distance_m,
            flags=int(step.flags),
            amount_minor=step.amount_minor,
            device=step.device,
        )
        return self.rider.history[-1]


def without_refunds(layers: Layers) -> Layers:
    kept = tuple(one for one in layers.transfers if one.effect not in GIVES_BACK)
    return replace(layers, transfers=kept)


@ROOMY
@given(spec=layered_specs(), day=LAYER_DAYS, cells=extras())
def test_money_moves_only_as_fares(
    spec: TariffSpec, day: list[object], cells: reference.Extras
) -> None:
    played = Day(spec, cells)
    account = played.rider.account
    lost_minor = 0
    begun_minor = account.balance_minor
    undone = set()
    for step in day:
        before = deepcopy((account, played.rider.cells))
        if isinstance(step, LayerTap):
            _, made = played.tap(step)
            may_give_back = any(one.effect in GIVES_BACK for one in played_layers(spec).transfers)
            assert made.fare_minor >= 0 or (may_give_back and made.rules & Rule.TRANSFER)
            assert made.fare_minor <= 3 * FARE_MAX
        else:
            back = getattr(step, "back", 0)
            place = len(played.rider.history) - 1 - back
            if place < 0 or place in undone:
                continue
            made = played.rider.undo(back)
            undone |= {place} if made.reason == Reason.OK else set()
        if Reason(made.reason).accepted and made.reason != Reason.OK_RISK:
            lost_minor += made.fare_minor
        else:
            assert before == (account, played.rider.cells)
        assert account.balance_minor == begun_minor - lost_minor
        for cell in played.rider.cells.cells:
            assert reference.Cell.unpack(cell.pack()) == cell


def played_layers(spec: TariffSpec) -> Layers:
    assert spec.layers is not None
    return spec.layers


@ROOMY
@given(
    spec=layered_specs(),
    day=LAYER_DAYS,
    cells=extras(),
    limit_minor=st.sampled_from([0, 300, 700, 1201]),
)
def test_a_day_never_costs_more_than_its_cap(
    spec: TariffSpec, day: list[object], cells: reference.Extras, limit_minor: int
) -> None:
    """The sums are made here, from fares and service days, not by the engine's counters."""
    layers = without_refunds(played_layers(spec))
    same = tuple(one for one in layers.same_stop if one.kind != SameStopKind.HIGHEST)
    rule = PeriodRule("cap", PeriodKind.CAP, 0, (Step(limit_minor=limit_minor),))
    layers = replace(
        layers,
        same_stop=same,
        overstay=OverstayKind.FEE,
        group_riders_max=1,
        counters=(Counter("day", 9, Window.DAY),),
        period_rules=(rule,),
    )
    rules = replace(
        spec.rules,
        overstay_minor=0,
        missing_check_in=MissingCheckIn.REFUSE,
        missing_check_out_after_us=-1,
    )
    spec = replace(spec, rules=rules, layers=layers)
    played = Day(spec, replace(cells, room=16))
    spent: dict[int, int] = defaultdict(int)
    for step in day:
        if not isinstance(step, LayerTap) or step.flags & TapFlag.OFFLINE:
            continue
        if step.amount_minor != -1 or step.clock_us:
            continue
        _, made = played.tap(step)
        found = played.rider.book.find_at(0, made.ts_us)
        assert found is not None
        calendar = found.find_calendar(made.ts_us)
        if calendar is not None:
            spent[calendar[1]] += made.fare_minor
            assert 0 <= spent[calendar[1]] <= limit_minor


@ROOMY
@given(spec=layered_specs(), day=LAYER_DAYS)
def test_an_undone_tap_can_be_made_again(spec: TariffSpec, day: list[object]) -> None:
    """Undone as a whole, then made again: the same decision."""
    played = Day(replace(spec, layers=without_refunds(played_layers(spec))), reference.Extras())
    played.rider.cells.room = 16
    for step in day:
        if not isinstance(step, LayerTap):
            continue
        tap, made = played.tap(step)
        rider = played.rider
        closes = made.rules & (Rule.MISSING_CHECK_OUT | Rule.GROUP_RIDER)
        is_last = rider.account.last_seq == tap.seq
        if not Reason(made.reason).accepted or closes or not is_last:
            continue
        after_minor = rider.account.balance_minor
        assert rider.undo().reason == Reason.OK
        medium = reference.Medium(bytes(16), 5, rider.medium_kind, 1)
        again = reference.decide_tap(
            rider.book, medium, rider.account, None, tap, extras=rider.cells
        )
        assert again == made
        assert rider.account.balance_minor == after_minor


@ROOMY
@given(spec=layered_specs(), day=LAYER_DAYS)
def test_empty_layers_change_no_fare(spec: TariffSpec, day: list[object]) -> None:
    plain = Day(replace(spec, layers=None), reference.Extras(room=16))
    empty = Day(replace(spec, layers=Layers()), reference.Extras(room=16))
    for step in day:
        if isinstance(step, LayerTap):
            _, one = plain.tap(step)
            _, other = empty.tap(step)
            assert replace(other, acts=()) == one
            assert plain.rider.account == empty.rider.account
    assert empty.rider.cells.cells == []
