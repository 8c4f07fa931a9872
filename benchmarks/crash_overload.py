"""Overload as a benchmark: what happens at ten times the rate the gateway can do.

First closed loop, to see what it can do here and now; then an open loop at ten times that. Reported
as measured: taps taken, taps told busy, what the taken ones waited (from the intended send time),
memory. Nothing lost or taken twice is the condition; the rest are figures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from gateway.bench.link import is_sound, run
from gateway.bench.options import BenchOptions

TIMES = 10
SECONDS = 4.0
KEPT = (
    *("taps_per_s", "p50_us", "p99_us", "accepted", "refused", "errors", "unanswered"),
    *("gateway_memory_bytes", "gateway_cpu", "lost", "doubled", "send_lag_p99_us"),
)


def run_overload(folder: Path, console: Console) -> tuple[dict[str, Any], bool]:
    """Both runs, and how they compare."""
    usual = BenchOptions(
        accounts=20_000, seconds=SECONDS, warmup_s=1.0, folder=folder, verify_every=16
    )
    report: dict[str, Any] = {}
    ok = True
    rate = 0.0
    for name, thread in (("in the loop", "never"), ("in the thread", "always")):
        settings = (("journal.commit_thread", thread),)
        calm = run(replace(usual, settings=settings))
        rate = calm["taps_per_s"]
        # Batches: single taps at ten times the rate are more than the generator's core can send.
        storm = run(replace(usual, settings=settings, rate=TIMES * rate, batch=16))
        report[name] = {
            "usual": {key: calm[key] for key in KEPT},
            "ten_times": {"rate": TIMES * rate} | {key: storm[key] for key in KEPT},
            "p99_ratio": round(storm["p99_us"] / max(1, calm["p99_us"]), 1),
        }
        console.print(f"{name}: {report[name]}")
        ok = ok and is_sound(calm) and not (storm["lost"] or storm["doubled"])
    return report, ok
