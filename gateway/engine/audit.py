"""`faregate journal audit`: decide every record again with today's engine and the tariffs it names,
and compare.

Memory follows the journal's after-images, never the new decisions, so one difference does not make
the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastpath import records as codec
from fastpath.api import Book, LimitBook, StoreHandle, redecide
from fastpath.types import ENGINE_VERSION, FactFlag, Item, Op, TapFlag
from fastpath.wallet import Facts
from gateway.engine.snapshot import list_snapshots, load_snapshot
from gateway.errors import Corrupt, JournalError, SnapshotError

if TYPE_CHECKING:
    from gateway.journal.port import Journal

FINDINGS_MAX = 1000
PAST_RETENTION = "JOURNAL_PAST_RETENTION"

LIMITS_NOT_KEPT = "limits_not_kept"

KeptLimits = Mapping[int, LimitBook]
"""Limits of identity tiers by key."""
NO_LIMITS: KeptLimits = {}

Differences = list[tuple[str, int | str, int | str]]
"""(field, recorded, found) each."""


@dataclass(slots=True)
class AuditReport:
    """What an audit found. `skipped`: records that cannot be decided again, by cause."""

    records: int = 0
    from_position: int = 0
    """What lies before was not looked at: it is past retention."""
    differences: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    engine_versions: Counter[int] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether everything that could be decided again came out the same."""
        return self.differences == 0

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        return {
            "records": self.records,
            "from_position": self.from_position,
            "differences": self.differences,
            "skipped": dict(self.skipped),
            "engine_version": ENGINE_VERSION,
            "recorded_engine_versions": dict(self.engine_versions),
            "findings": self.findings,
        }


def audit(
    journal: Journal,
    book: Book,
    memory: StoreHandle,
    progress: Callable[[int], None] = lambda _: None,
    *,
    limits: KeptLimits = NO_LIMITS,
) -> AuditReport:
    """Walk a journal from its beginning. Raises: Corrupt.

    Args: limits: of identity tiers that are kept, by key.
    """
    return _walk(_Auditor(journal, book, memory, limits), journal.read(0), progress)


def audit_from(
    snapshots: Path,
    journal: Journal,
    book: Book,
    memory: StoreHandle,
    *,
    limits: KeptLimits = NO_LIMITS,
) -> AuditReport:
    """Walk a journal from the oldest snapshot on. Raises: Corrupt, SnapshotError."""
    paths = list_snapshots(snapshots)
    if not paths:
        said = f"the journal's beginning is past retention, and {snapshots} holds no snapshot"
        raise SnapshotError(detail=said, hint="the snapshotter of `faregate serve` writes one")
    begin = load_snapshot(paths[-1], memory)
    auditor = _Auditor(journal, book, memory, limits)
    auditor.report.from_position = begin.position
    groups = journal.read(begin.position, previous_hash=begin.chain_hash)
    return _walk(auditor, groups, lambda _: None)


def _walk(
    auditor: _Auditor, groups: Iterator[memoryview], progress: Callable[[int], None]
) -> AuditReport:
    for group in groups:
        head = codec.view_group(group)
        auditor.report.engine_versions[head.engine_version] += head.record_count
        auditor.use_limits(head.limits_key)
        for position, record in _records(group, head):
            auditor.check(codec.view_record(record, position), record)
            _apply(auditor.memory, position, record)
        progress(head.position)
    return auditor.report


class _Auditor:
    """Decides records again, one after the other."""

    def __init__(
        self, journal: Journal, book: Book, memory: StoreHandle, limits: KeptLimits
    ) -> None:
        self._journal = journal
        self._book = book
        self._limits = limits
        self._has_limits = True
        self.memory = memory
        self.report = AuditReport()

    def use_limits(self, key: int) -> None:
        """Decide with the limits that a group's head names; 0 = none."""
        found = self._limits.get(key)
        self._has_limits = key == 0 or found is not None
        if found is not self._book.limits:
            self._book.set_limits(found)

    def check(self, view: codec.RecordView, record: bytes) -> None:
        """Compare one record; memory stands just before it."""
        self.report.records += 1
        if not self._has_limits:
            self.report.skipped[LIMITS_NOT_KEPT] += 1
            return
        try:
            original = self._original(view)
        except JournalError as error:
            if error.code != PAST_RETENTION:
                raise
            self.report.skipped["original_past_retention"] += 1
            return
        found = redecide(self.memory, self._book, record, view.position, original)
        if isinstance(found, str):
            self.report.skipped[found] += 1
        elif found:
            self._note(view, found)

    def _note(self, view: codec.RecordView, found: Differences) -> None:
        self.report.differences += 1
        if len(self.report.findings) < FINDINGS_MAX:
            fields = {name: {"recorded": recorded, "found": new} for name, recorded, new in found}
            op = Op(view.op).name.lower()
            where = {"seq": view.seq, "position": view.position, "op": op}
            self.report.findings.append(where | {"fields": fields})

    def _original(self, view: codec.RecordView) -> bytes | None:
        """The record of the tap that a reversal undoes, of the charge that a refund is of."""
        position = 0
        if view.op == Op.SETTLEMENT and not view.flags & TapFlag.DEVICE_OPENED:
            position = self.memory.answer(view.id_a, view.id_b, view.id_c)
        elif view.op == Op.REVERSAL:
            for item in view.items:
                if item.type == Item.ORIGINAL:
                    boot = int.from_bytes(item.image[:8], "little")
                    seq = int.from_bytes(item.image[8:12], "little")
                    position = self.memory.answer(view.id_a, boot, seq)
        elif view.op == Op.REFUND:
            facts = next(item.image for item in view.items if item.type == Item.FACTS)
            position = self._charge(Facts.unpack(bytes(facts)))
        return self._journal.read_record(position) if position else None

    def _charge(self, facts: Facts) -> int:
        name = facts.charge_client, facts.charge_high, facts.charge_low
        if facts.flags & FactFlag.FARE:
            return self.memory.answer(*name) if facts.charge_low < 2**32 else 0
        return facts.key or self.memory.operation(*name)


def _records(group: memoryview, head: codec.GroupView) -> Iterator[tuple[int, bytes]]:
    at = codec.GROUP_HEAD_BYTES
    while at < head.length_bytes:
        length = int.from_bytes(group[at : at + 4], "little")
        yield head.position + at, bytes(group[at : at + length])
        at += length


def _apply(memory: StoreHandle, position: int, record: bytes) -> None:
    """Put one record's after-images in place, as a group of its own at the same address."""
    seq = int.from_bytes(record[8:16], "little")
    single = codec.build_group([record], position=position - codec.GROUP_HEAD_BYTES, first_seq=seq)
    try:
        memory.apply_group(single)
    except ValueError as error:
        raise Corrupt("JOURNAL_CORRUPT", f"record {seq} cannot be applied: {error}") from error
