"""What came back to an account, and what it had at an instant: read from its journal records.

The after-image of an account's first line holds the main purse's balance; what it grew by is a
repayment, except where a ride was undone or priced again. A debt that the credit desk gave up is in
its statement already; one that somebody else gave up is owed no more, as if it were paid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fastpath.records import RecordView
from fastpath.types import Item, Op

NO_REPAYMENT = frozenset({Op.RERATE, Op.PASS_REMOVE})


class AccountRecords(Protocol):
    """Where the records of one account are read: the ledger."""

    def list_from(self, account_id: int, seq: int) -> Iterable[RecordView]:
        """Its records from this journal number on, that one included, in the journal's order."""

    def position(self) -> int:
        """Up to which journal position records can be read here."""


class Flows:
    """Reads an account's records as flows of its main purse.

    Both start at a record that is known, whose after-image says what there was before.
    desk_client: whose commands those of the credit desk are, as records name it.
    """

    def __init__(self, records: AccountRecords, *, desk_client: int) -> None:
        self._records = records
        self._desk_client = desk_client

    def position(self) -> int:
        """Up to which journal position flows are known."""
        return self._records.position()

    def balance_at(self, account_id: int, seq: int, instant_us: int) -> int:
        """Main purse just before an instant that lies behind a record; below 0 = drawn."""
        balance_minor = 0
        for record in self._records.list_from(account_id, seq):
            if record.seq > seq and record.ts_us >= instant_us:
                break
            balance_minor = balance_after(record, balance_minor)
        return balance_minor

    def repaid_after(self, account_id: int, seq: int, *, until_us: int) -> tuple[int, int]:
        """What came back behind a record and before an instant; and up to which record that is."""
        balance_minor = repaid_minor = 0
        for record in self._records.list_from(account_id, seq):
            if record.seq > seq and record.ts_us >= until_us:
                break
            before_minor, balance_minor = balance_minor, balance_after(record, balance_minor)
            if record.seq <= seq:
                continue
            seq = record.seq
            if self._is_repayment(record):
                repaid_minor += max(balance_minor - before_minor, 0)
        return repaid_minor, seq

    def _is_repayment(self, record: RecordView) -> bool:
        if record.op == Op.WRITE_OFF:
            return record.id_a != self._desk_client
        return record.op >= Op.ACCOUNT_OPEN and record.op not in NO_REPAYMENT


def balance_after(record: RecordView, before_minor: int) -> int:
    """Main purse after a record; what it was before when the record did not touch it."""
    for item in record.items:
        if item.type == Item.ACCOUNT_LINE and item.line == 0:
            return int.from_bytes(item.image[16:24], "little", signed=True)
    return before_minor
