"""Payments over the API beside taps at gates, one gateway, one run.

    python -m benchmarks.api_load --json

A gateway of its own (`faregate serve`, all processes, journal on disk). First --taps taps a second
alone (open loop, the compiled generator of `faregate bench link`), then the same taps with --debits
payments a second over HTTP meanwhile, also on a schedule: latency counts from the instant a request
was meant to be sent. Bars: payments' p99 under 20 ms, taps' p99 at most twice of what it is alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.lost_report import Stage, serving
from gateway.observability.page import JOURNAL_POSITION, PageReader

BAR_US = 20_000
TIMES_MAX = 2.0
ACCOUNTS = 500
SETTLE_S = 1.0
WARMUP_S = 2.0


async def measure(folder: Path, debits: int, taps: int, seconds: float) -> dict[str, Any]:
    """One run; the report."""
    async with serving(folder) as stage:
        accounts = await _open_accounts(stage)
        alone = await _taps(stage, taps, seconds)
        loaded = asyncio.create_task(_taps(stage, taps, seconds))
        await _began(loaded, stage)
        with without_collections():
            paid = await _pay(stage, accounts, debits, seconds)
        beside = await loaded
    times = beside["p99_us"] / alone["p99_us"]
    return {
        "debits_per_s": debits,
        "taps_per_s": taps,
        "debits": paid,
        "taps_alone": alone,
        "taps_beside": beside,
        "taps_p99_times": round(times, 2),
        "bar_us": BAR_US,
        "times_max": TIMES_MAX,
        "met": paid["p99_us"] < BAR_US and times <= TIMES_MAX and paid["failed"] == 0,
    }


@contextmanager
def without_collections() -> Iterator[None]:
    """The generator's own pauses would be measured as latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _open_accounts(stage: Stage) -> list[int]:
    accounts = []
    for _ in range(ACCOUNTS):
        account: int = (await stage.post("/v1/accounts", {}))["account_id"]
        money = {"amount_minor": 100_000, "reference": f"bench-{account}"}
        await stage.post(f"/v1/accounts/{account}/credits", money)
        accounts.append(account)
    return accounts


async def _taps(stage: Stage, rate: int, seconds: float) -> dict[str, Any]:
    """`faregate bench link` against the running gateway; its figures."""
    port = stage.where["link"].rpartition(":")[2]
    words = [
        *("bench", "link", "--config", str(stage.config.gateway.data_dir / "gateway.toml")),
        *("--set", f"link.port={port}", "--connections", "50", "--accounts", "2000"),
        *("--rate", str(rate), "--seconds", str(seconds), "--warmup", str(WARMUP_S)),
        *("--no-pin", "--json"),
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    said = json.loads(out)
    return {
        "per_s": round(said["taps_per_s"]),
        "p50_us": round(said["p50_us"]),
        "p99_us": round(said["p99_us"]),
        "sound": process.returncode == 0,
    }


async def _began(loaded: asyncio.Task[Any], stage: Stage) -> None:
    """Until taps have come for a moment: the generator opens its accounts first."""
    reader = PageReader(stage.config.page_path)
    last = -1
    fast = 0
    while not loaded.done() and fast < 3:
        view = reader.read()
        position = view[JOURNAL_POSITION] if view is not None else 0
        grown = position - last
        fast = fast + 1 if last >= 0 and grown > GROWN_BYTES else 0
        last = position
        await asyncio.sleep(0.3)


GROWN_BYTES = 200_000
"""In 0.3 s: about what 1,500 taps leave in the journal."""


async def _pay(stage: Stage, accounts: list[int], rate: int, seconds: float) -> dict[str, Any]:
    """Payments on a schedule, from the intended instant to the answer."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        sent = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            paying = _one(stage, accounts[number % len(accounts)], due, times)
            sent.append(tasks.create_task(paying))
    statuses.update(task.result() for task in sent)
    times.sort()
    return {
        "sent": int(rate * seconds),
        "failed": sum(count for status, count in statuses.items() if status != 201),
        "p50_us": round(times[len(times) // 2] * 1e6),
        "p99_us": round(times[len(times) * 99 // 100] * 1e6),
        "max_us": round(times[-1] * 1e6),
    }


async def _one(stage: Stage, account: int, due: float, times: list[float]) -> int:
    headers = {"Authorization": f"Bearer {stage.token}", "Idempotency-Key": os.urandom(12).hex()}
    url = f"http://{stage.where['http']}/v1/accounts/{account}/payments"
    body = {"amount_minor": 1, "purpose": 0}
    async with stage.session.post(url, json=body, headers=headers) as answer:
        await answer.read()
        times.append(time.perf_counter() - due)
        return answer.status


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when both bars are met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.api_load", description="Payments over the API beside taps."
    )
    parser.add_argument("--debits", type=int, default=500, help="payments a second")
    parser.add_argument("--taps", type=int, default=5000, help="taps a second")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--dir", type=Path, default=Path(), help="on a real disk")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix=".bench-api-", dir=options.dir)).resolve()
    try:
        made = measure(folder / "city", options.debits, options.taps, options.seconds)
        report = asyncio.run(made)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(report) if options.json else json.dumps(report, indent=1))  # noqa: T201
    return 0 if report["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
