"""Back-off, breaker and pace by themselves."""

from __future__ import annotations

import random

import pytest

from adapters.contract import Capability
from adapters.errors import (
    ALL_ERRORS,
    AdapterError,
    RateLimited,
    Refusal,
    Rejected,
    Unauthorized,
    Unavailable,
    Uncertain,
)
from gateway.delivery.backoff import Backoff, budget_s
from gateway.delivery.breaker import Breaker, BreakerSettings, BreakerState
from gateway.delivery.pace import Pace

DAY_S = 86_400.0


@pytest.mark.parametrize("attempt", [1, 2, 3, 8, 20, 1_000_000])
def test_a_pause_is_between_a_fifth_of_a_second_and_five_minutes(attempt: int) -> None:
    backoff = Backoff(random.Random(1))
    pauses = [backoff.pause_s(attempt) for _ in range(200)]
    assert min(pauses) >= 0.2
    assert max(pauses) <= min(300.0, 0.2 * 2 ** min(attempt, 20))
    assert len(set(pauses)) > 150, "jitter"


def test_a_pause_is_never_shorter_than_the_peer_asks_for() -> None:
    assert Backoff(random.Random(1)).pause_s(1, 77.0) == 77.0


def test_budgets() -> None:
    assert budget_s(Capability.REFUND) == 7 * DAY_S
    assert budget_s(Capability.CHARGE) == DAY_S


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (Unavailable(), True),
        (Uncertain(), True),
        (Rejected(Refusal.LIMIT), False),
        (RateLimited(), False),
        (None, False),
    ],
)
def test_what_counts_as_a_failure(error: AdapterError | None, opens: bool) -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker.note(error, 1.0)
    assert (breaker.state is BreakerState.OPEN) is opens


def test_a_few_failures_among_many_answers_open_nothing() -> None:
    breaker = Breaker(BreakerSettings(window=20, failure_ratio=0.5))
    for number in range(200):
        breaker.note(Unavailable() if number % 3 == 0 else None, 1.0)
    assert breaker.state is BreakerState.CLOSED


def test_too_few_calls_say_nothing() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.note(Unavailable(), 1.0)
    assert breaker.state is BreakerState.CLOSED


def test_credentials_open_it_at_once_and_a_failed_probe_opens_it_again() -> None:
    breaker = Breaker(BreakerSettings(open_s=30.0))
    breaker.note(Unauthorized(), 10.0)
    assert not breaker.allows(39.9)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows(40.0)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.probed(ok=False, now_s=41.0)
    assert not breaker.allows(70.9)
    assert not breaker.allows(71.0)
    breaker.probed(ok=True, now_s=71.0)
    assert breaker.allows(71.0)


def test_every_error_says_what_to_do() -> None:
    assert len({one.text_key for one in ALL_ERRORS}) == len(ALL_ERRORS)
    assert {one for one in ALL_ERRORS if one.about_adapter} == {Unauthorized} | {
        one for one in ALL_ERRORS if one.__name__ == "Misconfigured"
    }


def test_pace() -> None:
    pace = Pace(rate_per_s=4.0)
    assert pace.room(0.0, 8) == 1
    pace.took(0.0)
    assert (pace.room(0.2, 8), pace.room(0.25, 8)) == (0, 1)
    pace.rest(1.0, 5.0)
    pace.rest(1.0, 2.0)
    assert pace.wait_s(2.0) == 4.0
    assert Pace().room(0.0, 8) == 8
