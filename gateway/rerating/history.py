"""Where an account's records are read: from the ledger, or from the journal itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from fastpath.records import RecordView, iter_records, view_record

if TYPE_CHECKING:
    from gateway.journals import ReadableJournal
    from gateway.ledger.history import History as Ledger

Records = Mapping[int, list[RecordView]]


class History(Protocol):
    """Reads all records of some accounts, oldest first."""

    def collect(self, account_ids: Collection[int]) -> Records:
        """What is durable and known; an account without records is left out.

        Raises: JournalError, Corrupt, DatabaseError, LedgerError.
        """


class JournalHistory:
    """Reads the journal from its beginning; everything asked for at once costs one walk.

    durable: up to where the journal is known to be durable; None = as far as it can be read.
    """

    def __init__(
        self,
        open_journal: Callable[[], ReadableJournal],
        durable: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._open = open_journal
        self._durable = durable

    def collect(self, account_ids: Collection[int]) -> Records:
        wanted, until = frozenset(account_ids), self._durable()
        found: dict[int, list[RecordView]] = {}
        journal = self._open()
        try:
            for group in journal.read(journal.start_before(0)):
                for record in iter_records(group):
                    if until is not None and record.position >= until:
                        return found
                    if record.account_id in wanted:
                        found.setdefault(record.account_id, []).append(record)
        finally:
            journal.close()
        return found


class LedgerHistory:
    """Reads the ledger's records: one indexed look-up an account; as new as the projection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self, account_ids: Collection[int]) -> Records:
        found: dict[int, list[RecordView]] = {}
        for account_id in account_ids:
            rows = sorted(self._ledger.list_account(account_id), key=lambda row: row.seq)
            if rows:
                found[account_id] = [view_record(row.raw, row.position) for row in rows]
        return found
