"""What moved on one ledger account on some service days: settlement and reconciliation stand on it.

Amounts are signed from the account's own side: what an operator or merchant earned, what a bank
brought in, is above 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from gateway.ledger.chart import ChartAccount, Kind, Side, parse_code, side_of
from gateway.ledger.entries import read_chart
from gateway.ledger.history import HistoryRow
from gateway.ledger.tables import CHART, DAY_TOTALS, POSTINGS, RECORDS

SETTLED = frozenset({Kind.OPERATOR, Kind.MERCHANT, Kind.PASSES, Kind.RERATED})
"""Kinds whose days are settled; passes and re-rated fares are to be shared out by hand."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One posting on the account, with its record. other: the account on the other side."""

    posting_id: int
    row: HistoryRow
    amount_minor: int
    currency: int
    other: ChartAccount


def find_account(connection: Connection, code: str) -> ChartAccount | None:
    """A ledger account by its code; None = nothing was posted on it. Raises: ValueError."""
    kind, ref = parse_code(code)
    query = select(CHART.c.id).where(CHART.c.kind == int(kind), CHART.c.ref == ref)
    number = connection.scalar(query)
    return ChartAccount(number, kind, ref) if number is not None else None


def list_settled(connection: Connection, day: int) -> list[ChartAccount]:
    """Accounts with something to settle on a service day, by kind and reference."""
    query = select(DAY_TOTALS.c.chart_id).where(DAY_TOTALS.c.service_day == day).distinct()
    chart = read_chart(connection)
    found = [chart[number] for number in connection.scalars(query)]
    kept = [one for one in found if one.kind in SETTLED]
    return sorted(kept, key=lambda one: (one.kind, one.ref))


def list_movements(
    connection: Connection, account: ChartAccount, from_day: int, until_day: int
) -> list[Movement]:
    """Postings of service days [from_day, until_day), in the journal's order."""
    chart = read_chart(connection)
    query = (
        select(POSTINGS, RECORDS)
        .join(RECORDS, RECORDS.c.seq == POSTINGS.c.seq)
        .where(POSTINGS.c.service_day >= from_day, POSTINGS.c.service_day < until_day)
        .where(or_(POSTINGS.c.debit == account.id, POSTINGS.c.credit == account.id))
        .order_by(POSTINGS.c.id)
    )
    width = len(POSTINGS.columns)
    is_debit_side = side_of(account.kind) in (Side.ASSET, Side.EXPENSE)
    found = []
    for joined in connection.execute(query):
        values = tuple(joined)
        posting = dict(zip(POSTINGS.columns.keys(), values[:width], strict=True))
        is_debit = posting["debit"] == account.id
        sign = 1 if is_debit == is_debit_side else -1
        other = chart[posting["credit"] if is_debit else posting["debit"]]
        row = HistoryRow(*values[width:])
        amount = sign * posting["amount_minor"]
        found.append(Movement(posting["id"], row, amount, posting["currency"], other))
    return found
