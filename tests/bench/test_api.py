"""The benchmarks of the API, small: what they say, not how fast this machine is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import api_load, lost_report


def is_ordered(row: dict[str, Any]) -> bool:
    return bool(0 < row["p50_us"] <= row["p99_us"] <= row["max_us"])


async def test_a_lost_report_is_measured_to_the_gate_and_to_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_report, "TRAVELLERS", 10)
    report = await lost_report.measure(tmp_path / "city", 3, 20)
    assert (report["reports"], report["taps_per_s"]) == (3, 20)
    assert all(is_ordered(report[name]) for name in ("answer", "stop", "delta"))
    assert report["met"] == (report["stop"]["p99_us"] < report["bar_us"])


async def test_payments_beside_taps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCOUNTS", 10), ("WARMUP_S", 0.2), ("GROWN_BYTES", 0)):
        monkeypatch.setattr(api_load, name, value)
    report = await api_load.measure(tmp_path / "city", 20, 200, 1.0)
    assert (report["debits"]["sent"], report["debits"]["failed"]) == (20, 0)
    assert is_ordered(report["debits"])
    assert report["taps_alone"]["sound"]
    assert report["taps_beside"]["sound"]
    assert report["taps_p99_times"] > 0
