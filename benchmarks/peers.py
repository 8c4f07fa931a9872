"""The gateway beside what people would use instead, in one run: `python -m benchmarks.peers`.

Then what disturbs it, how it grows, and what idle sessions take; `--case` chooses among the four
(--quick: the peers alone, unless a case is named). Every peer is started here, on loopback, on the
same filesystem, client and server on cores of their own alike. The measurements are interleaved:
each round takes every case of every peer once, every second round in reverse (A B B A). Reported
are the medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import peers_disturbances, peers_growth, peers_idle
from benchmarks.peers_common import Peer, Sample, Scope, Skip
from benchmarks.peers_floor import EchoPeer, FsyncPeer
from benchmarks.peers_gateway import GatewayPeer, open_gateway
from benchmarks.peers_postgres import open_postgres
from benchmarks.peers_redis import open_redis
from benchmarks.peers_stack import open_stack
from benchmarks.peers_tigerbeetle import open_tigerbeetle
from gateway.bench import machine
from gateway.bench.fsync import MEMORY_FILESYSTEMS, find_filesystem

Opener = Callable[[Scope], AbstractContextManager[Peer]]
OPENERS: dict[str, Opener] = {
    "faregate": open_gateway,
    "redis": lambda scope: open_redis("redis", scope),
    "valkey": lambda scope: open_redis("valkey", scope),
    "stack": open_stack,
    "postgres": open_postgres,
    "tigerbeetle": open_tigerbeetle,
    "echo-c": lambda scope: nullcontext(EchoPeer("c", scope)),
    "echo-uvloop": lambda scope: nullcontext(EchoPeer("uvloop", scope)),
    "fdatasync": lambda scope: nullcontext(FsyncPeer(scope)),
}
CASES = ("peers", "disturbances", "growth", "idle")
STORES = ("redis SET", "valkey SET")
BARS = {
    "c1_p50_vs_redis": "at most 1.2",
    "c50_vs_redis": "at least 1.0",
    "batch_vs_redis_p32": "at least 1.0",
    "c50_vs_aiohttp_lua": "at least 10",
    "c50_vs_postgres": "at least 4",
    "half_load_p99_vs_fsync_p99": "at most 4",
}
INTERRUPTED = 130
Results = dict[tuple[str, str], list[Sample]]


def open_peers(
    names: Sequence[str], scope: Scope, stack: ExitStack, say: Callable[[str], None]
) -> tuple[list[Peer], dict[str, str]]:
    """Start them one after the other; those that cannot be had, and why."""
    peers: list[Peer] = []
    skipped: dict[str, str] = {}
    for name in names:
        began = time.monotonic()
        try:
            peers.append(stack.enter_context(OPENERS[name](scope)))
        except Skip as reason:
            skipped[name] = str(reason)
            say(f"{name} SKIPPED: {reason}")
        else:
            say(f"{name} is ready after {time.monotonic() - began:.1f} s")
    return peers, skipped


def build_plan(peers: Sequence[Peer]) -> list[tuple[Peer, str]]:
    """Every case of every peer; the raw fdatasync right behind the gateway's half load."""
    floors = [peer for peer in peers if isinstance(peer, FsyncPeer)]
    gateways = [peer for peer in peers if isinstance(peer, GatewayPeer)]
    for floor in floors if gateways else []:
        floor.follow(gateways[0])
    rest = [peer for peer in peers if peer not in floors and peer not in gateways]
    ordered: list[Peer] = [*gateways, *floors, *rest]
    return [(peer, case) for peer in ordered for case in peer.cases]


def run_rounds(peers: Sequence[Peer], rounds: int, say: Callable[[str], None]) -> Results:
    """Every case of every peer once a round, every second round backwards."""
    plan = build_plan(peers)
    results: Results = {(peer.name, case): [] for peer, case in plan}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for peer, case in plan if number % 2 == 0 else reversed(plan):
            results[peer.name, case].append(peer.measure(case))
            if isinstance(peer, GatewayPeer) and case == "half_load":
                commits = results.setdefault(("faregate commit", case), [])
                commits.append(peer.commit_sample(case))
    return results


def build_rows(results: Results) -> list[dict[str, Any]]:
    """Medians over the rounds, and the lowest and highest rate."""
    return [
        {
            "peer": peer,
            "case": case,
            "per_s": round(median(s.per_s for s in samples)),
            "p50_us": round(median(s.p50_us for s in samples)),
            "p99_us": round(median(s.p99_us for s in samples)),
            "per_s_min": round(min(s.per_s for s in samples)),
            "per_s_max": round(max(s.per_s for s in samples)),
            "client_cpu": median(s.client_cpu for s in samples),
        }
        for (peer, case), samples in results.items()
    ]


