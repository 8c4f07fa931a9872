"""Compiling the Beijing Subway: every pair of its stations by shortest path, and everything else.

`pytest benchmarks --benchmark-enable` (make bench) measures the shipped tariff and holds it to the
goal; the ordinary test run only sees that it works. The time is that of a start whose tariff files
have changed; otherwise the compiled form is kept.
"""

from __future__ import annotations

import time

from pytest_benchmark.fixture import BenchmarkFixture

from fastpath.api import CompiledTariff
from gateway.resources import calendar_dirs, find_tariff
from gateway.tariffs.compile import compile_tariff

GOAL_S = 5.0
STATIONS = 425


def compile_beijing(took_s: list[float]) -> CompiledTariff:
    """From the TOML files to the blob."""
    began = time.perf_counter()
    path = find_tariff("beijing-subway")
    compiled = CompiledTariff.build(compile_tariff(path, calendars=calendar_dirs()))
    took_s.append(time.perf_counter() - began)
    return compiled


def test_compile_beijing(benchmark: BenchmarkFixture) -> None:
    took_s: list[float] = []
    is_measured = not benchmark.disabled
    compiled = benchmark.pedantic(  # type: ignore[no-untyped-call]
        compile_beijing, args=(took_s,), rounds=3 if is_measured else 1
    )
    assert compiled.stop_count == STATIONS
    if is_measured:
        assert min(took_s) < GOAL_S
