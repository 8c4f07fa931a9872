"""Undo: whatever a group did, restoring its log leaves the store as it was."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath._accounts import StoreHandle
from fastpath._accounts_probe import Probe
from tests.fastpath.accounts_model import (
    account_image,
    canonical,
    crowded_token,
    load_image,
    medium_image,
)
from tests.fastpath.accounts_model import image_of as dump_image

KINDS = ["account", "write", "cell", "fill_cell", "medium", "change", "window", "mark", "resolve"]
STEP = st.tuples(
    st.sampled_from([*KINDS, "mark", "mark", "operation"]), st.integers(0, 12), st.integers(0, 9000)
)
STEPS = st.lists(STEP, max_size=60)


def token(number: int) -> bytes:
    return crowded_token(number + 1)


class Actor:
    """Does steps to a store and to nothing else; what a step says depends on the store alone."""

    def __init__(self) -> None:
        self.probe = Probe(StoreHandle(accounts_max=8, media_max=9))
        self.now = 0

    def do(self, steps: list[tuple[str, int, int]]) -> list[object]:
        return [getattr(self, kind)(a, b) for kind, a, b in steps]

    def account(self, a: int, b: int) -> object:
        return self.probe.new_account(a)

    def write(self, a: int, b: int) -> object:
        slot = self.probe.handle.account_slot(a)
        if slot:
            self.probe.write_account(slot, account_image(a, b, fill=b))
        return slot

    def cell(self, a: int, b: int) -> object:
        return self.probe.new_cell()

    def fill_cell(self, a: int, b: int) -> object:
        if self.probe.handle.cell(a) is not None:
            self.probe.write_cell(a, bytes([b % 256]) * 64)
        return self.probe.handle.cell(a)

    def medium(self, a: int, b: int) -> object:
        return self.probe.new_medium(token(a))

    def change(self, a: int, b: int) -> object:
        if self.probe.handle.medium(token(a)) is not None:
            slot = b % (self.probe.handle.account_count + 1)
            self.probe.write_medium(medium_image(token(a), slot, 1 + b % 5))
        return self.probe.handle.medium(token(a))

    def window(self, a: int, b: int) -> object:
        return self.probe.new_window(1 + a % 3, b % 5, 2, 10**6)

    def _known(self, a: int, b: int) -> bool:
        return self.probe.handle.window(1 + a % 3, b % 5) is not None

    def mark(self, a: int, b: int) -> object:
        self.now += 1
        if not self._known(a, b):
            return None
        return self.probe.mark(1 + a % 3, b % 5, b, 1000 + self.now, self.now)

    def resolve(self, a: int, b: int) -> object:
        if not self._known(a, b):
            return None
        return self.probe.resolve(1 + a % 3, b % 5, b, b % 3)

    def operation(self, a: int, b: int) -> object:
        return self.probe.new_operation(a, b << 16, 1, 1 + b)


@settings(max_examples=150, deadline=None)
@given(STEPS, STEPS, STEPS)
def test_restore_leaves_what_was_there(
    before: list[tuple[str, int, int]],
    undone: list[tuple[str, int, int]],
    after: list[tuple[str, int, int]],
) -> None:
    actor, twin = Actor(), Actor()
    actor.probe.undo_use(0)
    actor.do(before)
    actor.probe.undo_forget(0)
    twin.do(before)
    there = canonical(actor.probe.handle)
    actor.do(undone)
    actor.probe.undo_restore(0)
    assert canonical(actor.probe.handle) == there
    actor.now = twin.now
    # A store that went back behaves as one that never went.
    assert actor.do(after) == twin.do(after)
    assert canonical(actor.probe.handle) == canonical(twin.probe.handle)


@settings(max_examples=100, deadline=None)
@given(STEPS, STEPS, STEPS, st.booleans())
def test_two_open_logs(
    before: list[tuple[str, int, int]],
    sealed: list[tuple[str, int, int]],
    opened: list[tuple[str, int, int]],
    written: bool,
) -> None:
    """The open group is undone first; the sealed one with it, or not because it was written."""
    actor = Actor()
    probe = actor.probe
    actor.do(before)
    start = canonical(probe.handle)
    probe.undo_use(1)
    actor.do(sealed)
    middle = canonical(probe.handle)
    probe.undo_use(0)
    actor.do(opened)
    if written:
        probe.undo_forget(1)
    probe.undo_restore(0)
    assert canonical(probe.handle) == middle
    if not written:
        probe.undo_restore(1)
        assert canonical(probe.handle) == start


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, max_size=5))
def test_forgotten_groups_stay(groups: list[list[tuple[str, int, int]]]) -> None:
    actor, twin = Actor(), Actor()
    for number, steps in enumerate(groups):
        actor.probe.undo_use(number % 2)
        assert actor.do(steps) == twin.do(steps)
        actor.probe.undo_forget(number % 2)
    assert canonical(actor.probe.handle) == canonical(twin.probe.handle)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_the_image_brings_everything_back(steps: list[tuple[str, int, int]]) -> None:
    actor = Actor()
    actor.do(steps)
    copy = StoreHandle(accounts_max=8, media_max=9)
    load_image(copy, dump_image(actor.probe.handle))
    assert canonical(copy) == canonical(actor.probe.handle)
    assert copy.account_count == actor.probe.handle.account_count
    twin = Actor()
    twin.probe = Probe(copy)
    twin.now = actor.now
    assert twin.do(steps) == actor.do(steps)


def test_the_copy_saved_last_is_shown() -> None:
    probe = Probe(StoreHandle())
    probe.undo_use(0)
    probe.new_account(3)
    old, new = account_image(3, 10), account_image(3, 20)
    probe.write_account(1, old)
    probe.write_account(1, new)
    assert probe.last_saved() == old
    assert probe.handle.account(3) == new
    probe.undo_forget(0)
    assert probe.last_saved() is None


def test_a_group_larger_than_a_block_is_undone() -> None:
    probe = Probe(StoreHandle())
    probe.fill(50, 7)
    there = canonical(probe.handle)
    probe.undo_use(0)
    for number in range(20_000):
        slot = 1 + number % 50
        probe.write_account(slot, account_image(slot, number))
    grown = probe.handle.bytes_used
    probe.undo_restore(0)
    assert canonical(probe.handle) == there
    for number in range(20_000):
        probe.write_account(1 + number % 50, account_image(1 + number % 50, number))
    assert probe.handle.bytes_used == grown  # the blocks are kept and used again


def test_windows_given_up_and_undone_leave_no_memory_behind() -> None:
    probe = Probe(StoreHandle())
    probe.new_window(1, 0, 1, 10**6)
    probe.undo_use(0)
    used = None
    for boot in range(1, 400):
        probe.new_window(1, boot, 1, 10**6)
        probe.mark(1, boot, 1, 5)
        (probe.undo_restore if boot % 3 == 0 else probe.undo_forget)(0)
        used = used or probe.handle.bytes_used
        assert probe.handle.bytes_used - used <= 1000
    assert probe.handle.window_count == 1


def test_what_is_not_there_cannot_be_saved() -> None:
    probe = Probe(StoreHandle())
    probe.undo_use(0)
    with pytest.raises(ValueError, match="no such slot"):
        probe.write_account(1, account_image(1))
    with pytest.raises(ValueError, match="no such cell"):
        probe.write_cell(1, bytes(64))
