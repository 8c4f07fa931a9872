"""The tables and slabs of the store against dicts, and what a rider costs in memory."""

from __future__ import annotations

import gc
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath._accounts import StoreHandle
from fastpath._accounts_probe import Probe
from tests.fastpath.accounts_model import (
    MEDIUM,
    account_image,
    canonical,
    crowded_token,
    medium_image,
)

# Few distinct values, so that hits are as likely as misses; extreme ones among them.
IDS = st.one_of(st.integers(0, 40), st.sampled_from([2**64 - 1, 2**63, 2**32, 2**32 + 1]))
TOKENS = st.integers(0, 60).map(lambda i: struct.pack("<QQ", i % 7, i))


def make(**limits: int) -> Probe:
    return Probe(StoreHandle(**limits))


@settings(deadline=None)
@given(st.lists(IDS, max_size=200))
def test_account_ids_find_their_slots(ids: list[int]) -> None:
    probe = make(accounts_max=30)
    slots: dict[int, int] = {}
    for account_id in ids:
        slot = probe.new_account(account_id)
        if account_id == 0 or account_id in slots or len(slots) == 30:
            assert slot == 0
        else:
            assert slot == len(slots) + 1
            slots[account_id] = slot
            probe.write_account(slot, account_image(account_id, account_id % 1000))
    store = probe.handle
    assert store.account_count == len(slots)
    for account_id in {*ids, 77}:
        assert store.account_slot(account_id) == slots.get(account_id, 0)
    assert list(store.iter_accounts()) == [account_image(i, i % 1000) for i in slots]


@settings(deadline=None)
@given(st.lists(TOKENS, max_size=200))
def test_tokens_find_their_media(tokens: list[bytes]) -> None:
    probe = make(media_max=40)
    media: dict[bytes, bytes] = {}
    for token in tokens:
        made = probe.new_medium(token)
        assert made == (token != bytes(16) and token not in media and len(media) < 40)
        if made:
            media[token] = medium_image(token, len(media))
            probe.write_medium(media[token])
    assert probe.handle.medium_count == len(media)
    for token in {*tokens, b"\x01" * 16}:
        assert probe.handle.medium(token) == media.get(token)
    assert sorted(probe.handle.iter_media()) == sorted(media.values())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=150))
def test_operations_are_remembered_once(keys: list[tuple[int, int, int]]) -> None:
    probe = make()
    seen: dict[tuple[int, int, int], int] = {}
    for position, key in enumerate(keys, start=1):
        fresh = key != (0, 0, 0) and key not in seen
        assert probe.new_operation(*key, position) == (0 if fresh else -1)
        if fresh:
            seen[key] = position
    assert probe.handle.operation_count == len(seen)
    for key in [(a, b, c) for a in range(4) for b in range(4) for c in range(4)]:
        assert probe.handle.operation(*key) == seen.get(key, 0)


def test_every_id_is_found_while_tables_double() -> None:
    probe = make()
    for end in (1, 10, 4_000, 30_000):
        for account_id in range(probe.handle.account_count + 1, end + 1):
            probe.new_account(account_id)
            assert probe.new_operation(account_id, account_id << 16, 5, account_id) == 0
        assert probe.find_each(1, end + 100) == end
        assert all(probe.handle.operation(i, i << 16, 5) == i for i in range(1, end + 1))


def test_tokens_that_are_no_hashes_still_spread() -> None:
    probe = make()
    tokens = [struct.pack("<QQ", i, 0) for i in range(1, 20_001)]
    tokens += [struct.pack(">QQ", i, 0) for i in range(1, 20_001)]
    assert all(probe.new_medium(token) for token in tokens)
    before = probe.handle.bytes_used
    assert all(probe.handle.medium(token) is not None for token in tokens)
    assert before < 40_000 * 200 + 4_000_000  # one long shard would have doubled far beyond


def test_old_operations_make_room_instead_of_growth() -> None:
    probe = make()

    def add(first_ms: int, count: int) -> None:
        for i in range(count):
            assert probe.new_operation(1, (first_ms + i) << 16, i, 1) == 0

    add(1_000_000, 60_000)
    probe.expire_operations(1_060_000 * 1000)
    full = probe.handle.bytes_used
    for round_ in range(1, 6):
        start = 1_000_000 + 100_000 * round_
        add(start, 60_000)
        assert probe.handle.operation(1, start << 16, 0) == 1
        probe.expire_operations((start + 60_000) * 1000)
    assert probe.handle.operation_count < 150_000
    assert probe.handle.bytes_used <= full * 2.2


def test_cells_count_from_one_and_begin_empty() -> None:
    probe = make(accounts_max=2)
    assert [probe.new_cell() for _ in range(33)] == [*range(1, 33), 0]
    assert probe.handle.cell(32) == bytes(64)
    assert probe.handle.cell(33) is None
    assert probe.handle.cell(0) is None
    probe.write_cell(7, b"\x07" * 64)
    assert probe.handle.cell(7) == b"\x07" * 64
    assert probe.handle.cell(6) == bytes(64)


def test_a_plain_rider_costs_at_most_450_bytes() -> None:
    probe = make()
    assert probe.fill(100_000, 5) == 100_000
    assert probe.handle.bytes_used / 100_000 <= 450
    assert probe.touch(100_000, 10_000) == 50_000


def test_limits_hold_and_say_so() -> None:
    probe = make(accounts_max=10, media_max=10)
    assert probe.fill(11) == 10
    assert probe.handle.account_count == 10
    assert probe.handle.account(11) is None
    assert probe.handle.account_at(11) is None
    assert probe.handle.account_at(0) is None
    with pytest.raises(ValueError, match="16 bytes"):
        probe.handle.medium(b"short")


def test_clear_leaves_nothing() -> None:
    probe = make()
    empty = canonical(StoreHandle())
    probe.fill(100)
    probe.new_window(5, 1)
    probe.handle.denylist_version = 4
    probe.handle.clear()
    assert canonical(probe.handle) == empty
    assert probe.handle.denylist_version == 0


def test_many_stores_come_and_go() -> None:
    for _ in range(50):
        store = StoreHandle()
        Probe(store).fill(50)
        del store
    gc.collect()


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(1, 25)), st.integers(0, 23))
def test_every_entry_survives_the_removal_of_others(order: list[int], keep: int) -> None:
    """A crowded shard; one entry is taken out of the middle."""
    probe = make()
    for number in order[:keep]:
        assert probe.new_medium(crowded_token(number))
    probe.undo_use(0)
    probe.new_medium(crowded_token(order[keep]))
    probe.undo_use(1)
    for number in order[keep + 1 :]:
        assert probe.new_medium(crowded_token(number))
    probe.undo_forget(1)
    probe.undo_restore(0)  # takes one out of the middle
    for number in range(1, 25):
        found = probe.handle.medium(crowded_token(number)) is not None
        assert found == (number != order[keep])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 120)), max_size=400))
def test_removal_closes_gaps(steps: list[tuple[bool, int]]) -> None:
    """Undo is what removes entries: after each step the table agrees with a dict."""
    probe = make()
    probe.undo_use(0)
    kept: set[int] = set()
    for keep, number in steps:
        if probe.new_medium(crowded_token(number)):
            if keep:
                probe.undo_forget(0)
                kept.add(number)
            else:
                probe.undo_restore(0)
    for number in range(1, 121):
        found = probe.handle.medium(crowded_token(number))
        assert (found is not None) == (number in kept)
    assert {MEDIUM.unpack(image)[0] for image in probe.handle.iter_media()} == {
        crowded_token(number) for number in kept
    }
