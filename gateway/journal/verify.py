"""`faregate journal verify` and `show`: reading a journal without opening it for writing.

Both may run beside a live gateway. Findings and records are plain data, ready for JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fastpath import _journal as codec
from fastpath.types import Item, Op, Reason, Verdict
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
from gateway.journal.segments import SegmentJournal

LINE_0 = ("account_id", "version", "balance_minor", "subsidy_minor", "credit_limit_minor")


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


@dataclass(frozen=True, slots=True)
class ShowFilter:
    """Which records to show; None = all. Positions are [from, until)."""

    account_id: int | None = None
    device_id: int | None = None
    from_position: int = 0
    until_position: int | None = None
    limit: int | None = None

    def wants(self, record: codec.RecordView) -> bool:
        if self.account_id is not None and record.account_id != self.account_id:
            return False
        if self.device_id is not None and (not is_tap(record.op) or record.id_a != self.device_id):
            return False
        return record.position >= self.from_position


def is_tap(op: int) -> bool:
    """Whether a record came from a validator: its id_a is the device."""
    return op < Op.ACCOUNT_OPEN


def show_records(
    directory: Path | str, wanted: ShowFilter | None = None, *, files: FileOps | None = None
) -> Iterator[dict[str, object]]:
    """The records that pass the filter, oldest first.

    `from_position` may be any position: the walk begins at the start of its segment.
    Raises: Corrupt, at the record where it is met. JournalError: nothing there, or past retention.
    """
    wanted = wanted or ShowFilter()
    journal = SegmentJournal.open(directory, read_only=True, files=files)
    size = journal.options.segment_bytes
    shown = 0
    try:
        for group in journal.read(wanted.from_position // size * size):
            for record in codec.iter_records(group):
                if wanted.until_position is not None and record.position >= wanted.until_position:
                    return
                if wanted.limit is not None and shown >= wanted.limit:
                    return
                if wanted.wants(record):
                    shown += 1
                    yield describe_record(record)
    finally:
        journal.close()


def describe_record(record: codec.RecordView) -> dict[str, object]:
    """A record as people read it: names for numbers, ids by what they mean for its kind."""
    fields = record._asdict()
    for name in ("length_bytes", "item_count", "id_a", "id_b", "id_c", "items"):
        del fields[name]
    named: dict[str, object] = {
        "position": fields.pop("position"),
        "op": name_of(Op, record.op),
        "reason": name_of(Reason, record.reason),
        "verdict": name_of(Verdict, record.verdict),
    }
    if is_tap(record.op):
        named |= {"device": record.id_a, "boot": record.id_b, "tap_seq": record.id_c}
    else:
        named |= {"client": record.id_a, "operation": f"{record.id_b:016x}{record.id_c:016x}"}
    fields["token"] = record.token.hex()
    items = [describe_item(item) for item in record.items]
    return named | {k: v for k, v in fields.items() if k not in named} | {"items": items}


def describe_item(item: codec.ItemView) -> dict[str, object]:
    """An after-image: what line 0 holds by name, a note as text, the rest as hex."""
    said: dict[str, object] = {"type": name_of(Item, item.type), "line": item.line}
    said["slot"] = item.slot
    if item.type == Item.NOTE:
        said["text"] = item.image.rstrip(b"\0").decode("utf-8", "replace")
    elif item.type == Item.ACCOUNT_LINE and item.line == 0:
        said |= read_line_0(item.image)
    else:
        said["image"] = item.image.hex()
    return said


def read_line_0(image: bytes) -> dict[str, object]:
    """The money side of an account's first line."""
    unsigned = {"account_id", "version"}
    return {
        name: int.from_bytes(image[8 * i : 8 * i + 8], "little", signed=name not in unsigned)
        for i, name in enumerate((*LINE_0, "held_minor"))
    }


def name_of(kind: type[Op | Reason | Verdict | Item], number: int) -> str:
    """Lower-case name of an enum's number; the number itself when a newer program wrote it."""
    try:
        return kind(number).name.lower()
    except ValueError:
        return str(number)
