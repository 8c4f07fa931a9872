"""SQL databases of the control plane: opened, brought to their schema, one transaction at a time.

SQLite (a file: WAL, every commit synced) or PostgreSQL (a URL, driver pg8000), SQLAlchemy Core
only. Schemas are Alembic migrations beside the package that owns the tables. The data plane never
loads this. Thread: one `Database` may be used by several; a transaction belongs to one.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from alembic import command as alembic_command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError as AlembicError
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Engine,
    Integer,
    Row,
    Select,
    create_engine,
    event,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator, TypeEngine

from gateway.errors import DatabaseError
from gateway.postgres import Way, read_tls
from gateway.windows import Window

BUSY_TIMEOUT_MS = 5_000
WAL_RETRY_S = 0.005
LOCK_RETRY_S = 0.001
TIMEOUT_S = 15.0
READING = "faregate_reading"
UPGRADE_LOCK = 0x6661_7265
"""Advisory lock of PostgreSQL: one process at a time brings a schema up."""

logging.getLogger("alembic").setLevel(logging.WARNING)  # it greets at every opening


class U64(TypeDecorator[int]):
    """Unsigned 64-bit numbers in signed columns, two's complement."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # SQLite gives a row id only to INTEGER, and stores 64 bits in it anyway.
        plain: TypeEngine[Any] = Integer() if dialect.name == "sqlite" else BigInteger()
        return dialect.type_descriptor(plain)

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        if value is None or value < 1 << 63:
            return value
        return value - (1 << 64)

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else value & 0xFFFF_FFFF_FFFF_FFFF


