"""Kill it, cut its power, fill its disk: is everything there that clients were told?

    python -m benchmarks.crash --rounds 1000 --json       the real gateway, SIGKILL and worse
    python -m benchmarks.crash --rounds 100 --journal valkey    two gateways, primary and replica
    python -m benchmarks.crash --schedules 10000          its own code in a simulated world
    python -m benchmarks.crash --power-cuts 2000          the same, the power goes all the time
    python -m benchmarks.crash --mutations                spoilt builds must be caught
    python -m benchmarks.crash --overload                 ten times the rate it can do
    python -m benchmarks.crash --storm 10000              a whole fleet comes back at once

Exit status 0: nothing lost, doubled or altered (mutations: all caught). docs/reliability.md says
what is promised and what these runs have shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.crash_schedule import Failure, run_schedule
from benchmarks.crash_world import Ground, Tally

CHUNK = 25
FAILURES_SHOWN = 10


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    logging.disable(logging.CRITICAL)
    console = Console(stderr=True)
    if options.mutations:
        from benchmarks.crash_mutations import run_mutations  # noqa: PLC0415

        report, ok = run_mutations(options, console)
    elif options.overload:
        from benchmarks.crash_overload import run_overload  # noqa: PLC0415

        report, ok = run_overload(Path(options.dir), console)
    elif options.storm:
        from benchmarks.crash_storm import run_storm  # noqa: PLC0415

        with tempfile.TemporaryDirectory(prefix="crash-", dir=options.dir) as folder:
            report, ok = asyncio.run(run_storm(Path(folder), options.storm))
    elif options.rounds:
        report, ok = _rounds(options, console)
    else:
        report, ok = _schedules(options, console)
    text = json.dumps(report, indent=None if options.json else 2)
    sys.stdout.write(text + "\n")
    return 0 if ok else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.crash", description=__doc__.split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rounds", type=int, default=0, help="rounds against the real gateway")
    what.add_argument("--schedules", type=int, default=0, help="simulated schedules")
    what.add_argument("--power-cuts", type=int, default=0, help="schedules of power cuts only")
    what.add_argument("--mutations", action="store_true", help="spoilt builds must be caught")
    what.add_argument("--storm", type=int, default=0, help="devices that come back at once")
    what.add_argument("--overload", action="store_true", help="ten times the rate it can do")
    kinds = ("segments", "valkey")
    parser.add_argument("--journal", choices=kinds, default="segments", help="of the rounds")
    parser.add_argument(
        "--served", type=float, default=0.1, help="share of the rounds against `faregate serve`"
    )
    tariffs = ("beijing", "layered")
    parser.add_argument("--tariff", choices=tariffs, help="of the rounds, instead of both in turn")
    parser.add_argument("--only", help="one scenario for all rounds")
    parser.add_argument("--seed", type=int, default=1, help="first seed; a run of N takes N seeds")
    parser.add_argument("--jobs", type=int, default=2, help="processes for schedules")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where data folders are made")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin nothing after it")
    parser.add_argument("--json", action="store_true", help="one line")
    return parser.parse_args(argv)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


# --- rounds ---------------------------------------------------------------------------------------


def _rounds(options: argparse.Namespace, console: Console) -> tuple[dict[str, Any], bool]:
    from benchmarks.crash_bench import RoundsReport  # noqa: PLC0415
    from benchmarks.crash_rounds import RoundsPlan, run_rounds  # noqa: PLC0415

    with _bar(console) as bar:
        task = bar.add_task("rounds", total=options.rounds)

        def show(report: RoundsReport) -> None:
            said = f"{report.acked} acked, {report.lost + report.doubled + report.altered} wrong"
            bar.update(task, completed=report.rounds, description=said)

        plan = RoundsPlan(
            options.rounds,
            options.seed,
            Path(options.dir),
            options.seconds,
            options.journal,
            options.served,
            options.only,
            options.tariff,
        )
        found = asyncio.run(run_rounds(plan, show))
    return {"seed": options.seed, **found.as_dict()}, found.ok and not found.missed


# --- schedules ------------------------------------------------------------------------------------


def run_chunk(seeds: range, *, power_only: bool) -> tuple[Tally, list[Failure]]:
    """Some schedules in this process."""
    logging.disable(logging.CRITICAL)
    ground = Ground.make()
    tally, failures = Tally(), []
    try:
        for seed in seeds:
            outcome = run_schedule(seed, ground, power_only=power_only)
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                tally.add(outcome)
    finally:
        ground.remove()
    return tally, failures


def _schedules(options: argparse.Namespace, console: Console) -> tuple[dict[str, Any], bool]:
    count = options.schedules or options.power_cuts
    power_only = bool(options.power_cuts)
    began = time.monotonic()
    tally, failures = Tally(), []
    end = options.seed + count
    chunks = [range(at, min(at + CHUNK, end)) for at in range(options.seed, end, CHUNK)]
    with _bar(console) as bar, ProcessPoolExecutor(options.jobs) as pool:
        task = bar.add_task("schedules", total=count)
        running = [pool.submit(run_chunk, seeds, power_only=power_only) for seeds in chunks]
        for done in as_completed(running):
            one, failed = done.result()
            tally.add(one)
            failures += failed
            bar.update(task, advance=one.schedules + len(failed))
            if time.monotonic() - began > options.seconds:
                for waiting in running:
                    waiting.cancel()
                break
    report = {"seed": options.seed, **asdict(tally), "failed": len(failures)}
    report["seconds"] = round(time.monotonic() - began, 1)
    failures.sort(key=lambda failure: not failure.is_violation)
    report["failures"] = [asdict(failure) for failure in failures[:FAILURES_SHOWN]]
    return report, not failures


if __name__ == "__main__":
    sys.exit(main())
