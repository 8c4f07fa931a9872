"""`faregate bench link`: taps over the validator link, MACs on, journal on disk, and the proof that
every acknowledged tap is in the journal.

    own data folder ▸ devices, accounts ▸ bare fsync ▸ gateway ▸ sessions ▸ prebuilt frames ▸ load
    ▸ drain and stop ▸ bare fsync ▸ acknowledged taps against the journal ▸ figures
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastpath.types import Reason
from gateway.bench import machine
from gateway.bench._audit import TapAudit
from gateway.bench._histogram import Histogram
from gateway.bench._load import Load
from gateway.bench.fsync import find_filesystem, measure_fsync
from gateway.bench.opening import Opened, open_accounts
from gateway.bench.options import BenchOptions
from gateway.bench.own_gateway import RunningGateway, add_devices, data_folder, start_gateway
from gateway.bench.sessions import OpenSession, allow_files, open_sessions
from gateway.config import Config
from gateway.journal.segments import SegmentJournal
from gateway.keys import load_secrets
from gateway.link.codes import WireCode
from gateway.resources import calendar_dirs, find_tariff
from gateway.tariffs.compile import compile_tariff

RECORD_BYTES = 384
"""About what a tap's record takes: the size of a group is guessed from it before the run."""
FSYNC_SECONDS = 0.5
GUESSED_TAPS_PER_S = 100_000
GUESSED_BATCHED_PER_S = 1_000_000
DRAIN_S = 10.0

Tell = Callable[[str], None]


def run(options: BenchOptions, tell: Tell = lambda _: None) -> dict[str, Any]:
    """One whole run; the figures as `--json` prints them.

    Args: tell: called with a line about each step.
    Raises: FareGatewayError: the gateway could not be started or refused a session.
    """
    allow_files(options.connections)
    cores = machine.choose_cores() if options.pin else None
    with data_folder(options) as folder:
        config, place = folder.config, folder.config.gateway.data_dir
        prepared = _prepare(options, config, tell)
        fsync = measure_fsync(place, **_fsync_plan(options))
        with start_gateway(folder, cores[1] if cores else None) as gateway:
            tell(f"gateway at {gateway.address[0]}:{gateway.address[1]}")
            with _pinned(cores[0] if cores else None):
                load, spent = _drive(options, config, prepared, gateway, tell)
            status = gateway.stop()
        fsync.add(measure_fsync(place, **_fsync_plan(options)))
        tell("comparing what was acknowledged with the journal")
        audit = audit_taps(config, load, prepared.opened.position)
        about = {"gateway_status": status, "filesystem": find_filesystem(place), **spent}
    return build_result(options, load, fsync, audit, about)


@dataclass(frozen=True, slots=True)
class _Prepared:
    devices: range
    opened: Opened
    stops: array[int]


def _prepare(options: BenchOptions, config: Config, tell: Tell) -> _Prepared:
    began = time.monotonic()
    stops = find_stops(options.tariff)
    devices = add_devices(config, options.connections)
    opened = open_accounts(
        config, options.accounts, lambda count: tell(f"{count:,} accounts opened")
    )
    tell(f"prepared in {time.monotonic() - began:.1f} s")
    return _Prepared(devices, opened, stops)


def find_stops(tariff: str) -> array[int]:
    """Stops of a tariff between which every ride can be priced, as far as its first stop tells."""
    spec = compile_tariff(find_tariff(tariff), calendars=calendar_dirs())
    count = len(spec.stop_ids)
    priced = [
        stop
        for at, stop in enumerate(spec.stop_ids)
        if spec.od_fare_minor[at] >= 0 and spec.od_fare_minor[at * count] >= 0
    ]
    return array("I", priced or spec.stop_ids)


def _fsync_plan(options: BenchOptions) -> dict[str, Any]:
    taps = options.taps_a_frame * (1 if options.rate else options.connections * options.pipeline)
    block = min(max(-(-taps * RECORD_BYTES // 4096) * 4096, 4096), 1 << 20)
    return {"block_bytes": block, "seconds": FSYNC_SECONDS}


@contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _drive(
    options: BenchOptions,
    config: Config,
    prepared: _Prepared,
    gateway: RunningGateway,
    tell: Tell,
) -> tuple[Load, dict[str, Any]]:
    master_key = load_secrets(config).master_key
    with open_sessions(
        gateway.address, prepared.devices, master_key=master_key, mac=options.mac
    ) as sessions:
        tell(f"{len(sessions)} sessions open")
        load = build_load(options, prepared.opened.tokens, prepared.stops, sessions)
        began = time.monotonic()
        taps = load.prepare(_guess_frames(options), bytes_max=options.prebuilt_bytes)
        tell(f"{taps:,} taps built in {time.monotonic() - began:.1f} s; go")
        cpu = time.process_time(), gateway.cpu_s(), time.monotonic()
        load.go(
            duration_s=options.seconds,
            warmup_s=options.warmup_s,
            drain_s=DRAIN_S,
            rate=options.rate,
            poisson=options.poisson,
            depth=options.pipeline,
            verify_every=options.verify_every,
        )
        wall = time.monotonic() - cpu[2]
        spent = {
            "client_cpu": round((time.process_time() - cpu[0]) / wall, 3),
            "gateway_cpu": round((gateway.cpu_s() - cpu[1]) / wall, 3),
            "gateway_memory_bytes": gateway.memory_bytes(),
        }
    return load, spent


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
    journal = SegmentJournal.open(config.journal.dir, read_only=True)
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
        "fsync_block_bytes": _fsync_plan(options)["block_bytes"],
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
