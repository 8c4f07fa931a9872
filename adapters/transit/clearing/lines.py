"""The frame of every file: a head, rows, a last line with count, sum and digest. Pure; no I/O.

Fields are joined by `|`, lines end with LF, text is UTF-8 or GB18030, amounts are whole minor
units. A file is understood as a whole or refused as a whole, with a code that says why.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

FORMAT = ("FGCLEAR", "1")
CHARSETS = {"UTF8": "utf-8", "GB18030": "gb18030"}
AMOUNT_MAX = 1 << 53
_NAME = re.compile(
    r"([A-Z0-9]{2,12})_([A-Z0-9]{2,12})_(TAPS|SETTLE|DENY)_([0-9]{8})_([0-9]{6})_([0-9]{2})\.txt"
)


class Code(StrEnum):
    """What became of a file; every file that ever came has one."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """The same bytes under the same name: known, nothing done."""
    CONFLICT = "conflict"
    """The same name with other bytes: a correction has a higher revision."""
    OUTDATED = "outdated"
    """A lower revision than one that was taken already."""
    GAP = "gap"
    """The file before it has not come: it waits."""
    BAD_NAME = "bad_name"
    BAD_HEAD = "bad_head"
    """The head does not say what the name says."""
    OTHER_PARTY = "other_party"
    OTHER_DAY = "other_day"
    """A business day that has not begun, or is too long ago."""
    OTHER_CURRENCY = "other_currency"
    BAD_CHARSET = "bad_charset"
    BAD_ROW = "bad_row"
    CUT = "cut"
    """No last line: the file, or its transfer, broke off."""
    WRONG_COUNT = "wrong_count"
    WRONG_TOTAL = "wrong_total"
    WRONG_DIGEST = "wrong_digest"
    UNKNOWN_FILE = "unknown_file"
    """A settlement of a file that we never sent, or that had other bytes."""
    UNKNOWN_ROW = "unknown_row"
    """A settlement of a row that is not in that file, or had another amount."""
    TOTALS_DIFFER = "totals_differ"
    """Accepted and rejected together are not what we sent."""
    TOO_LONG = "too_long"
    """Not even read."""


class Kind(StrEnum):
    """What a file is about."""

    TAPS = "TAPS"
    SETTLE = "SETTLE"
    DENY = "DENY"


class FileFault(Exception):
    """A file that cannot be taken. detail: line numbers and names of fields, never their values."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Label:
    """What a file's name and its head both say."""

    sender: str
    receiver: str
    kind: Kind
    day: datetime.date
    sequence: int
    revision: int = 0

    @property
    def name(self) -> str:
        """The file's name."""
        parts = (self.sender, self.receiver, self.kind, f"{self.day:%Y%m%d}")
        return f"{'_'.join(parts)}_{self.sequence:06d}_{self.revision:02d}.txt"

    def head(self) -> tuple[str, ...]:
        """The first line's fields behind the format."""
        numbers = (f"{self.sequence:06d}", f"{self.revision:02d}")
        return (self.kind, self.sender, self.receiver, f"{self.day:%Y%m%d}", *numbers)


