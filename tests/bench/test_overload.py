"""What the overload benchmark judges; its runs are too long for here."""

from __future__ import annotations

from benchmarks.crash_overload import list_missed

USUAL = {"p99_us": 1_000, "gateway_memory_bytes": 90 << 20}


def storm(p99_us: int = 3_000, memory: int = 180 << 20, lag_us: int = 0) -> dict[str, int]:
    return {"p99_us": p99_us, "gateway_memory_bytes": memory, "send_lag_p99_us": lag_us}


def test_three_times_the_wait_and_twice_the_memory_are_the_bars() -> None:
    assert list(list_missed(USUAL, storm())) == []
    assert list(list_missed(USUAL, storm(p99_us=3_001))) == ["p99 of 3001 us, not 3000"]
    (said,) = list_missed(USUAL, storm(memory=(180 << 20) + 1))
    assert "bytes of memory" in said


def test_a_late_generator_is_named() -> None:
    (said,) = list_missed(USUAL, storm(p99_us=9_000, lag_us=8_000))
    assert said == "p99 of 9000 us, not 3000, of which the generator was late by 8000 us"
