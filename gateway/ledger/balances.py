"""Balances of riders' accounts as the ledger has them, to be held against memory's."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from gateway.db import Database
from gateway.ledger.chart import RIDERS
from gateway.ledger.state import AccountState, PurseState
from gateway.ledger.tables import ACCOUNT_BALANCES, CHART, CHART_BALANCES, PURSE_BALANCES


def iter_accounts(database: Database) -> Iterator[AccountState]:
    """Every account with its purses, in the order of their numbers. Raises: DatabaseError."""
    columns = ACCOUNT_BALANCES.c
    with database.reading() as connection:
        purses: dict[int, dict[int, PurseState]] = {}
        for row in connection.execute(select(PURSE_BALANCES)):
            purse = PurseState(row.balance_minor, row.sponsor)
            purses.setdefault(row.account_id, {})[row.purse] = purse
        for row in connection.execute(select(ACCOUNT_BALANCES).order_by(columns.account_id)):
            values = dict(row._mapping)
            yield AccountState(**values, purses=purses.get(row.account_id, {}))


def control_totals(database: Database) -> dict[int, int]:
    """What all riders have together, by currency, from the postings: credits less debits."""
    query = (
        select(
            CHART_BALANCES.c.currency,
            func.sum(CHART_BALANCES.c.credit_minor - CHART_BALANCES.c.debit_minor),
        )
        .join(CHART, CHART.c.id == CHART_BALANCES.c.chart_id)
        .where(CHART.c.kind.in_([int(kind) for kind in RIDERS]))
        .group_by(CHART_BALANCES.c.currency)
    )
    with database.reading() as connection:
        return {int(currency): int(total) for currency, total in connection.execute(query)}
