"""`faregate bench link`: taps over the validator link, MACs on, journal on disk, and the proof that
every acknowledged tap is in the journal.

    own data folder ▸ devices, accounts ▸ bare fsync ▸ gateway ▸ sessions ▸ prebuilt frames ▸ load
    ▸ drain and stop ▸ bare fsync ▸ acknowledged taps against the journal ▸ figures
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpath.types import Reason
from gateway.bench import machine
from gateway.bench._audit import TapAudit
from gateway.bench._histogram import Histogram
from gateway.bench._load import Load
from gateway.bench.fsync import find_filesystem
from gateway.bench.options import BenchOptions
from gateway.bench.sessions import OpenSession, open_sessions
from gateway.bench.stage import Stage, Tell, fsync_block_bytes, measure_floor, set_stage
from gateway.config import Config
from gateway.journals import open_reader
from gateway.keys import load_secrets
from gateway.link.codes import WireCode

GUESSED_TAPS_PER_S = 100_000
GUESSED_BATCHED_PER_S = 1_000_000
DRAIN_S = 10.0


def run(options: BenchOptions, tell: Tell = lambda _: None) -> dict[str, Any]:
    """One whole run; the figures as `--json` prints them.

    Args: tell: called with a line about each step.
    Raises: FareGatewayError: the gateway could not be started or refused a session.
    """
    cores = machine.choose_cores() if options.pin else None
    with set_stage(options, cores[1] if cores else None, tell) as stage:
        fsync = measure_floor(options, stage.config)
        with _pinned(cores[0] if cores else None):
            load, about = _drive(options, stage, tell)
        about["gateway_status"] = stage.finish()
        fsync.add(measure_floor(options, stage.config))
        tell("comparing what was acknowledged with the journal")
        audit = audit_taps(stage.config, load, stage.opened.position)
        about["filesystem"] = find_filesystem(stage.config.gateway.data_dir)
    return build_result(options, load, fsync, audit, about)


@contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _drive(options: BenchOptions, stage: Stage, tell: Tell) -> tuple[Load, dict[str, Any]]:
    master_key = load_secrets(stage.config).master_key
    with open_sessions(
        stage.address, stage.devices, master_key=master_key, mac=options.mac
    ) as sessions:
        load = build_load(options, stage.opened.tokens, stage.stops, sessions)
        began = time.monotonic()
        taps = load.prepare(_guess_frames(options), bytes_max=options.prebuilt_bytes)
        tell(f"{len(sessions)} sessions, {taps:,} taps built in {time.monotonic() - began:.1f} s")
        before = _Spent.read(stage.pid)
        load.go(
            duration_s=options.seconds,
            warmup_s=options.warmup_s,
            drain_s=DRAIN_S,
            rate=options.rate,
            poisson=options.poisson,
            depth=options.pipeline,
            verify_every=options.verify_every,
        )
        return load, _Spent.read(stage.pid).since(before)


@dataclass(frozen=True, slots=True)
class _Spent:
    """Seconds so far: by the clock, of this process's CPU, of the gateway's CPU; its memory."""

    wall_s: float
    client_s: float
    gateway_s: float
    gateway_memory_bytes: int

    @classmethod
    def read(cls, pid: int) -> _Spent:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        gateway_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        memory = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        return cls(time.monotonic(), time.process_time(), gateway_s, memory)

    def since(self, before: _Spent) -> dict[str, Any]:
        """Shares of a core."""
        wall_s = self.wall_s - before.wall_s
        return {
            "client_cpu": round((self.client_s - before.client_s) / wall_s, 3),
            "gateway_cpu": round((self.gateway_s - before.gateway_s) / wall_s, 3),
            "gateway_memory_bytes": self.gateway_memory_bytes,
        }


def build_load(
    options: BenchOptions, tokens: bytes, stops: array[int], sessions: list[OpenSession]
) -> Load:
    """A generator with these sessions taken over; the sockets stay the caller's."""
    load = Load(tokens=tokens, stops=stops, batch=options.batch, seed=options.seed)
    for session in sessions:
        load.add_link(
            session.plug.fileno(),
            send_key=session.keys.from_device,
            receive_key=session.keys.from_server,
            algorithm=session.keys.algorithm,
            device_id=session.device_id,
            boot_epoch=session.boot_epoch,
            next_seq=session.next_seq,
            send_counter=session.send_counter,
            receive_counter=session.receive_counter,
        )
    return load


