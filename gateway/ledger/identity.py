"""How people and peers name a journal record: a tap, an operation, or a peer's own reference."""

from __future__ import annotations

from fastpath.types import Item
from gateway.clock import format_operation_id
from gateway.ledger.history import HistoryRow
from gateway.ledger.records import IdClass, Record


def tap_key(device: int, boot: int, seq: int) -> str:
    """`501-7-12`: device, boot, sequence."""
    return f"{device}-{boot}-{seq}"


def key_of(row: HistoryRow) -> str:
    """Taps by tap_key (a settlement by that of its tap), commands by their operation id."""
    if row.id_class != IdClass.COMMAND:
        return tap_key(row.id_a, row.id_b, row.id_c)
    return format_operation_id((row.id_b << 64 | row.id_c).to_bytes(16))


def undone_key(row: HistoryRow, record: Record) -> str | None:
    """The tap that a reversal takes back."""
    for at in range(168, len(record.raw), 72):
        if record.raw[at] == Item.ORIGINAL:
            image = record.raw[at + 8 :]
            boot, seq = int.from_bytes(image[:8], "little"), int.from_bytes(image[8:12], "little")
            return tap_key(row.id_a, boot, seq)
    return None
