"""A registry copied as a whole into an empty one, of either kind: row by row, from one state.

So a backup holds a registry of PostgreSQL as a file, and a file moves into PostgreSQL. Rows go over
as they are stored: what is sealed stays sealed. Both schemas are those of this version; the tables
are found in the database, so that none can be forgotten here. Thread: any, one call at a time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Integer, MetaData, Table, func, insert, select, text

from gateway.db import Database
from gateway.errors import EnvironmentFault, RegistryError
from gateway.registry.store import META, open_registry

ROWS = 500
PARAMETERS = 20_000
"""One statement takes so many rows and values at most; PostgreSQL's limit is 32,767."""
HASH_BITS = 256


@dataclass(frozen=True, slots=True)
class TableSum:
    """How many rows a table has, and a digest that does not depend on their order."""

    rows: int
    digest: str


def copy_registry(source: Database, target: Database) -> dict[str, TableSum]:
    """Copy every row of one state into an empty registry, read it again there and compare.

    Others may write to the source meanwhile; nobody may use the target.
    Returns: what each table holds, alike on both sides.
    Raises: EnvironmentFault ENV_EXISTS: the target has rows. RegistryError REGISTRY_COPY: the copy
        is not what was read. DatabaseError. Then the target is as it was.
    """
    with source.reading() as reading, target.transaction() as writing:
        theirs, ours = _reflect(reading), _reflect(writing)
        _check_empty(writing, ours, target.name)
        _check_alike(theirs, ours)
        writing.execute(ours.tables[META.name].delete())
        for table in ours.sorted_tables:
            _copy_table(reading, theirs.tables[table.name], writing, table)
        sums = {name: sum_table(reading, table) for name, table in theirs.tables.items()}
        found = {name: sum_table(writing, table) for name, table in ours.tables.items()}
        if wrong := sorted(name for name in sums if sums[name] != found[name]):
            raise RegistryError("REGISTRY_COPY", f"{target.name}: {', '.join(wrong)} differ")
        if not target.is_sqlite:
            _raise_sequences(writing, ours)
    return sums


def export_registry(source: Database, path: Path) -> dict[str, TableSum]:
    """Copy a registry into a new file, which is whole by itself. Raises: as `copy_registry`."""
    target = open_registry(path, create=True)
    try:
        sums = copy_registry(source, target)
    finally:
        target.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=DELETE")
    return sums


def sum_table(connection: Connection, table: Table) -> TableSum:
    """Read a table through, in any order."""
    count = total = 0
    for rows in _read(connection, table):
        for row in rows:
            total += int.from_bytes(_digest(row))
        count += len(rows)
    return TableSum(count, f"{total % (1 << HASH_BITS):064x}")


def _digest(row: Sequence[Any]) -> bytes:
    """Of a row's values, with their kinds: numbers, text, bytes, nothing."""
    made = hashlib.sha256()
    for value in row:
        data = value if isinstance(value, bytes) else str(value).encode()
        made.update(f"{type(value).__name__}:{len(data)}:".encode() + data)
    return made.digest()


def _reflect(connection: Connection) -> MetaData:
    """The tables that are there, but for the version of the schema: both sides have it."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name != "alembic_version")
    return found


def _check_empty(connection: Connection, tables: MetaData, name: str) -> None:
    full = [
        table.name
        for table in tables.sorted_tables
        if table.name != META.name  # its counters are there from the beginning
        if connection.scalar(select(func.count()).select_from(table))
    ]
    if full:
        detail = f"{name} holds a registry already: {', '.join(full)}"
        raise EnvironmentFault("ENV_EXISTS", detail, hint="name a new, empty database")


def _check_alike(theirs: MetaData, ours: MetaData) -> None:
    """Raises: RegistryError: of one version, yet not of one schema; somebody changed tables."""
    both = [
        {name: set(table.columns.keys()) for name, table in side.tables.items()}
        for side in (theirs, ours)
    ]
    if both[0] != both[1]:
        wrong = sorted(
            name
            for name in both[0].keys() | both[1].keys()
            if both[0].get(name) != both[1].get(name)
        )
        raise RegistryError("REGISTRY_COPY", f"other tables or columns: {', '.join(wrong)}")


def _copy_table(reading: Connection, theirs: Table, writing: Connection, ours: Table) -> None:
    names = sorted(theirs.columns.keys())
    for rows in _read(reading, theirs):
        for some in _pieces(rows, PARAMETERS // len(names)):
            values = [dict(zip(names, row, strict=True)) for row in some]
            writing.execute(insert(ours).values(values))


def _pieces(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[at : at + size] for at in range(0, len(rows), size))


def _read(connection: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """Rows with their columns by name, some at a time: a cursor of the server holds the rest."""
    query = select(*sorted(table.columns, key=lambda column: column.name))
    found = connection.execute(query, execution_options={"yield_per": ROWS})
    yield from found.partitions()


def _raise_sequences(connection: Connection, tables: MetaData) -> None:
    """New rows get numbers behind those that were copied."""
    for table in tables.sorted_tables:
        key = list(table.primary_key.columns)
        if len(key) != 1 or not isinstance(key[0].type, Integer):
            continue
        where = {"table": table.name, "column": key[0].name}
        named = text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = connection.scalar(named, where)
        last = connection.scalar(select(func.max(key[0])))
        if sequence and last:
            connection.execute(
                text("SELECT setval(:name, :last)"), {"name": sequence, "last": last}
            )
