"""Overload as a benchmark: what happens at ten times the rate the gateway can do.

First single taps in a closed loop, to see what it can do here and now; then batches on a schedule,
at that rate and at ten times it: like beside like. Nothing lost or taken twice is the condition.
Two bars besides: taps that are taken wait at most three times as long as usual, and memory stays
within twice what it is usually. Waits count from the intended send time, so a generator that cannot
keep its schedule proves nothing: then that is what is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from gateway.bench.link import is_sound, run
from gateway.bench.options import BenchOptions

TIMES = 10
SECONDS = 4.0
BATCH = 16
"""Taps a frame: single ones at ten times the rate are more than the generator's core can send."""
P99_TIMES = 3
MEMORY_TIMES = 2
KEPT = (
    *("taps_per_s", "p50_us", "p99_us", "accepted", "refused", "errors", "unanswered"),
    *("gateway_memory_bytes", "gateway_cpu", "lost", "doubled", "send_lag_p99_us"),
)


def run_overload(folder: Path, console: Console) -> tuple[dict[str, Any], bool]:
    """All runs, how they compare, and whether everything held."""
    report: dict[str, Any] = {}
    ok = True
    for name, thread in (("in the loop", "never"), ("in the thread", "always")):
        options = BenchOptions(
            accounts=20_000,
            seconds=SECONDS,
            warmup_s=1.0,
            folder=folder,
            verify_every=16,
            settings=(("journal.commit_thread", thread),),
        )
        single = run(options)
        rate = single["taps_per_s"]
        usual = run(replace(options, rate=rate, batch=BATCH))
        storm = run(replace(options, rate=TIMES * rate, batch=BATCH))
        missed = list(list_missed(usual, storm))
        report[name] = {
            "single": _kept(single),
            "usual": {"rate": rate} | _kept(usual),
            "ten_times": {"rate": TIMES * rate} | _kept(storm),
            "p99_ratio": round(storm["p99_us"] / max(1, usual["p99_us"]), 1),
            "missed": missed,
        }
        console.print(f"{name}: {report[name]}")
        sound = is_sound(single) and is_sound(usual) and not (storm["lost"] or storm["doubled"])
        ok = ok and sound and not missed
    return report, ok


def list_missed(usual: Mapping[str, Any], storm: Mapping[str, Any]) -> Iterator[str]:
    """Bars that ten times the rate did not hold, beside the same frames at the usual one."""
    most_us = P99_TIMES * max(1, usual["p99_us"])
    if storm["p99_us"] > most_us:
        lag = storm["send_lag_p99_us"]
        who = f", of which the generator was late by {lag} us" if lag > most_us else ""
        yield f"p99 of {storm['p99_us']} us, not {most_us}{who}"
    most_bytes = MEMORY_TIMES * usual["gateway_memory_bytes"]
    if storm["gateway_memory_bytes"] > most_bytes:
        yield f"{storm['gateway_memory_bytes']} bytes of memory, not {most_bytes}"


def _kept(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in KEPT}