def read_name(name: str) -> Label:
    """Raises: FileFault BAD_NAME."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise FileFault(Code.BAD_NAME)
    sender, receiver, kind, day, sequence, revision = found.groups()
    try:
        on = datetime.date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError as error:
        raise FileFault(Code.BAD_NAME, "no such day") from error
    return Label(sender, receiver, Kind(kind), on, int(sequence), int(revision))


@dataclass(frozen=True, slots=True)
class Content:
    """A file that holds together. rows: fields of each line between head and last line."""

    label: Label
    currency: int
    rows: tuple[tuple[str, ...], ...]
    total_minor: int


def write_file(content: Content, charset: str) -> bytes:
    """The bytes. Raises: ValueError: a field holds what would end it."""
    head = (*FORMAT, *content.label.head(), charset, f"{content.currency:03d}")
    lines = [("H", *head), *content.rows]
    body = b"".join(_encode(line, charset) for line in lines)
    digest = hashlib.sha256(body).hexdigest()
    last = ("T", str(len(content.rows)), str(content.total_minor), digest)
    return body + _encode(last, charset)


def _encode(fields: Sequence[str], charset: str) -> bytes:
    for one in fields:
        if "|" in one or any(ord(char) < 0x20 or char == "\x7f" for char in one):
            raise ValueError(f"a field with {one[:1]!r} cannot be written")
    return ("|".join(fields) + "\n").encode(CHARSETS[charset])


def read_file(name: str, raw: bytes) -> Content:
    """Raises: FileFault: name, head, rows, count, sum and digest have to agree."""
    label = read_name(name)
    body, last = _split(raw)
    lines = _decode(body, label)
    content = Content(label, int(lines[0][-1]), tuple(lines[1:]), 0)
    total_minor = sum_rows(content)
    _check_last(last, content, total_minor, hashlib.sha256(body).hexdigest())
    return Content(label, content.currency, content.rows, total_minor)


def _split(raw: bytes) -> tuple[bytes, list[str]]:
    """All but the last line, and the fields of that: it is ASCII whatever the charset."""
    if not raw.endswith(b"\n"):
        raise FileFault(Code.CUT, "it does not end with a line's end")
    at = raw.rfind(b"\n", 0, -1) + 1
    try:
        last = raw[at:-1].decode("ascii").split("|")
    except UnicodeDecodeError:
        last = []
    if at == 0 or len(last) != 4 or last[0] != "T":
        raise FileFault(Code.CUT, "no last line")
    return raw[:at], last


def _decode(body: bytes, label: Label) -> list[tuple[str, ...]]:
    """Head and rows as fields; the head is checked against the name."""
    first = body[: body.index(b"\n")].split(b"|")
    charset = first[-2].decode("ascii", "replace") if len(first) == 11 else ""
    if charset not in CHARSETS or not re.fullmatch(rb"[0-9]{3}", first[-1]):
        raise FileFault(Code.BAD_HEAD, "line 1: charset or currency")
    try:
        text = body.decode(CHARSETS[charset])
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise FileFault(Code.BAD_CHARSET, f"line {line}: not {charset}") from error
    lines = [tuple(line.split("|")) for line in text.split("\n")[:-1]]
    if lines[0][:-2] != ("H", *FORMAT, *label.head()):
        raise FileFault(Code.BAD_HEAD, "line 1: not what the name says")
    return lines


def _check_last(last: Sequence[str], content: Content, total_minor: int, digest: str) -> None:
    _, count, total, said = last
    if count != str(len(content.rows)):
        raise FileFault(Code.WRONG_COUNT, f"{len(content.rows)} rows, not {count[:20]}")
    if total != str(total_minor):
        raise FileFault(Code.WRONG_TOTAL, f"the rows' sum is {total_minor}, not {total[:20]}")
    if said != digest:
        raise FileFault(Code.WRONG_DIGEST)


def sum_rows(content: Content) -> int:
    """The control total: fares of taps, amounts of rejected rows, nothing for a deny list."""
    at = {Kind.TAPS: 10, Kind.SETTLE: 4}.get(content.label.kind)
    if at is None:
        return 0
    total = 0
    for number, row in enumerate(content.rows, start=2):
        if content.label.kind is Kind.SETTLE and row[0] == "F":
            continue
        if len(row) <= at:
            raise FileFault(Code.BAD_ROW, f"line {number}: {len(row)} fields")
        total += read_amount(row[at], number)
    return total


def read_amount(text: str, line: int) -> int:
    """A whole number of minor units, perhaps negative. Raises: FileFault BAD_ROW."""
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 16 or int(digits) > AMOUNT_MAX:
        raise FileFault(Code.BAD_ROW, f"line {line}: the amount")
    return int(text)