def _guess_frames(options: BenchOptions) -> int:
    """Frames a connection that the run may need; what lacks is built while it runs."""
    guess = GUESSED_BATCHED_PER_S if options.batch or options.pipeline > 1 else GUESSED_TAPS_PER_S
    taps = (options.rate or guess) * (options.seconds + options.warmup_s)
    return int(taps / options.taps_a_frame / options.connections) + 1


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Acknowledged taps against the journal. lost and doubled must be 0."""

    acked: int
    journaled: int
    lost: int
    doubled: int
    group_bytes_mean: int
    group_count: int


def audit_taps(config: Config, load: Load, from_position: int) -> AuditResult:
    """Look up every acknowledged tap in the journal of a gateway that has stopped."""
    audit = TapAudit()
    acked = []
    for index in range(load.link_count):
        device_id, boot_epoch, first_seq, taps, bits = load.link(index)
        audit.add_device(device_id, boot_epoch, first_seq, taps)
        acked.append(int.from_bytes(bits, "little"))
    journal = open_reader(config)
    try:
        for group in journal.read(from_position):
            audit.read_group(group)
    finally:
        journal.close()
    found = [int.from_bytes(audit.bits(index), "little") for index in range(load.link_count)]
    return AuditResult(
        acked=sum(bits.bit_count() for bits in acked),
        journaled=audit.taps,
        lost=sum((a & ~f).bit_count() for a, f in zip(acked, found, strict=True)),
        doubled=audit.doubled,
        group_bytes_mean=audit.group_bytes // max(audit.groups, 1),
        group_count=audit.groups,
    )


def build_result(
    options: BenchOptions,
    load: Load,
    fsync: Histogram,
    audit: AuditResult,
    about: dict[str, Any],
) -> dict[str, Any]:
    """All figures of a run, times in microseconds."""
    tally = load.tally()
    reasons = {Reason(number).name.lower(): n for number, n in tally["by_reason"].items()}
    refused = {name: n for name, n in reasons.items() if not Reason[name.upper()].accepted}
    codes = {_code_name(number): n for number, n in tally["by_code"].items()}
    faults = ("bad_tags", "bad_counters", "bad_frames", "unasked", "doubled", "lost_connections")
    return {
        "taps_per_s": round(tally["window_taps"] / options.seconds),
        **_percentiles(load.latency, ""),
        **_percentiles(fsync, "fsync_"),
        "fsync_block_bytes": fsync_block_bytes(options),
        "connections": options.connections,
        "accounts": options.accounts,
        "batch": options.batch,
        "rate": options.rate,
        "poisson": options.poisson,
        "pipeline": options.pipeline,
        "seconds": options.seconds,
        "mac": options.mac,
        "verify_every": options.verify_every,
        "accepted": sum(reasons.values()) - sum(refused.values()),
        "refused": refused,
        "errors": codes,
        "faults": {name: tally[name] for name in faults if tally[name]},
        "unanswered": tally["unanswered_frames"],
        "built_late": tally["built_late"],
        "send_lag_p99_us": load.send_lag.percentile(990) // 1000,
        "acked": audit.acked,
        "journaled": audit.journaled,
        "lost": audit.lost,
        "doubled": audit.doubled,
        "groups": audit.group_count,
        "group_bytes_mean": audit.group_bytes_mean,
        **about,
        "cpu_model": machine.find_cpu_model(),
        "versions": machine.list_versions(),
        "commit": machine.find_commit(),
    }


def _percentiles(taken: Histogram, prefix: str) -> dict[str, int]:
    shares = {"p50_us": 500, "p99_us": 990, "p999_us": 999, "max_us": 1000}
    return {prefix + name: taken.percentile(share) // 1000 for name, share in shares.items()}


def _code_name(number: int) -> str:
    known = number in set(WireCode)
    return WireCode(number).text if known else f"code_{number}"


def is_sound(result: dict[str, Any]) -> bool:
    """Whether nothing was lost, taken twice or answered wrongly."""
    return not (result["lost"] or result["doubled"] or result["faults"] or result["gateway_status"])
