"""The image of a store: whole, or refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath._accounts import StoreHandle
from fastpath._accounts_image import dump, layout_digest, load
from fastpath._accounts_probe import Probe
from tests.fastpath.accounts_model import HEAD, canonical, image_of, load_image


def filled() -> StoreHandle:
    probe = Probe(StoreHandle())
    probe.fill(60, 11)
    for _ in range(3):
        probe.new_cell()
    for boot in range(3):
        probe.new_window(4, boot)
        for seq in range(1, 20, 1 + boot):
            probe.mark(4, boot, seq, 900 + seq, now_us=boot)
    probe.new_operation(1, 2, 3, 4)
    return probe.handle


IMAGE = image_of(filled())


def test_many_accounts_make_the_round_trip() -> None:
    probe = Probe(StoreHandle())
    probe.fill(40_000, 3)  # more than four chunks of accounts, and tables that doubled
    copy = StoreHandle()
    load_image(copy, image_of(probe.handle))
    assert canonical(copy) == canonical(probe.handle)
    assert Probe(copy).touch(40_000, 5000) == 15_000
    assert Probe(copy).find_each(1, 40_100) == 40_000
    assert copy.bytes_used <= probe.handle.bytes_used * 1.1


def test_the_sections_stand_as_documented() -> None:
    magic, version, slots, accounts, cells, media, windows, operations = HEAD.unpack_from(IMAGE)
    assert (magic, version, slots, accounts, cells) == (b"FGIMAGE1", 1, 60, 60, 3)
    assert (media, windows, operations) == (60, 3, 1)
    marks = 19 + 10 + 7
    assert len(IMAGE) == 64 + 60 * 256 + 3 * 64 + 60 * 32 + 3 * 1056 + marks * 8 + 32
    assert IMAGE[-32:] == struct.pack("<4Q", 1, 2, 3, 4)


def test_writes_are_few_and_large() -> None:
    probe = Probe(StoreHandle())
    probe.fill(20_000)
    sizes: list[int] = []
    dump(probe.handle, lambda data: sizes.append(memoryview(data).nbytes))
    assert sum(sizes) == len(image_of(probe.handle))
    assert len(sizes) <= 6
    assert max(sizes) <= 2 << 20


@pytest.mark.parametrize("place", range(2, 8))
@pytest.mark.parametrize("count", [2**16, 2**33, 2**63, 2**64 - 1])
def test_made_up_counts_ask_for_no_memory(place: int, count: int) -> None:
    data = bytearray(IMAGE)
    data[8 * place : 8 * place + 8] = struct.pack("<Q", count)
    with pytest.raises(ValueError, match="counts of the image"):
        load_image(StoreHandle(), bytes(data))


@pytest.mark.parametrize("cut", [0, 63, 64, 65, 5000, len(IMAGE) - 9, len(IMAGE) - 1])
def test_a_cut_image_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"too early|do not fit its size"):
        load_image(StoreHandle(), IMAGE[:cut])


def test_an_image_needs_an_empty_store_with_room() -> None:
    with pytest.raises(ValueError, match="not empty"):
        load_image(filled(), IMAGE)
    with pytest.raises(ValueError, match="no room for 60 accounts"):
        load_image(StoreHandle(accounts_max=59), IMAGE)
    with pytest.raises(ValueError, match="medium"):
        load_image(StoreHandle(media_max=59), IMAGE)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(IMAGE) - 1), st.integers(1, 255))
def test_no_byte_of_an_image_can_hurt(at: int, flip: int) -> None:
    """A snapshot's hash finds flips; until then nothing worse than an error may come of them."""
    data = bytearray(IMAGE)
    data[at] ^= flip
    store = StoreHandle(accounts_max=1000, media_max=1000)
    source = memoryview(bytes(data))
    place = 0

    def read_into(buffer: memoryview) -> None:
        nonlocal place
        if place + buffer.nbytes > len(source):
            raise ValueError("the image ends too early")
        buffer[:] = source[place : place + buffer.nbytes]
        place += buffer.nbytes

    try:
        load(store, read_into, len(source))
    except ValueError:
        store.clear()
    canonical(store)


def test_errors_of_the_writer_come_through() -> None:
    def refuse(data: object) -> None:
        raise OSError(28, "no room")

    with pytest.raises(OSError, match="no room"):
        dump(filled(), refuse)


def test_an_open_undo_log_does_not_see_the_load() -> None:
    store = StoreHandle()
    probe = Probe(store)
    probe.undo_use(1)
    load_image(store, IMAGE)
    probe.undo_restore(1)
    assert canonical(store) == canonical(filled())


def test_the_digest_is_stable() -> None:
    assert layout_digest() == layout_digest()
    assert len(layout_digest()) == 8
