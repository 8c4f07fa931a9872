"""Loading the two real feeds: from the files to the compiled tables.

`pytest benchmarks --benchmark-enable` (make bench) measures and holds each to the goal; the
ordinary test run only sees that it works.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastpath.types import TariffSpec
from gateway.tariffs.gtfs.loaded import load

GOAL_S = 2.0
FEEDS = Path(__file__).resolve().parents[2] / "shared" / "data" / "gtfs"
STOPS = {"utsunomiya-lrt": 68, "zakroczym": 65}
"""Stops, and zones or areas, which have numbers too."""


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("name", STOPS)
def test_load_feed(benchmark: BenchmarkFixture, tmp_path: Path, name: str, form: str) -> None:
    folder = FEEDS / name
    if not folder.is_dir():
        pytest.skip(f"NOT TESTED: {folder} is not there")
    if form == "zip":
        folder = Path(shutil.make_archive(str(tmp_path / name), "zip", folder))
    took_s: list[float] = []

    def load_timed() -> TariffSpec:
        began = time.perf_counter()
        spec = load(folder).built.spec
        took_s.append(time.perf_counter() - began)
        return spec

    is_measured = not benchmark.disabled
    spec = benchmark.pedantic(load_timed, rounds=5 if is_measured else 1)  # type: ignore[no-untyped-call]
    assert len(spec.stop_ids) == STOPS[name]
    if is_measured:
        assert min(took_s) < GOAL_S
