"""One reconciliation from end to end: the ledger's days, the peer's files, the breaks kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger.batch import find_watermark
from gateway.ledger.breaks import BreakBook, Run
from gateway.ledger.days import day_number
from gateway.ledger.movements import find_account
from gateway.ledger.peers_file import Columns, read_peer_file
from gateway.ledger.reconcile import (
    NEAR_DAYS,
    Comparison,
    Sides,
    Source,
    compare,
    free_items,
    our_items,
    refused_items,
    their_items,
)


@dataclass(frozen=True, slots=True)
class Order:
    """What to reconcile: a ledger account's service days against files."""

    code: str
    first: date
    behind: date
    files: Mapping[Source, Path]
    columns: Columns


def reconcile(
    ledger: Database, book: BreakBook, order: Order, now_us: int
) -> tuple[int, Comparison]:
    """Compare and keep the breaks; the run's number and what came out.

    Raises: LedgerError LEDGER_FILE, LEDGER_UNKNOWN_ACCOUNT; DatabaseError.
    """
    theirs = {
        source: their_items(read_peer_file(path, order.columns))
        for source, path in order.files.items()
    }
    from_day, until_day = day_number(order.first), day_number(order.behind)
    with ledger.reading() as connection:
        as_of = find_watermark(connection)
        try:
            account = find_account(connection, order.code)
        except ValueError as error:
            raise LedgerError("LEDGER_UNKNOWN_ACCOUNT", str(error)) from error
        if account is None:
            said = f"nothing was ever posted on {order.code}"
            raise LedgerError("LEDGER_UNKNOWN_ACCOUNT", said)
        ours = our_items(connection, account, from_day, until_day)
        near = from_day - NEAR_DAYS, until_day + NEAR_DAYS
        around = our_items(connection, account, *near)
        free = free_items(connection, account, *near)
        refused = refused_items(connection, account, from_day, until_day)
    found = compare(Sides(ours, theirs, order.first, near=around, free=free, refused=refused))
    sources = tuple(sorted(order.files))
    run = Run(order.code, order.first, order.behind, as_of.next_seq - 1, sources)
    return book.keep(run, found, now_us), found
