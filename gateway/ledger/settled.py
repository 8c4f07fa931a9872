"""What was settled, as the registry keeps it: numbers, control totals and hashes of files."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Row, select

from gateway.db import Database, list_window
from gateway.ledger.days import date_of, day_number
from gateway.ledger.record_tables import SETTLEMENTS
from gateway.windows import Window


@dataclass(frozen=True, slots=True)
class KeptSettlement:
    """One file that was made. account: the ledger account's code."""

    id: int
    account: str
    service_date: date
    number: int
    as_of_seq: int
    sha256: str
    totals: list[dict[str, int]]
    made_us: int

    @property
    def lines(self) -> int:
        """How many lines it has beside its totals."""
        return sum(one["lines"] for one in self.totals)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which settlements. accounts: codes, None = all. Dates: both inside, None = no bound."""

    accounts: Collection[str] | None = None
    first: date | None = None
    last: date | None = None


class SettlementBook:
    """Reads what was settled. Thread: any."""

    def __init__(self, records: Database) -> None:
        self._records = records

    def list(self, asked: Asked, window: Window) -> list[KeptSettlement]:
        """The newest first; one more than asked for when there are more."""
        columns = SETTLEMENTS.c
        query = select(SETTLEMENTS)
        if asked.accounts is not None:
            query = query.where(columns.operator.in_(sorted(asked.accounts)))
        if asked.first is not None:
            query = query.where(columns.service_day >= day_number(asked.first))
        if asked.last is not None:
            query = query.where(columns.service_day <= day_number(asked.last))
        with self._records.reading() as connection:
            rows = list_window(connection, query, columns.id, window, newest_first=True)
        return [_kept(row) for row in rows]

    def find(self, account: str, day: date, number: int | None = None) -> KeptSettlement | None:
        """The file of a service date: of this number, or the newest one."""
        columns = SETTLEMENTS.c
        query = select(SETTLEMENTS).where(
            columns.operator == account, columns.service_day == day_number(day)
        )
        if number is not None:
            query = query.where(columns.number == number)
        with self._records.reading() as connection:
            row = connection.execute(query.order_by(columns.number.desc()).limit(1)).one_or_none()
        return _kept(row) if row is not None else None


def _kept(row: Row[Any]) -> KeptSettlement:
    return KeptSettlement(
        id=row.id,
        account=row.operator,
        service_date=date_of(row.service_day),
        number=row.number,
        as_of_seq=row.as_of_seq,
        sha256=row.sha256,
        totals=json.loads(row.totals),
        made_us=row.made_us,
    )
