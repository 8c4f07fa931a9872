"""For any order of arrival of the accepted taps the fares of the period add up to the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from fastpath.reference import Cell
from fastpath.types import CapOwner, Op, Reason, TapKind, TariffSpec
from gateway.errors import RerateError
from tests.fastpath.strategies import MIDDLE_US, STOPS_MAX
from tests.fastpath.strategies_layers import (
    DISTANCES,
    GAPS,
    PASS_IDS,
    PLACES,
    TAP_LINES,
    extras,
    layered_specs,
)
from tests.fastpath.world import DAY_US
from tests.rerating.arrivals import Arrivals, Made

SOME = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
ARRIVE_US = MIDDLE_US + 190 * DAY_US
"""Behind every tap, none of which is beyond the horizon then: the future is not believed."""
RERATE = "rerate"
BUY = "buy"
UNDO = "undo"
Step = Made | str


@st.composite
def days(draw: st.DrawFn, spec: TariffSpec) -> list[Made]:
    """Taps in the order they were made: rides, flat taps, and some without their other half."""
    at_us, found = MIDDLE_US, []
    stops = [*spec.stop_ids, 5]
    for _ in range(draw(st.integers(2, 9))):
        shape = draw(st.sampled_from(["ride", "ride", "flat", "in", "out"]))
        line, metres = draw(TAP_LINES), draw(DISTANCES)
        kinds = {"ride": ("in", "out")}.get(shape, (shape,))
        for kind in kinds:
            at_us += draw(GAPS | st.just(9 * DAY_US))
            place = min(draw(PLACES), len(stops) - 1, STOPS_MAX)
            number = {"in": TapKind.CHECK_IN, "out": TapKind.CHECK_OUT, "flat": TapKind.FLAT}[kind]
            amount = draw(st.sampled_from([-1, -1, -1, 0, 777])) if kind == "flat" else -1
            metres_of = 0 if kind == "in" else metres
            found.append(Made(number, stops[place], at_us, line, metres_of, amount))
            at_us += 1
    return found


def keeps_distances(spec: TariffSpec) -> TariffSpec:
    """Distances handed in must price every leg or none: a record keeps one distance."""
    layers = spec.layers
    if layers is None or layers.legs is None or not any(layers.legs.bands):
        return spec
    cells = deepcopy(layers.legs.distance_m)
    for at in range(len(cells)):
        cells[at] = 0
    return replace(
        spec,
        layers=replace(layers, same_stop=(), legs=replace(layers.legs, distance_m=cells)),
    )


def patient(spec: TariffSpec) -> TariffSpec:
    """Nothing is too old to be taken; an incomplete journey is closed by the next check-in."""
    rules = replace(
        spec.rules, offline_horizon_us=200 * DAY_US, same_stop_fare_minor=-1, cap_owner=CapOwner(0)
    )
    return keeps_distances(replace(spec, rules=rules))


def of_owner(spec: TariffSpec, *, of_medium: bool) -> TariffSpec:
    owner = CapOwner.MEDIUM if of_medium else CapOwner.ACCOUNT
    return replace(spec, rules=replace(spec.rules, cap_owner=owner))


def play(
    spec: TariffSpec,
    steps: Sequence[Step],
    cells: Sequence[Cell],
    *,
    of_medium: bool,
) -> tuple[Arrivals, list[Made]]:
    """Let taps arrive, re-rate where it says so; the taps that were accepted."""
    arrivals = Arrivals([spec], ARRIVE_US, of_medium, cells=deepcopy(list(cells)))
    accepted = []
    for step in steps:
        if isinstance(step, str):
            arrivals.rerate()
            continue
        made = arrivals.arrive(step)
        if Reason(made.reason).accepted:
            accepted.append(step)
    return arrivals, accepted


def compare(
    spec: TariffSpec,
    taps: list[Made],
    steps: Sequence[Step],
    cells: Sequence[Cell],
    *,
    of_medium: bool,
) -> None:
    in_turn, ridden = play(spec, taps, cells, of_medium=of_medium)
    assert not in_turn.plan().is_needed
    some_order, accepted = play(spec, steps, cells, of_medium=of_medium)
    assert sorted(accepted, key=lambda one: one.at_us) == ridden
    some_order.rerate()
    note(f"charged {some_order.charged_minor}, in turn {in_turn.charged_minor}")
    assert some_order.charged_minor == in_turn.charged_minor
    assert some_order.standing() == in_turn.standing()
    again = some_order.plan()
    assert not again.is_needed
    priced = {one.tap.tap_id[2]: one.made.fare_minor for one in again.taps}
    assert all(amount >= -(10**6) for amount in priced.values())


@st.composite
def shuffled(draw: st.DrawFn, taps: list[Made]) -> list[Step]:
    """Some order of arrival, with re-ratings at some moments."""
    steps: list[Step] = list(draw(st.permutations(taps)))
    for _ in range(draw(st.integers(0, 2))):
        steps.insert(draw(st.integers(0, len(steps))), RERATE)
    return steps


@SOME
@given(data=st.data(), spec=layered_specs(), of_medium=st.booleans(), held=extras())
def test_random_tariffs(data, spec, of_medium, held):
    spec = of_owner(patient(spec), of_medium=of_medium)
    taps = data.draw(days(spec))
    compare(spec, taps, data.draw(shuffled(taps)), held.cells, of_medium=of_medium)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@settings(SOME, max_examples=3000)
@given(data=st.data(), spec=layered_specs(), of_medium=st.booleans(), held=extras())
def test_random_tariffs_many_times(data, spec, of_medium, held):
    spec = of_owner(patient(spec), of_medium=of_medium)
    taps = data.draw(days(spec))
    compare(spec, taps, data.draw(shuffled(taps)), held.cells, of_medium=of_medium)


# --- commands and taps taken back in between


def play_with(spec: TariffSpec, steps: Sequence[Step]) -> tuple[Arrivals, list[Made]]:
    """As `play`; buys change what later taps cost, undoings take back the newest tap. The taps that
    were accepted and not taken back.
    """
    arrivals = Arrivals([spec], ARRIVE_US)
    standing: list[Made] = []
    left: list[Made] = []
    for step in steps:
        if step == BUY:
            arrivals.command(Op.PASS_ADD, pass_id=PASS_IDS[0], rides=-1, from_us=0)
            arrivals.command(Op.SET_CATEGORY, rider_category=1)
        elif step == UNDO and standing:
            undone = standing.pop()
            if Reason(arrivals.undo().reason).accepted:
                left = [one for one in left if one is not undone]
        elif step == RERATE:
            with suppress(RerateError):  # of a tap that is taken back later, perhaps
                arrivals.rerate()
        elif isinstance(step, Made) and Reason(arrivals.arrive(step).reason).accepted:
            standing.append(step)
            left.append(step)
    return arrivals, left


@SOME
@given(data=st.data(), spec=layered_specs())
def test_with_purchases_and_undoings(data, spec):
    """What is bought later does not reach back; what was undone never was. A tap that only what was
    bought later gave a price cannot be priced again: then nothing is changed.
    """
    spec = patient(spec)
    taps = data.draw(days(spec))
    steps = data.draw(shuffled(taps))
    for extra in data.draw(st.lists(st.sampled_from([BUY, UNDO]), max_size=3)):
        steps.insert(data.draw(st.integers(0, len(steps))), extra)
    some_order, accepted = play_with(spec, steps)
    left = sorted(accepted, key=lambda one: one.at_us)
    bought = [one for one in steps if one == BUY]
    in_turn, priced = play_with(spec, [*left, *bought])
    if len(priced) < len(left):
        before = some_order.charged_minor
        with pytest.raises(RerateError, match="RERATE_TARIFF"):
            some_order.rerate()
        assert some_order.charged_minor == before
        return
    some_order.rerate()
    assert some_order.charged_minor == in_turn.charged_minor
    assert not some_order.plan().is_needed