def build_ratios(results: Results) -> dict[str, float | None]:
    """Median over the rounds of the ratio within each round; None where a side is missing.

    Against the better of Redis and Valkey, case by case: a lower bar would prove less.
    """

    def over(case: str, others: Sequence[tuple[str, str]], figure: str = "per_s") -> list[float]:
        ours = results.get(("faregate", case), [])
        return [
            median(
                getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, theirs, strict=True)
            )
            for other in others
            if ours and (theirs := results.get(other, [])) and all(s.per_s for s in theirs)
        ]

    ratios = {
        "c1_p50_vs_redis": max(over("c1", [(n, "c1") for n in STORES], "p50_us"), default=None),
        "c50_vs_redis": min(over("c50", [(n, "c50") for n in STORES]), default=None),
        "batch_vs_redis_p32": min(
            over("c50_batch32", [(n, "c50_P32") for n in STORES]), default=None
        ),
        "c50_vs_aiohttp_lua": min(over("c50", [("aiohttp+lua", "c50")]), default=None),
        "c50_vs_postgres": min(over("c50", [("postgres", "c50")]), default=None),
        "half_load_p99_vs_fsync_p99": max(
            over("half_load", [("fdatasync", "half_load_groups")], "p99_us"), default=None
        ),
    }
    return {name: value and round(value, 2) for name, value in ratios.items()}


def build_generator(results: Results) -> dict[str, Any]:
    """That the load generator is not what is measured: its ceiling against an echo in C."""
    ours, ceiling = results.get(("faregate", "c50"), []), results.get(("echo c", "c50"), [])
    if not ours or not ceiling:
        return {}
    return {
        "echo_c_per_s": round(median(s.per_s for s in ceiling)),
        "faregate_per_s": round(median(s.per_s for s in ours)),
        "times": round(median(a.per_s / b.per_s for a, b in zip(ceiling, ours, strict=True)), 2),
        "client_cpu_at_faregate": median(s.client_cpu for s in ours),
    }


def compare(
    names: Sequence[str], scope: Scope, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """One whole run; what `--json` prints."""
    began = time.monotonic()
    with ExitStack() as stack:
        peers, skipped = open_peers(names, scope, stack, say)
        results = run_rounds(peers, rounds, say)
        about = {peer.name: dict(peer.about()) for peer in peers}
        for peer in peers:
            if isinstance(peer, GatewayPeer):
                peer.finish()
                about[peer.name] |= peer.sound
    return {
        "rows": build_rows(results),
        "ratios": build_ratios(results),
        "bars": BARS,
        "generator": build_generator(results),
        "skipped": skipped,
        "about": about,
        "rounds": rounds,
        "seconds": scope.seconds,
        "accounts": scope.accounts,
        "cores": {"client": scope.client_core, "server": scope.server_core},
        "took_s": round(time.monotonic() - began, 1),
    }


def measure(asked: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """All chosen cases, one document."""
    scope, chosen = (
        build_scope(asked),
        asked.case or ["peers"] if asked.quick else asked.case or list(CASES),
    )
    rounds = asked.rounds or (2 if asked.quick else 6)
    began = time.monotonic()
    found: dict[str, Any] = {"rows": [], "ratios": {}, "skipped": {}}
    if "peers" in chosen:
        found |= compare(asked.only.split(","), scope, rounds, say)
    if "disturbances" in chosen:
        found["disturbances"] = measure_disturbances(asked, scope, say)
    if "growth" in chosen:
        found["growth"] = measure_growth(asked, scope, say)
    if "idle" in chosen:
        say("idle sessions")
        seconds = asked.seconds or (2.0 if asked.quick else 30.0)
        count = asked.connections or (200 if asked.quick else peers_idle.CONNECTIONS)
        found["idle"] = peers_idle.measure_idle(scope, connections=count, seconds=seconds)
    return found | {
        "quick": asked.quick,
        "cpu_model": machine.find_cpu_model(),
        "versions": machine.list_versions(),
        "commit": machine.find_commit(),
        "load_average": os.getloadavg(),
        "whole_run_s": round(time.monotonic() - began, 1),
    }


def measure_disturbances(
    asked: argparse.Namespace, scope: Scope, say: Callable[[str], None]
) -> dict[str, Any]:
    """Windows long enough for a whole reconnection."""
    if asked.quick:
        return peers_disturbances.measure_disturbances(*peers_disturbances.quick(scope), say=say)
    longer = replace(scope, seconds=asked.seconds or 6.0)
    sizes = peers_disturbances.Sizes(
        only=tuple(asked.disturbance or peers_disturbances.DISTURBANCES)
    )
    return peers_disturbances.measure_disturbances(longer, sizes, say=say)


def measure_growth(
    asked: argparse.Namespace, scope: Scope, say: Callable[[str], None]
) -> dict[str, Any]:
    """To ten million accounts, unless --accounts says otherwise."""
    if asked.quick:
        return peers_growth.measure_growth(scope, peers_growth.QUICK, say=say)
    sizes = peers_growth.Sizes(many=asked.accounts or peers_growth.MANY)
    return peers_growth.measure_growth(scope, sizes, say=say)


def print_tables(result: dict[str, Any], console: Console) -> None:
    """Rows, then ratios beside their bars, then the other cases."""
    columns = ("peer", "case", "per_s", "p50_us", "p99_us", "per_s_min", "per_s_max", "client_cpu")
    table = Table(*columns, box=None, header_style="bold")
    for row in result["rows"]:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()))
    console.print(table)
    bars = Table("ratio", "here", "bar", box=None, header_style="bold")
    for name, value, bar in list_bars(result):
        bars.add_row(name, "not measured" if value is None else f"{value:,}", bar)
    console.print(bars)
    for name, reason in result["skipped"].items():
        console.print(f"{name} skipped: {reason}", markup=False)