class I64(TypeDecorator[int]):
    """Signed 64-bit numbers: amounts in minor units, instants in microseconds, positions."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        plain: TypeEngine[Any] = Integer() if dialect.name == "sqlite" else BigInteger()
        return dialect.type_descriptor(plain)


class Database:
    """One database with the schema of one package."""

    def __init__(
        self,
        engine: Engine,
        migrations: Path,
        name: str,
        patient: Callable[[], Engine] | None = None,
    ) -> None:
        """patient: makes an engine without time-outs, for migrations; None = it has none."""
        self.engine = engine
        self._patient = patient
        self.name = name
        """What errors call it: the file, or the URL without its password."""
        self._migrations = migrations

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        migrations: Path,
        create: bool = False,
        password: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Database:
        """Open a file or a URL.

        Args: place: path of a SQLite file, or a `postgresql://` URL. create: make the file and
            bring the schema to its newest version; else both must be as this version wants them.
            password: goes with the URL. timeout_s: how long a statement may take (PostgreSQL).
        Raises: DatabaseError: not there, not reachable, or of another version.
        """
        if isinstance(place, Path):
            database = cls(_open_file(place, create=create), migrations, str(place))
        else:
            url, tls = read_tls(_read_url(place, password))
            name = url.render_as_string(hide_password=True)
            patient = partial(Way(name, tls, None).engine, url)
            database = cls(Way(name, tls, timeout_s).engine(url), migrations, name, patient)
        if create and not database.is_current():
            database.upgrade()
        database.check_version()
        return database

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file of ours."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction; with SQLite it holds the write lock from its beginning.

        Raises: DatabaseError.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise DatabaseError("DATABASE_ERROR", f"{self.name}: {error.orig}") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that only reads, one state throughout: it keeps nobody out.

        Raises: DatabaseError.
        """
        options: dict[str, Any] = {READING: True}
        if not self.is_sqlite:
            options["isolation_level"] = "REPEATABLE READ"
        try:
            with self.engine.connect() as plain:
                connection = plain.execution_options(**options)
                with connection.begin():
                    yield connection
        except DBAPIError as error:
            raise DatabaseError("DATABASE_ERROR", f"{self.name}: {error.orig}") from error

    def upgrade(self) -> None:
        """Bring the schema to the newest version, in one transaction. Raises: DatabaseError."""
        config = self._alembic()
        engine = self._patient() if self._patient is not None else self.engine
        try:
            with engine.begin() as connection:
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
                config.attributes["connection"] = connection
                alembic_command.upgrade(config, "head")
        except AlembicError as error:
            raise self._newer() from error
        except DBAPIError as error:
            raise DatabaseError("DATABASE_ERROR", f"{self.name}: {error.orig}") from error
        finally:
            if engine is not self.engine:
                engine.dispose()

    def is_current(self) -> bool:
        """Whether the schema is the one this version works with. Raises: DatabaseError."""
        found, wanted = self._versions()
        return found == wanted

    def check_version(self) -> None:
        """Raises: DatabaseError DATABASE_VERSION: an older schema than the one this version works
        with. DATABASE_NEWER: one it does not know.
        """
        found, wanted = self._versions()
        if found is not None and not self._knows(found):
            raise self._newer()
        if found != wanted:
            raise DatabaseError(
                "DATABASE_VERSION",
                f"{self.name}: schema {found or 'none'}, not {wanted}",
            )

    def forget_deleted(self) -> None:
        """Make sure that deleted rows are in none of SQLite's files any more: they are overwritten
        when deleted, and the log of changes is emptied here. PostgreSQL does it by its vacuum.
        """
        if self.is_sqlite:
            with closing(self.engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def _versions(self) -> tuple[str | None, str | None]:
        """The schema found, and the one wanted."""
        wanted = ScriptDirectory.from_config(self._alembic()).get_current_head()
        with self.transaction() as connection:
            return MigrationContext.configure(connection).get_current_revision(), wanted

    def _knows(self, revision: str) -> bool:
        known = ScriptDirectory.from_config(self._alembic()).walk_revisions()
        return any(script.revision == revision for script in known)

    def _newer(self) -> DatabaseError:
        found, wanted = self._versions()
        return DatabaseError(
            "DATABASE_NEWER", f"{self.name}: schema {found}, and this version knows up to {wanted}"
        )

    def _alembic(self) -> AlembicConfig:
        config = AlembicConfig()
        config.set_main_option("script_location", str(self._migrations))
        return config


def list_window(
    connection: Connection,
    query: Select[Any],
    number: Column[Any],
    window: Window,
    *,
    newest_first: bool = False,
) -> list[Row[Any]]:
    """The rows that a window shows, in the list's order; one more, at its far end, if there are
    more. number: what orders the list, 1 or more, each row's for ever.
    """
    rises = newest_first == window.is_backward
    bound = window.before or window.after
    if bound:
        query = query.where(number > bound if rises else number < bound)
    query = query.order_by(number.asc() if rises else number.desc()).limit(window.limit + 1)
    rows = list(connection.execute(query))
    return rows[::-1] if window.is_backward else rows


def _read_url(place: str, password: str | None) -> URL:
    try:
        url = make_url(place)
    except ArgumentError as error:
        raise DatabaseError("DATABASE_ERROR", "the database's URL cannot be read") from error
    if password is not None:
        url = url.set(password=password)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+pg8000")
    if not url.drivername.startswith("postgresql"):
        raise DatabaseError(
            "DATABASE_ERROR", f"{url.drivername}: a path for SQLite or postgresql://", hint=""
        )
    return url


def _open_file(path: Path, *, create: bool) -> Engine:
    if not create and not path.is_file():
        raise DatabaseError("DATABASE_ERROR", f"there is no database {path}")
    if create:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_for_writing)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin by itself, and only at the first write.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _use_wal(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """A file's first opening changes its mode; SQLite does not wait for another that does too."""
    deadline = monotonic() + BUSY_TIMEOUT_MS / 1e3
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(WAL_RETRY_S)
        else:
            return


def _begin_for_writing(connection: Connection) -> None:
    if connection.get_execution_options().get(READING, False):
        connection.exec_driver_sql("BEGIN")
    else:
        _take_lock(connection)


def _take_lock(connection: Connection) -> None:
    """BEGIN IMMEDIATE soon after the other is done. SQLite itself sleeps longer and longer, up to
    100 ms at a time, and a commit takes one.
    """
    driver: Any = connection.connection.driver_connection
    deadline = monotonic() + BUSY_TIMEOUT_MS / 1e3
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while _is_taken(driver) and monotonic() < deadline:
            sleep(LOCK_RETRY_S)
        if not driver.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises what SQLAlchemy makes of it
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def _is_taken(driver: Any) -> bool:
    """Try to begin; whether another one writes."""
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return False
