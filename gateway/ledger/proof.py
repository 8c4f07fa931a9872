"""Proving the ledger's copy of the journal: every group hashed again, every row made again.

The ledger keeps each group's head and each record's bytes, so the chain can be computed from it
alone, also where the journal is past retention. Rows of every other table are projected once more
from those bytes into a ledger of their own, and compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Table, select

from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger.batch import BatchWriter, Watermark, find_watermark
from gateway.ledger.days import Calendar
from gateway.ledger.records import GroupFacts, read_group_head
from gateway.ledger.store import open_ledger
from gateway.ledger.tables import GROUPS, METADATA, RECORDS

PAGE = 500
BATCH_RECORDS = 20_000
FINDINGS_MAX = 100

Told = Callable[[int, int], None]
"""(records done, records in all)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written. what: journal, ledger, audit or checkpoint."""

    what: str
    where: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"what": self.what, "where": self.where, "detail": self.detail}


def iter_groups(connection: Connection, until: Watermark) -> Iterator[tuple[bytes, int, int]]:
    """(group, its first record's number, records it should have), put together again."""
    after = 0
    while True:
        query = select(GROUPS).where(GROUPS.c.first_seq > after)
        query = query.where(GROUPS.c.first_seq < until.next_seq)
        heads = connection.execute(query.order_by(GROUPS.c.first_seq).limit(PAGE)).all()
        for head in heads:
            behind = head.first_seq + head.record_count
            raw = select(RECORDS.c.raw).where(RECORDS.c.seq >= head.first_seq)
            parts = connection.scalars(raw.where(RECORDS.c.seq < behind).order_by(RECORDS.c.seq))
            body = b"".join(bytes(part) for part in parts)
            yield bytes(head.head) + body, head.first_seq, head.record_count
        if len(heads) < PAGE:
            return
        after = heads[-1].first_seq


def check_groups(connection: Connection, told: Told = lambda _d, _a: None) -> Iterator[Finding]:
    """Hash every group; each fault names the records it lies in."""
    until = find_watermark(connection)
    previous, next_seq = bytes(32), 1
    for group, first_seq, count in iter_groups(connection, until):
        where = f"records {first_seq}-{first_seq + count - 1}"
        if first_seq != next_seq:
            said = f"the records {next_seq}-{first_seq - 1} are missing"
            yield Finding("ledger", where, said)
        elif group[80:112] != previous:
            # The hash of the group before is in this group's head: that one is not what it was.
            said = f"the group before record {first_seq} is not what was written"
            yield Finding("ledger", f"before record {first_seq}", said)
        facts = read_group_head(group)
        if len(group) != facts.body_bytes + len(group[:128]) or facts.record_count != count:
            yield Finding("ledger", where, "a record of this group is missing, or its head differs")
        previous, next_seq = hashlib.sha256(group).digest(), first_seq + count
        told(next_seq - 1, until.next_seq - 1)
    if next_seq != until.next_seq:
        said = f"the records from {next_seq} on are missing"
        yield Finding("ledger", f"records {next_seq}-{until.next_seq - 1}", said)
    elif previous != until.chain_hash:
        said = "the last group is not what was written"
        yield Finding("ledger", f"before record {next_seq}", said)


def check_rows(
    database: Database, calendar: Calendar, folder: Path, told: Told = lambda _d, _a: None
) -> Iterator[Finding]:
    """Project the kept bytes again into a file in `folder`, and compare each table row by row."""
    copy = open_ledger(folder / "proof.sqlite", create=True)
    try:
        with database.reading() as connection:
            until = find_watermark(connection)
            try:
                _project(connection, copy, BatchWriter(calendar), until, told)
            except (LedgerError, ValueError) as error:
                yield Finding("ledger", "records", f"they cannot be projected again: {error}")
                return
            with copy.reading() as other:
                for table in METADATA.sorted_tables:
                    yield from _compare(connection, other, table)
    finally:
        copy.close()


def _project(
    connection: Connection, copy: Database, writer: BatchWriter, until: Watermark, told: Told
) -> None:
    mark, records = Watermark(), 0
    waiting: list[tuple[GroupFacts, bytes]] = []
    for group, _, _ in iter_groups(connection, until):
        facts = read_group_head(group)
        waiting.append((facts, group))
        records += facts.record_count
        if records >= BATCH_RECORDS:
            mark = _write(copy, writer, waiting, mark)
            told(mark.next_seq - 1, until.next_seq - 1)
            waiting.clear()
            records = 0
    if waiting:
        _write(copy, writer, waiting, mark)


def _write(
    copy: Database,
    writer: BatchWriter,
    groups: list[tuple[GroupFacts, bytes]],
    mark: Watermark,
) -> Watermark:
    with copy.transaction() as connection:
        return writer.write(connection, groups, mark)


def _compare(one: Connection, other: Connection, table: Table) -> Iterator[Finding]:
    """Rows side by side, in the order of the key."""
    ordered = select(table).order_by(*table.primary_key)
    left = iter(one.execute(ordered.execution_options(yield_per=PAGE)))
    right = iter(other.execute(ordered.execution_options(yield_per=PAGE)))
    found = 0
    keys = [table.columns.keys().index(column.name) for column in table.primary_key]
    ours, theirs = next(left, None), next(right, None)
    while (ours is not None or theirs is not None) and found < FINDINGS_MAX:
        mine = tuple(ours[at] for at in keys) if ours is not None else None
        wanted = tuple(theirs[at] for at in keys) if theirs is not None else None
        if mine == wanted:
            if ours is not None and theirs is not None and tuple(ours) != tuple(theirs):
                found += 1
                yield Finding("ledger", f"{table.name} {_key(mine)}", "the row was changed")
            ours, theirs = next(left, None), next(right, None)
        elif wanted is None or (mine is not None and mine < wanted):
            found += 1
            yield Finding("ledger", f"{table.name} {_key(mine)}", "the row was put in")
            ours = next(left, None)
        else:
            found += 1
            yield Finding("ledger", f"{table.name} {_key(wanted)}", "the row is missing")
            theirs = next(right, None)


def _key(values: tuple[object, ...] | None) -> str:
    return "/".join(str(value) for value in values or ())
