"""What happened, from the ledger: records of an account, one operation, the stream of events.

Reads only. What is here is as old as the projection: `as_of` says how far it has come.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select

from fastpath.types import Op
from gateway.db import Database
from gateway.ledger.batch import Watermark, find_watermark
from gateway.ledger.records import IdClass, Record, read_notes, read_record
from gateway.ledger.tables import PURSE_BALANCES, RECORDS

EVENTS_MAX = 1_000
WINDOW = 20_000
"""Records of one look for operations that are seldom."""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One journal record. Amounts in minor units, instants in microseconds UTC.

    at_us: when it happened: taps the instant the fare was computed for, commands the server's.
    id_a, id_b, id_c: device, boot, sequence, or client and the halves of the operation id.
    service_day: days since 1970-01-01. raw: head and items as they stand in the journal.
    """

    seq: int
    position: int
    ts_us: int
    at_us: int
    op: int
    reason: int
    account_id: int
    id_a: int
    id_b: int
    id_c: int
    id_class: int
    tariff_slot: int
    currency: int
    service_day: int
    purpose: int
    merchant: int
    fare_minor: int
    amount_minor: int
    balance_minor: int
    raw: bytes

    def record(self) -> Record:
        """Head and items."""
        return read_record(self.raw, self.position)

    def notes(self) -> dict[int, str]:
        """0 who, 1 outside reference, 2 why, 3 idempotency key."""
        return read_notes(self.raw)


@dataclass(frozen=True, slots=True)
class ChargedFare:
    """What a tap took when it was charged. is_repriced: pricing again may have changed it since."""

    account_id: int
    fare_minor: int
    is_repriced: bool


