"""What the projector knows of accounts while it works: the money side, as of the last record.

Loaded from the database for the accounts of a batch, changed record by record, written back with
the batch. Postings are made from the difference between what was known and a record's after-image,
so the ledger and the engine cannot drift apart unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from fastpath.cells import CellType
from gateway.ledger.chart import Kind
from gateway.ledger.records import Line0, Record
from gateway.ledger.tables import ACCOUNT_BALANCES, CHART, PURSE_BALANCES

CELL_PURSE = int(CellType.PURSE)
MAIN = 0
SUBSIDY = 1
KNOWN_MAX = 1_000_000
"""Accounts kept in memory between batches; beyond it all are forgotten and loaded again."""
ASK_AT_ONCE = 500

__all__ = ["CELL_PURSE", "MAIN", "SUBSIDY", "AccountState", "ChartBook", "StateBook"]


@dataclass(slots=True)
class PurseState:
    """One further purse. sponsor: who gave what is in it: a merchant's number, 0 = the house."""

    balance_minor: int = 0
    sponsor: int = 0


@dataclass(slots=True)
class AccountState:
    """One rider account. purses: by number, from 2 on."""

    account_id: int
    currency: int = 0
    main_minor: int = 0
    subsidy_minor: int = 0
    held_minor: int = 0
    credit_limit_minor: int = 0
    status: int = 0
    version: int = 0
    seq: int = 0
    purses: dict[int, PurseState] = field(default_factory=dict)

    def take(self, line: Line0, seq: int) -> None:
        """What a record says the account is now."""
        self.currency = line.currency
        self.main_minor, self.subsidy_minor = line.main_minor, line.subsidy_minor
        self.held_minor, self.credit_limit_minor = line.held_minor, line.credit_limit_minor
        self.status, self.version, self.seq = line.status, line.version, seq

    def purse(self, number: int) -> PurseState:
        """A further purse, empty when it is not known."""
        return self.purses.setdefault(number, PurseState())

    def row(self) -> tuple[int, ...]:
        """As ACCOUNT_BALANCES has it."""
        return (
            self.account_id,
            self.currency,
            self.main_minor,
            self.subsidy_minor,
            self.held_minor,
            self.credit_limit_minor,
            self.status,
            self.version,
            self.seq,
        )


def move(record: Record, state: AccountState) -> dict[int, int]:
    """Take over a record's after-images; what each purse gained, by its number."""
    moved: dict[int, int] = {}
    line = record.line_0
    if line is not None:
        moved[SUBSIDY] = line.subsidy_minor - state.subsidy_minor
        moved[MAIN] = line.main_minor - state.main_minor
        state.take(line, record.head.seq)
    for image in record.cells:
        if image[4] == CELL_PURSE:
            number, fresh = _read_purse(image)
            moved[number] = fresh.balance_minor - state.purse(number).balance_minor
            state.purses[number] = fresh
    for number, amount_minor in record.parts:
        if number not in moved:  # a purse that is taken away has no after-image of its own
            moved[number] = -amount_minor
            state.purse(number).balance_minor -= amount_minor
    return moved


def _read_purse(image: bytes) -> tuple[int, PurseState]:
    number = int.from_bytes(image[8:16], "little")
    balance_minor = int.from_bytes(image[16:24], "little", signed=True)
    return number, PurseState(balance_minor, int.from_bytes(image[32:40], "little"))


class StateBook:
    """States by account; `touched` are those to write back. Thread: one."""

    def __init__(self) -> None:
        self._known: dict[int, AccountState] = {}
        self.touched: dict[int, AccountState] = {}

    def forget(self) -> None:
        """Of a batch that failed, nothing may stay."""
        self._known.clear()
        self.touched.clear()

    def load(self, connection: Connection, account_ids: Iterable[int]) -> None:
        """Fetch what is not known of these accounts."""
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        wanted = sorted({one for one in account_ids if one and one not in self._known})
        for start in range(0, len(wanted), ASK_AT_ONCE):
            self._fetch(connection, wanted[start : start + ASK_AT_ONCE])

    def _fetch(self, connection: Connection, account_ids: Sequence[int]) -> None:
        known = self._known
        for account_id in account_ids:
            known[account_id] = AccountState(account_id)
        accounts = ACCOUNT_BALANCES.c.account_id.in_(account_ids)
        for row in connection.execute(select(ACCOUNT_BALANCES).where(accounts)):
            known[row.account_id] = AccountState(*row)
        purses = PURSE_BALANCES.c.account_id.in_(account_ids)
        for row in connection.execute(select(PURSE_BALANCES).where(purses)):
            known[row.account_id].purses[row.purse] = PurseState(row.balance_minor, row.sponsor)

    def get(self, account_id: int) -> AccountState:
        """One that was loaded. Marks it as changed."""
        state = self.touched[account_id] = self._known[account_id]
        return state


class ChartBook:
    """Numbers of ledger accounts, given in the order of their first posting. Thread: one."""

    def __init__(self) -> None:
        self._ids: dict[tuple[int, int], int] = {}
        self.added: list[tuple[int, int, int]] = []

    def load(self, connection: Connection) -> None:
        """All there are; they are few."""
        self.added = []
        rows = connection.execute(select(CHART.c.kind, CHART.c.ref, CHART.c.id))
        self._ids = {(kind, ref): number for kind, ref, number in rows}

    def get(self, kind: Kind, ref: int = 0) -> int:
        """The number of a ledger account, made when it is new."""
        number = self._ids.get((kind, ref))
        if number is None:
            number = self._ids[kind, ref] = len(self._ids) + 1
            self.added.append((number, int(kind), ref))
        return number
