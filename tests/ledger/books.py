"""Help for tests of the ledger: a town in a real journal, projecting it, comparing ledgers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from fastpath.types import TapFlag, TapKind
from gateway.config import Config
from gateway.db import Database
from gateway.journal.segments import SegmentJournal
from gateway.ledger.batch import BatchWriter
from gateway.ledger.chart import Kind, code_of
from gateway.ledger.days import Calendar
from gateway.ledger.projector import Projector
from gateway.ledger.tables import CHART, CHART_BALANCES, METADATA, POSTINGS
from tests.support.plane import Running, random_token

OPENED = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)


async def live(hands: Running) -> int:
    """Rides, refusals, reversals, debts, risk rides, corrections; the account that did most."""
    account_id, token = await hands.rider(100_000)
    _, poor = await hands.rider(0)
    await hands.call("credit", account_id=account_id, amount_minor=400, purse="subsidy")
    gate = await hands.gate()
    await gate.tap(TapKind.CHECK_IN, token, 11)
    event = gate.event(TapKind.CHECK_OUT, token, 13)
    await gate.session.tap(event)
    await gate.session.tap(replace(event, flags=int(TapFlag.OFFLINE)))  # settled: it had refused
    await ride_on(hands, gate, token, poor)
    await correct(hands, account_id, token)
    return account_id


async def ride_on(hands: Running, gate, token: bytes, poor: bytes) -> None:
    out = gate.event(TapKind.CHECK_OUT, token, 14)
    await gate.session.tap(out)
    await gate.not_passed(out)
    await gate.tap(TapKind.FLAT, token, 11)
    await gate.tap(TapKind.FLAT, token, 12, amount_minor=999)
    await gate.tap(TapKind.CHECK_IN, poor, 11)  # refused
    await gate.tap(TapKind.FLAT, poor, 12, flags=OPENED)  # a debt
    stranger = gate.event(TapKind.CHECK_OUT, random_token(), 12, flags=OPENED)
    await gate.session.tap(stranger)  # at the operator's risk
    await gate.not_passed(stranger)
    await gate.tap(TapKind.CHECK_OUT, random_token(), 13, flags=OPENED)


async def correct(hands: Running, account_id: int, token: bytes) -> None:
    await hands.exchange("debit", account_id=account_id, amount_minor=100_000)  # refused
    await hands.call("debit", account_id=account_id, amount_minor=500, note="a book")
    await hands.call("pass_add", account_id=account_id, pass_id=7, amount_minor=1200, rides=10)
    await hands.call("pass_remove", account_id=account_id, pass_id=7, amount_minor=900)
    version = (await hands.account(account_id))["version"]
    await hands.call("adjust", account_id=account_id, amount_minor=-5, expected_version=version)
    await hands.call("freeze", account_id=account_id, what="debit")
    await hands.exchange("medium_state", token=token, state="lost")


def calendar(folder: Path) -> Calendar:
    return Calendar(folder, "Asia/Shanghai", 156)


def projector(config: Config, database: Database, batch_records: int = 20_000) -> Projector:
    """One that takes all that can be read."""
    journal = SegmentJournal.open(config.journal.dir, read_only=True)
    writer = BatchWriter(calendar(config.gateway.data_dir / "tariffs"))
    mark = config.ledger_mark_path
    return Projector(database, journal, writer, batch_records, mark_path=mark)


def project(config: Config, database: Database, batch_records: int = 20_000) -> int:
    """Bring a ledger up to a journal; how many records that were."""
    one = projector(config, database, batch_records)
    one.start()
    taken = 0
    while found := one.step():
        taken += found
    one.journal.close()
    return taken


def digests(database: Database) -> dict[str, str]:
    """A hash of each table's rows, in the order of its key."""
    found = {}
    with database.reading() as connection:
        for table in METADATA.sorted_tables:
            digest = hashlib.sha256()
            for row in connection.execute(select(table).order_by(*table.primary_key)):
                digest.update(repr(tuple(row)).encode())
            found[table.name] = digest.hexdigest()
    return found


def balances(database: Database) -> dict[str, int]:
    """Debits less credits of each ledger account, by code."""
    query = select(
        CHART.c.kind, CHART.c.ref, CHART_BALANCES.c.debit_minor, CHART_BALANCES.c.credit_minor
    ).join(CHART, CHART.c.id == CHART_BALANCES.c.chart_id)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return {code_of(Kind(kind), ref): debit - credit for kind, ref, debit, credit in rows}


def postings_of(database: Database, seq: int) -> list[tuple[str, str, int]]:
    """(debit, credit, amount) of one record."""
    with database.reading() as connection:
        codes = {
            row.id: code_of(Kind(row.kind), row.ref) for row in connection.execute(select(CHART))
        }
        query = select(POSTINGS).where(POSTINGS.c.seq == seq).order_by(POSTINGS.c.id)
        rows = connection.execute(query).all()
    return [(codes[row.debit], codes[row.credit], row.amount_minor) for row in rows]


def by_account(rows: Iterator[tuple[int, int]]) -> dict[int, int]:
    """Sums by account."""
    found: dict[int, int] = defaultdict(int)
    for account_id, amount_minor in rows:
        found[account_id] += amount_minor
    return dict(found)
