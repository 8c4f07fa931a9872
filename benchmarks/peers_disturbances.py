"""The same open loop undisturbed and disturbed, in turn (A B B A A B): p99 and p99.9.

Each disturbance tells what it really did in the measured windows; one that did nothing is an error,
not a good figure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers_common import Scope
from benchmarks.peers_gateway import GatewayPeer, open_gateway
from gateway.bench.sessions import allow_files

ORDER = (False, True, True, False, False, True)
BARS = {"p99_ratio": "at most 2", "p999_ratio": "at most 5"}
DISTURBANCES = ("snapshotter", "tariff", "denylist", "reconnect")
DENIED = 1_000_000
FLEET = 5_000
FLEET_RATE_MAX = 15_000
"""Taps a second beside the fleet. Generator and fleet share a core: beside half of what c=50 does
the fleet would come back slower than the protocol has it."""
LISTS = 4
READY_S = 120.0
SOURCES = Path(__file__).resolve().parents[1]

Tell = Callable[[float], None]
Done = Callable[[], dict[str, Any]]


class VoidWindow(RuntimeError):
    """A disturbance that did not take place in a measured window: there is no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the disturbances are."""

    denied: int = DENIED
    fleet: int = FLEET
    order: tuple[bool, ...] = ORDER
    """Which windows are disturbed."""
    only: tuple[str, ...] = DISTURBANCES


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Begin it for so many seconds; tell what it has done when the window is over."""

    begin: Tell
    done: Done


