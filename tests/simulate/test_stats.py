"""Counting answers and durations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastpath.types import Op, Reason, TapKind
from gateway.simulate.stats import LONGEST_US, Latencies, Stats


@given(st.lists(st.integers(0, 60_000_000), min_size=1), st.sampled_from([1, 500, 990, 999, 1000]))
def test_a_quantile_is_exact_below_and_close_above(values: list[int], part: int) -> None:
    latencies = Latencies()
    for value in values:
        latencies.note(value)
    exact = sorted(values)[-(-len(values) * part // 1000) - 1]
    found = latencies.quantile_us(part)
    assert exact <= found <= exact + exact // 64
    assert found == exact or exact >= 8192


def test_no_values_have_no_quantile() -> None:
    assert Latencies().quantile_us(500) == 0


def test_a_very_long_wait_counts_as_the_longest() -> None:
    latencies = Latencies()
    latencies.note(10**9)
    assert latencies.quantile_us(1000) == LONGEST_US


def test_taps_that_met_an_outage_are_kept_apart() -> None:
    stats = Stats()
    stats.note_latency(100, in_outage=False)
    stats.note_latency(900_000, in_outage=True)
    assert (stats.latency.count, stats.outage.count) == (1, 1)
    assert stats.latency.quantile_us(1000) == 100
    assert stats.take_recent() == (100, 100)
    assert stats.take_recent() == (0, 0)


def test_reversals_settlements_and_inspections_are_not_taps() -> None:
    stats = Stats()
    stats.note_answer(Op.CHECK_IN, Reason.OK, 0)
    stats.note_answer(Op.CHECK_OUT, Reason.OK, 500)
    stats.note_answer(Op.CHECK_OUT, Reason.NOT_CHECKED_IN, 0)
    stats.note_answer(Op.REVERSAL, Reason.OK, -500)
    stats.note_answer(Op.SETTLEMENT, Reason.OK_DEBT, 300)
    stats.note_answer(TapKind.INSPECT, Reason.OK, 0)
    assert stats.taps == 3
    assert stats.revenue_minor == 300
    assert stats.by_reason() == {"ok": 2, "not_checked_in": 1}
    assert stats.count_of(Op.REVERSAL) == stats.count_of(TapKind.INSPECT) == 1
