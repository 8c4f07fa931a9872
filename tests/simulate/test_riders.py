"""Riders: the same seed gives the same life, and every life keeps to the network and the day."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.types import Reason, TapFlag, TapKind
from gateway.simulate.riders import (
    Habits,
    Outcome,
    Persona,
    Present,
    Step,
    TopUp,
    Twist,
    make_profile,
)
from gateway.simulate.world import OPENING_US, plan_day
from tests.simulate.people import DAY, US, everything_opens, lived, profile, rider, small_world

QUIET = Habits(*(0 for _ in Habits.__slots__))
TOKENS = (b"a" * 16, b"b" * 16)


def only(**habits: int) -> Habits:
    """One habit, always or never, and no other."""
    return Habits(**(dict.fromkeys(Habits.__slots__, 0) | habits))


def kinds(steps: list[Step]) -> list[TapKind]:
    return [step.kind for step in steps if isinstance(step, Present)]


def test_the_same_seed_gives_the_same_life() -> None:
    assert lived(rider(7).live(), everything_opens) == lived(rider(7).live(), everything_opens)


def test_another_seed_or_rider_gives_another_life() -> None:
    life = lived(rider(7).live(), everything_opens)
    assert lived(rider(8).live(), everything_opens) != life
    assert lived(rider(7, index=1).live(), everything_opens) != life


@given(st.integers(0, 500), st.randoms(use_true_random=False))
def test_steps_rise_in_time_and_stay_in_the_day(seed: int, fate: object) -> None:
    def any_outcome(_: Step) -> Outcome:
        opened = fate.random() < 0.8  # type: ignore[attr-defined]
        refused = fate.choice([Reason.ALREADY_IN, Reason.INSUFFICIENT_BALANCE, Reason.PASSBACK])  # type: ignore[attr-defined]
        return Outcome(opened, Reason.OK if opened else refused)

    steps = lived(rider(seed).live(), any_outcome)
    instants = [step.at_us for step in steps]
    assert instants == sorted(instants)
    assert DAY.begin_us <= instants[0]
    last_start = DAY.end_us + 5 * 3600 * US  # a ride begun before the end is finished
    assert instants[-1] < last_start


def test_riders_use_stations_of_the_network_at_hours_of_service() -> None:
    world = small_world()
    for seed in range(5):
        for step in lived(rider(seed, habits=QUIET).live(), everything_opens):
            assert isinstance(step, Present)
            assert step.stop in world.stops
            if step.kind is TapKind.CHECK_IN:
                assert world.opening_us(step.at_us) == step.at_us


def test_a_quiet_life_is_in_out_in_out() -> None:
    steps = lived(rider(habits=QUIET).live(), everything_opens)
    assert set(kinds(steps[::2])) == {TapKind.CHECK_IN}
    assert set(kinds(steps[1::2])) == {TapKind.CHECK_OUT}
    assert all(step.twist is Twist.NONE for step in steps if isinstance(step, Present))


@pytest.mark.parametrize("twist", [twist for twist in Twist if twist is not Twist.NONE])
def test_each_twist_can_be_had(twist: Twist) -> None:
    habits = only(**{twist.name.lower(): 1_000_000})
    steps = lived(rider(habits=habits).live(), everything_opens)
    assert {step.twist for step in steps if isinstance(step, Present)} == {twist}


def test_whoever_lacks_money_tops_up_and_tries_again() -> None:
    def poor(step: Step) -> Outcome:
        if isinstance(step, TopUp):
            return Outcome(True, Reason.OK)
        return Outcome(False, Reason.INSUFFICIENT_BALANCE)

    steps = lived(rider(habits=only(top_up=1_000_000)).live(), poor)
    assert [type(step) for step in steps[:4]] == [Present, TopUp, Present, TopUp]
    assert TapKind.CHECK_OUT not in kinds(steps)


def test_whoever_is_refused_for_good_does_not_travel() -> None:
    steps = lived(rider(habits=QUIET).live(), lambda _: Outcome(False, Reason.UNKNOWN_MEDIUM))
    assert set(kinds(steps)) == {TapKind.CHECK_IN}


def test_an_open_journey_is_closed_at_the_desk() -> None:
    outcomes = iter([Outcome(False, Reason.ALREADY_IN)])
    steps = lived(rider(habits=QUIET).live(), lambda _: next(outcomes, Outcome(True, 0)))
    refused, desk, again = steps[:3]
    assert kinds([refused, desk, again]) == [TapKind.CHECK_IN, TapKind.CHECK_OUT, TapKind.CHECK_IN]
    assert isinstance(desk, Present)
    assert desk.flags == TapFlag.SERVICE_DESK


def test_a_refused_exit_goes_to_the_desk() -> None:
    def no_way_out(step: Step) -> Outcome:
        closed = isinstance(step, Present) and step.kind is TapKind.CHECK_OUT
        return Outcome(not closed, Reason.NOT_CHECKED_IN if closed else Reason.OK)

    steps = lived(rider(habits=only(jump_in=1_000_000)).live(), no_way_out)
    flags = [step.flags for step in steps[:3] if isinstance(step, Present)]
    assert kinds(steps[:3]) == [TapKind.CHECK_OUT] * 3
    assert flags == [0, 0, TapFlag.SERVICE_DESK]


def test_all_sorts_of_riders_exist_in_their_shares() -> None:
    found = Counter(make_profile(1, index, TOKENS).persona for index in range(5_000))
    assert set(found) == set(Persona)
    assert found[Persona.PLAIN] > 4_000


def test_a_profile_depends_on_seed_and_index_alone() -> None:
    assert make_profile(1, 5, TOKENS) == make_profile(1, 5, TOKENS)
    assert {make_profile(1, index, TOKENS).credit_minor for index in range(50)} != {
        make_profile(2, index, TOKENS).credit_minor for index in range(50)
    }


def test_only_strangers_have_no_account() -> None:
    assert not profile(persona=Persona.STRANGER).has_account
    assert profile(persona=Persona.LOST).has_account


@given(st.integers(1, 5_000), st.integers(1, 1_000_000))
def test_a_day_lies_within_the_clock_limits_of_the_devices(riders: int, taps: int) -> None:
    now = 1_790_000_000 * US
    day = plan_day(now, riders=riders, taps=taps)
    assert now - 24 * 3600 * US < day.begin_us < day.end_us < now
    assert 0 < day.haste_ppm <= 1_000_000
    assert day.cycle_us > 0


def test_many_taps_make_people_hurry() -> None:
    now = 1_790_000_000 * US
    assert plan_day(now, riders=1_000, taps=10_000).haste_ppm == 1_000_000
    assert plan_day(now, riders=10, taps=1_000_000).haste_ppm < 100_000


def test_nobody_enters_before_the_first_train() -> None:
    world, midnight = small_world(), 20_600 * 86_400 * US
    assert world.opening_us(midnight) == midnight + OPENING_US
    assert world.opening_us(midnight - 1) == midnight - 1
