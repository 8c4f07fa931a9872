"""The registry's database: opened, copied, checked; and the tables everything else stands on.

Schema: Alembic migrations in gateway/registry/migrations, delivery's tables among them, since a
command to a peer is written in the transaction of the change that causes it. Must not import
anything that serves or decides.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select, update

from gateway.db import I64, TIMEOUT_S, U64, Database
from gateway.errors import RegistryError

MIGRATIONS = Path(__file__).parent / "migrations"
OLD_SCHEMA = 1
"""Value of `schema` in a file from before there were migrations; it is taken over as it is."""
METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", I64, nullable=False),
)
"""`changes`: counter of all changes of devices so far. `schema`: for versions without migrations,
which have to refuse this file."""

DEVICES = Table(
    "devices",
    METADATA,
    Column("device_id", U64, primary_key=True, autoincrement=False),
    Column("label", String, nullable=False),
    Column("operator", String, nullable=False),
    Column("tariff_slot", Integer, nullable=False),
    Column("stop_id", I64, nullable=False),
    Column("key_version", Integer, nullable=False),
    Column("previous_key_version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_us", I64, nullable=False),
    Column("changed_us", I64, nullable=False),
    Column("change", I64, nullable=False, index=True),
)
"""One row a validator. Keys are derived (gateway/keys.py), so none is here."""


def open_registry(
    place: Path | str,
    *,
    create: bool = False,
    password: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Database:
    """Open the registry: a file, or a PostgreSQL URL with its password.

    Args: create: make what is not there, and bring an older schema to this one. timeout_s: how
        long a statement may take (PostgreSQL).
    Raises: DatabaseError: not there, unreadable, or of another version. RegistryError: a file of
        a version nobody knows.
    """
    return Database.open(
        place, migrations=MIGRATIONS, create=create, password=password, timeout_s=timeout_s
    )


def copy_file(path: Path, target: Path) -> None:
    """Copy a consistent state into a new file while others write. Raises: RegistryError."""
    try:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise RegistryError("REGISTRY_ERROR", f"copy of {path}: {error}") from error


def check_file(path: Path) -> None:
    """Read a whole registry file and its version, changing nothing. Raises: RegistryError."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
            known = _is_known(database)
    except (sqlite3.Error, TypeError) as error:
        raise RegistryError("REGISTRY_ERROR", f"{path}: {error}") from error
    if verdict != "ok":
        raise RegistryError("REGISTRY_ERROR", f"{path}: {verdict}")
    if not known:
        raise RegistryError("REGISTRY_VERSION", f"{path}: of a version that is not known here")


def _is_known(database: sqlite3.Connection) -> bool:
    """Whether this version can use the file, if need be after bringing it up to its schema."""
    has_revision = "SELECT count(*) FROM sqlite_master WHERE name='alembic_version'"
    if database.execute(has_revision).fetchone() == (0,):
        (version,) = database.execute("SELECT value FROM meta WHERE name='schema'").fetchone()
        return bool(version == OLD_SCHEMA)
    (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    names = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return revision in {path.stem.partition("_")[0] for path in names}


def next_change(connection: Connection) -> int:
    """Count one change of a device; with PostgreSQL it also keeps others out until the commit."""
    connection.execute(update(META).where(META.c.name == "changes").values(value=META.c.value + 1))
    return last_change(connection)


def last_change(connection: Connection) -> int:
    """Counter of the last change."""
    return int(connection.scalar(select(META.c.value).where(META.c.name == "changes")) or 0)
