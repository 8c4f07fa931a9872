"""What the journal already holds of a batch: where a run goes on, and what the report counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastpath.records import iter_records
from fastpath.types import Item, Op, Reason
from gateway.control.arguments import client_number
from gateway.moving.steps import Batch


@dataclass(frozen=True, slots=True)
class KnownStep:
    """One operation of the batch as its record says. amount_minor: value it brought in."""

    op: int
    reason: int
    account_id: int
    amount_minor: int
    position: int
    reference: str
    ts_us: int = 0

    @property
    def accepted(self) -> bool:
        """Whether it had its effect."""
        return self.reason < Reason.BUSY


def read_known(groups: Iterable[memoryview], batch: Batch) -> dict[bytes, KnownStep]:
    """Every record of the batch by its operation id; refused ones too."""
    number = client_number(batch.client)
    known: dict[bytes, KnownStep] = {}
    for group in groups:
        for record in iter_records(group):
            if record.id_a != number or record.op < Op.ACCOUNT_OPEN:
                continue
            op_id = record.id_b.to_bytes(8) + record.id_c.to_bytes(8)
            notes = (item for item in record.items if item.type == Item.NOTE and item.line == 1)
            reference = next((item.image.rstrip(b"\0").decode() for item in notes), "")
            known[op_id] = KnownStep(
                record.op,
                record.reason,
                record.account_id,
                record.amount_minor,
                record.position,
                reference,
                record.ts_us,
            )
    return known