def measure_disturbances(
    scope: Scope, sizes: Sizes, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Rows of ratios, one a disturbance; `void` instead says why one did not take place."""
    allow_files(sizes.fleet + 200)
    with open_gateway(
        scope,
        cases=("c50", "half_load"),
        denied=sizes.denied,
        spare_devices=sizes.fleet + LISTS,
    ) as peer:
        peer.measure("c50")
        rate = peer.half_rate()
        rows = []
        for name, disturbance in _disturbances(peer, sizes).items():
            if name not in sizes.only:
                continue
            say(f"disturbance: {name}")
            with disturbance as stir:
                beside = min(rate, FLEET_RATE_MAX) if name == "reconnect" else rate
                try:
                    row = _beside(peer, beside, stir, sizes.order)
                except VoidWindow as reason:
                    row = {"void": str(reason), "p99_ratio": None, "p999_ratio": None}
                rows.append({"disturbance": name, **row})
        peer.finish()
    return {
        "accounts": scope.accounts,
        "denied": sizes.denied,
        "rate": round(rate),
        "window_s": scope.seconds,
        "rows": rows,
        "bars": BARS,
        "sound": peer.sound,
    }


def _disturbances(
    peer: GatewayPeer, sizes: Sizes
) -> Mapping[str, AbstractContextManager[Disturbance]]:
    first = peer.stage.devices.stop
    fleet = ["--devices", str(first), str(sizes.fleet)]
    lists = ["--devices", str(first + sizes.fleet), str(LISTS)]
    stops = ["--stops", ",".join(str(stop) for stop in peer.stage.stops[:64])]
    return {
        "snapshotter": _snapshotter(peer),
        "tariff": _stir(peer, "tariff", []),
        "denylist": _stir(peer, "denylist", lists, tokens=peer.stage.opened.denied),
        "reconnect": _stir(peer, "reconnect", fleet + stops, tokens=peer.spare_tokens),
    }


def _beside(
    peer: GatewayPeer, rate: float, stir: Disturbance, order: tuple[bool, ...]
) -> dict[str, Any]:
    figures: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    did, lags = [], []
    for disturbed in order:
        peer.prepare("half_load", rate=rate)
        starter = threading.Timer(peer.warmup_s, stir.begin, (peer.seconds,))
        if disturbed:
            starter.start()
        sample = peer.measure("half_load", rate=rate)
        figures[disturbed].append((sample.p99_us, peer.p999_us("half_load")))
        if disturbed:
            starter.join()
            did.append(stir.done())
            lags.append(peer.send_lag_p99_us("half_load"))
    calm, stirred = ([median(at) for at in zip(*figures[k], strict=True)] for k in (False, True))
    return {
        "rate": round(rate),
        "p99_us": [round(calm[0]), round(stirred[0])],
        "p999_us": [round(calm[1]), round(stirred[1])],
        "p99_ratio": round(stirred[0] / calm[0], 2),
        "p999_ratio": round(stirred[1] / calm[1], 2),
        "send_lag_p99_us": round(max(lags)),
        "did": did,
    }


@contextmanager
def _snapshotter(peer: GatewayPeer) -> Iterator[Disturbance]:
    """A snapshotter that writes one snapshot after the other, as nice as in a real gateway and on
    whichever core it likes."""
    folder = peer.stage.config.gateway.data_dir
    log, began = folder / "snapshotter.log", [0.0]
    command = [sys.executable, "-m", "gateway.process", "snapshotter"]
    command += ["--config", str(folder / "gateway.toml")]
    command += ["--set", "snapshots.every_s=1", "--set", "log.level=info"]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=said)
    # A run may have real-time priority (chrt); what disturbs it never has.
    os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))

    def begin(_seconds: float) -> None:
        began[0] = time.time()

    def done() -> dict[str, Any]:
        return _snapshots_between(log, began[0], time.time(), peer)

    try:
        _await_snapshot(log, process)
        yield Disturbance(begin, done)
    finally:
        process.terminate()
        process.wait()


def _await_snapshot(log: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while not _written(log):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the snapshotter writes nothing: {log.read_text()[-500:]}")
        time.sleep(0.1)


def _written(log: Path) -> list[tuple[float, float]]:
    """(end, seconds) of every snapshot the log tells of."""
    lines = [
        json.loads(line) for line in log.read_text().splitlines() if "snapshot_written" in line
    ]
    return [(datetime.fromisoformat(e["ts"]).timestamp(), e["duration_us"] / 1e6) for e in lines]


def _snapshots_between(log: Path, begin: float, end: float, peer: GatewayPeer) -> dict[str, Any]:
    inside = [
        (max(done - took, begin), min(done, end))
        for done, took in _written(log)
        if done > begin and done - took < end
    ]
    # The one that was still being written at the end is told of afterwards, if at all.
    if not inside:
        raise VoidWindow("no snapshot was written in a measured window")
    folder = peer.stage.config.snapshots.dir
    sizes = [path.stat().st_size for path in folder.glob("*.snap")]
    return {
        "snapshots_written": sum(begin <= done <= end for _, done in inside),
        "share_of_window_writing": round(sum(b - a for a, b in inside) / (end - begin), 2),
        "snapshot_mb": round(max(sizes) / 1e6),
    }


@contextmanager
def _stir(
    peer: GatewayPeer, kind: str, arguments: list[str], tokens: bytes = b""
) -> Iterator[Disturbance]:
    """One of benchmarks.peers_stir, waiting for its cue."""
    folder = peer.stage.config.gateway.data_dir
    file = folder / f"{kind}.tokens"
    file.write_bytes(tokens)
    command = [sys.executable, "-m", "benchmarks.peers_stir", kind, "--tokens", str(file)]
    command += ["--config", str(folder / "gateway.toml"), "--port", str(peer.stage.address[1])]
    process = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers = process.stdin, process.stdout

    def begin(seconds: float) -> None:
        orders.write(f"go {seconds}\n")
        orders.flush()

    def done() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(_line(answers, kind))
        _line(answers, kind)
        return found

    if peer.client_core is not None:
        os.sched_setaffinity(process.pid, {peer.client_core})
    try:
        _line(answers, kind)
        yield Disturbance(begin, done)
    finally:
        orders.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        answers.close()


def _line(answers: Any, kind: str) -> str:
    line: str = answers.readline()
    if not line:
        raise RuntimeError(f"the disturbance {kind} ended; it says why on standard error")
    return line


def quick(scope: Scope) -> tuple[Scope, Sizes]:
    """Small enough for --quick: that it works, not how well."""
    accounts = max(scope.accounts, 4_000)
    return replace(scope, accounts=accounts, seconds=2.0), Sizes(
        denied=10_000, fleet=50, order=(False, True)
    )
