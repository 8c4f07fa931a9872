"""From what is on the disk to an engine that can go on: newest snapshot, then the journal behind
it.

After-images are applied; nothing is decided again, so a corrected rule cannot change history.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastpath.api import StoreHandle
from gateway.engine.snapshot import load_latest
from gateway.errors import Corrupt
from gateway.journal.scan import Witness

if TYPE_CHECKING:
    from fastpath.types import EngineLimits
    from gateway.journal.port import Journal

log = logging.getLogger(__name__)

OpenJournal = Callable[[int, tuple[Witness, ...]], "Journal"]
"""(from_position, witnesses) -> the journal, open for writing and repaired."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start found."""

    journal: Journal
    snapshot_position: int
    records: int
    duration_us: int


def build_memory(limits: EngineLimits) -> StoreHandle:
    """Empty memory with the bounds of the engine."""
    return StoreHandle(
        accounts_max=limits.accounts_max,
        media_max=limits.media_max,
        boots_max=limits.boots_per_device_max,
        op_horizon_us=limits.op_horizon_us,
    )


def recover(memory: StoreHandle, snapshots: Path, open_journal: OpenJournal) -> Recovery:
    """Fill memory from the newest snapshot and the journal.

    Raises: Corrupt, SnapshotError, Fenced: start is refused, nothing was changed but a torn tail.
    """
    began = time.monotonic_ns()
    snapshot = load_latest(snapshots, memory)
    position = snapshot.position if snapshot is not None else 0
    witnesses = (
        (Witness("snapshot", snapshot.position, snapshot.chain_hash),)
        if snapshot is not None
        else ()
    )
    journal = open_journal(position, witnesses)
    records = 0
    previous = snapshot.chain_hash if snapshot is not None else None
    for group in journal.read(position, previous_hash=previous):
        try:
            memory.apply_group(group)
        except ValueError as error:
            raise Corrupt("JOURNAL_CORRUPT", f"a group that cannot be applied: {error}") from error
        records += int.from_bytes(group[20:24], "little")  # GroupHead.record_count
    duration_us = (time.monotonic_ns() - began) // 1000
    log.info(
        "recovered",
        extra={"snapshot_position": position, "records": records, "duration_us": duration_us},
    )
    return Recovery(journal, position, records, duration_us)
