"""Statements of one account: opening balance, entries with why, closing balance; and roll-ups.

Reads the ledger only: a statement is as old as the projection, and says so (`as_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fastpath.types import Item, Op, Reason
from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger.batch import Watermark, find_watermark
from gateway.ledger.entries import Entry, balance_before, iter_entries
from gateway.ledger.periods import Period, month_name
from gateway.ledger.records import Record
from gateway.ledger.tables import ACCOUNT_BALANCES
from gateway.ledger.words import purpose_name, why, words_of

Explain = Callable[[Record], list[dict[str, object]]]
"""The rules of a record with their files and lines; None of it = the short words are enough."""


class Group(StrEnum):
    """What a statement's totals are by."""

    DAY = "day"
    MONTH = "month"
    PURPOSE = "purpose"
    MERCHANT = "merchant"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which account and time, and which entries of it; None = all."""

    account_id: int
    period: Period
    purpose: int | None = None
    merchant: int | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether an entry is asked for."""
        row = entry.row
        if self.purpose is not None and row.purpose != self.purpose:
            return False
        return self.merchant is None or row.merchant == self.merchant


@dataclass(slots=True)
class Total:
    """Sums of some entries. in_minor, out_minor >= 0."""

    key: str
    entries: int = 0
    in_minor: int = 0
    out_minor: int = 0

    def add(self, amount_minor: int) -> None:
        self.entries += 1
        self.in_minor += max(0, amount_minor)
        self.out_minor += max(0, -amount_minor)

    def as_dict(self) -> dict[str, object]:
        return {
            "key": self.key,
            "entries": self.entries,
            "in_minor": self.in_minor,
            "out_minor": self.out_minor,
            "net_minor": self.in_minor - self.out_minor,
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """One account in one period. Opening and closing count every entry, also those left out."""

    wanted: Wanted
    currency: int
    opening_minor: int
    closing_minor: int
    entries: list[Entry]
    as_of: Watermark
    names: Mapping[str, str] = field(default_factory=dict)
    explain: Explain | None = None

    def totals(self, group: Group) -> list[Total]:
        """Sums by day, month, purpose or merchant, in the order of their first entry."""
        found: dict[str, Total] = {}
        for entry in self.entries:
            key = _key_of(entry, group)
            found.setdefault(key, Total(key)).add(entry.amount_minor)
        return list(found.values())

    def as_dict(self, group: Group | None = None) -> dict[str, object]:
        """As it goes into JSON."""
        said: dict[str, object] = {
            "account_id": self.wanted.account_id,
            "currency": self.currency,
            "period": self.wanted.period.as_dict(),
            "opening_minor": self.opening_minor,
            "closing_minor": self.closing_minor,
            "as_of": describe_as_of(self.as_of),
        }
        if group is not None:
            return said | {"by": str(group), "totals": [t.as_dict() for t in self.totals(group)]}
        return said | {"entries": [self._describe(entry) for entry in self.entries]}

    def rows(self, group: Group | None = None) -> list[dict[str, object]]:
        """Flat rows for CSV."""
        if group is not None:
            return [total.as_dict() for total in self.totals(group)]
        return [_flat(self._describe(entry)) for entry in self.entries]

    def _describe(self, entry: Entry) -> dict[str, object]:
        said = describe_entry(entry, self.names)
        if self.explain is not None:
            said["rules"] = self.explain(entry.record)
        return said


class Statements:
    """Makes statements from one ledger. Thread: any."""

    def __init__(
        self,
        database: Database,
        *,
        names: Mapping[str, str] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self._database = database
        self._names = names or {}
        self._explain = explain

    def of_account(self, wanted: Wanted) -> Statement:
        """Raises: LedgerError LEDGER_NOT_FOUND: the ledger knows no such account; DatabaseError."""
        account_id, period = wanted.account_id, wanted.period
        with self._database.reading() as connection:
            as_of = find_watermark(connection)
            query = ACCOUNT_BALANCES.select().where(ACCOUNT_BALANCES.c.account_id == account_id)
            account = connection.execute(query).one_or_none()
            if account is None:
                raise LedgerError("LEDGER_NOT_FOUND", f"no account {account_id} up to here")
            last = as_of.next_seq - 1
            opening = balance_before(connection, account_id, period.from_us, last)
            entries = list(iter_entries(connection, account_id, period, as_of, opening))
        closing = opening + sum(entry.amount_minor for entry in entries)
        kept = [entry for entry in entries if wanted.takes(entry)]
        return Statement(
            wanted, account.currency, opening, closing, kept, as_of, self._names, self._explain
        )


def describe_as_of(mark: Watermark) -> dict[str, int]:
    """How old it is: journal position, last record, and when that was made."""
    return {"position": mark.position, "seq": mark.next_seq - 1, "ts_us": mark.ts_us}


def describe_entry(entry: Entry, names: Mapping[str, str]) -> dict[str, object]:
    """An entry with its words; every amount says why."""
    row, head = entry.row, entry.record.head
    facts = entry.record.facts
    english, chinese = words_of(row.op, facts.flags if facts is not None else 0)
    reasons = why(head.rules if row.op < Op.ACCOUNT_OPEN else 0, row.reason)
    notes = row.notes()
    other = entry.counterpart
    return {
        "seq": row.seq,
        "position": row.position,
        "ts_us": row.ts_us,
        "date": entry.day.isoformat(),
        "service_date": entry.service_date.isoformat(),
        "op": _name_of(Op, row.op),
        "reason": _name_of(Reason, row.reason),
        "what": english,
        "what_zh": chinese,
        "why": [said for said, _ in reasons],
        "why_zh": [said for _, said in reasons],
        "purpose": purpose_name(row.purpose),
        "merchant": row.merchant,
        "counterpart": other.code if other is not None else "",
        "counterpart_name": other.name(names) if other is not None else "",
        "amount_minor": entry.amount_minor,
        "balance_minor": entry.balance_minor,
        "purses": {str(purse): gained for purse, gained in entry.purses.items() if gained},
        "held_minor": _held(entry.record),
        "stop": head.stop if row.op < Op.ACCOUNT_OPEN else 0,
        "from_stop": head.other_stop if row.op == Op.CHECK_OUT else 0,
        "reference": notes.get(1, ""),
        "note": notes.get(2, ""),
    }


def _held(record: Record) -> int:
    return record.line_0.held_minor if record.line_0 is not None else 0


def read_acts(record: Record) -> tuple[int, ...]:
    """Rules of the tariff that acted, as a record keeps them."""
    for at in range(168, len(record.raw), 72):
        if record.raw[at] == Item.ACTS:
            image = record.raw[at + 8 : at + 72]
            numbers = (int.from_bytes(image[i : i + 4], "little") for i in range(0, 64, 4))
            return tuple(number for number in numbers if number)
    return ()


def _name_of(kind: type[Op | Reason], number: int) -> str:
    try:
        return kind(number).name.lower()
    except ValueError:
        return str(number)


def _key_of(entry: Entry, group: Group) -> str:
    if group is Group.DAY:
        return entry.day.isoformat()
    if group is Group.MONTH:
        return month_name(entry.day)
    if group is Group.PURPOSE:
        return purpose_name(entry.row.purpose)
    return entry.counterpart.code if entry.counterpart is not None else ""


def _flat(said: Mapping[str, object]) -> dict[str, object]:
    """Lists and tables as text."""
    return {name: _text(value) for name, value in said.items()}


def _text(value: object) -> object:
    if isinstance(value, dict):
        return " ".join(f"{name}:{inner}" for name, inner in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "; ".join(str(one) for one in value)
    return value
