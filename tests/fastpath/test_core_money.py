"""Prices with many factors are the exact product, rounded once, in every mode."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import _probe
from fastpath.layers import RoundMode
from fastpath.reference_factors import rounded

ONE = 1_000_000
FARE_MAX = 100_000_000
FACTORS = st.sampled_from([0, 1, 333_333, 499_999, 500_000, 800_000, 950_001, 999_999]) | (
    st.integers(0, ONE)
)


def exact(amount_ppm: int, factors_ppm: list[int], unit: int, mode: RoundMode) -> int:
    """The same in fractions."""
    price = Fraction(amount_ppm, ONE)
    for ppm in factors_ppm:
        price *= Fraction(ppm, ONE)
    return rounded(price, unit, mode)


@settings(max_examples=1000, deadline=None)
@given(
    st.integers(0, FARE_MAX * 2 * ONE),
    st.lists(FACTORS, max_size=19),
    st.sampled_from([1, 5, 10, 100, 1_000_000]),
    st.sampled_from(RoundMode),
)
def test_any_number_of_factors(
    amount_ppm: int, factors_ppm: list[int], unit: int, mode: RoundMode
) -> None:
    made = _probe.scale(amount_ppm, factors_ppm, unit, mode)
    assert made == exact(amount_ppm, factors_ppm, unit, mode)


@pytest.mark.parametrize("mode", RoundMode)
@pytest.mark.parametrize("count", range(20))
def test_halves_that_only_exact_numbers_see(mode: RoundMode, count: int) -> None:
    """1 at the 100th place decides: 2.5 halved again and again, and its neighbours."""
    factors = [500_000] * count
    for amount_ppm in (5 << count, (5 << count) - 1, (5 << count) + 1):
        scaled = amount_ppm * (ONE // 2)
        made = _probe.scale(scaled, factors, 1, mode)
        assert made == exact(scaled, factors, 1, mode)


def test_the_largest_product_there_may_be() -> None:
    """Factors up and down again, so that what lies between needs more than 128 bits."""
    factors = [4 * ONE, 2 * ONE, *[1_999_999, 500_001] * 8]
    scaled = FARE_MAX * 2 * ONE
    for mode in RoundMode:
        assert _probe.scale(scaled, factors, 1, mode) == exact(scaled, factors, 1, mode)
