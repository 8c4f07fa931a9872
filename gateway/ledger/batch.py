"""One batch: the rows of some groups and the watermark behind them, in one transaction."""

from __future__ import annotations

import gc
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from fastpath.records import GROUP_HEAD_BYTES
from gateway.errors import LedgerError
from gateway.ledger import bulk
from gateway.ledger.days import Calendar
from gateway.ledger.origins import Origins
from gateway.ledger.posting import Poster, Posting, Row
from gateway.ledger.records import GroupFacts, Record, iter_records
from gateway.ledger.state import ChartBook, StateBook
from gateway.ledger.tables import (
    ACCOUNT_BALANCES,
    CHART,
    CHART_BALANCES,
    DAY_TOTALS,
    GROUPS,
    HOLDS,
    POSTINGS,
    PURSE_BALANCES,
    RECORDS,
    WATERMARK,
)

PROJECTION = 1
"""Raised when the same journal gives other rows: the ledger is then to be built again."""

CACHE_KIB = 131_072
"""SQLite: pages of the indexes that a batch touches everywhere."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the journal has been projected."""

    position: int = 0
    next_seq: int = 1
    chain_hash: bytes = bytes(32)
    ts_us: int = 0


@dataclass(slots=True)
class Batch:
    """What some groups amount to."""

    records: list[tuple[object, ...]] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)
    groups: list[tuple[object, ...]] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """Sums of a batch's postings."""

    chart: dict[tuple[int, int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )
    days: dict[tuple[int, int, int, int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0, 0, 0])
    )

    def add(self, posting: Posting) -> None:
        debit, credit, amount_minor, currency, purpose, _, day = posting[4:]
        self.chart[debit, currency][0] += amount_minor
        self.chart[credit, currency][1] += amount_minor
        of_debit, of_credit = (
            self.days[day, debit, currency, purpose],
            self.days[day, credit, currency, purpose],
        )
        of_debit[0] += amount_minor
        of_debit[2] += 1
        of_credit[1] += amount_minor
        of_credit[3] += 1


