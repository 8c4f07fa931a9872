"""What a team would write instead: aiohttp, JSON, redis.asyncio, a Lua check-and-debit.

The store syncs before each answer (appendfsync always). Loaded by wrk, whose requests are made by
a script in LuaJIT. The app under uvloop and its store share the server's core.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import redis
import redis.asyncio
import uvloop
from aiohttp import web

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
from benchmarks.peers_redis import durable_store, find_server

SOURCES = Path(__file__).resolve().parents[1]
BALANCE_MINOR = 1_000_000
FARE_MINOR = 300
DEBIT = """
local before = redis.call('GET', KEYS[2])
if before then return {tonumber(before), 1} end
local balance = tonumber(redis.call('GET', KEYS[1]))
if not balance then return {-2, 0} end
if balance < tonumber(ARGV[1]) then return {-1, 0} end
balance = redis.call('DECRBY', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], balance, 'EX', 86400)
return {balance, 0}
"""
WRK = """
math.randomseed(tonumber(SEED))
local seq = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  seq = seq + 1
  local body = string.format('{"tap_id":"%d-%d","account":%d,"fare_minor":300}',
                             SEED, seq, math.random(1, ACCOUNTS))
  return wrk.format(nil, "/tap", nil, body)
end
"""
UNITS = {"us": 1.0, "ms": 1000.0, "s": 1e6}


async def make_app(store_port: int) -> web.Application:
    """One route: a tap as JSON in, the balance as JSON out."""
    store = redis.asyncio.Redis(port=store_port, max_connections=64)
    debit = store.register_script(DEBIT)

    async def tap(request: web.Request) -> web.Response:
        asked: dict[str, Any] = await request.json()
        keys = [f"balance:{int(asked['account'])}", f"tap:{asked['tap_id']}"]
        balance, repeated = await debit(keys=keys, args=[int(asked["fare_minor"])])
        if balance < 0:
            return web.json_response({"verdict": "deny"}, status=402)
        return web.json_response(
            {"verdict": "open", "balance_minor": balance, "repeated": repeated}
        )

    app = web.Application()
    app.router.add_post("/tap", tap)
    return app


class StackPeer:
    """aiohttp + redis.asyncio + Lua."""

    name = "aiohttp+lua"
    cases = ("c50",)

    def __init__(self, scope: Scope, port: int, store_port: int, folder: Path) -> None:
        self._scope = scope
        self._port = port
        self._store_port = store_port
        self._folder = folder
        self._runs = 0

    def measure(self, case: str) -> Sample:
        self._runs += 1
        script = self._folder / f"tap-{self._runs}.lua"
        script.write_text(f"SEED={self._runs}\nACCOUNTS={self._scope.accounts}\n{WRK}")
        seconds = max(round(self._scope.seconds), 1)
        command = ["wrk", "-t1", f"-c{self._scope.connections}", f"-d{seconds}s", "--latency"]
        command += ["-s", str(script), f"http://127.0.0.1:{self._port}/tap"]
        said, share = run_client(command, self._scope)
        if "Non-2xx" in said:
            raise Skip(f"the app refused taps: {said[-200:]}")
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        return Sample(float(rate[1]) if rate else 0.0, _wait(said, 50), _wait(said, 99), share)

    def about(self) -> Mapping[str, object]:
        found = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
        client = redis.Redis(port=self._store_port)
        version = client.info("server")["redis_version"]
        settings = client.config_get("appendfsync")
        client.close()
        return {
            "aiohttp": aiohttp.__version__,
            "redis-py": redis.__version__,
            "store": version,
            "settings": settings,
            "client": found.stdout.splitlines()[0] if found.stdout else "wrk",
        }


def _wait(said: str, share: int) -> float:
    found = re.search(rf"\b{share}%\s+([\d.]+)(us|ms|s)", said)
    return float(found[1]) * UNITS[found[2]] if found else 0.0


@contextmanager
def open_stack(scope: Scope) -> Iterator[StackPeer]:
    """The app and its store, purses filled. Raises: Skip."""
    find_program("wrk")
    try:
        program = find_server("redis")
    except Skip:
        program = find_server("valkey")
    with scratch(scope, "stack") as folder, durable_store(program, scope, folder) as store:
        _fill(store, scope.accounts)
        port, log = free_port(), folder / "app.log"
        command = [sys.executable, "-m", "benchmarks.peers_stack", str(port), str(store)]
        env = {"PYTHONPATH": str(SOURCES)}
        with server(command, core=scope.server_core, log=log, env=env) as process:
            await_port(port, process, log)
            yield StackPeer(scope, port, store, folder)


def _fill(port: int, accounts: int) -> None:
    """Purses without a sync each: always is set again before the first tap."""
    client = redis.Redis(port=port)
    client.config_set("appendfsync", "no")
    for first in range(1, accounts + 1, 10_000):
        last = min(first + 10_000, accounts + 1)
        client.mset({f"balance:{number}": BALANCE_MINOR for number in range(first, last)})
    client.config_set("appendfsync", "always")
    client.close()


def main() -> None:
    """Serve the app: `python -m benchmarks.peers_stack PORT STORE_PORT`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("store_port", type=int)
    asked = parser.parse_args()
    uvloop.install()
    web.run_app(
        make_app(asked.store_port), host="127.0.0.1", port=asked.port, print=None, access_log=None
    )


if __name__ == "__main__":
    main()
