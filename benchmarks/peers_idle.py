"""Sessions that only send heartbeats: what they take of memory and processor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.peers_common import Scope, on_core
from gateway.bench.options import BenchOptions
from gateway.bench.sessions import OpenSession, open_sessions
from gateway.bench.stage import set_stage
from gateway.clock import now_us
from gateway.keys import load_secrets
from gateway.link.codes import DeviceMode
from gateway.link.frames import Heartbeat
from gateway.link.handshake import SealedLink

HEARTBEAT_S = 30
CONNECTIONS = 16_000
BARS = {"resident_mb": "under 600", "core_share": "under 0.1"}


def measure_idle(scope: Scope, *, connections: int, seconds: float) -> dict[str, Any]:
    """Memory and processor of a gateway with sessions that send a heartbeat each 30 s."""
    options = BenchOptions(
        connections=connections,
        accounts=max(connections, 10_000),
        folder=scope.folder,
        opening="snapshot",
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
        "bars": BARS,
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


def resident_bytes(pid: int) -> int:
    """Memory of a process as it is now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def cpu_s(pid: int) -> float:
    """Processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
