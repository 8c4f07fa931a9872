"""From few accounts to very many: a decision, the link's p99, bytes a rider, the start."""

from __future__ import annotations

import os
import random
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers_common import Scope, on_core
from benchmarks.peers_gateway import GatewayPeer, open_gateway
from benchmarks.peers_idle import resident_bytes
from benchmarks.test_decision import BASE_US, STOPS, metro
from fastpath import _probe
from fastpath.api import Book, CompiledTariff
from gateway.bench.own_gateway import start_gateway
from gateway.config import Config
from gateway.observability import page

FEW, MANY = 10_000, 10_000_000
RECORDS = 1_000_000
CORE_ROUNDS = 4
AHEAD = 32
"""Taps in a frame, as in the case c50_batch32."""
JOURNEYS = 2_000_000
CURRENCY = 156
BARS = {
    "core_ratio": "at most 3",
    "link_p99_ratio": "at most 1.5",
    "bytes_per_rider": "at most 450",
    "start_s": "at most 15",
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """From how many accounts to how many; records behind the snapshot; how often."""

    few: int = FEW
    many: int = MANY
    records: int = RECORDS
    link_rounds: int = 6
    starts: int = 3


QUICK = Sizes(few=1_000, many=20_000, records=20_000, link_rounds=2, starts=1)


def measure_growth(scope: Scope, sizes: Sizes, *, say: Say) -> dict[str, Any]:
    """All four. The scope's seconds are those of one open loop."""
    few, many = sizes.few, sizes.many
    say(f"growth: decisions over {few:,} and {many:,} accounts")
    found: dict[str, Any] = {"accounts": [few, many], **measure_core(scope, few, many)}
    say(f"growth: {many:,} accounts are put into a snapshot")
    cases = ("c50", "half_load", "c50_batch32")
    scopes = [replace(scope, accounts=size) for size in (few, many)]
    with open_gateway(scopes[0], cases=cases) as small, open_gateway(scopes[1], cases=cases) as big:
        say("growth: the link")
        found |= measure_link(small, big, sizes.link_rounds)
        found |= count_memory(small, big, (few, many))
        small.finish()
        say(f"growth: {sizes.records:,} records behind the snapshot")
        while durable_records(big.stage.config) < sizes.records + SPARE_RECORDS:
            big.measure("c50_batch32")
        big.finish()
        say("growth: the start")
        found |= measure_start(big, many, sizes.starts)
    return {**found, "sound": [small.sound, big.sound], "bars": BARS}


SPARE_RECORDS = 1_000


# --- one decision


def measure_core(scope: Scope, few: int, many: int) -> dict[str, Any]:
    """Nanoseconds of processor time a decision, accounts in random order, sizes in turn: of taps
    whose accounts were fetched as the engine does it for a frame of AHEAD taps, and of single ones.
    """
    book = Book()
    spec = metro(1)
    book.put(0, CompiledTariff.build(spec))
    stops = array("I", spec.stop_ids)
    assert len(stops) == STOPS
    orders = [shuffled(size) for size in (few, many)]
    took: dict[tuple[int, int], list[float]] = {}
    journeys = min(JOURNEYS, 100 * few)
    plan = [(ahead, at) for ahead in (AHEAD, 0) for at in (0, 1)]
    with on_core(scope.server_core):
        for number in range(CORE_ROUNDS):
            for ahead, at in plan if number % 2 == 0 else reversed(plan):
                ns, accepted, *_ = _probe.bench(
                    book, orders[at], stops, BASE_US, journeys, CURRENCY, 0, ahead // 2
                )
                if accepted != 2 * journeys:
                    raise RuntimeError(f"{2 * journeys - accepted} decisions were refusals")
                took.setdefault((ahead, at), []).append(ns / (2 * journeys))
    (small, big), (small_one, big_one) = (
        [median(took[ahead, at]) for at in (0, 1)] for ahead in (AHEAD, 0)
    )
    return {
        "core_ns": [round(small), round(big)],
        "core_ratio": round(big / small, 2),
        "core_single_ns": [round(small_one), round(big_one)],
        "core_single_ratio": round(big_one / small_one, 2),
    }


def shuffled(count: int) -> array[int]:
    """All accounts in random order."""
    order = list(range(count))
    random.Random(2).shuffle(order)
    return array("I", order)


# --- the link


def measure_link(small: GatewayPeer, big: GatewayPeer, rounds: int) -> dict[str, Any]:
    """The same open loop against both, in turn."""
    peers = (small, big)
    for peer in peers:
        peer.measure("c50")
    rate = min(peer.half_rate() for peer in peers)
    waits: dict[int, list[float]] = {0: [], 1: []}
    for number in range(rounds):
        for at in (0, 1) if number % 2 == 0 else (1, 0):
            waits[at].append(peers[at].measure("half_load", rate=rate).p99_us)
    few_us, many_us = median(waits[0]), median(waits[1])
    return {
        "rate": round(rate),
        "link_p99_us": [round(few_us), round(many_us)],
        "link_p99_ratio": round(many_us / few_us, 2),
    }


# --- memory


def count_memory(small: GatewayPeer, big: GatewayPeer, sizes: tuple[int, int]) -> dict[str, Any]:
    """By the store's own count (account, medium, both indexes), and of the whole process."""
    opened = big.stage.opened
    few, many = (resident_bytes(peer.pid) for peer in (small, big))
    return {
        "bytes_per_rider": round(opened.memory_bytes / sizes[1], 1),
        "resident_bytes_per_rider": round((many - few) / (sizes[1] - sizes[0]), 1),
        "resident_mb": [round(few / 1e6), round(many / 1e6)],
    }


# --- the start


def durable_records(config: Config) -> int:
    """How many records the running gateway has made durable."""
    view = page.PageReader(config.page_path).read()
    if view is None:
        raise RuntimeError("the gateway shows no page")
    return view[page.DURABLE_SEQ]


def measure_start(peer: GatewayPeer, accounts: int, starts: int) -> dict[str, Any]:
    """From the start of the process to its ready line, on all cores; files not in the page cache.

    Raises: RuntimeError: it did not find all accounts or replayed fewer records than there are.
    """
    folder = peer.stage.folder
    if folder is None:
        raise RuntimeError("only a gateway of our own can be started again")
    taken, replayed, recovery = [], 0, []
    for _ in range(starts):
        drop_pages(folder.config)
        began = time.monotonic()
        with start_gateway(folder, None) as gateway:
            taken.append(time.monotonic() - began)
            view = page.PageReader(folder.config.page_path).read()
            if view is None:
                raise RuntimeError("the gateway shows no page")
            replayed = view[page.RECOVERED_RECORDS]
            recovery.append(view[page.RECOVERY_US] / 1e6)
            time.sleep(1.2)  # the page is told the number of accounts once a second
            view = page.PageReader(folder.config.page_path).read()
            if view is None or view[page.ACCOUNTS] != accounts:
                raise RuntimeError("not all accounts came back")
            gateway.stop()
    return {
        "start_s": round(median(taken), 1),
        "starts_s": [round(value, 1) for value in taken],
        "recovery_s": round(median(recovery), 1),
        "replayed_records": replayed,
    }


def drop_pages(config: Config) -> None:
    """Have the kernel forget what it keeps of the journal and the snapshots."""
    for path in [*config.journal.dir.iterdir(), *config.snapshots.dir.iterdir()]:
        drop_file(path)


def drop_file(path: Path) -> None:
    """One file's pages; they are written before."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
