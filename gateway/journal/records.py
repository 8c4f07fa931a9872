"""Records as people read them: `faregate journal show`. Plain data, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from fastpath import records as codec
from fastpath.cells import describe_acts, describe_cell
from fastpath.types import Item, Op, Reason, Verdict
from fastpath.wallet import Facts, unpack_parts


class Readable(Protocol):
    """A journal that can be read from anywhere."""

    def start_before(self, position: int) -> int:
        """Where a walk has to begin to meet what stands at `position`, or behind it if that is past
        retention."""

    def read(
        self, from_position: int, *, previous_hash: bytes | None = None
    ) -> Iterator[memoryview]:
        """See Journal.read."""


LINE_0 = ("account_id", "version", "balance_minor", "subsidy_minor", "credit_limit_minor")


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


def pick_records(
    groups: Iterable[memoryview], wanted: ShowFilter | None = None
) -> Iterator[dict[str, object]]:
    """The records of some groups that pass the filter, oldest first. Raises as reading does."""
    wanted = wanted or ShowFilter()
    shown = 0
    for group in groups:
        for record in codec.iter_records(group):
            if wanted.until_position is not None and record.position >= wanted.until_position:
                return
            if wanted.limit is not None and shown >= wanted.limit:
                return
            if wanted.wants(record):
                shown += 1
                yield describe_record(record)


def show_records(
    journal: Readable, wanted: ShowFilter | None = None
) -> Iterator[dict[str, object]]:
    """The records of a journal that pass the filter, oldest first.

    `from_position` may be any position: the walk begins at a group before it.
    Raises: Corrupt, at the record where it is met. JournalError.
    """
    start = journal.start_before(wanted.from_position if wanted is not None else 0)
    return pick_records(journal.read(start), wanted)


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
    fields["network"] = record.flags >> 8 & 0xFF if is_tap(record.op) else 0
    items = [describe_item(item) for item in record.items]
    return named | {k: v for k, v in fields.items() if k not in named} | {"items": items}


def describe_item(item: codec.ItemView) -> dict[str, object]:
    """An after-image: line 0, cells, acts and facts by name, notes as text, the rest as hex."""
    said: dict[str, object] = {"type": name_of(Item, item.type), "line": item.line}
    said["slot"] = item.slot
    if item.type == Item.NOTE:
        said["text"] = item.image.rstrip(b"\0").decode("utf-8", "replace")
    elif item.type == Item.ACCOUNT_LINE and item.line == 0:
        said |= read_line_0(item.image)
    elif item.type == Item.CELL:
        said |= describe_cell(item.image)
    elif item.type == Item.ACTS:
        said["acts"] = describe_acts(item.image)
    elif item.type == Item.FACTS:
        said |= asdict(Facts.unpack(item.image))
    elif item.type == Item.PARTS:
        parts = unpack_parts(item.image)
        said["parts"] = [{"purse": purse, "amount_minor": minor} for purse, minor in parts]
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
