"""`faregate journal verify` for segment files: reading without opening them for writing.

May run beside a live gateway. Findings are plain data, ready for JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fastpath import records as codec
from gateway.errors import JournalError
from gateway.journal.files import FileOps, RealFiles
from gateway.journal.keeper import file_sha256
from gateway.journal.recovery import check_root, describe_closed
from gateway.journal.roots import Totals
from gateway.journal.scan import (
    FAULTS,
    Cursor,
    Entry,
    Finding,
    Inventory,
    Visit,
    check_closed,
    check_link,
    check_root_end,
    take_inventory,
    walk_segment,
)
from gateway.journal.segment import SegmentFile, root_name


@dataclass(slots=True)
class Verified:
    """What a walk over the whole journal found."""

    directory: str
    segment_count: int = 0
    root_only_count: int = 0
    end_position: int = 0
    next_seq: int = 1
    chain_hash: str = codec.NO_HASH.hex()
    totals: Totals = field(default_factory=Totals)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """No finding that is an error; notes are allowed states."""
        return not any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"sound": self.is_sound}


def verify_journal(
    directory: Path | str,
    *,
    public_key: Ed25519PublicKey | None = None,
    files: FileOps | None = None,
) -> Verified:
    """Check everything that can be checked; damage is reported and the walk goes on behind it.

    Args: public_key: roots must carry its signature.
    Raises: JournalError JOURNAL_NOT_FOUND. OSError.
    """
    folder = Path(directory)
    return _Verifier(files or RealFiles(), folder, public_key).run()


class _Verifier:
    def __init__(self, files: FileOps, folder: Path, public_key: Ed25519PublicKey | None) -> None:
        self._files = files
        self._folder = folder
        self._key = public_key
        self._cursor = Cursor()
        self._found = Verified(str(folder))
        self._report = self._found.findings.append

    def run(self) -> Verified:
        inventory = self._take_inventory()
        for entry in inventory.used:
            self._check(entry, inventory)
        self._check_last(inventory)
        for entry in inventory.spares:
            self._check_spare(entry, inventory)
        found, cursor = self._found, self._cursor
        found.end_position = cursor.position
        found.next_seq = cursor.next_seq or 0
        found.chain_hash = (cursor.chain_hash or b"").hex()
        return found

    def _take_inventory(self) -> Inventory:
        try:
            inventory = take_inventory(self._files, self._folder, None, self._report)
        except FileNotFoundError as error:
            detail = f"there is no folder {self._folder}"
            raise JournalError("JOURNAL_NOT_FOUND", detail) from error
        if not inventory.used and not inventory.spares and not self._found.findings:
            raise JournalError("JOURNAL_NOT_FOUND", f"there is no journal in {self._folder}")
        return inventory

    def _check(self, entry: Entry, inventory: Inventory) -> None:
        if entry.used:
            check_link(entry, self._cursor, self._report)
        self._check_signature(entry)
        if entry.path is None:
            check_root_end(entry, self._cursor)
            self._found.root_only_count += 1
            if entry.root is not None:
                self._add(entry.root.totals)
            return
        self._found.segment_count += 1
        self._walk(entry, inventory)

    def _walk(self, entry: Entry, inventory: Inventory) -> None:
        path = entry.path or Path()
        closed = entry is not inventory.used[-1] or entry.root is not None
        segment = SegmentFile(self._files, path, entry.base, inventory.segment_bytes)
        before = len(self._found.findings)
        try:
            tail = walk_segment(segment, self._cursor, self._report, self._visit_in(path, entry))
            if closed:
                check_closed(segment, tail, self._report)
            else:
                self._check_tail(segment, tail.end, tail.fault)
        finally:
            segment.close()
        self._add(tail.totals)
        if entry.root is not None and before == len(self._found.findings):
            check_root(entry, describe_closed(entry, self._cursor, tail), self._report)
            if file_sha256(self._files, path) != entry.root.file_sha256:
                self._report(Finding("root", str(path), 0, "the file is not the one of its root"))

    def _visit_in(self, path: Path, entry: Entry) -> Visit:
        def visit(group: memoryview, view: codec.GroupView) -> None:
            at = codec.find_records_fault(group)
            if at is not None:
                offset = view.position - entry.base + at
                what = "a record does not fit its group" if at else "totals differ from the records"
                self._report(Finding("records", str(path), offset, what))

        return visit

    def _check_tail(self, segment: SegmentFile, end: int, fault: int) -> None:
        """What stands behind the last sound group: a torn one, or one being written just now."""
        last = segment.find_last_nonzero(end)
        if last > end:
            said = (
                f"{last - end} bytes of a group that is not whole: {FAULTS.get(fault, 'no head')}"
            )
            self._report(Finding("tail", str(segment.path), end, said, severity="note"))

    def _check_last(self, inventory: Inventory) -> None:
        if inventory.used and inventory.used[-1].root is not None:
            last = inventory.used[-1]
            said = "the journal ends with a closed segment: the one after it is missing"
            self._report(Finding("missing", str(last.path or root_name(last.base)), 0, said))

    def _check_spare(self, entry: Entry, inventory: Inventory) -> None:
        if entry.path is None:
            return
        segment = SegmentFile(self._files, entry.path, entry.base, inventory.segment_bytes or 1)
        try:
            group = segment.find_group(0)
            begun = group is not None and not entry.head_fault and segment.read_head() is not None
        finally:
            segment.close()
        if group is not None and not begun:  # a live writer may have begun it just now
            said = entry.head_fault or "the segment's head is empty"
            said = f"{said}, but a sound group stands at offset {group}"
            self._report(Finding("segment_head", str(entry.path), 0, said))

    def _check_signature(self, entry: Entry) -> None:
        if self._key is None or entry.root is None or entry.root.is_signed_by(self._key):
            return
        said = "the root is not signed by the journal's key"
        self._report(Finding("signature", str(entry.root_path), 0, said))

    def _add(self, totals: Totals) -> None:
        sums = self._found.totals
        sums.group_count += totals.group_count
        sums.record_count += totals.record_count
        sums.fare_total_minor += totals.fare_total_minor
        sums.amount_total_minor += totals.amount_total_minor
