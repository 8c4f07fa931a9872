"""The snapshotter: a process that follows the journal and writes snapshots of what it amounts to.

It has memory of its own, filled by the journal's after-images alone, so every group it takes is
also a check of the engine: control totals, identities used once, balances that move by what was
recorded. It takes only what the data plane says is durable; the data plane does not know of it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fastpath.api import StoreHandle
from fastpath.records import view_group
from gateway.clock import monotonic_us, now_us
from gateway.engine.snapshot import KEEP, SnapshotFacts, load_latest, write_snapshot
from gateway.errors import Corrupt, InvariantError
from gateway.following import DurableMark, build_mark, open_journal
from gateway.readiness import NO_PIPE, tell_ready

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.journal.port import Journal

__all__ = ["DurableMark", "Follower", "Schedule", "Snapshotter", "main", "run"]

log = logging.getLogger(__name__)

EVERY_BYTES = 1 << 30
"""A snapshot is also due after this much journal, however short the time."""
POLL_S = 0.5
RETRY_S = 30
NICENESS = 10
"""The data plane goes first where they share a core."""
BATCH_BYTES = 64 << 20
"""Journal taken between two looks at the clock and at the stop flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a snapshot is due, and how many are kept."""

    every_us: int
    every_bytes: int = EVERY_BYTES
    keep: int = KEEP


@dataclass(slots=True)
class Follower:
    """Memory that follows a journal. Made by `start`."""

    store: StoreHandle
    position: int = 0
    next_seq: int = 1
    chain_hash: bytes | None = None

    @classmethod
    def start(cls, store: StoreHandle, snapshots: Path) -> Follower:
        """From the newest sound snapshot, or from nothing. Raises: SnapshotError."""
        info = load_latest(snapshots, store)
        if info is None:
            return cls(store)
        return cls(store, info.position, info.next_seq, info.chain_hash)

    def follow(
        self, journal: Journal, *, until: int | None = None, batch_bytes: int = BATCH_BYTES
    ) -> bool:
        """Take what is durable, at most about batch_bytes of it; whether there may be more.

        Args: until: groups that begin there or behind are not known to be durable.
        Raises: Corrupt: a group cannot be applied. InvariantError: it breaks the law of value.
        """
        if until is not None and self.position >= until:
            return False
        end = self.position + batch_bytes
        for group in journal.read(self.position, previous_hash=self.chain_hash):
            if until is not None and _position_of(group) >= until:
                return False
            self.take(group)
            if self.position >= end:
                return True
        return False

    def take(self, group: memoryview) -> None:
        """Apply one group and check it."""
        view = view_group(group)
        if view.first_seq != self.next_seq:
            said = f"records go on with {view.first_seq} where {self.next_seq} was expected"
            raise Corrupt(detail=said)
        try:
            broken = self.store.apply_group(group)
        except ValueError as error:
            raise Corrupt(detail=f"the group at {view.position}: {error}") from error
        if broken:
            said = f"record {broken} changed an account by something else than amount less fare"
            raise InvariantError(detail=said)
        self.position = view.position + view.length_bytes
        self.next_seq = view.first_seq + view.record_count
        self.chain_hash = hashlib.sha256(group).digest()

    def facts(self, created_us: int) -> SnapshotFacts:
        """What a snapshot made now stands for. Precondition: a group was taken or loaded."""
        return SnapshotFacts(
            position=self.position,
            next_seq=self.next_seq,
            chain_hash=self.chain_hash or bytes(32),
            created_us=created_us,
            denylist_version=self.store.denylist_version,
        )


def _position_of(group: memoryview) -> int:
    return int.from_bytes(group[8:16], "little")  # GroupHead.position


@dataclass(slots=True)
class Snapshotter:
    """Follows a journal and writes snapshots as the schedule says.

    durable: up to where the journal is known to be durable; None = as far as it can be read.
    """

    follower: Follower
    directory: Path
    schedule: Schedule
    monotonic: Callable[[], int] = monotonic_us
    durable: Callable[[], int | None] = lambda: None
    written_position: int = 0
    """What the newest snapshot stands for."""
    due_us: int = field(init=False)

    def __post_init__(self) -> None:
        self.written_position = self.follower.position
        self.due_us = self.monotonic() + self.schedule.every_us

    def step(self, journal: Journal) -> bool:
        """Take some journal, write a snapshot if one is due; whether to go on at once."""
        more = self.follower.follow(journal, until=self.durable())
        if self.is_due():
            self.write()
        return more

    def is_due(self) -> bool:
        behind = self.follower.position - self.written_position
        if behind == 0:
            return False
        return self.monotonic() >= self.due_us or behind >= self.schedule.every_bytes

    def write(self) -> None:
        """Write one now. A disk that refuses is logged; the next try is half a minute later."""
        began = self.monotonic()
        try:
            facts = self.follower.facts(now_us())
            path = write_snapshot(
                self.directory, self.follower.store, facts, keep=self.schedule.keep
            )
        except OSError as error:
            log.error("snapshot_failed", extra={"detail": str(error)})
            self.due_us = self.monotonic() + RETRY_S * 1_000_000
            # Bytes alone must not make it due again at once.
            self.written_position = max(self.written_position, self.follower.position - 1)
            return
        self.written_position = self.follower.position
        self.due_us = self.monotonic() + self.schedule.every_us
        took_us = self.monotonic() - began
        log.info("snapshot_written", extra={"file": str(path), "duration_us": took_us})


def run(snapshotter: Snapshotter, journal: Journal, stop: threading.Event) -> None:
    """Until `stop` is set. Raises: what following a journal may raise."""
    while not stop.is_set():
        if not snapshotter.step(journal):
            stop.wait(POLL_S)


def main(config: Config, ready_fd: int = NO_PIPE) -> int:
    """The process, until SIGTERM or SIGINT; its exit status.

    Raises: SnapshotError: no snapshot is sound. Corrupt, InvariantError: the journal is not to be
        trusted; no snapshot is written of it.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.nice(NICENESS)
    limits = config.engine_limits()
    store = StoreHandle(
        accounts_max=limits.accounts_max,
        media_max=limits.media_max,
        boots_max=limits.boots_per_device_max,
        op_horizon_us=limits.op_horizon_us,
    )
    follower = Follower.start(store, config.snapshots.dir)
    schedule = Schedule(
        every_us=int(config.snapshots.every_s * 1_000_000), keep=config.snapshots.keep
    )
    tell_ready(ready_fd, {})
    journal = open_journal(config, stop)
    if journal is not None:
        try:
            snapshotter = Snapshotter(
                follower, config.snapshots.dir, schedule, durable=build_mark(config)
            )
            run(snapshotter, journal, stop)
        finally:
            journal.close()
    return 0
