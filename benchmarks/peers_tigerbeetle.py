"""TigerBeetle, when there is a `tigerbeetle` on PATH and its Python client can be imported.

The same debit as a transfer from the rider's account to the operator's: the flag
debits_must_not_exceed_credits refuses whoever has no money, the transfer's id makes a repeat
harmless. One replica, formatted and started here. The load is the Python package driven by an event
loop in a process of its own (`python -m benchmarks.peers_tigerbeetle PORT ACCOUNTS CONNECTIONS
SECONDS BATCH`). Written against version 0.17 of the client.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers_common import (
    Sample,
    Scope,
    Skip,
    await_port,
    find_program,
    free_port,
    percentile,
    run_client,
    scratch,
    server,
)

SOURCES = Path(__file__).resolve().parents[1]
LEDGER, CODE = 1, 1
OPERATOR = 1 << 64
BALANCE_MINOR, FARE_MINOR = 1_000_000, 300
EVENTS_MAX = 8_000
"""A little below what one message holds."""
CASES = {"c1": (1, 1), "c50": (50, 1), "c50_batch32": (50, 32)}


class TigerBeetlePeer:
    """One replica in a file on the filesystem of all peers."""

    name = "tigerbeetle"
    cases = tuple(CASES)

    def __init__(self, scope: Scope, port: int, program: str) -> None:
        self._scope = scope
        self._port = port
        self._program = program

    def measure(self, case: str) -> Sample:
        connections, batch = CASES[case]
        scope = self._scope
        command = [sys.executable, "-m", "benchmarks.peers_tigerbeetle", str(self._port)]
        command += [str(scope.accounts), str(connections), str(scope.seconds), str(batch)]
        said, share = run_client(command, scope, cwd=SOURCES)
        found = json.loads(said.splitlines()[-1])
        return Sample(found["per_s"], found["p50_us"], found["p99_us"], share)

    def about(self) -> Mapping[str, object]:
        found = subprocess.run(
            [self._program, "version"], capture_output=True, text=True, check=False
        )
        settings = {"replicas": 1, "direct_io": "as the program has it", "fare_minor": FARE_MINOR}
        return {"version": found.stdout.strip(), "settings": settings, "client": "tigerbeetle"}


@contextmanager
def open_tigerbeetle(scope: Scope) -> Iterator[TigerBeetlePeer]:
    """A fresh cluster of one, its accounts made. Raises: Skip: it is not here."""
    program = find_program("tigerbeetle")
    if importlib.util.find_spec("tigerbeetle") is None:
        raise Skip("a server is on PATH, but the Python package tigerbeetle is not installed")
    with scratch(scope, "tigerbeetle") as folder:
        file, log, port = folder / "0_0.tigerbeetle", folder / "server.log", free_port()
        made = subprocess.run(
            [program, "format", "--cluster=0", "--replica=0", "--replica-count=1", str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Skip(f"tigerbeetle format: {made.stderr.strip()[-300:]}")
        command = [program, "start", f"--addresses=127.0.0.1:{port}", str(file)]
        with server(command, core=scope.server_core, log=log) as process:
            await_port(port, process, log)
            fill(importlib.import_module("tigerbeetle"), port, scope.accounts)
            yield TigerBeetlePeer(scope, port, program)


def fill(tb: Any, port: int, accounts: int) -> None:
    """The operator, the riders, and money for each. Raises: Skip: an event was refused."""
    limit = tb.AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    with tb.ClientSync(cluster_id=0, replica_addresses=f"127.0.0.1:{port}") as client:
        operator = tb.Account(id=OPERATOR, ledger=LEDGER, code=CODE)
        _check(tb, client.create_accounts([operator]))
        for first in range(1, accounts + 1, EVENTS_MAX):
            riders = range(first, min(first + EVENTS_MAX, accounts + 1))
            made = [tb.Account(id=n, ledger=LEDGER, code=CODE, flags=limit) for n in riders]
            _check(tb, client.create_accounts(made))
            money = [make_transfer(tb, OPERATOR, rider, BALANCE_MINOR) for rider in riders]
            _check(tb, client.create_transfers(money))


def make_transfer(tb: Any, debit: int, credit: int, amount: int) -> Any:
    """With a fresh, time-ordered id."""
    return tb.Transfer(
        id=tb.id(),
        debit_account_id=debit,
        credit_account_id=credit,
        amount=amount,
        ledger=LEDGER,
        code=CODE,
    )


def _check(tb: Any, results: Any) -> None:
    """Results are one an event (0.17), or only those that failed (before)."""
    created = {tb.CreateAccountStatus.CREATED, tb.CreateTransferStatus.CREATED}
    refused = [result for result in results if getattr(result, "status", None) not in created]
    if refused:
        raise Skip(f"tigerbeetle refused an event: {refused[0]}")


async def load(tb: Any, asked: argparse.Namespace) -> dict[str, float]:
    """Closed loop: so many riders' worth of requests in flight, each of `batch` transfers."""
    waits: list[float] = []
    until = time.monotonic() + asked.seconds

    async def ride(client: Any, chance: random.Random) -> None:
        while (began := time.monotonic()) < until:
            riders = [chance.randint(1, asked.accounts) for _ in range(asked.batch)]
            taps = [make_transfer(tb, rider, OPERATOR, FARE_MINOR) for rider in riders]
            _check(tb, await client.create_transfers(taps))
            waits.append((time.monotonic() - began) * 1e6)

    address = f"127.0.0.1:{asked.port}"
    async with tb.ClientAsync(cluster_id=0, replica_addresses=address) as client:
        await asyncio.gather(*(ride(client, random.Random(n)) for n in range(asked.connections)))
    waits.sort()
    return {
        "per_s": len(waits) * asked.batch / asked.seconds,
        "p50_us": percentile(waits, 500),
        "p99_us": percentile(waits, 990),
    }


def main() -> None:
    """Be the load generator."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers_tigerbeetle")
    parser.add_argument("port", type=int)
    parser.add_argument("accounts", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("batch", type=int)
    asked = parser.parse_args()
    tb = importlib.import_module("tigerbeetle")
    found = asyncio.run(load(tb, asked))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
