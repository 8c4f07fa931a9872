"""How soon a lost report stops a medium: reported over HTTP, tapped at a gate, one gateway.

    python -m benchmarks.lost_report --json

A gateway of its own (`faregate serve`, all processes, journal on disk). For each rider in turn the
owner's report goes to POST /v1/accounts/{id}/media/state, while the medium is presented at a gate
again and again without a pause; other riders travel at --rate taps a second meanwhile. Measured
from the moment the report is sent, in microseconds:

    answer   until the report's HTTP answer is there
    stop     until the gate's first refusal as lost has arrived
    delta    until another validator has the medium on its deny list, pushed by the gateway
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from fastpath.types import Reason, TapKind
from gateway.bench.own_gateway import add_devices
from gateway.bootstrap import build_access
from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from gateway.errors import Retry, WireError
from gateway.keys import load_secrets
from gateway.link.client import DeviceIdentity, LinkSession, open_session
from gateway.link.frames import DenylistDelta, Frame, TapEvent
from gateway.link.handshake import derive_device_key
from gateway.registry.actors import Actor
from gateway.registry.credentials import NewCredential
from gateway.registry.scopes import CEILINGS, TenantKind
from gateway.registry.tenants import Tenant

GATE, LISTENER, TRAVEL = 1, 2, 3
TRAVELLERS = 200
BAR_US = 100_000
FLAGS = {"link.port": "0", "http.port": "0", "log.level": "warning", "api.rate_per_s": "100000"}


@dataclass(slots=True)
class Times:
    """One number a rider, microseconds."""

    answer: list[float] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)
    delta: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Stage:
    """A gateway that serves and the hands to touch it with."""

    config: Config
    where: dict[str, Any]
    token: str
    session: ClientSession

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One request of the city's key; it has to succeed."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Idempotency-Key": os.urandom(12).hex(),
        }
        url = f"http://{self.where['http']}{path}"
        async with self.session.post(url, json=body, headers=headers) as answer:
            said: dict[str, Any] = await answer.json()
            if answer.status >= 300:
                raise RuntimeError(f"{path}: {answer.status} {said}")
            return said

    async def link(self, device: int, on_push: Any = None) -> LinkSession:
        """A validator in session."""
        host, _, port = self.where["link"].rpartition(":")
        key = derive_device_key(load_secrets(self.config).master_key, device, 1)
        identity = DeviceIdentity(device, key, time.time_ns())
        session, _ = await open_session(host, int(port), identity, on_push=on_push)
        return session

    async def rider(self, token: bytes) -> int:
        """An account with money and a medium."""
        account: int = (await self.post("/v1/accounts", {}))["account_id"]
        money = {"amount_minor": 50_000, "reference": f"bench-{account}"}
        await self.post(f"/v1/accounts/{account}/credits", money)
        await self.post(f"/v1/accounts/{account}/media", {"token": token.hex()})
        return account


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Stage]:
    """`faregate serve` with a fresh folder, a key of the city and three validators."""
    path = make_data_dir(folder)
    config = load_config(path, flags=FLAGS).config
    system = Actor.system("bench")
    access = build_access(config)
    access.tenants.add(system, Tenant("city", TenantKind.CITY, "city"))
    wanted = NewCredential("city", CEILINGS[TenantKind.CITY], "bench")
    token = access.credentials.create(system, wanted).token
    add_devices(config, 3)
    with _gateway(path) as where:
        async with ClientSession() as session:
            yield Stage(config, where, token, session)


@contextmanager
def _gateway(path: Path) -> Any:
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(path), "--json"]
    command += [f"--set={name}={value}" for name, value in FLAGS.items()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            said = (json.loads(line) for line in process.stdout)
            yield next(event for event in said if event["event"] == "serving")
        finally:
            process.terminate()
            process.communicate()


class Listener:
    """Another validator: when did the gateway push which token."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Future[float]] = {}

    def expect(self, token: bytes) -> asyncio.Future[float]:
        """Done at the moment the token is on the list."""
        self.waiting[token] = asyncio.get_running_loop().create_future()
        return self.waiting[token]

    def __call__(self, frame: Frame) -> None:
        """A frame the gateway sent by itself."""
        if isinstance(frame, DenylistDelta):
            for token in frame.added:
                future = self.waiting.pop(bytes(token), None)
                if future is not None:
                    future.set_result(time.perf_counter())


