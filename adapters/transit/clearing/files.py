"""What the rows of each kind of file say. Pure; no I/O. Formats: docs/clearing.md."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapters.transit.clearing.lines import Code, Content, FileFault, Label, read_amount, read_name

TAP_FIELDS = 12
_TOKEN = re.compile("[0-9a-f]{32}")
_ROW_ID = re.compile("[A-Za-z0-9.:-]{1,64}")
REASONS = {
    "01": "unknown_medium",
    "02": "duplicate",
    "03": "other_day",
    "04": "wrong_amount",
    "05": "denylisted",
    "06": "unknown_device",
    "07": "unknown_stop",
    "99": "other",
}
"""Why a clearing house rejects a row: its codes and our words."""


@dataclass(frozen=True, slots=True)
class FareRow:
    """One tap to be cleared. row_id: ours for ever. ts_us: when the tap happened, UTC.

    token: 32 hex digits. fare_minor: what the operator is owed, 0 for a tap that took nothing,
    below 0 for a fare given back; subsidy_minor: the part of it that a subsidy paid.
    """

    row_id: str
    ts_us: int
    token: str
    medium_kind: str
    device: int
    stop_id: int
    stop_name: str
    tap_kind: str
    fare_minor: int
    subsidy_minor: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)


def build_taps(label: Label, currency: int, rows: Sequence[FareRow]) -> Content:
    """The content of a taps file. Times are UTC."""
    lines = tuple(_tap_line(number, row) for number, row in enumerate(rows, start=1))
    return Content(label, currency, lines, sum(row.fare_minor for row in rows))


def _tap_line(number: int, row: FareRow) -> tuple[str, ...]:
    seconds, us = divmod(row.ts_us, 1_000_000)
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return (
        "D",
        str(number),
        row.row_id,
        f"{at:%Y%m%d%H%M%S}{us // 1000:03d}",
        row.token,
        row.medium_kind,
        str(row.device),
        str(row.stop_id),
        row.stop_name,
        row.tap_kind,
        str(row.fare_minor),
        str(row.subsidy_minor),
    )


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row that a clearing house does not pay."""

    row_number: int
    row_id: str
    reason: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The answer to one taps file: all rows but the rejected ones are accepted."""

    file_name: str
    file_digest: str
    accepted_count: int
    accepted_minor: int
    rejected: tuple[Rejected, ...]

    @property
    def rejected_minor(self) -> int:
        """Sum of the rejected rows."""
        return sum(one.amount_minor for one in self.rejected)


def read_settlement(content: Content) -> Settlement:
    """Raises: FileFault."""
    rows = content.rows
    if not rows or rows[0][0] != "F" or len(rows[0]) != 7:
        raise FileFault(Code.BAD_ROW, "line 2: F|file|digest|accepted|sum|rejected|sum")
    _, name, digest, count, total, rejected_count, rejected_total = rows[0]
    read_name(name)
    rejected = tuple(_rejected(number, row) for number, row in enumerate(rows[1:], start=3))
    answer = Settlement(name, digest, read_amount(count, 2), read_amount(total, 2), rejected)
    if read_amount(rejected_count, 2) != len(rejected):
        raise FileFault(Code.WRONG_COUNT, "line 2: not so many rows are rejected")
    if read_amount(rejected_total, 2) != answer.rejected_minor:
        raise FileFault(Code.WRONG_TOTAL, "line 2: the rejected rows have another sum")
    return answer


def _rejected(line: int, row: Sequence[str]) -> Rejected:
    if len(row) != 5 or row[0] != "R" or not _ROW_ID.fullmatch(row[2]):
        raise FileFault(Code.BAD_ROW, f"line {line}: R|number|row|reason|amount")
    if row[3] not in REASONS:
        raise FileFault(Code.BAD_ROW, f"line {line}: the reason")
    number = read_amount(row[1], line)
    return Rejected(number, row[2], REASONS[row[3]], read_amount(row[4], line))


@dataclass(frozen=True, slots=True)
class Denial:
    """One change of a deny list: a medium is put on it, or taken off."""

    token: bytes
    added: bool


def read_denials(content: Content) -> tuple[Denial, ...]:
    """Raises: FileFault."""
    denials = tuple(_denial(line, row) for line, row in enumerate(content.rows, start=2))
    if len({one.token for one in denials}) != len(denials):
        raise FileFault(Code.BAD_ROW, "a medium is there twice")
    return denials


def _denial(line: int, row: Sequence[str]) -> Denial:
    if len(row) != 3 or row[0] not in ("A", "D") or not _TOKEN.fullmatch(row[1]):
        raise FileFault(Code.BAD_ROW, f"line {line}: A or D, token, reason")
    if not int(row[1], 16):
        raise FileFault(Code.BAD_ROW, f"line {line}: no medium has this token")
    return Denial(bytes.fromhex(row[1]), row[0] == "A")
