"""The CSV file of another system's cards and balances, read and checked as a whole.

Every fault of the file is found at once, with its line; nothing is sent of a file with faults.
Amounts are texts such as "12.34" in the file and int minor units from here on.
Must not import the engine, the journal or the control socket.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from fastpath.limits import TIERS_MAX
from fastpath.types import MediumKind
from gateway.errors import MovingError
from gateway.tariffs.units import CURRENCIES, AmountError, Currency, parse_amount

COLUMNS = (
    "card",
    "token",
    "account",
    "balance",
    "subsidy",
    "currency",
    "kind",
    "category",
    "tier",
    "reference",
    "expires",
    "state",
)
"""card or token names the medium; the others may be left out. docs/moving-in.md explains each."""
KINDS = tuple(kind.name.lower() for kind in MediumKind)
STATES = ("active", "lost", "expired", "denylisted")
CATEGORY_MAX = 255
TIER_MAX = TIERS_MAX - 1
REFERENCE_BYTES = 64
FINDINGS_MAX = 1_000
"""More faults than this in one file are counted, not listed."""


@dataclass(frozen=True, slots=True)
class CardRow:
    """One line of the file: a medium, and the value that its account brings along.

    account: the other system's name of the account; lines with the same one share an account.
    balance_minor: stored value, below 0 = debt. subsidy_minor: transit subsidy, never below 0.
    expires_us: instant UTC from which the medium is no longer valid, 0 = never.
    tier: identity tier, None = the file does not say. reference: kept with the account.
    """

    line: int
    token: bytes
    account: str
    balance_minor: int
    subsidy_minor: int
    currency: int
    kind: str
    category: int
    expires_us: int
    state: str
    tier: int | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class CardAccount:
    """The lines that make one account, in the order of the file; `key` is stable over runs."""

    key: str
    rows: tuple[CardRow, ...]

    @property
    def tier(self) -> int | None:
        """Identity tier; None = the file does not say."""
        return self.rows[0].tier

    @property
    def reference(self) -> str:
        """What the other system calls it, to be kept; empty = nothing is."""
        return self.rows[0].reference

    @property
    def balance_minor(self) -> int:
        """What the account brings along."""
        return sum(row.balance_minor for row in self.rows)

    @property
    def subsidy_minor(self) -> int:
        """The part of it that is transit subsidy."""
        return sum(row.subsidy_minor for row in self.rows)


@dataclass(slots=True)
class Totals:
    """Control totals of one currency, minor units."""

    accounts: int = 0
    media: int = 0
    balance_minor: int = 0
    debt_minor: int = 0
    subsidy_minor: int = 0

    @property
    def net_minor(self) -> int:
        """All value that is carried over, debts taken off."""
        return self.balance_minor + self.subsidy_minor - self.debt_minor

    def as_dict(self) -> dict[str, int]:
        """For reports."""
        return {
            "accounts": self.accounts,
            "media": self.media,
            "balance_minor": self.balance_minor,
            "debt_minor": self.debt_minor,
            "subsidy_minor": self.subsidy_minor,
            "net_minor": self.net_minor,
        }


@dataclass(frozen=True, slots=True)
class CardFile:
    """A sound file. digest: SHA-256 of its bytes."""

    accounts: tuple[CardAccount, ...]
    digest: str
    totals: Mapping[int, Totals]
    """By ISO 4217 number."""

    @property
    def row_count(self) -> int:
        """Lines with a medium."""
        return sum(one.media for one in self.totals.values())


@dataclass(slots=True)
class _Findings:
    """Faults found so far."""

    lines: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, line: int, text: str) -> None:
        if len(self.lines) < FINDINGS_MAX:
            self.lines.append(f"line {line}: {text}")
        else:
            self.more += 1

    def end(self) -> None:
        """Raises: MovingError with all of them."""
        if self.more:
            self.lines.append(f"and {self.more} faults more")
        if self.lines:
            raise MovingError(findings=self.lines)


def load_cards(
    path: Path,
    token_of: Callable[[str], bytes],
    *,
    encoding: str = "utf-8-sig",
    currency: str = "CNY",
    amount_max_minor: int,
) -> CardFile:
    """Read the whole file.

    Args: token_of: token of a card's text. currency: of lines that name none. amount_max_minor:
        the most one command may move ([control] credit_max_minor).
    Raises: MovingError with a finding for every fault, or because the file cannot be read.
    """
    findings = _Findings()
    reader = _RowReader(token_of, currency, amount_max_minor, findings)
    try:
        with path.open(newline="", encoding=encoding) as file:
            rows = list(reader.read(csv.DictReader(file, strict=True)))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, UnicodeError, LookupError, csv.Error) as error:
        raise MovingError("MOVING_UNREADABLE", f"{path}: {error}") from error
    accounts = tuple(_group(rows, findings))
    findings.end()
    return CardFile(accounts, digest, _add_up(accounts))


class _RowReader:
    """Turns lines into rows and notes what is wrong with them."""

    def __init__(
        self,
        token_of: Callable[[str], bytes],
        currency: str,
        amount_max_minor: int,
        findings: _Findings,
    ) -> None:
        self._token_of = token_of
        self._currency = currency
        self._amount_max_minor = amount_max_minor
        self._findings = findings
        self._line_of: dict[bytes, int] = {}

    def read(self, lines: csv.DictReader[str]) -> Iterator[CardRow]:
        """Every sound line as a row."""
        names = lines.fieldnames or []
        unknown = [name for name in names if name not in COLUMNS]
        if unknown:
            self._findings.add(1, f"unknown columns {', '.join(unknown)}; known: {COLUMNS}")
        if not {"card", "token"} & set(names):
            self._findings.add(1, "there must be a column card or token")
        if self._findings.lines:
            return
        for fields in lines:
            row = self._row(lines.line_num, fields)
            if row is not None:
                yield row

    def _row(self, line: int, fields: dict[str, str]) -> CardRow | None:
        before = len(self._findings.lines) + self._findings.more
        if None in fields or None in fields.values():
            self._findings.add(line, "has another number of columns than the first line")
            return None
        text = {name: fields.get(name, "").strip() for name in COLUMNS}
        money = self._money(line, text)
        row = CardRow(
            line=line,
            token=self._token(line, text),
            account=text["account"],
            balance_minor=self._amount(line, "balance", text["balance"], money),
            subsidy_minor=self._amount(line, "subsidy", text["subsidy"], money),
            currency=money.number,
            kind=self._choice(line, "kind", text["kind"] or "card", KINDS),
            category=self._number(line, "category", text["category"], CATEGORY_MAX) or 0,
            tier=self._number(line, "tier", text["tier"], TIER_MAX),
            reference=self._reference(line, text["reference"]),
            expires_us=self._expiry(line, text["expires"]),
            state=self._choice(line, "state", text["state"] or "active", STATES),
        )
        return row if before == len(self._findings.lines) + self._findings.more else None

    def _token(self, line: int, text: dict[str, str]) -> bytes:
        if bool(text["card"]) == bool(text["token"]):
            self._findings.add(line, "name the medium by card or by token")
            return bytes(16)
        token = self._token_of(text["card"]) if text["card"] else _from_hex(text["token"])
        if len(token) != 16 or not any(token):
            self._findings.add(line, "token: write 32 hex digits, not all zero")
        elif (first := self._line_of.setdefault(token, line)) != line:
            self._findings.add(line, f"the medium of line {first} again")
        return token

    def _money(self, line: int, text: dict[str, str]) -> Currency:
        code = (text["currency"] or self._currency).upper()
        if code not in CURRENCIES:
            self._findings.add(line, f"currency: one of {', '.join(sorted(CURRENCIES))}")
            code = "CNY"
        return CURRENCIES[code]

    def _amount(self, line: int, name: str, text: str, money: Currency) -> int:
        is_debt = name == "balance" and text.startswith("-")
        try:
            minor = parse_amount(text.removeprefix("-") if is_debt else text or "0", money.exponent)
        except AmountError as error:
            self._findings.add(line, f"{name}: {error}")
            return 0
        if minor > self._amount_max_minor:
            self._findings.add(line, f"{name}: {text} is above control.credit_max_minor")
        return -minor if is_debt else minor

    def _choice(self, line: int, name: str, text: str, choices: tuple[str, ...]) -> str:
        if text not in choices:
            self._findings.add(line, f"{name}: one of {', '.join(choices)}")
        return text

    def _number(self, line: int, name: str, text: str, most: int) -> int | None:
        """A small whole number; None = left out, or a fault."""
        if not text:
            return None
        if not (text.isascii() and text.isdecimal()) or int(text) > most:
            self._findings.add(line, f"{name}: a whole number from 0 to {most}")
            return None
        return int(text)

    def _reference(self, line: int, text: str) -> str:
        if len(text.encode()) > REFERENCE_BYTES or not text.isprintable():
            self._findings.add(line, f"reference: at most {REFERENCE_BYTES} bytes of plain text")
        return text

    def _expiry(self, line: int, text: str) -> int:
        """The instant after the last valid day (UTC)."""
        if not text:
            return 0
        try:
            day = date.fromisoformat(text) + timedelta(days=1)
        except (ValueError, OverflowError):
            self._findings.add(line, "expires: the last valid day, as 2031-12-31")
            return 0
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _group(rows: Iterable[CardRow], findings: _Findings) -> Iterator[CardAccount]:
    """Lines with the same account name together; lines without one each by themselves."""
    named: dict[str, list[CardRow]] = {}
    for row in rows:
        # Two kinds of keys that cannot meet: an account's own name, or the medium's token.
        key = f"account {row.account}" if row.account else f"medium {row.token.hex()}"
        named.setdefault(key, []).append(row)
    for key, together in named.items():
        first = together[0]
        for row in together[1:]:
            _check_same(first, row, findings)
        yield CardAccount(key, tuple(together))


def _check_same(first: CardRow, row: CardRow, findings: _Findings) -> None:
    """An account has one of each of these, and its balance stands on one of its lines."""
    for name in ("currency", "category", "tier", "reference"):
        if getattr(row, name) != getattr(first, name):
            findings.add(row.line, f"another {name} than line {first.line} of the same account")
    if row.balance_minor or row.subsidy_minor:
        findings.add(row.line, f"the balance of its account belongs on line {first.line}")


def _add_up(accounts: Iterable[CardAccount]) -> dict[int, Totals]:
    totals: dict[int, Totals] = {}
    for account in accounts:
        one = totals.setdefault(account.rows[0].currency, Totals())
        one.accounts += 1
        one.media += len(account.rows)
        one.balance_minor += max(account.balance_minor, 0)
        one.debt_minor += max(-account.balance_minor, 0)
        one.subsidy_minor += account.subsidy_minor
    return totals
