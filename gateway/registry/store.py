"""The registry's database: SQLite in WAL mode, every commit synced, with a version of its own.

Must not import anything that serves or decides: registry services stand on this.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Dialect,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator

from gateway.errors import RegistryError

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5_000


class U64(TypeDecorator[int]):
    """Unsigned 64-bit numbers in SQLite's signed integers, two's complement."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        if value is None or value < 1 << 63:
            return value
        return value - (1 << 64)

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else value & 0xFFFF_FFFF_FFFF_FFFF


METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Integer, nullable=False),
)
"""`schema` (SCHEMA_VERSION) and `changes` (counter of all changes so far)."""

DEVICES = Table(
    "devices",
    METADATA,
    Column("device_id", U64, primary_key=True, autoincrement=False),
    Column("label", String, nullable=False),
    Column("operator", String, nullable=False),
    Column("tariff_slot", Integer, nullable=False),
    Column("stop_id", Integer, nullable=False),
    Column("key_version", Integer, nullable=False),
    Column("previous_key_version", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("created_us", Integer, nullable=False),
    Column("changed_us", Integer, nullable=False),
    Column("change", Integer, nullable=False, index=True),
)
"""One row a validator. Keys are derived (gateway/keys.py), so none is here."""


class RegistryStore:
    """Opens the database, checks its version, and runs one transaction at a time."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self.path = path

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> RegistryStore:
        """Open the registry, or make an empty one.

        Raises: RegistryError: not there, unreadable, or of another version.
        """
        if not create and not path.is_file():
            raise RegistryError("REGISTRY_ERROR", f"there is no registry {path}")
        if create:
            _make_private(path)
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin_for_writing)
        store = cls(engine, path)
        with store.transaction() as connection:
            _check_schema(connection, create=create)
        return store

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its beginning. Raises: RegistryError."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise RegistryError("REGISTRY_ERROR", f"{self.path}: {error.orig}") from error

    def backup(self, target: Path) -> None:
        """Copy a consistent state into a new file while others write. Raises: RegistryError."""
        try:
            with (
                closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(target)) as copy,
            ):
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            raise RegistryError("REGISTRY_ERROR", f"copy of {self.path}: {error}") from error


def check_file(path: Path) -> None:
    """Read a whole registry file and its version, changing nothing. Raises: RegistryError."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
            (version,) = database.execute("SELECT value FROM meta WHERE name='schema'").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise RegistryError("REGISTRY_ERROR", f"{path}: {error}") from error
    if verdict != "ok":
        raise RegistryError("REGISTRY_ERROR", f"{path}: {verdict}")
    if version != SCHEMA_VERSION:
        raise RegistryError("REGISTRY_VERSION", f"{path}: schema {version}, not {SCHEMA_VERSION}")


def next_change(connection: Connection) -> int:
    """Count one change, inside the caller's transaction."""
    connection.execute(update(META).where(META.c.name == "changes").values(value=META.c.value + 1))
    return last_change(connection)


def last_change(connection: Connection) -> int:
    """Counter of the last change."""
    return int(connection.scalar(select(META.c.value).where(META.c.name == "changes")) or 0)


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = (
        None  # the driver would begin by itself, and only at the first write
    )
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_for_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _check_schema(connection: Connection, *, create: bool) -> None:
    if create and not connection.dialect.has_table(connection, "meta"):
        METADATA.create_all(connection)
        rows = [{"name": "schema", "value": SCHEMA_VERSION}, {"name": "changes", "value": 0}]
        connection.execute(insert(META), rows)
    version = connection.scalar(select(META.c.value).where(META.c.name == "schema"))
    if version != SCHEMA_VERSION:
        raise RegistryError("REGISTRY_VERSION", f"schema {version}, not {SCHEMA_VERSION}")
