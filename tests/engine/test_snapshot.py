"""Snapshot files: whole and sound, or not used; whatever happens while one is written."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastpath._accounts_probe import Probe
from fastpath.api import StoreHandle
from fastpath.types import ENGINE_VERSION
from gateway.engine import snapshot as snapshots
from gateway.engine.snapshot import (
    HEAD_BYTES,
    SnapshotFacts,
    iter_infos,
    list_snapshots,
    load_latest,
    load_snapshot,
    read_info,
    write_snapshot,
)
from gateway.errors import SnapshotError
from tests.fastpath.accounts_model import canonical

REPO = Path(__file__).parents[2]


def facts(position: int) -> SnapshotFacts:
    return SnapshotFacts(
        position=position,
        next_seq=position // 100 + 1,
        chain_hash=bytes([position % 256]) * 32,
        created_us=1_790_000_000_000_000,
        denylist_version=position + 5,
    )


def filled(count: int = 40) -> StoreHandle:
    store = StoreHandle()
    probe = Probe(store)
    probe.fill(count, 9)
    probe.new_window(3, 1)
    for seq in range(1, 30):
        probe.mark(3, 1, seq, 200 + seq)
    probe.new_operation(1, 2, 3, 4)
    return store


def test_a_snapshot_comes_back(tmp_path: Path) -> None:
    store = filled()
    path = write_snapshot(tmp_path / "snapshots", store, facts(1000))
    assert path == tmp_path / "snapshots" / "00000000000000001000.snap"
    assert path.stat().st_mode & 0o777 == 0o600
    copy = StoreHandle()
    info = load_latest(path.parent, copy)
    assert info is not None
    assert info == read_info(path)
    assert (info.position, info.next_seq, info.chain_hash) == (1000, 11, bytes([1000 % 256]) * 32)
    assert (info.created_us, info.denylist_version) == (1_790_000_000_000_000, 1005)
    assert info.engine_version == ENGINE_VERSION
    assert info.counts == (40, 40, 0, 1, 1)
    assert info.body_bytes + HEAD_BYTES == path.stat().st_size
    assert canonical(copy) == canonical(store)
    assert copy.denylist_version == 1005


def test_no_snapshot_is_no_error(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "none", StoreHandle()) is None
    (tmp_path / "readme.snap").touch()
    (tmp_path / ".00000000000000000005.snap.tmp").touch()
    assert load_latest(tmp_path, StoreHandle()) is None


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for position in (900, 1000, 20_000):
        write_snapshot(tmp_path, filled(), facts(position))
    assert [info.position for info in iter_infos(tmp_path)] == [20_000, 1000]
    write_snapshot(tmp_path, filled(), facts(30_000), keep=1)
    assert len(list_snapshots(tmp_path)) == 1


def test_the_older_one_stands_in_for_a_damaged_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_snapshot(tmp_path, filled(5), facts(100))
    newest = write_snapshot(tmp_path, filled(7), facts(200))
    data = bytearray(newest.read_bytes())
    data[HEAD_BYTES + 300] ^= 1  # a bit of an account: only the hash can see it
    newest.write_bytes(data)
    store = StoreHandle()
    with caplog.at_level(logging.ERROR):
        info = load_latest(tmp_path, store)
    assert info is not None
    assert info.position == 100
    assert store.account_count == 5
    assert [record.message for record in caplog.records] == ["snapshot_damaged"]


def test_two_damaged_ones_are_an_error(tmp_path: Path) -> None:
    for position in (100, 200):
        path = write_snapshot(tmp_path, filled(), facts(position))
        path.write_bytes(path.read_bytes()[:-1])
    store = StoreHandle()
    with pytest.raises(SnapshotError, match=r"no sound snapshot.*0200\.snap.*0100\.snap") as caught:
        load_latest(tmp_path, store)
    assert caught.value.code == "SNAPSHOT_INVALID"
    assert store.account_count == 0


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path) -> None:
    path = write_snapshot(tmp_path, filled(3), facts(100))
    whole = path.read_bytes()
    step = 37  # every part of the file, all eight bits by turns
    for at in [*range(HEAD_BYTES), *range(HEAD_BYTES, len(whole), step)]:
        data = bytearray(whole)
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)
        with pytest.raises(SnapshotError):
            load_snapshot(path, StoreHandle(accounts_max=1000, media_max=1000))
    for size in (0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 63, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(SnapshotError):
            load_snapshot(path, StoreHandle())
    path.write_bytes(whole + b"\0")
    with pytest.raises(SnapshotError, match="bytes instead of"):
        load_snapshot(path, StoreHandle())


def test_another_version_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_snapshot(tmp_path, filled(), facts(100))
    monkeypatch.setattr(snapshots, "STRUCT_VERSION", 99)
    with pytest.raises(SnapshotError, match="another version"):
        load_snapshot(path, StoreHandle())


def test_a_disk_that_refuses_leaves_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_snapshot(tmp_path, filled(), facts(100))

    def refuse(fd: int) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="input/output"):
        write_snapshot(tmp_path, filled(), facts(200))
    assert [path.name for path in tmp_path.iterdir()] == ["00000000000000000100.snap"]


def test_nothing_is_named_before_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync of the file, rename, fsync of the folder, and only then the old ones go."""
    for position in (100, 200):
        write_snapshot(tmp_path, filled(), facts(position))
    said: list[str] = []
    fsync, rename, unlink = os.fsync, Path.rename, Path.unlink

    def note_fsync(fd: int) -> None:
        said.append("fsync " + Path(f"/proc/self/fd/{fd}").readlink().suffix)
        fsync(fd)

    def note_rename(path: Path, target: Path) -> Path:
        said.append("rename")
        return rename(path, target)

    def note_unlink(path: Path, missing_ok: bool = False) -> None:
        said.append("unlink")
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr(Path, "unlink", note_unlink)
    write_snapshot(tmp_path, filled(), facts(300))
    assert said == ["fsync .tmp", "rename", "fsync ", "unlink"]


WRITER = """
import sys
from pathlib import Path
from fastpath._accounts_probe import Probe
from fastpath.api import StoreHandle
from gateway.engine.snapshot import SnapshotFacts, write_snapshot
store = StoreHandle()
Probe(store).fill(30_000, 2)
position = 1000
while True:
    facts = SnapshotFacts(
        position=position, next_seq=1, chain_hash=bytes(32), created_us=1, denylist_version=position
    )
    write_snapshot(Path(sys.argv[1]), store, facts)
    print(position, flush=True)
    position += 8
"""


def test_a_writer_killed_at_any_moment_leaves_a_sound_one(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=REPO
    )
    assert writer.stdout is not None
    try:
        for pause_ms in (0, 3, 11, 23, 41):
            said = int(writer.stdout.readline())
            time.sleep(pause_ms / 1000)
            os.kill(writer.pid, signal.SIGSTOP)  # as a kill would find the folder
            names = [path.name for path in list_snapshots(tmp_path)]
            store = StoreHandle()
            info = load_latest(tmp_path, store)
            assert info is not None
            assert info.path.name == names[0]
            assert info.position >= said
            assert store.account_count == 30_000
            os.kill(writer.pid, signal.SIGCONT)
    finally:
        writer.kill()
        writer.communicate()
    store = StoreHandle()
    info = load_latest(tmp_path, store)
    assert info is not None
    assert store.account_count == 30_000
    assert 1 <= len(list_snapshots(tmp_path)) <= 3
    write_snapshot(tmp_path, store, facts(10**9))
    assert not list(tmp_path.glob(".*.tmp"))
    assert len(list_snapshots(tmp_path)) == 2
