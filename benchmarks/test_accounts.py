"""The store: what a look-up and a rider cost, the longest growth, and loading.

Media and accounts are touched in mixed order, a million of them (the ordinary test run: a few
thousand). Times are processor time of the thread, so that a neighbour on the core does not count.
`pytest benchmarks --benchmark-enable` (make bench) runs the large size and holds it to the goals.

Why the numbers mislead: one look-up follows the other, so the CPU overlaps their cache misses; in
the engine each waits for the one before. Loading reads from the page cache, a cold start from disk.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from fastpath._accounts_probe import Probe
from fastpath.api import StoreHandle
from gateway.engine.snapshot import SnapshotFacts, load_snapshot, write_snapshot

LARGE, SMALL = 1_000_000, 3_000
GOAL_BYTES = 450
GOAL_GROWTH_US = 300
GOAL_LOAD_NS = 1_000
"""An account: ten seconds for ten million."""
SHARD_OF_TEN_MILLION = 2_442
SPREAD_INVERSE: int = pow(0x9E3779B97F4A7C15, -1, 2**64)


def filled(count: int) -> Probe:
    probe = Probe(StoreHandle())
    assert probe.fill(count, 5) == count
    return probe


def test_lookup(benchmark: BenchmarkFixture) -> None:
    count = SMALL if benchmark.disabled else LARGE
    probe = filled(count)
    found_ns: list[float] = []

    def look_up() -> None:
        began_ns = time.thread_time_ns()
        assert probe.touch(count, count) == 5 * count
        found_ns.append((time.thread_time_ns() - began_ns) / count)

    benchmark.pedantic(look_up, rounds=1 if benchmark.disabled else 5)  # type: ignore[no-untyped-call]
    benchmark.extra_info.update(ns_a_lookup=min(found_ns))


def test_memory_of_a_plain_rider(benchmark: BenchmarkFixture) -> None:
    count = SMALL if benchmark.disabled else LARGE
    probe = benchmark.pedantic(filled, (count,), rounds=1)  # type: ignore[no-untyped-call]
    bytes_each = probe.handle.bytes_used / count
    benchmark.extra_info.update(bytes_a_rider=bytes_each)
    if not benchmark.disabled:
        assert bytes_each <= GOAL_BYTES


def crowded_tokens(count: int) -> list[bytes]:
    """Tokens that all go into one of the 4,096 tables of media."""
    spread = [5 << 52 | (number * 0x9E3779B1 & 0xFFFFFFFF) for number in range(1, count + 1)]
    return [struct.pack("<QQ", h * SPREAD_INVERSE % 2**64, h) for h in spread]


def longest_insert_us(tokens: list[bytes]) -> float:
    """The longest of all insertions: the last doubling or the mapping of memory."""
    probe = Probe(StoreHandle())
    longest = 0
    for token in tokens:
        began_ns = time.thread_time_ns()
        probe.new_medium(token)
        longest = max(longest, time.thread_time_ns() - began_ns)
    assert probe.handle.medium_count == len(tokens)
    return longest / 1000


def test_growth(benchmark: BenchmarkFixture) -> None:
    """One table as full as at ten million media, and doubled once more."""
    tokens = crowded_tokens(200 if benchmark.disabled else 2 * SHARD_OF_TEN_MILLION)
    found_us: list[float] = []
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: found_us.append(longest_insert_us(tokens)), rounds=1 if benchmark.disabled else 5
    )
    benchmark.extra_info.update(longest_insert_us=min(found_us))
    if not benchmark.disabled:
        assert min(found_us) <= GOAL_GROWTH_US


def test_load(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    count = SMALL if benchmark.disabled else LARGE
    facts = SnapshotFacts(position=8, next_seq=1, chain_hash=bytes(32), created_us=1)
    path = write_snapshot(tmp_path, filled(count).handle, facts)
    found_ns: list[float] = []

    def load() -> None:
        store = StoreHandle()
        began_ns = time.thread_time_ns()
        load_snapshot(path, store)
        found_ns.append((time.thread_time_ns() - began_ns) / count)
        assert store.account_count == count

    benchmark.pedantic(load, rounds=1 if benchmark.disabled else 3)  # type: ignore[no-untyped-call]
    benchmark.extra_info.update(ns_an_account=min(found_ns))
    if not benchmark.disabled:
        assert min(found_ns) <= GOAL_LOAD_NS
