"""Opening the ledger's database."""

from __future__ import annotations

from pathlib import Path

from gateway.db import Database

MIGRATIONS = Path(__file__).parent / "migrations"


def open_ledger(
    place: Path | str, *, create: bool = False, password: str | None = None
) -> Database:
    """A file, or a PostgreSQL URL with its password.

    Args: create: make what is not there, and bring an older schema to this one.
    Raises: DatabaseError.
    """
    return Database.open(place, migrations=MIGRATIONS, create=create, password=password)
