"""Random layered tariffs and random days of taps: core and reference agree after every step, cells
and acts included.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastpath import reference
from fastpath.types import Reason, TariffSpec
from tests.fastpath.strategies import MIDDLE_US
from tests.fastpath.strategies_layers import LAYER_DAYS, LayerTap, LayerUndo, extras, layered_specs
from tests.fastpath.test_core_history import ACCOUNTS, MEDIA
from tests.fastpath.world import DAY_US, World

ROOMY = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
CATEGORIES = st.sampled_from([0, 0, 0, 1, 2, 200])


def play(world: World, spec: TariffSpec, step: LayerTap | LayerUndo) -> None:
    """One step of a day, in both engines."""
    if isinstance(step, LayerUndo):
        undo(world, step.back)
        return
    stops = spec.stop_ids
    stop = stops[step.place] if step.place < len(stops) else 5 * (step.place % 2)
    world.wait(step.gap_us).tap(
        step.kind,
        stop,
        clock_us=step.clock_us,
        flags=step.flags,
        amount_minor=step.amount_minor,
        device=step.device,
        line=step.line,
        distance_m=step.distance_m,
        card=step.card,
    )


def undo(world: World, back: int) -> None:
    if back >= len(world.history):
        return
    tap, charged = world.history[-1 - back]
    if world.reverse(tap, charged).reason == Reason.OK:
        world.history[-1 - back] = (tap, replace(charged, reason=Reason.BUSY))


def compare(
    spec: TariffSpec,
    account: reference.Account,
    medium: reference.Medium,
    held: reference.Extras,
    steps: list[LayerTap | LayerUndo],
    *,
    of_medium: bool = False,
    later: TariffSpec | None = None,
) -> World:
    """Play a day from the middle of the calendar."""
    world = World(MIDDLE_US, account=deepcopy(account), medium=deepcopy(medium))
    world.medium_period = reference.Period() if of_medium else None
    world.cells = deepcopy(held.cells)
    world.cells_max = len(held.cells) + held.room
    for one in (spec, later):
        if one is not None:
            world.load(one)
    for step in steps:
        play(world, spec, step)
    return world


WEALTHY = st.builds(replace, ACCOUNTS, rider_category=CATEGORIES)
DAYS = {
    "spec": layered_specs(),
    "account": WEALTHY,
    "medium": MEDIA,
    "held": extras(),
    "steps": LAYER_DAYS,
    "of_medium": st.booleans(),
    "later": st.none()
    | layered_specs(version="2", from_us=MIDDLE_US + DAY_US, until_us=MIDDLE_US + 9 * DAY_US),
}


@ROOMY
@given(**DAYS)  # type: ignore[arg-type]
def test_layers_of_the_core_equal_the_reference(**day: object) -> None:
    compare(**day)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@settings(ROOMY, max_examples=3000)
@given(**DAYS)  # type: ignore[arg-type]
def test_layers_equal_the_reference_over_many_days(**day: object) -> None:
    compare(**day)  # type: ignore[arg-type]


RICH = reference.Account(account_id=77, version=1, currency=156, balance_minor=10**9)
GOOD = reference.Medium(bytes(range(16)), 5, 1, 1)


@ROOMY
@given(spec=layered_specs(), held=extras(), steps=LAYER_DAYS)
def test_riders_with_money_are_charged_alike(
    spec: TariffSpec, held: reference.Extras, steps: list[LayerTap | LayerUndo]
) -> None:
    """Few refusals: everything else comes to act."""
    compare(spec, RICH, GOOD, held, steps)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@settings(ROOMY, max_examples=3000)
@given(spec=layered_specs(), held=extras(), steps=LAYER_DAYS)
def test_riders_with_money_over_many_days(
    spec: TariffSpec, held: reference.Extras, steps: list[LayerTap | LayerUndo]
) -> None:
    compare(spec, RICH, GOOD, held, steps)