async def _tap_until_lost(gate: LinkSession, token: bytes, numbers: itertools.count[int]) -> float:
    """Presented again and again; the moment the first refusal as lost is there."""
    boot = gate.identity.boot_epoch
    while True:
        now_us = time.time_ns() // 1000
        tap = TapEvent(boot, next(numbers), TapKind.CHECK_IN, token, 101, device_ts_us=now_us)
        try:
            answer = await gate.tap(tap)
        except WireError as error:
            if error.retry is not Retry.SAFE:
                raise
            continue  # busy: presented again
        if answer.reason == Reason.MEDIUM_LOST:
            return time.perf_counter()


async def _travel(link: LinkSession, tokens: list[bytes], rate: int) -> None:
    """Others in and out meanwhile, at a fixed rate, open loop."""
    boot, pending = link.identity.boot_epoch, set()
    began = time.perf_counter()
    for number in itertools.count(1):
        await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0))
        kind = TapKind.CHECK_IN if (number // len(tokens)) % 2 == 0 else TapKind.CHECK_OUT
        token, now_us = tokens[number % len(tokens)], time.time_ns() // 1000
        answer = link.tap(TapEvent(boot, number, kind, token, 101, device_ts_us=now_us))
        pending.add(answer)
        answer.add_done_callback(pending.discard)
        answer.add_done_callback(_forget_error)


def _forget_error(answer: asyncio.Future[Any]) -> None:
    """A busy answer, or the end of the run, is no fault of the measurement."""
    if not answer.cancelled():
        answer.exception()


async def measure(folder: Path, riders: int, rate: int) -> dict[str, Any]:
    """One run; the report."""
    times, listener = Times(), Listener()
    async with serving(folder) as stage:
        gate = await stage.link(GATE)
        other = await stage.link(LISTENER, listener)
        travelling = await stage.link(TRAVEL)
        tokens = [os.urandom(16) for _ in range(riders + TRAVELLERS)]
        accounts = [await stage.rider(token) for token in tokens]
        load = asyncio.create_task(_travel(travelling, tokens[riders:], rate))
        numbers = itertools.count(1)
        for account, token in zip(accounts[:riders], tokens, strict=False):
            await _one(stage, (gate, listener), (account, token, numbers), times)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        for session in (gate, other, travelling):
            session.close()
    return _report(times, riders, rate)


async def _one(
    stage: Stage,
    devices: tuple[LinkSession, Listener],
    rider: tuple[int, bytes, itertools.count[int]],
    times: Times,
) -> None:
    (gate, listener), (account, token, numbers) = devices, rider
    on_list = listener.expect(token)
    tapping = asyncio.create_task(_tap_until_lost(gate, token, numbers))
    await asyncio.sleep(0.02)
    path = f"/v1/accounts/{account}/media/state"
    began = time.perf_counter()
    await stage.post(path, {"state": "lost", "token": token.hex()})
    times.answer.append((time.perf_counter() - began) * 1e6)
    async with asyncio.timeout(30):
        times.stop.append((await tapping - began) * 1e6)
        times.delta.append((await on_list - began) * 1e6)


def _report(times: Times, riders: int, rate: int) -> dict[str, Any]:
    rows = {}
    for name in ("answer", "stop", "delta"):
        values = sorted(getattr(times, name))
        rows[name] = {
            "p50_us": round(values[len(values) // 2]),
            "p99_us": round(values[min(len(values) * 99 // 100, len(values) - 1)]),
            "max_us": round(values[-1]),
        }
    met = rows["stop"]["p99_us"] < BAR_US
    return {"reports": riders, "taps_per_s": rate, **rows, "bar_us": BAR_US, "met": met}


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when the bar is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lost_report", description="How soon a lost report stops a tap."
    )
    parser.add_argument("--reports", type=int, default=500)
    parser.add_argument("--rate", type=int, default=500, help="taps a second of other riders")
    parser.add_argument("--dir", type=Path, default=Path(), help="on a real disk")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix=".bench-lost-", dir=options.dir)).resolve()
    try:
        report = asyncio.run(measure(folder / "city", options.reports, options.rate))
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps(report))  # noqa: T201
    else:
        for name in ("answer", "stop", "delta"):
            print(f"{name:8}", *(f"{k} {v:>9,}" for k, v in report[name].items()))  # noqa: T201
    return 0 if report["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
