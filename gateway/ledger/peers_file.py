"""Another party's file for reconciliation: CSV with a head line, in whatever columns it has.

Every faulty line is named at once. Amounts are read as decimals of the major unit or as minor
units; no float is involved.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from gateway.errors import LedgerError

ENCODING_HINT = "name how the file is written, as in --encoding gb18030"
FAULTS_MAX = 20
AMOUNT_MAX = 1 << 60
REFUSED_WORDS = frozenset({"refused", "failed", "declined", "拒绝", "失败"})
REVERSED_WORDS = frozenset({"reversed", "cancelled", "canceled", "voided", "已撤销", "已冲正"})


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns are called; "" = the file has none.

    is_major: amounts as `12.34`, in a currency whose minor unit has so many digits (exponent).
    """

    key: str = "key"
    amount: str = "amount_minor"
    date: str = "date"
    status: str = "status"
    is_major: bool = False
    encoding: str = "utf-8-sig"
    exponent: int = 2


@dataclass(frozen=True, slots=True)
class PeerLine:
    """One line of it. day None, status "": the file does not say."""

    line: int
    key: str
    amount_minor: int
    day: date | None
    status: str


def read_peer_file(path: Path, columns: Columns) -> list[PeerLine]:
    """All lines. Raises: LedgerError LEDGER_FILE naming every faulty line."""
    try:
        text = path.read_bytes().decode(columns.encoding)
    except OSError as error:
        raise LedgerError("LEDGER_FILE", f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise LedgerError("LEDGER_FILE", f"{path}: {error}", hint=ENCODING_HINT) from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = {columns.key, columns.amount} - set(reader.fieldnames or ())
    if missing:
        raise LedgerError("LEDGER_FILE", f"{path}: no column {', '.join(sorted(missing))}")
    faults: list[str] = []
    lines = list(_read(reader, columns, faults))
    if faults:
        more = len(faults) - FAULTS_MAX
        tail = [f"and {more} more"] if more > 0 else []
        raise LedgerError("LEDGER_FILE", f"{path}: " + "; ".join(faults[:FAULTS_MAX] + tail))
    return lines


def _read(reader: csv.DictReader[str], columns: Columns, faults: list[str]) -> Iterator[PeerLine]:
    for row in reader:
        number = reader.line_num
        try:
            yield _parse(row, columns, number)
        except (ValueError, InvalidOperation) as error:
            faults.append(f"line {number}: {error}")


def _parse(row: dict[str, str], columns: Columns, number: int) -> PeerLine:
    key = (row[columns.key] or "").strip()
    if not key:
        raise ValueError("the key is empty")
    day = (row.get(columns.date) or "").strip()
    status = (row.get(columns.status) or "").strip().lower()
    return PeerLine(
        number,
        key,
        _amount((row[columns.amount] or "").strip(), columns),
        date.fromisoformat(day.replace("/", "-")) if day else None,
        _status(status),
    )


def _amount(text: str, columns: Columns) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount") from None
    minor = value.scaleb(columns.exponent) if columns.is_major else value
    if not minor.is_finite() or minor != minor.to_integral_value() or abs(minor) > AMOUNT_MAX:
        raise ValueError(f"{text!r} is no amount in whole minor units")
    return int(minor)


def _status(word: str) -> str:
    if word in REFUSED_WORDS:
        return "refused"
    return "reversed" if word in REVERSED_WORDS else "ok" if word else ""
