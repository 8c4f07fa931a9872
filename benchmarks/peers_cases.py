"""What stretches a tail or fills memory: `python -m benchmarks.peers --case idle` and others.

idle: sessions that only send heartbeats. growth: the same load over few and many accounts.
disturbances: the same open loop undisturbed and disturbed, in turn (A B B A).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

from benchmarks.peers_common import Scope, on_core
from benchmarks.peers_gateway import GatewayPeer, open_gateway
from gateway.bench.options import BenchOptions
from gateway.bench.sessions import OpenSession, open_sessions
from gateway.bench.stage import Stage, set_stage
from gateway.bootstrap import build_control_client
from gateway.clock import now_us
from gateway.config import Config
from gateway.keys import load_secrets
from gateway.link.codes import DeviceMode
from gateway.link.frames import Heartbeat
from gateway.link.handshake import SealedLink

HEARTBEAT_S = 30
LINK_ROUNDS = 4
FEW_ACCOUNTS = 10_000


def run_case(name: str, scope: Scope, *, connections: int, seconds: float) -> dict[str, Any]:
    """One of the cases; the figures as `--json` prints them."""
    if name == "idle":
        return measure_idle(scope, connections=connections, seconds=seconds)
    if name == "growth":
        return measure_growth(scope)
    return measure_disturbances(scope)


def measure_idle(scope: Scope, *, connections: int, seconds: float) -> dict[str, Any]:
    """Memory and processor of a gateway with sessions that send a heartbeat each 30 s."""
    options = BenchOptions(
        connections=connections, accounts=max(connections, FEW_ACCOUNTS), folder=scope.folder
    )
    with set_stage(options, scope.server_core, lambda _: None) as stage, on_core(scope.client_core):
        empty = resident_bytes(stage.pid)
        key = load_secrets(stage.config).master_key
        with open_sessions(
            stage.address, stage.devices, master_key=key, mac=options.mac
        ) as sessions:
            before, began = cpu_s(stage.pid), time.monotonic()
            beats = _beat(sessions, seconds)
            wall_s = time.monotonic() - began
            share = (cpu_s(stage.pid) - before) / wall_s
            full = resident_bytes(stage.pid)
        stage.finish()
    return {
        "connections": connections,
        "heartbeats_per_s": round(beats / wall_s),
        "resident_mb": round(full / 1e6),
        "resident_mb_before": round(empty / 1e6),
        "core_share": round(share, 3),
        "bars": {"resident_mb": 600, "core_share": 0.1},
    }


def _beat(sessions: list[OpenSession], seconds: float) -> int:
    """Send heartbeats evenly, each answer read before the session's next one."""
    links = []
    for session in sessions:
        link = SealedLink(session.keys, is_server=False)
        link.sent, link.received = session.send_counter, session.receive_counter
        links.append(link)
    gap_s = HEARTBEAT_S / len(sessions)
    began, sent = time.monotonic(), 0
    while (due := began + sent * gap_s) < began + seconds:
        time.sleep(max(due - time.monotonic(), 0))
        at = sent % len(sessions)
        beat = Heartbeat(links[at].next_counter(), now_us(), 0, DeviceMode.NORMAL)
        sessions[at].plug.sendall(links[at].seal(beat.encode()))
        sessions[at].plug.recv(4096)
        sent += 1
    return sent


def measure_growth(scope: Scope) -> dict[str, Any]:
    """p99 of the link and bytes a rider, over few accounts and over many, in turn."""
    sizes = (min(FEW_ACCOUNTS, scope.accounts // 2), scope.accounts)
    scopes = [replace(scope, accounts=size) for size in sizes]
    cases = ("c50", "half_load")
    with open_gateway(scopes[0], cases=cases) as few, open_gateway(scopes[1], cases=cases) as many:
        peers = (few, many)
        for peer in peers:
            peer.measure("c50")
        rate = min(peer.half_rate() for peer in peers)
        waits: dict[int, list[float]] = {0: [], 1: []}
        for number in range(LINK_ROUNDS):
            for at in (0, 1) if number % 2 == 0 else (1, 0):
                waits[at].append(peers[at].measure("half_load", rate=rate).p99_us)
        resident = [resident_bytes(peer.pid) for peer in peers]
        for peer in peers:
            peer.finish()
    grown = [median(waits[at]) for at in (0, 1)]
    return {
        "accounts": sizes,
        "rate": round(rate),
        "p99_us": [round(value) for value in grown],
        "link_p99_ratio": round(grown[1] / grown[0], 2),
        "resident_bytes_per_rider": round((resident[1] - resident[0]) / (sizes[1] - sizes[0])),
        "bars": {"link_p99_ratio": 1.5, "resident_bytes_per_rider": 450},
    }


def measure_disturbances(scope: Scope) -> dict[str, Any]:
    """p99 and p99.9 at half load, disturbed against undisturbed."""
    with open_gateway(scope, cases=("c50", "half_load")) as peer:
        peer.measure("c50")
        rate = peer.half_rate()
        disturbances: Mapping[str, Callable[[], Any]] = {
            "snapshotter": lambda: _snapshotter(peer.stage.config, scope.client_core),
            "tariff": lambda: _tariffs(peer.stage),
        }
        rows = [
            {"disturbance": name, **_beside(peer, rate, disturb)}
            for name, disturb in disturbances.items()
        ]
        peer.finish()
    return {"rate": round(rate), "rows": rows, "bars": {"p99_ratio": 2, "p999_ratio": 5}}


def _beside(peer: GatewayPeer, rate: float, disturb: Callable[[], Any]) -> dict[str, Any]:
    figures: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for disturbed in (False, True, True, False):
        with disturb() if disturbed else nullcontext():
            sample = peer.measure("half_load", rate=rate)
            figures[disturbed].append((sample.p99_us, peer.p999_us("half_load")))
    calm, stirred = ([median(at) for at in zip(*figures[k], strict=True)] for k in (False, True))
    return {
        "p99_us": [round(calm[0]), round(stirred[0])],
        "p999_us": [round(calm[1]), round(stirred[1])],
        "p99_ratio": round(stirred[0] / calm[0], 2),
        "p999_ratio": round(stirred[1] / calm[1], 2),
    }


@contextmanager
def _snapshotter(config: Config, core: int | None) -> Iterator[None]:
    """A snapshotter that writes one snapshot after the other."""
    command = [sys.executable, "-m", "gateway.process", "snapshotter"]
    command += ["--config", str(config.gateway.data_dir / "gateway.toml")]
    command += ["--set", "snapshots.every_s=1"]
    with on_core(core):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _tariffs(stage: Stage) -> Iterator[None]:
    """The slot's tariff taken into use again, ten times a second."""
    client = build_control_client(stage.config)
    digest = str(client.call("tariff_list")["tariffs"][0]["digest"])
    slot = int(client.call("tariff_list")["tariffs"][0]["slot"])
    stop = Event()

    def switch() -> None:
        while not stop.wait(0.1):
            client.call("tariff_load", {"slot": slot, "digest": digest})

    thread = Thread(target=switch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def resident_bytes(pid: int) -> int:
    """Memory of a process as it is now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def cpu_s(pid: int) -> float:
    """Processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
