"""How the ledger stands: how far it has come, and what its accounts hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger.batch import Watermark, check_balance, find_watermark
from gateway.ledger.chart import RIDERS, ChartAccount, side_of
from gateway.ledger.entries import read_chart
from gateway.ledger.tables import ACCOUNT_BALANCES, CHART_BALANCES, POSTINGS, PURSE_BALANCES


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One ledger account in one currency."""

    account: ChartAccount
    currency: int
    debit_minor: int
    credit_minor: int

    def as_dict(self, names: Mapping[str, str]) -> dict[str, object]:
        """As it goes into JSON."""
        return {
            "account": self.account.code,
            "name": self.account.name(names),
            "side": str(side_of(self.account.kind)),
            "currency": self.currency,
            "debit_minor": self.debit_minor,
            "credit_minor": self.credit_minor,
        }


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Sums of everything, in one state; amounts by currency."""

    mark: Watermark
    accounts: int
    postings: int
    chart: list[ChartLine]
    debits: dict[int, int]
    """Of all ledger accounts; the credits are the same."""
    riders: dict[int, int]
    """Balances of all riders' purses."""


def find_totals(database: Database) -> LedgerTotals:
    """Count it all and check it: debits equal credits, control accounts equal riders' balances.

    Raises: LedgerError LEDGER_UNBALANCED; DatabaseError. Cost: reads every account's row.
    """
    with database.reading() as connection:
        mark = find_watermark(connection)
        check_balance(connection)
        lines = _chart(connection)
        riders = _riders(connection)
        accounts = connection.scalar(select(func.count()).select_from(ACCOUNT_BALANCES))
        postings = connection.scalar(select(func.count()).select_from(POSTINGS))
    debits: dict[int, int] = defaultdict(int)
    control: dict[int, int] = dict.fromkeys(riders, 0)
    for line in lines:
        debits[line.currency] += line.debit_minor
        if line.account.kind in RIDERS:
            control[line.currency] += line.credit_minor - line.debit_minor
    if control != riders:
        said = f"riders' accounts hold {riders}, their control accounts {control}"
        raise LedgerError("LEDGER_UNBALANCED", said)
    return LedgerTotals(mark, int(accounts or 0), int(postings or 0), lines, dict(debits), riders)


def _chart(connection: Connection) -> list[ChartLine]:
    chart = read_chart(connection)
    lines = [
        ChartLine(chart[row.chart_id], row.currency, row.debit_minor, row.credit_minor)
        for row in connection.execute(select(CHART_BALANCES))
    ]
    return sorted(lines, key=lambda one: (one.account.kind, one.account.ref, one.currency))


def _riders(connection: Connection) -> dict[int, int]:
    """Sums of the riders' own balances, by currency."""
    columns = ACCOUNT_BALANCES.c
    inline = func.sum(columns.main_minor + columns.subsidy_minor)
    found: dict[int, int] = defaultdict(int)
    for currency, total in connection.execute(
        select(columns.currency, inline).group_by(columns.currency)
    ):
        found[currency] += int(total)
    further = (
        select(columns.currency, func.sum(PURSE_BALANCES.c.balance_minor))
        .join(PURSE_BALANCES, PURSE_BALANCES.c.account_id == columns.account_id)
        .group_by(columns.currency)
    )
    for currency, total in connection.execute(further):
        found[currency] += int(total)
    return dict(found)
