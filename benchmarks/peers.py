"""The gateway beside what people would use instead, in one run: `python -m benchmarks.peers`.

Every peer is started here, on loopback, on the same filesystem, client and server on cores of
their own alike. The measurements are interleaved: each round takes every case of every peer once,
every second round in reverse (A B B A). Reported are the medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers_cases import run_case
from benchmarks.peers_common import Peer, Sample, Scope, Skip
from benchmarks.peers_floor import EchoPeer, FsyncPeer
from benchmarks.peers_gateway import GatewayPeer, open_gateway
from benchmarks.peers_postgres import open_postgres
from benchmarks.peers_redis import open_redis
from benchmarks.peers_stack import open_stack
from benchmarks.peers_tigerbeetle import open_tigerbeetle
from gateway.bench import machine

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
CASES = ("disturbances", "growth", "idle")
STORES = ("redis SET", "valkey SET")
BARS = {
    "c1_p50_vs_redis": "at most 1.2",
    "c50_vs_redis": "at least 1.0",
    "batch_vs_redis_p32": "at least 1.0",
    "c50_vs_aiohttp_lua": "at least 10",
    "c50_vs_postgres": "at least 4",
    "half_load_p99_vs_fsync_p99": "at most 4",
}
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


def run_rounds(peers: Sequence[Peer], rounds: int, say: Callable[[str], None]) -> Results:
    """Every case of every peer once a round, every second round backwards."""
    plan = [(peer, case) for peer in peers for case in peer.cases]
    results: Results = {(peer.name, case): [] for peer, case in plan}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for peer, case in plan if number % 2 == 0 else reversed(plan):
            results[peer.name, case].append(peer.measure(case))
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
            over("half_load", [("fdatasync", "c1")], "p99_us"), default=None
        ),
    }
    return {name: value and round(value, 2) for name, value in ratios.items()}


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
        "skipped": skipped,
        "about": about,
        "rounds": rounds,
        "seconds": scope.seconds,
        "accounts": scope.accounts,
        "cores": {"client": scope.client_core, "server": scope.server_core},
        "cpu_model": machine.find_cpu_model(),
        "versions": machine.list_versions(),
        "commit": machine.find_commit(),
        "took_s": round(time.monotonic() - began, 1),
    }


def print_tables(result: dict[str, Any], console: Console) -> None:
    """Rows, then ratios beside their bars."""
    columns = ("peer", "case", "per_s", "p50_us", "p99_us", "per_s_min", "per_s_max", "client_cpu")
    table = Table(*columns, box=None, header_style="bold")
    for row in result["rows"]:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()))
    console.print(table)
    ratios = Table("ratio", "here", "bar", box=None, header_style="bold")
    for name, value in result["ratios"].items():
        ratios.add_row(name, "not measured" if value is None else f"{value:.2f}", BARS[name])
    console.print(ratios)
    for name, reason in result["skipped"].items():
        console.print(f"{name} skipped: {reason}", markup=False)


def build_scope(asked: argparse.Namespace) -> Scope:
    """The size of the run and its cores."""
    cores = machine.choose_cores()
    return Scope(
        accounts=asked.accounts or (10_000 if asked.quick else 1_000_000),
        seconds=asked.seconds or (0.3 if asked.quick else 3.0),
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
    parser.add_argument("--case", choices=CASES, help="no peers, but one of these (peers_cases)")
    parser.add_argument("--connections", type=int, default=16_000, help="of --case idle")
    parser.add_argument("--rounds", type=int, help="default 6, quick 5")
    parser.add_argument("--seconds", type=float, help="of one measurement")
    parser.add_argument("--accounts", type=int)
    parser.add_argument("--only", default=",".join(OPENERS), help="peers, by comma")
    parser.add_argument("--dir", type=Path, default=Path("var"), help="data; on a disk")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print; progress goes to standard error."""
    asked = parse(argv)
    errors = Console(stderr=True)
    names = asked.only.split(",")
    if unknown := set(names) - set(OPENERS):
        errors.print(f"unknown peers: {', '.join(sorted(unknown))}", markup=False)
        return 2
    if asked.case:
        seconds = asked.seconds or (2.0 if asked.quick else 30.0)
        scope = build_scope(asked)
        found = run_case(asked.case, scope, connections=asked.connections, seconds=seconds)
        sys.stdout.write(json.dumps(found, indent=None if asked.json else 2) + "\n")
        return 0
    rounds = asked.rounds or (5 if asked.quick else 6)
    result = compare(
        names, build_scope(asked), rounds, lambda line: errors.print(line, markup=False)
    )
    if asked.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        print_tables(result, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
