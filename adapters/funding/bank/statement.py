"""Entries of our account at the bank: a CSV statement with totals, and entries of webhooks.

The format is in docs/bank.md. A statement is taken whole or not at all: its last line names the
number of entries and the sums. An entry's identity is the bank's own reference, so the same entry
in two statements and a webhook is one event.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.contract import Event
from adapters.errors import Malformed
from adapters.funding.bank.reference import find_account
from adapters.funding.bank.settings import BankSettings

MAGIC = "FGBANK"
FORMAT = "1"
FIELDS = ("entry_ref", "booked", "amount_minor", "currency", "direction", "reverses", "reference")
"""Columns of an entry; a statement has them in this order, and further ones behind are ignored."""
AMOUNT_MAX = 1 << 53
REFERENCE_MAX = 140
_REF = re.compile(r"[A-Za-z0-9._:/-]{1,100}")
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement on our account. incoming: credited to us. reverses: of which entry, or payout,
    this is the return.
    """

    entry_ref: str
    booked: datetime.date
    amount_minor: int
    currency: int
    incoming: bool
    reverses: str
    reference: str

    def as_event(self) -> Event:
        """`bank_credit`: money for an account. `bank_return`: one of those was taken back.
        `payout_return`: a refund of ours came back. `bank_debit`: anything else that left.
        """
        account_id = None if self.reverses else find_account(self.reference)
        payload = {
            "entry_ref": self.entry_ref,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "booked": self.booked.isoformat(),
            "reverses": self.reverses,
            "account_id": account_id,
            # What an operator needs to find out whose it is; where it is known, nobody needs it.
            "reference": "" if account_id else self.reference[:REFERENCE_MAX],
        }
        return Event(
            message_id=self.entry_ref,
            kind=self.kind,
            subject=self.reverses,
            occurred_us=(self.booked - datetime.date(1970, 1, 1)).days * DAY_US,
            aggregate=self.reverses or self.entry_ref,
            version=2 if self.reverses else 1,
            payload=payload,
        )

    @property
    def kind(self) -> str:
        """What it means for us."""
        if self.incoming:
            return "payout_return" if self.reverses else "bank_credit"
        return "bank_return" if self.reverses else "bank_debit"


def read_entry(values: Mapping[str, Any], settings: BankSettings) -> Entry:
    """Check one entry. Raises: Malformed, naming the field and never its value."""
    reference, reverses = str(values.get("reference", "")), str(values.get("reverses", ""))
    entry_ref = str(values.get("entry_ref", ""))
    if not _REF.fullmatch(entry_ref) or (reverses and not _REF.fullmatch(reverses)):
        raise Malformed("entry_ref or reverses is no reference of a bank")
    currency = _integer(values, "currency", 1, 999)
    if currency != settings.currency:
        raise Malformed(f"currency is {currency}, the account's is {settings.currency}")
    direction = values.get("direction")
    if direction not in ("credit", "debit"):
        raise Malformed("direction is neither credit nor debit")
    return Entry(
        entry_ref,
        _date(values.get("booked"), "booked"),
        _integer(values, "amount_minor", 1, AMOUNT_MAX),
        currency,
        direction == "credit",
        reverses,
        reference,
    )


def read_statement(raw: bytes, settings: BankSettings) -> list[Entry]:
    """All entries of a statement. Raises: Malformed: any fault at all, with its line."""
    try:
        text = raw.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"the statement is no CSV in UTF-8: {type(error).__name__}") from error
    if len(rows) < 3 or not text.endswith("\n"):
        raise Malformed("the statement is cut")
    _check_head(rows[0], settings)
    if tuple(rows[1][: len(FIELDS)]) != FIELDS:
        raise Malformed(f"line 2: the columns begin with {','.join(FIELDS)}")
    entries = [_read_row(number, row, settings) for number, row in enumerate(rows[2:-1], start=3)]
    _check_totals(rows[-1], entries)
    if len({entry.entry_ref for entry in entries}) != len(entries):
        raise Malformed("an entry is there twice")
    return entries


def _check_head(row: Sequence[str], settings: BankSettings) -> None:
    if row[:2] != [MAGIC, FORMAT] or len(row) != 5:
        raise Malformed(f"line 1: {MAGIC},{FORMAT},account,statement,date")
    if row[2] != settings.account:
        raise Malformed("line 1: the statement of another account")
    _date(row[4], "line 1: date")


def _read_row(number: int, row: Sequence[str], settings: BankSettings) -> Entry:
    if len(row) < len(FIELDS):
        raise Malformed(f"line {number}: {len(row)} of {len(FIELDS)} columns")
    try:
        return read_entry(dict(zip(FIELDS, row, strict=False)), settings)
    except Malformed as error:
        raise Malformed(f"line {number}: {error.detail}") from error


def _check_totals(row: Sequence[str], entries: Sequence[Entry]) -> None:
    sums = [sum(e.amount_minor for e in entries if e.incoming is side) for side in (True, False)]
    wanted = ["END", str(len(entries)), *map(str, sums)]
    if row != wanted:
        raise Malformed(f"last line: {','.join(wanted)} is what the entries say")


def _integer(values: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = values.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Malformed(f"{name} is no whole number from {low} to {high}")
    return value


def _date(value: object, name: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(str(value))
    except ValueError as error:
        raise Malformed(f"{name} is no date") from error
