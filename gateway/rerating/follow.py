"""Which accounts have to be priced again: found by following the journal.

A cursor and what waits are kept in one small file. It can be thrown away: the journal is then
followed from its beginning, and what has been put right already comes out unchanged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fastpath.records import RecordView, iter_records, view_group
from fastpath.types import Op, Reason, TapFlag

if TYPE_CHECKING:
    from gateway.journals import ReadableJournal

GROUPS_AT_ONCE = 2_000
FORMAT = 1


@dataclass(slots=True)
class Waiting:
    """Where following stands. pending: account -> instant of the newest record that concerns it.

    failed: account -> code of what was in the way.
    """

    cursor: int = 0
    pending: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def due(self, before_us: int, limit: int) -> list[int]:
        """Accounts that have been quiet since an instant, longest first."""
        quiet = [one for one, at_us in self.pending.items() if at_us <= before_us]
        return sorted(quiet, key=self.pending.__getitem__)[:limit]


def load_waiting(path: Path) -> Waiting:
    """What was kept; from the beginning when there is nothing, or nothing that can be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["format"] != FORMAT:
            return Waiting()
        pending = {int(one): int(at_us) for one, at_us in kept["pending"].items()}
        failed = {int(one): str(code) for one, code in kept["failed"].items()}
        return Waiting(int(kept["cursor"]), pending, failed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Waiting()


def save_waiting(path: Path, waiting: Waiting) -> None:
    """Keep it; a crash leaves the file of before or the new one. Raises: OSError."""
    fresh = path.with_suffix(".tmp")
    kept = {
        "format": FORMAT,
        "cursor": waiting.cursor,
        "pending": waiting.pending,
        "failed": waiting.failed,
    }
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def concerns_fares(record: RecordView) -> bool:
    """Whether a record may have come out of its turn: taps made offline, and what takes taps back.

    Whether it did, only the account's other records can tell.
    """
    if not record.account_id or not Reason(record.reason).accepted:
        return False
    if record.op in (Op.REVERSAL, Op.SETTLEMENT):
        return True
    is_tap = record.op in (Op.CHECK_IN, Op.CHECK_OUT, Op.FLAT)
    return is_tap and bool(record.flags & TapFlag.OFFLINE)


def follow(journal: ReadableJournal, waiting: Waiting, until: int | None) -> bool:
    """Read on from the cursor; whether there may be more.

    Args: until: groups at or behind it are not known to be durable; None = as far as can be read.
    Raises: JournalError, Corrupt.
    """
    if until is not None and waiting.cursor >= until:
        return False
    start = journal.start_before(0) if waiting.cursor == 0 else waiting.cursor
    for count, group in enumerate(journal.read(start), start=1):
        view = view_group(group)
        if until is not None and view.position >= until:
            return False
        note(waiting, iter_records(group))
        waiting.cursor = view.position + view.length_bytes
        if count >= GROUPS_AT_ONCE:
            return True
    return False


def note(waiting: Waiting, records: Iterable[RecordView]) -> None:
    """Remember the accounts that some records concern."""
    for record in records:
        if concerns_fares(record):
            waiting.pending[record.account_id] = record.ts_us
            waiting.failed.pop(record.account_id, None)
