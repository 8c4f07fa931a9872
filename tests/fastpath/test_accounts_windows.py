"""Boot windows against sets of numbers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastpath._accounts import StoreHandle
from fastpath._accounts_probe import Probe
from tests.fastpath.accounts_model import SEEN, TOO_OLD, WINDOW, WindowModel, canonical

DEVICE, BOOT = 31, 7
HEAD = struct.Struct("<QQIIq")

# Steps: small moves around the top, big jumps, exact window edges.
STEP = st.one_of(
    st.integers(-70, 70),
    st.sampled_from([-WINDOW, 1 - WINDOW, -WINDOW - 1, WINDOW, WINDOW - 1, WINDOW + 1, 3 * WINDOW]),
    st.integers(-5000, 5000),
)
STEPS = st.lists(st.tuples(STEP, st.sampled_from("mmmmmrp")), max_size=120)


def make() -> Probe:
    probe = Probe(StoreHandle())
    assert probe.new_window(DEVICE, BOOT)
    return probe


def compare(probe: Probe, model: WindowModel, seqs: set[int]) -> None:
    image = probe.handle.window(DEVICE, BOOT)
    assert image is not None
    _, _, top, acked, _ = HEAD.unpack_from(image)
    assert (top, acked) == (model.top, model.acked)
    for seq in seqs:
        assert probe.check(DEVICE, BOOT, seq) == model.check(seq)
        assert probe.handle.answer(DEVICE, BOOT, seq) == model.answer(seq)
        assert probe.is_resolved(DEVICE, BOOT, seq) == model.is_resolved(seq)


@settings(max_examples=150, deadline=None)
@given(STEPS)
@example([(1, "m"), (9, "m"), (WINDOW, "m"), (1 - WINDOW, "m"), (-WINDOW, "m")])
@example([(5, "m"), (0, "r"), (WINDOW - 101, "m"), (101, "m")])
def test_window_is_a_set_of_the_last_4096(steps: list[tuple[int, str]]) -> None:
    probe, model = make(), WindowModel()
    asked = {0, 1, 2**32 - 1}
    for position, (step, what) in enumerate(steps, start=1):
        seq = min(max(model.top + step, 0), 2**32 - 1)
        asked |= {seq, max(seq - WINDOW, 0), max(seq - 8, 0), max(seq - 64, 0)}
        if what == "m":
            assert probe.mark(DEVICE, BOOT, seq, position) == model.mark(seq, position)
        else:
            there = position if what == "p" else 0
            assert probe.resolve(DEVICE, BOOT, seq, there) == model.resolve(seq, there)
    compare(probe, model, asked)


def test_a_device_that_counts_on_keeps_its_last_4096_answers() -> None:
    probe = make()
    for seq in range(1, 3 * WINDOW + 1):
        assert probe.mark(DEVICE, BOOT, seq, 1000 + seq) == 0
    top = 3 * WINDOW
    for seq in range(top - WINDOW + 1, top + 1):
        assert probe.handle.answer(DEVICE, BOOT, seq) == 1000 + seq
    assert probe.check(DEVICE, BOOT, top - WINDOW) == TOO_OLD
    assert probe.handle.answer(DEVICE, BOOT, top - WINDOW) == 0


def play(probe: Probe, steps: list[tuple[int, str]], first_position: int) -> None:
    for position, (step, what) in enumerate(steps, start=first_position):
        image = probe.handle.window(DEVICE, BOOT)
        assert image is not None
        seq = min(max(HEAD.unpack_from(image)[2] + step, 0), 2**32 - 1)
        if what == "m":
            probe.mark(DEVICE, BOOT, seq, position, now_us=position)
        else:
            probe.resolve(DEVICE, BOOT, seq, position if what == "p" else 0)


@settings(max_examples=150, deadline=None)
@given(STEPS, STEPS, STEPS)
@example([(8, "m")], [(0, "p"), (-3, "m"), (6, "m"), (WINDOW - 4, "m"), (0, "m")], [])
def test_undo_brings_back_bits_and_answers(
    before: list[tuple[int, str]], undone: list[tuple[int, str]], after: list[tuple[int, str]]
) -> None:
    probe, twin = make(), make()
    probe.undo_use(0)
    for store in (probe, twin):
        play(store, before, 1)
    probe.undo_forget(0)
    there = canonical(probe.handle)
    play(probe, undone, 1000)
    probe.undo_restore(0)
    assert canonical(probe.handle) == there
    play(probe, after, 2000)
    play(twin, after, 2000)
    assert canonical(probe.handle) == canonical(twin.handle)


@pytest.mark.parametrize("top", range(WINDOW + 900, WINDOW + 970, 3))
def test_a_gap_that_closes_is_acknowledged_up_to_the_top(top: int) -> None:
    probe = make()
    gap = top - 200
    for seq in range(1, top + 1):
        if seq != gap:
            probe.mark(DEVICE, BOOT, seq, seq)
    probe.mark(DEVICE, BOOT, gap, gap)
    image = probe.handle.window(DEVICE, BOOT)
    assert image is not None
    assert HEAD.unpack_from(image)[2:4] == (top, top)


def test_uploads_in_reverse_order_close_the_gap() -> None:
    probe = make()
    for seq in range(WINDOW, 0, -1):
        assert probe.mark(DEVICE, BOOT, seq, seq) == 0
        image = probe.handle.window(DEVICE, BOOT)
        assert image is not None
        assert HEAD.unpack_from(image)[3] == (WINDOW if seq == 1 else 0)


def test_answers_take_room_as_taps_come() -> None:
    probe = make()
    sizes = []
    for seq in range(1, 101):
        probe.mark(DEVICE, BOOT, seq, seq)
        sizes.append(probe.handle.bytes_used)
    assert sizes[0] == sizes[7]
    assert sizes[99] - sizes[0] == (128 - 8) * 8
    for seq in range(5 * WINDOW, 6 * WINDOW):
        probe.mark(DEVICE, BOOT, seq, seq)
    assert probe.handle.bytes_used - sizes[0] == (WINDOW - 8) * 8


def test_a_given_up_boot_makes_room_for_a_new_one() -> None:
    probe = Probe(StoreHandle())
    for boot in range(3):
        assert probe.new_window(DEVICE, boot, 3, 0)
        assert probe.mark(DEVICE, boot, 1, 500 + boot, now_us=100 - boot) == 0
    assert not probe.new_window(DEVICE, 1, 3, 1000)  # it is there
    assert not probe.new_window(DEVICE, 9, 3, 98)  # the oldest was used at 98
    assert probe.new_window(DEVICE, 9, 3, 99)
    assert probe.handle.window(DEVICE, 2) is None
    assert probe.handle.window_count == 3
    assert probe.handle.answer(DEVICE, 0, 1) == 500
    assert probe.check(DEVICE, 9, 1) == 0
    assert probe.new_window(DEVICE + 1, 0, 3, 0)  # another device has its own bound
    assert not probe.new_window(0, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), max_size=80))
def test_windows_are_found_by_device_and_boot(pairs: list[tuple[int, int]]) -> None:
    """At most three boots a device, the least recently used goes; against dicts."""
    probe = Probe(StoreHandle())
    model: dict[int, dict[int, int]] = {}
    for now, (device, boot) in enumerate(pairs, start=1):
        boots = model.setdefault(device, {})
        if boot not in boots:
            assert probe.new_window(device, boot, 3, 10**6)
            if len(boots) == 3:
                del boots[min(boots, key=lambda b: boots[b])]
        boots[boot] = now
        seq = 1 + now
        assert probe.mark(device, boot, seq, now, now_us=now) == 0
        assert probe.check(device, boot, seq) == SEEN
    for device in range(1, 5):
        for boot in range(7):
            known = boot in model.get(device, {})
            assert (probe.handle.window(device, boot) is not None) == known
    assert probe.handle.window_count == sum(len(boots) for boots in model.values())


def test_positions_beyond_52_bits_are_refused() -> None:
    probe = make()
    assert probe.mark(DEVICE, BOOT, 1, 2**52) == -1
    assert probe.mark(DEVICE, BOOT, 1, 2**52 - 1) == 0
    assert probe.handle.answer(DEVICE, BOOT, 1) == 2**52 - 1


def test_an_unknown_window_is_told() -> None:
    with pytest.raises(KeyError):
        make().mark(DEVICE, BOOT + 1, 1, 1)
