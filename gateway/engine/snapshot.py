"""Snapshot files: memory as of one journal position, so that a start replays only what came after.

A file is `<position, 20 digits>.snap`: a head of 256 bytes, little-endian, then the image that
fastpath._accounts_image describes. It appears under its name only when it is whole and durable, and
it is trusted only when the SHA-256 of its body is the one in its head.

    0 magic "FGSNAP01", 8 format u16, 10 head size u16, 12 struct version u32, 16 layout digest
    (8 bytes), 24 engine version u32, 32 position u64, 40 next seq u64, 48 chain hash of the last
    group (32 bytes), 80 created i64 us, 88 deny-list version i64, 96 body size u64, 104 accounts,
    media, cells, windows, operations u64 each, 144 SHA-256 of the body, 252 CRC-32C of all before

Must not import the journal: a position and a hash is all that is known of it here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from fastpath.api import dump_image, layout_digest, load_image, populate_accounts
from fastpath.records import crc32c
from fastpath.types import ENGINE_VERSION, STRUCT_VERSION
from gateway.engine.snapshot_reader import open_body
from gateway.errors import SnapshotError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from fastpath.api import StoreHandle

log = logging.getLogger(__name__)

MAGIC = b"FGSNAP01"
FORMAT = 1
KEEP = 2
SYNC_EVERY_BYTES = 16 << 20
"""Synced as it grows, so that the data plane's fdatasync never queues behind gigabytes."""
_HEAD = struct.Struct("<8sHHI8sIIQQ32sqqQQQQQQ32s76x")
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CRC.size


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFacts:
    """What a snapshot stands for: the journal up to `position`, where its last group ends."""

    position: int
    next_seq: int
    chain_hash: bytes
    """SHA-256 of that group."""
    created_us: int
    denylist_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInfo:
    """A snapshot file's head."""

    path: Path
    position: int
    next_seq: int
    chain_hash: bytes
    created_us: int
    denylist_version: int
    engine_version: int
    body_bytes: int
    body_sha256: bytes
    counts: tuple[int, ...]
    """Accounts, media, cells, windows, operations."""


def write_snapshot(
    directory: Path, store: StoreHandle, facts: SnapshotFacts, *, keep: int = KEEP
) -> Path:
    """Write one, make it durable, then drop all but the newest `keep`.

    Raises: OSError: nothing of the new one is left, the older ones stay.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = directory / f"{facts.position:020d}.snap"
    for stale in directory.glob(".*.snap.tmp"):
        stale.unlink(missing_ok=True)
    temporary = directory / f".{target.name}.tmp"
    try:
        _write_file(temporary, store, facts)
        temporary.rename(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_directory(directory)
    for old in list_snapshots(directory)[keep:]:
        old.unlink(missing_ok=True)
    return target


def list_snapshots(directory: Path) -> list[Path]:
    """Snapshot files, newest first."""
    return sorted(directory.glob("[0-9]" * 20 + ".snap"), reverse=True)


def load_latest(directory: Path, store: StoreHandle) -> SnapshotInfo | None:
    """Fill an empty store from the newest sound snapshot; None = there is no snapshot.

    A damaged one is logged as an error and the next older one is taken.
    Raises: SnapshotError: there are snapshots and none is sound; the store is empty then.
    """
    faults = []
    for path in list_snapshots(directory):
        try:
            return load_snapshot(path, store)
        except SnapshotError as error:
            log.error("snapshot_damaged", extra={"file": str(path), "detail": error.detail})
            faults.append(error.detail)
            store.clear()
    if faults:
        raise SnapshotError(detail="no sound snapshot: " + "; ".join(faults))
    return None


def load_snapshot(path: Path, store: StoreHandle) -> SnapshotInfo:
    """Fill an empty store from one file.

    Raises: SnapshotError: it is not whole, or not what was written; the store has to be cleared.
    """
    try:
        with path.open("rb", buffering=0) as file:
            info = _parse_head(path, file.read(HEAD_BYTES))
            size = os.fstat(file.fileno()).st_size
            if size != HEAD_BYTES + info.body_bytes:
                raise _damaged(path, f"{size} bytes instead of {HEAD_BYTES + info.body_bytes}")
        with open_body(path, HEAD_BYTES) as body, _Populate(store, body.read_into) as populate:
            load_image(store, populate.read_into, info.body_bytes)
            digest = body.finish()
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    if digest != info.body_sha256:
        raise _damaged(path, "the body is not the one that was written (SHA-256)")
    if _counts(store) != info.counts:
        raise _damaged(path, "the counts of the head are not those of the body")
    store.denylist_version = info.denylist_version
    return info


def read_info(path: Path) -> SnapshotInfo:
    """The head alone. Raises: SnapshotError."""
    try:
        with path.open("rb", buffering=0) as file:
            return _parse_head(path, file.read(HEAD_BYTES))
    except OSError as error:
        raise _damaged(path, str(error)) from error


def iter_infos(directory: Path) -> Iterator[SnapshotInfo]:
    """The heads that can be read, newest first."""
    for path in list_snapshots(directory):
        with suppress(SnapshotError):
            yield read_info(path)


class _BodyWriter:
    """Writes and hashes; syncs now and then."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self._synced = 0

    def write(self, data: ReadableBuffer) -> None:
        view = memoryview(data)
        self.sha256.update(view)
        self.size_bytes += view.nbytes
        _write_all(self.fd, view)
        if self.size_bytes - self._synced >= SYNC_EVERY_BYTES:
            os.fdatasync(self.fd)
            self._synced = self.size_bytes