def list_bars(result: dict[str, Any]) -> Iterator[tuple[str, float | None, str]]:
    """Every figure that has a bar, with it."""
    for name, value in result["ratios"].items():
        yield name, value, BARS[name]
    disturbances = result.get("disturbances", {"rows": []})
    for row in disturbances["rows"]:
        for name, bar in disturbances["bars"].items():
            yield f"{row['disturbance']} {name}", row[name], bar
    for case in ("growth", "idle"):
        for name, bar in result.get(case, {}).get("bars", {}).items():
            yield f"{case} {name}", result[case][name], bar


def find_missed(result: dict[str, Any]) -> list[str]:
    """Bars that were measured and not held; all of them, when none was measured."""
    measured = [(name, value, bar) for name, value, bar in list_bars(result) if value is not None]
    if not measured:
        return ["no figure that has a bar was measured"]
    return [
        f"{name} is {value:,}, not {bar}"
        for name, value, bar in measured
        if not holds_bar(value, bar)
    ]


def holds_bar(value: float, bar: str) -> bool:
    """Whether a figure is "at most", "at least" or "under" what its bar says."""
    words, _, number = bar.rpartition(" ")
    wanted = float(number)
    return {"at most": value <= wanted, "at least": value >= wanted, "under": value < wanted}[words]


def build_scope(asked: argparse.Namespace) -> Scope:
    """The size of the run and its cores."""
    cores = machine.choose_cores()
    return Scope(
        accounts=asked.accounts or (10_000 if asked.quick else 1_000_000),
        seconds=asked.seconds or (0.25 if asked.quick else 3.0),
        warmup_s=0.05 if asked.quick else 0.5,
        folder=asked.dir,
        client_core=cores[0] if cores else None,
        server_core=cores[1] if cores else None,
    )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, not tables")
    parser.add_argument("--quick", action="store_true", help="under a minute; figures are rough")
    parser.add_argument("--case", choices=CASES, action="append", help="only this; several times")
    parser.add_argument(
        "--disturbance", choices=peers_disturbances.DISTURBANCES, action="append", help="only this"
    )
    parser.add_argument("--connections", type=int, help="idle ones, default 16,000")
    parser.add_argument("--rounds", type=int, help="default 6, quick 2")
    parser.add_argument("--seconds", type=float, help="of one measurement")
    parser.add_argument("--accounts", type=int, help="default 1,000,000; growth: 10,000,000")
    parser.add_argument("--only", default=",".join(OPENERS), help="peers, by comma")
    parser.add_argument("--dir", type=Path, default=Path("var"), help="data; on a disk")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is not held")
    return parser.parse_args(argv)


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: every peer is stopped, every folder removed."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print; progress goes to standard error."""
    asked = parse(argv)
    errors = Console(stderr=True)
    if unknown := set(asked.only.split(",")) - set(OPENERS):
        errors.print(f"unknown peers: {', '.join(sorted(unknown))}", markup=False)
        return 2
    asked.dir.mkdir(parents=True, exist_ok=True)
    if (kind := find_filesystem(asked.dir)) in MEMORY_FILESYSTEMS:
        errors.print(f"{asked.dir} is on {kind}: name a folder on a disk with --dir", markup=False)
        return 2
    try:
        with stopped_in_order():
            result = measure(asked, lambda line: errors.print(line, markup=False))
    except KeyboardInterrupt:
        errors.print("stopped; nothing is left running")
        return INTERRUPTED
    if asked.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        print_tables(result, Console())
    missed = find_missed(result) if asked.check else []
    for said in missed:
        errors.print(f"missed: {said}", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
