"""Token buckets against guessing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RateLimited
from gateway.registry.throttle import Throttle


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tries(throttle: Throttle, key: str, count: int) -> int:
    """How many of so many tries were let through."""
    passed = 0
    for _ in range(count):
        try:
            throttle.take(key)
        except RateLimited:
            continue
        passed += 1
    return passed


def test_a_burst_then_one_at_a_time() -> None:
    clock = Clock()
    throttle = Throttle(burst=5, every_s=60, monotonic=clock)
    assert tries(throttle, "a", 9) == 5
    with pytest.raises(RateLimited) as refused:
        throttle.take("a")
    assert refused.value.retry_after_s == 60
    assert refused.value.as_dict()["retry_after_s"] == 60
    clock.now += 59.5
    with pytest.raises(RateLimited) as refused:
        throttle.take("a")
    assert refused.value.retry_after_s == 1
    clock.now += 0.5
    assert tries(throttle, "a", 5) == 1
    assert tries(throttle, "b", 5) == 5
    clock.now += 3600
    assert tries(throttle, "a", 9) == 5


def test_a_right_try_does_not_count() -> None:
    throttle = Throttle(burst=2, every_s=60, monotonic=Clock())
    for _ in range(10):
        throttle.take("a")
        throttle.give_back("a")
    assert tries(throttle, "a", 5) == 2


def test_memory_is_bounded_and_the_full_ones_go_first() -> None:
    clock = Clock()
    throttle = Throttle(burst=1, every_s=10, keys_max=100, monotonic=clock)
    for number in range(1000):
        throttle.take(number)
    assert len(throttle._full_at) == 100
    clock.now += 11
    throttle.take("new")
    assert len(throttle._full_at) == 1


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.integers(1, 5))
def test_never_more_than_the_bucket_holds(pauses: list[float], burst: int) -> None:
    clock = Clock()
    throttle = Throttle(burst=burst, every_s=10, monotonic=clock)
    passed = 0
    for pause in pauses:
        clock.now += pause
        passed += tries(throttle, "a", 2)
    assert passed <= burst + clock.now / 10 + 1e-6
