"""Settlement of one operator or merchant and service day: a CSV file with control totals.

The file depends on the postings of that service date alone, so a run made twice gives the same
bytes. When something arrived late for a settled day, the next file has the next number and is
complete in itself: it takes the place of the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select, update

from fastpath.types import Op
from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger.batch import find_watermark
from gateway.ledger.chart import ChartAccount, Kind
from gateway.ledger.csvs import render
from gateway.ledger.days import day_number
from gateway.ledger.identity import key_of
from gateway.ledger.movements import Movement, find_account, list_movements, list_settled
from gateway.ledger.periods import local_date, start_of
from gateway.ledger.record_tables import SETTLEMENTS
from gateway.ledger.words import purpose_name

COLUMNS = (
    *("record", "seq", "key", "at_us", "op", "purpose", "stop", "from_stop", "paid_by"),
    *("reference", "amount_minor", "currency"),
)

LATE_END_US = 6 * 3600 * 1_000_000
"""No service day ends later than this behind midnight."""

Note = Callable[[Connection, str, str, Mapping[str, object]], None]
"""Tells the audit trail (connection of the registry, action, subject, facts)."""


@dataclass(slots=True)
class DayTotals:
    """Control totals of one currency. risk_minor: rides the operator bears itself."""

    currency: int
    lines: int = 0
    earned_minor: int = 0
    given_back_minor: int = 0
    risk_minor: int = 0

    @property
    def payable_minor(self) -> int:
        """What is to be paid out."""
        return self.earned_minor - self.given_back_minor - self.risk_minor

    def add(self, movement: Movement) -> None:
        self.lines += 1
        self.earned_minor += max(0, movement.amount_minor)
        self.given_back_minor += max(0, -movement.amount_minor)
        if movement.other.kind is Kind.RISK_LOSS:
            self.risk_minor += movement.amount_minor

    def as_dict(self) -> dict[str, int]:
        return {
            "currency": self.currency,
            "lines": self.lines,
            "earned_minor": self.earned_minor,
            "given_back_minor": self.given_back_minor,
            "risk_minor": self.risk_minor,
            "payable_minor": self.payable_minor,
        }


@dataclass(frozen=True, slots=True)
class SettlementFile:
    """One file. number: 0, or of a corrected one; repeated: it was made before, byte for byte;
    is_written: it was in the folder of settlements before.
    """

    account: str
    name: str
    service_date: date
    number: int
    as_of_seq: int
    sha256: str
    totals: list[dict[str, int]]
    text: str = field(repr=False)
    repeated: bool = False
    is_written: bool = False

    @property
    def file_name(self) -> str:
        """`settlement-operator-1-2026-11-28.csv`, with `-1` for the first corrected one."""
        return file_name(self.account, self.service_date, self.number)

    def as_dict(self) -> dict[str, object]:
        """Without the text."""
        return {
            "account": self.account,
            "name": self.name,
            "service_date": self.service_date.isoformat(),
            "number": self.number,
            "file": self.file_name,
            "as_of_seq": self.as_of_seq,
            "sha256": self.sha256,
            "totals": self.totals,
            "repeated": self.repeated,
        }


def file_name(account: str, day: date, number: int) -> str:
    """`settlement-operator-1-2026-11-28.csv`, with `-1` for the first corrected one."""
    behind = f"-{number}" if number else ""
    return f"settlement-{account.replace(':', '-')}-{day}{behind}.csv"


class Settlement:
    """Makes the files of a day. Thread: any.

    ledger: what is settled; records: the registry, where numbers are kept.
    """

    def __init__(
        self,
        ledger: Database,
        records: Database,
        *,
        zone: str,
        names: Mapping[str, str] | None = None,
        note: Note = lambda _c, _a, _s, _f: None,
    ) -> None:
        self._ledger = ledger
        self._records = records
        self._zone = zone
        self._names = names or {}
        self._note = note

    def run(
        self, day: date, now_us: int, *, code: str | None = None, open_day: bool = False
    ) -> list[SettlementFile]:
        """The files of one service date, one an account; their numbers are kept.

        Args: code: only this ledger account. open_day: also a day that is not over.
        Raises: LedgerError LEDGER_DAY_OPEN: the ledger has not seen the end of the day;
            LEDGER_UNKNOWN_ACCOUNT; DatabaseError.
        """
        with self._ledger.reading() as connection:
            if not open_day:
                self._check_over(connection, day)
            found = [
                self._render(connection, account, day)
                for account in self._accounts(connection, code, day)
            ]
        return [self._number(one, now_us) for one in found]

    def make(self, day: date, code: str) -> SettlementFile:
        """One account's file as the ledger has it now, also of a day that is not over; no number
        is kept. Raises: LedgerError LEDGER_UNKNOWN_ACCOUNT; DatabaseError.
        """
        with self._ledger.reading() as connection:
            (account,) = self._accounts(connection, code, day)
            return self._render(connection, account, day)

    def mark_written(self, files: Iterable[SettlementFile], now_us: int) -> None:
        """They are in the folder of settlements: whoever fetches them may take them away."""
        columns = SETTLEMENTS.c
        with self._records.transaction() as connection:
            for one in files:
                connection.execute(
                    update(SETTLEMENTS)
                    .where(columns.operator == one.account, columns.number == one.number)
                    .where(columns.service_day == day_number(one.service_date))
                    .values(written_us=now_us)
                )

    def find_newest_over(self) -> date | None:
        """The newest service date whose end the ledger has seen; None = it has seen nothing."""
        with self._ledger.reading() as connection:
            seen_us = find_watermark(connection).ts_us
        if not seen_us:
            return None
        return local_date(seen_us - LATE_END_US, ZoneInfo(self._zone)) - timedelta(days=1)

    def _check_over(self, connection: Connection, day: date) -> None:
        """Service days may end hours after midnight."""
        ends_us = start_of(day + timedelta(days=1), self._zone) + LATE_END_US
        seen_us = find_watermark(connection).ts_us
        if seen_us < ends_us:
            said = f"the ledger has not seen the end of {day}"
            raise LedgerError("LEDGER_DAY_OPEN", said)

    def _accounts(self, connection: Connection, code: str | None, day: date) -> list[ChartAccount]:
        if code is None:
            return list_settled(connection, day_number(day))
        try:
            account = find_account(connection, code)
        except ValueError as error:
            raise LedgerError("LEDGER_UNKNOWN_ACCOUNT", str(error)) from error
        if account is None:
            raise LedgerError("LEDGER_UNKNOWN_ACCOUNT", f"nothing was ever posted on {code}")
        return [account]

    def _render(self, connection: Connection, account: ChartAccount, day: date) -> SettlementFile:
        number = day_number(day)
        movements = list_movements(connection, account, number, number + 1)
        totals: dict[int, DayTotals] = defaultdict(lambda: DayTotals(0))
        for movement in movements:
            total = totals[movement.currency]
            total.currency = movement.currency
            total.add(movement)
        rows = [_line(movement) for movement in movements]
        said = [totals[currency].as_dict() for currency in sorted(totals)]
        rows += [_trailer(total) for total in said]
        text = render(COLUMNS, rows)
        return SettlementFile(
            account.code,
            account.name(self._names),
            day,
            0,
            max((movement.row.seq for movement in movements), default=0),
            hashlib.sha256(text.encode()).hexdigest(),
            said,
            text,
        )

    def _number(self, made: SettlementFile, now_us: int) -> SettlementFile:
        """The number of the newest file when nothing changed, else the next one."""
        day = day_number(made.service_date)
        columns = SETTLEMENTS.c
        newest = select(columns.number, columns.sha256, columns.written_us).where(
            columns.operator == made.account, columns.service_day == day
        )
        with self._records.transaction() as connection:
            row = connection.execute(newest.order_by(columns.number.desc()).limit(1)).one_or_none()
            if row is not None and row.sha256 == made.sha256:
                is_written = row.written_us > 0
                return replace(made, number=row.number, repeated=True, is_written=is_written)
            fresh = replace(made, number=row.number + 1 if row is not None else 0)
            connection.execute(
                insert(SETTLEMENTS).values(
                    operator=made.account,
                    service_day=day,
                    number=fresh.number,
                    as_of_seq=made.as_of_seq,
                    sha256=made.sha256,
                    totals=json.dumps(made.totals),
                    made_us=now_us,
                    written_us=0,
                )
            )
            facts = {"number": fresh.number, "sha256": made.sha256, "totals": made.totals}
            self._note(connection, "settlement.run", f"{made.account}/{made.service_date}", facts)
        return fresh


def _line(movement: Movement) -> dict[str, object]:
    row = movement.row
    head = row.record().head
    is_tap = row.op < Op.ACCOUNT_OPEN
    return {
        "record": "line",
        "seq": row.seq,
        "key": key_of(row),
        "at_us": row.at_us,
        "op": Op(row.op).name.lower(),
        "purpose": purpose_name(row.purpose),
        "stop": head.stop if is_tap else "",
        "from_stop": head.other_stop if row.op == Op.CHECK_OUT else "",
        "paid_by": movement.other.kind.name.lower(),
        "reference": row.notes().get(1, ""),
        "amount_minor": movement.amount_minor,
        "currency": movement.currency,
    }


def _trailer(total: Mapping[str, int]) -> dict[str, object]:
    """Control totals, as the file's last lines: one a currency."""
    sums = " ".join(f"{name}={value}" for name, value in total.items() if name != "currency")
    return {
        "record": "total",
        "key": sums,
        "amount_minor": total["payable_minor"],
        "currency": total["currency"],
    }


def write_files(folder: Path, files: list[SettlementFile]) -> list[Path]:
    """Write each file and, beside it, its totals and hash as JSON; durable. Raises: OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = []
    for one in files:
        path = folder / one.file_name
        _put(path, one.text)
        about = json.dumps(one.as_dict() | {"repeated": False}, ensure_ascii=False, indent=2)
        _put(path.with_suffix(".json"), about + "\n")
        paths.append(path)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
    return paths


def _put(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.tmp")
    with fresh.open("wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
