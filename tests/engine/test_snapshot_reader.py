"""Bodies of every size come through whole, in pieces of every size, hashed as they are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fastpath._accounts_bulk import denied_tokens, populate_accounts
from fastpath.api import StoreHandle
from fastpath.types import MediumKind, MediumState
from gateway.bench._filling import fill_media, fill_riders
from gateway.engine.snapshot import SnapshotFacts, load_snapshot, write_snapshot
from gateway.engine.snapshot_reader import PIECE_BYTES, PIECES, open_body

SKIP = 256
SIZES = (0, 1, 4096 - SKIP, PIECE_BYTES - SKIP, PIECE_BYTES, (PIECES + 2) * PIECE_BYTES + 77)
RIDER = {"currency": 156, "balance_minor": 900, "kind": int(MediumKind.CARD)}


def make_file(folder: Path, size: int) -> tuple[Path, bytes]:
    body = os.urandom(size)
    path = folder / "body"
    path.write_bytes(bytes(SKIP) + body)
    return path, body


@pytest.mark.parametrize("size", SIZES)
def test_what_is_read_is_what_is_there(tmp_path: Path, size: int) -> None:
    path, body = make_file(tmp_path, size)
    got = bytearray(size)
    view, at, step = memoryview(got), 0, 1
    with open_body(path, SKIP) as reader:
        while at < size:
            some = min(step, size - at)
            reader.read_into(view[at : at + some])
            at, step = at + some, step * 3
        digest = reader.finish()
    assert got == body
    assert digest == hashlib.sha256(body).digest()


def test_a_body_that_ends_too_early_says_so(tmp_path: Path) -> None:
    path, _ = make_file(tmp_path, 100)
    with open_body(path, SKIP) as reader, pytest.raises(EOFError, match="too early"):
        reader.read_into(memoryview(bytearray(101)))


@pytest.mark.parametrize("size", [100, (PIECES + 2) * PIECE_BYTES])
def test_a_body_that_goes_on_says_so(tmp_path: Path, size: int) -> None:
    path, _ = make_file(tmp_path, size)
    with open_body(path, SKIP) as reader:
        reader.read_into(memoryview(bytearray(99)))
        with pytest.raises(EOFError, match="more"):
            reader.finish()


def test_a_file_that_cannot_be_read_is_an_error_of_the_reader(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), open_body(tmp_path, SKIP) as reader:
        reader.read_into(memoryview(bytearray(1)))


def test_many_riders_come_back_from_a_snapshot(tmp_path: Path) -> None:
    store = StoreHandle()
    tokens = fill_riders(store, 1, 70_000, state=int(MediumState.ACTIVE), **RIDER)
    denied = fill_media(store, 300, 1, kind=int(MediumKind.CARD), state=int(MediumState.DENYLISTED))
    facts = SnapshotFacts(position=8, next_seq=1, chain_hash=bytes(32), created_us=1)
    path = write_snapshot(tmp_path, store, facts)
    loaded = StoreHandle()
    load_snapshot(path, loaded)
    assert (loaded.account_count, loaded.medium_count) == (70_000, 70_300)
    for account_id in (1, 2, 8_191, 8_192, 70_000):
        assert loaded.account(account_id) == store.account(account_id)
        token = tokens[(account_id - 1) * 16 : account_id * 16]
        assert loaded.medium(token) == store.medium(token)
    assert set(denied_tokens(loaded)) == {denied[at : at + 16] for at in range(0, 4800, 16)}
    assert populate_accounts(loaded) >= 70_000 * 256
