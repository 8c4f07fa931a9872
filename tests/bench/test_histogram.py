from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bench._histogram import Histogram

durations = st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 2**42 - 1))


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def exact(values: list[int], per_mille: int) -> int:
    rank = -(-len(values) * per_mille // 1000)
    return sorted(values)[max(rank, 1) - 1]


@settings(max_examples=200, deadline=None)
@given(st.lists(durations, min_size=1, max_size=400), st.sampled_from([1, 10, 500, 900, 990, 999]))
def test_percentiles_are_within_half_a_percent_of_the_exact_ones(
    values: list[int], per_mille: int
) -> None:
    right = exact(values, per_mille)
    assert abs(filled(values).percentile(per_mille) - right) <= right // 256


@settings(max_examples=50, deadline=None)
@given(st.lists(durations, min_size=1, max_size=50), st.lists(durations, max_size=50))
def test_adding_two_equals_recording_all(one: list[int], other: list[int]) -> None:
    both = filled(one)
    both.add(filled(other))
    whole = filled(one + other)
    assert both.count == whole.count
    assert [both.percentile(p) for p in (500, 990, 1000)] == [
        whole.percentile(p) for p in (500, 990, 1000)
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=50), st.integers(0, 255))
def test_above_is_exact_where_every_value_has_a_bucket(values: list[int], bound: int) -> None:
    assert filled(values).above(bound) == sum(value > bound for value in values)


def test_the_greatest_is_exact_and_the_ends_are_kept() -> None:
    histogram = filled([5, 10**9 + 7])
    assert histogram.percentile(1000) == histogram.greatest == 10**9 + 7
    assert filled([-3]).percentile(500) == 0
    assert filled([2**60]).percentile(1000) == 2**60
    assert Histogram().percentile(990) == 0


def test_clear_forgets_everything() -> None:
    histogram = filled([1, 2, 3])
    histogram.clear()
    assert (histogram.count, histogram.greatest, histogram.above(-1)) == (0, 0, 0)


@pytest.mark.parametrize("per_mille", [-1, 1001])
def test_a_share_beyond_all_is_refused(per_mille: int) -> None:
    with pytest.raises(ValueError, match="per mille"):
        Histogram().percentile(per_mille)