class _Populate:
    """Has the accounts' pages found by a thread beside the one that fills them.

    The image's head is read first; when more is asked for, the accounts have their addresses.
    Finding pages is most of the work where memory comes from a hypervisor.
    """

    def __init__(self, store: StoreHandle, read_into: Callable[[memoryview], None]) -> None:
        self._thread = Thread(target=populate_accounts, args=(store,), name="populate", daemon=True)
        self._read_into = read_into
        self._reads = 0

    def __enter__(self) -> _Populate:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def read_into(self, buffer: memoryview) -> None:
        self._reads += 1
        if self._reads == 2:
            self._thread.start()
        self._read_into(buffer)


def _write_file(path: Path, store: StoreHandle, facts: SnapshotFacts) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(fd, memoryview(bytes(HEAD_BYTES)))
        body = _BodyWriter(fd)
        dump_image(store, body.write)
        os.pwrite(fd, _build_head(store, facts, body), 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, view: memoryview) -> None:
    done = 0
    while done < view.nbytes:
        done += os.write(fd, view[done:])


def _build_head(store: StoreHandle, facts: SnapshotFacts, body: _BodyWriter) -> bytes:
    head = _HEAD.pack(
        MAGIC,
        FORMAT,
        HEAD_BYTES,
        STRUCT_VERSION,
        layout_digest(),
        ENGINE_VERSION,
        0,
        facts.position,
        facts.next_seq,
        facts.chain_hash,
        facts.created_us,
        facts.denylist_version,
        body.size_bytes,
        *_counts(store),
        body.sha256.digest(),
    )
    return head + _CRC.pack(crc32c(head))


def _counts(store: StoreHandle) -> tuple[int, ...]:
    return (
        store.account_count,
        store.medium_count,
        store.cell_count,
        store.window_count,
        store.operation_count,
    )


def _parse_head(path: Path, data: bytes) -> SnapshotInfo:
    if len(data) != HEAD_BYTES or not data.startswith(MAGIC):
        raise _damaged(path, "no snapshot begins here")
    if _CRC.unpack_from(data, _HEAD.size)[0] != crc32c(data[: _HEAD.size]):
        raise _damaged(path, "the head is damaged (CRC)")
    fields = _HEAD.unpack_from(data)
    if fields[1:5] != (FORMAT, HEAD_BYTES, STRUCT_VERSION, layout_digest()):
        raise _damaged(path, f"format {fields[1]}, struct version {fields[3]}: another version's")
    return SnapshotInfo(
        path=path,
        position=fields[7],
        next_seq=fields[8],
        chain_hash=fields[9],
        created_us=fields[10],
        denylist_version=fields[11],
        engine_version=fields[5],
        body_bytes=fields[12],
        body_sha256=fields[18],
        counts=fields[13:18],
    )


def _damaged(path: Path, detail: str) -> SnapshotError:
    return SnapshotError(detail=f"{path}: {detail}")


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
