"""Synced appends through the page cache and past it: `python -m benchmarks.appends`.

The journal's own code for both, one size after the other, in turn (A B B A), into files filled with
zeros before. Reported are the medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.journal.appending import SyncedAppends
from gateway.journal.files import RealFiles
from gateway.journal.keeper import Zeros

SIZES = (352, 6_000, 16_000, 600_000)
FILE_BYTES_MAX = 192 << 20
COUNT_MAX = 1_000


class CachedFiles(RealFiles):
    """Without writes past the page cache."""

    def open_direct(self, path: Path) -> int:
        raise OSError("left out")


def measure(files: RealFiles, path: Path, size: int) -> dict[str, float]:
    """Latencies of appends of `size` bytes, in microseconds."""
    count = min(COUNT_MAX, FILE_BYTES_MAX // size)
    end = -(-(count * size) // (1 << 20)) << 20
    fd = files.open(path, write=True, create=True)
    files.allocate(fd, end)
    with closing(Zeros(RealFiles(), path)) as zeros:  # as the journal's keeper does
        for offset in range(0, end, zeros.piece_bytes):
            zeros.write(offset, min(offset + zeros.piece_bytes, end))
        zeros.sync()
    data, took = b"\xa5" * size, []
    processor = time.process_time_ns()
    with closing(SyncedAppends(files, path, fd, size)) as appends:
        for number in range(count):
            began = time.perf_counter_ns()
            done = appends.write(data, number * size)
            took.append((time.perf_counter_ns() - began) / 1e3)
            assert done, "this file system has no synced writes"
    processor = time.process_time_ns() - processor
    files.close(fd)
    path.unlink()
    took.sort()
    return {
        "p50_us": took[count // 2],
        "p99_us": took[count * 99 // 100],
        "processor_us": processor / 1e3 / count,
    }


def run(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """One row for each size and way."""
    kinds = {"cached": CachedFiles(), "direct": RealFiles()}
    rows = []
    for size in SIZES:
        seen: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
        for number in range(rounds):
            for kind in list(kinds)[:: -1 if number % 2 else 1]:
                seen[kind].append(measure(kinds[kind], folder / "appends", size))
        for kind, found in seen.items():
            medians = {key: statistics.median(one[key] for one in found) for key in found[0]}
            rows.append({"bytes": size, "way": kind} | {k: round(v, 1) for k, v in medians.items()})
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks.appends", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    parser.add_argument("--rounds", type=int, default=6, help="default 6")
    parser.add_argument("--dir", type=Path, default=Path("var"), help="a folder on a disk")
    arguments = parser.parse_args()
    arguments.dir.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        rows = run(Path(folder), arguments.rounds)
    if arguments.json:
        sys.stdout.write(json.dumps({"rows": rows, "rounds": arguments.rounds}) + "\n")
        return
    for row in rows:
        sys.stdout.write("  ".join(f"{key} {value}" for key, value in row.items()) + "\n")


if __name__ == "__main__":
    main()