class BatchWriter:
    """Projects batches into one database. Thread: one."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._states = StateBook()
        self._chart = ChartBook()
        self._poster = Poster(self._chart)
        self._origins = Origins()

    def load(self, connection: Connection) -> None:
        """Begin anew from what the database holds."""
        self._states.forget()
        self._chart.load(connection)

    def write(
        self, connection: Connection, groups: Sequence[tuple[GroupFacts, bytes]], mark: Watermark
    ) -> Watermark:
        """Add the groups behind `mark`; the watermark behind them. After an error: `load`.

        Python's collector of cycles rests meanwhile: it would look at every row again and again.

        Raises: LedgerError: another projector moved the watermark; a record breaks the law of
            value; an identity stands in the journal twice; debits and credits differ.
        """
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._check_mark(connection, mark)
        with _without_collector():
            self._write(connection, groups)
        last, last_group = groups[-1]
        behind = Watermark(
            last.end,
            last.first_seq + last.record_count,
            hashlib.sha256(last_group).digest(),
            last.ts_us,
        )
        _put_mark(connection, behind)
        check_balance(connection)
        return behind

    def _write(self, connection: Connection, groups: Sequence[tuple[GroupFacts, bytes]]) -> None:
        records = [r for facts, group in groups for r in iter_records(group, facts.position)]
        self._states.load(connection, {record.head.account_id for record in records})
        self._origins.begin(connection)
        batch = Batch(groups=[_group_row(facts, group) for facts, group in groups])
        for record in records:
            self._take(record, batch)
        self._store(connection, batch)

    def _check_mark(self, connection: Connection, mark: Watermark) -> None:
        found = find_watermark(connection)
        if found != mark:
            said = f"the watermark is at {found.position}, not at {mark.position}"
            raise LedgerError("LEDGER_MOVED", said)

    def _take(self, record: Record, batch: Batch) -> None:
        head = record.head
        is_command, line = head.is_command, record.line_0
        at_us = head.ts_us if is_command or not head.fare_ts_us else head.fare_ts_us
        day = self._calendar.service_day(at_us, 0 if is_command else head.tariff_key)
        if line is not None and not head.is_risk:
            currency = line.currency
        elif not is_command:
            currency = self._calendar.currency_of(head.tariff_key)
        else:
            currency = 0
        merchant, purpose = self._origins.about(record)
        slot = self._origins.tariff_slot(record)
        batch.records.append(
            (
                head.seq,
                record.position,
                head.ts_us,
                at_us,
                head.op,
                head.reason,
                head.account_id,
                head.id_a,
                head.id_b,
                head.id_c,
                int(head.id_class),
                slot,
                currency,
                day,
                purpose,
                merchant,
                head.fare_minor,
                head.amount_minor,
                head.balance_minor,
                record.raw,
            )
        )
        if head.is_accepted and (line is not None or head.fare_minor or record.cells):
            state = self._states.get(head.account_id) if head.account_id else None
            row = Row(currency, purpose, merchant, day, slot)
            batch.postings += self._poster.post(record, state, row)

    def _store(self, connection: Connection, batch: Batch) -> None:
        bulk.insert(connection, GROUPS, batch.groups)
        try:
            bulk.insert(connection, RECORDS, batch.records)
        except IntegrityError as error:
            said = f"an identity stands in the journal a second time: {error.orig}"
            raise LedgerError("LEDGER_DUPLICATE", said) from error
        bulk.insert(connection, CHART, self._chart.added)
        self._chart.added.clear()
        bulk.insert(connection, POSTINGS, batch.postings)
        totals = Totals()
        for posting in batch.postings:
            totals.add(posting)
        bulk.add(connection, CHART_BALANCES, [(*k, *v) for k, v in totals.chart.items()])
        bulk.add(connection, DAY_TOTALS, [(*k, *v) for k, v in totals.days.items()])
        states = self._states.touched.values()
        bulk.put(connection, ACCOUNT_BALANCES, [state.row() for state in states])
        purses = [
            (state.account_id, number, purse.balance_minor, purse.sponsor)
            for state in states
            for number, purse in state.purses.items()
        ]
        bulk.put(connection, PURSE_BALANCES, purses)
        bulk.put(connection, HOLDS, self._origins.rows())
        self._states.touched.clear()


@contextmanager
def _without_collector() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _group_row(facts: GroupFacts, group: bytes) -> tuple[object, ...]:
    return facts.first_seq, facts.position, facts.record_count, group[:GROUP_HEAD_BYTES]


def find_watermark(connection: Connection) -> Watermark:
    """Where the projection stands; its beginning when there is none yet.

    Raises: LedgerError LEDGER_VERSION: another version of the projection made these rows.
    """
    row = connection.execute(select(WATERMARK)).one_or_none()
    if row is None:
        return Watermark()
    if row.version != PROJECTION:
        said = f"the rows are of projection {row.version}, not {PROJECTION}"
        raise LedgerError("LEDGER_VERSION", said)
    return Watermark(row.position, row.next_seq, bytes(row.chain_hash), row.ts_us)


def _put_mark(connection: Connection, mark: Watermark) -> None:
    connection.execute(delete(WATERMARK))
    connection.execute(
        insert(WATERMARK).values(
            id=1,
            version=PROJECTION,
            position=mark.position,
            next_seq=mark.next_seq,
            chain_hash=mark.chain_hash,
            ts_us=mark.ts_us,
        )
    )


def check_balance(connection: Connection) -> None:
    """Σ debits = Σ credits in each currency. Raises: LedgerError."""
    query = select(
        CHART_BALANCES.c.currency,
        func.sum(CHART_BALANCES.c.debit_minor),
        func.sum(CHART_BALANCES.c.credit_minor),
    ).group_by(CHART_BALANCES.c.currency)
    for currency, debit_minor, credit_minor in connection.execute(query):
        if debit_minor != credit_minor:
            said = f"currency {currency}: debits {debit_minor}, credits {credit_minor}"
            raise LedgerError("LEDGER_UNBALANCED", said)


def clear_ledger(connection: Connection) -> None:
    """Take everything away; the projector then builds it again."""
    tables = (WATERMARK, DAY_TOTALS, HOLDS, PURSE_BALANCES, ACCOUNT_BALANCES, POSTINGS)
    bulk.clear(connection, (*tables, CHART_BALANCES, CHART, RECORDS, GROUPS))