class History:
    """Reads the records of one ledger. Thread: any."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def as_of(self) -> Watermark:
        """How far the journal has been projected. Raises: DatabaseError, LedgerError."""
        with self._database.reading() as connection:
            return find_watermark(connection)

    def list_account(
        self, account_id: int, from_us: int = 0, to_us: int | None = None
    ) -> list[HistoryRow]:
        """Records of an account that happened in [from_us, to_us), in the journal's order.

        A late tap is found where it happened, not where it arrived.
        """
        query = select(RECORDS).where(RECORDS.c.account_id == account_id)
        query = query.where(RECORDS.c.at_us >= from_us)
        if to_us is not None:
            query = query.where(RECORDS.c.at_us < to_us)
        return self._fetch(query.order_by(RECORDS.c.seq))

    def list_media(self, account_id: int) -> list[bytes]:
        """Tokens of all media that were ever linked or moved to an account, each once."""
        ops = [int(Op.MEDIUM_LINK), int(Op.MEDIUM_MOVE)]
        query = select(RECORDS).where(RECORDS.c.account_id == account_id, RECORDS.c.op.in_(ops))
        found = [row.record().head for row in self._fetch(query.order_by(RECORDS.c.seq))]
        return list(dict.fromkeys(head.token for head in found if head.is_accepted))

    def purse_minor(self, account_id: int, purse_id: int) -> int:
        """What is in a further purse, as of the projection; 0 = nothing, or it is gone."""
        query = select(PURSE_BALANCES.c.balance_minor).where(
            PURSE_BALANCES.c.account_id == account_id, PURSE_BALANCES.c.purse == purse_id
        )
        with self._database.reading() as connection:
            return connection.scalar(query) or 0

    def find_operation(self, client: int, high: int, low: int) -> HistoryRow | None:
        """The record of a command, however old."""
        return self._find(IdClass.COMMAND, client, high, low)

    def has_operation(self, high: int, low: int) -> bool:
        """Whether anybody's command of this id is there, however old."""
        query = select(RECORDS.c.seq).where(RECORDS.c.id_c == low, RECORDS.c.id_b == high)
        query = query.where(RECORDS.c.id_class == int(IdClass.COMMAND)).limit(1)
        with self._database.reading() as connection:
            return connection.scalar(query) is not None

    def given_back(self, charge: HistoryRow) -> int:
        """What was given back of a debit or capture so far, in minor units, as far as it is
        projected.
        """
        named = (charge.id_a, charge.id_b, charge.id_c)
        query = select(RECORDS).where(
            RECORDS.c.account_id == charge.account_id,
            RECORDS.c.seq > charge.seq,
            RECORDS.c.op == int(Op.REFUND),
        )
        return sum(
            row.amount_minor
            for row in self._fetch(query)
            if (facts := row.record().facts) is not None and row.record().head.is_accepted
            if (facts.charge_client, facts.charge_high, facts.charge_low) == named
        )

    def first_us(self) -> int:
        """When the first record that is here was made; 0 = there is none."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.min(RECORDS.c.ts_us))) or 0

    def find_fare(self, device: int, boot: int, seq: int) -> ChargedFare | None:
        """What a tap took, also where a settlement posted it; None = nothing."""
        query = (
            select(RECORDS)
            .where(RECORDS.c.id_c == seq, RECORDS.c.id_b == boot, RECORDS.c.id_a == device)
            .where(RECORDS.c.id_class != int(IdClass.COMMAND), RECORDS.c.fare_minor > 0)
            .where(RECORDS.c.account_id != 0)
            .order_by(RECORDS.c.seq.desc())
        )
        found = self._fetch(query.limit(1))
        if not found:
            return None
        fare = found[0]
        return ChargedFare(fare.account_id, fare.fare_minor, self._is_repriced(fare))

    def _is_repriced(self, fare: HistoryRow) -> bool:
        """Whether the account's fares were priced again behind it, from its instant or earlier."""
        query = select(RECORDS).where(
            RECORDS.c.account_id == fare.account_id,
            RECORDS.c.seq > fare.seq,
            RECORDS.c.op == int(Op.RERATE),
        )
        latest_us = max(fare.at_us, fare.ts_us)
        heads = [row.record().head for row in self._fetch(query)]
        return any(head.is_accepted and head.fare_ts_us <= latest_us for head in heads)

    def _find(self, id_class: IdClass, id_a: int, id_b: int, id_c: int) -> HistoryRow | None:
        query = (
            select(RECORDS)
            .where(RECORDS.c.id_c == id_c, RECORDS.c.id_b == id_b, RECORDS.c.id_a == id_a)
            .where(RECORDS.c.id_class == int(id_class))
        )
        found = self._fetch(query)
        return found[0] if found else None

    def events_after(
        self, seq: int, limit: int = 100, *, account_id: int | None = None
    ) -> list[HistoryRow]:
        """Records behind a number, oldest first, at most `limit` (and at most EVENTS_MAX)."""
        query = select(RECORDS).where(RECORDS.c.seq > seq)
        if account_id is not None:
            query = query.where(RECORDS.c.account_id == account_id)
        return self._fetch(query.order_by(RECORDS.c.seq).limit(min(limit, EVENTS_MAX)))

    def of_operations(self, ops: Collection[int], after: int) -> tuple[list[HistoryRow], int]:
        """Records of some operations behind a number, oldest first, and how far it looked: at most
        WINDOW records, and to the end of what is projected, even when that lies before.
        """
        with self._database.reading() as connection:
            upto = min(after + WINDOW, find_watermark(connection).next_seq - 1)
            query = select(RECORDS).where(RECORDS.c.seq > after, RECORDS.c.seq <= upto)
            query = query.where(RECORDS.c.op.in_([int(op) for op in ops]))
            return list_rows(connection.execute(query.order_by(RECORDS.c.seq)).all()), upto

    def _fetch(self, query: Select[Any]) -> list[HistoryRow]:
        with self._database.reading() as connection:
            return list_rows(connection.execute(query).all())


def list_rows(rows: Sequence[Row[Any]]) -> list[HistoryRow]:
    """Rows of RECORDS as they are read elsewhere too."""
    return [HistoryRow(*tuple(row)) for row in rows]
