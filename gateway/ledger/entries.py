"""What happened on one account, entry by entry: the stuff of statements and statistics.

An entry is one journal record with what it moved on the account; its postings say where to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, case, func, select

from gateway.ledger.batch import Watermark
from gateway.ledger.chart import RIDERS, ChartAccount, Kind
from gateway.ledger.days import date_of
from gateway.ledger.history import HistoryRow, list_rows
from gateway.ledger.periods import Period, local_date
from gateway.ledger.posting import LINES_PER_RECORD
from gateway.ledger.records import Record
from gateway.ledger.tables import CHART, POSTINGS, RECORDS
from gateway.ledger.words import HOLD_OPS

SPENDING = frozenset({Kind.OPERATOR, Kind.MERCHANT, Kind.PASSES, Kind.RERATED})
"""Counterparts a rider's consumption goes to."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record on an account. Amounts: minor units, above 0 = into the account."""

    row: HistoryRow
    record: Record
    amount_minor: int
    balance_minor: int
    """Of all purses together, after it."""
    purses: dict[int, int]
    """What each purse gained, by number."""
    counterpart: ChartAccount | None
    day: date
    """When it was posted, local."""

    @property
    def service_date(self) -> date:
        return date_of(self.row.service_day)

    @property
    def is_spending(self) -> bool:
        """Whether it is consumption, or consumption given back."""
        return self.counterpart is not None and self.counterpart.kind in SPENDING


def read_chart(connection: Connection) -> dict[int, ChartAccount]:
    """All ledger accounts by their number."""
    return {
        row.id: ChartAccount(row.id, Kind(row.kind), row.ref)
        for row in connection.execute(select(CHART))
    }


def balance_before(connection: Connection, account_id: int, from_us: int, seq: int) -> int:
    """Sum of all purses from what was posted before an instant, up to a record."""
    chart = read_chart(connection)
    riders = [number for number, one in chart.items() if one.kind in RIDERS]
    gained = case((POSTINGS.c.credit.in_(riders), POSTINGS.c.amount_minor), else_=0)
    lost = case((POSTINGS.c.debit.in_(riders), POSTINGS.c.amount_minor), else_=0)
    query = (
        select(func.coalesce(func.sum(gained - lost), 0))
        .join(RECORDS, RECORDS.c.seq == POSTINGS.c.seq)
        .where(POSTINGS.c.account_id == account_id, RECORDS.c.ts_us < from_us)
        .where(RECORDS.c.seq <= seq)
    )
    return int(connection.scalar(query) or 0)


def iter_entries(
    connection: Connection, account_id: int, period: Period, as_of: Watermark, opening_minor: int
) -> Iterator[Entry]:
    """Entries posted in a period, in the journal's order: what moved value, and holds."""
    chart = read_chart(connection)
    rows = _rows(connection, account_id, period, as_of)
    moved = _postings(connection, account_id, rows)
    zone, balance_minor = ZoneInfo(period.zone), opening_minor
    for row in rows:
        lines = moved.get(row.seq, [])
        if not lines and not (row.op in HOLD_OPS and row.reason < _REFUSED):
            continue
        purses, counterpart = _sum(lines, chart)
        amount_minor = sum(purses.values())
        balance_minor += amount_minor
        day = local_date(row.ts_us, zone)
        yield Entry(row, row.record(), amount_minor, balance_minor, purses, counterpart, day)


_REFUSED = 16


def _rows(
    connection: Connection, account_id: int, period: Period, as_of: Watermark
) -> list[HistoryRow]:
    query = (
        select(RECORDS)
        .where(RECORDS.c.account_id == account_id, RECORDS.c.seq < as_of.next_seq)
        .where(RECORDS.c.ts_us >= period.from_us, RECORDS.c.ts_us < period.until_us)
        .order_by(RECORDS.c.seq)
    )
    return list_rows(connection.execute(query).all())


def _postings(
    connection: Connection, account_id: int, rows: list[HistoryRow]
) -> dict[int, list[Row[Any]]]:
    if not rows:
        return {}
    query = (
        select(POSTINGS)
        .where(POSTINGS.c.account_id == account_id)
        .where(POSTINGS.c.id >= rows[0].seq * LINES_PER_RECORD)
        .where(POSTINGS.c.id < (rows[-1].seq + 1) * LINES_PER_RECORD)
        .order_by(POSTINGS.c.id)
    )
    found: dict[int, list[Row[Any]]] = {}
    for posting in connection.execute(query):
        found.setdefault(posting.seq, []).append(posting)
    return found


def _sum(
    lines: list[Row[Any]], chart: dict[int, ChartAccount]
) -> tuple[dict[int, int], ChartAccount | None]:
    """What each purse gained, and who stands on the other side."""
    purses: dict[int, int] = {}
    counterpart = None
    for line in lines:
        debit, credit = chart[line.debit], chart[line.credit]
        gained = line.amount_minor if credit.kind in RIDERS else -line.amount_minor
        counterpart = debit if credit.kind in RIDERS else credit
        purses[line.purse] = purses.get(line.purse, 0) + gained
    return purses, counterpart
