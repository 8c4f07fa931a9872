"""Opening the ledger's database."""

from __future__ import annotations

from pathlib import Path

from gateway.db import TIMEOUT_S, Database

MIGRATIONS = Path(__file__).parent / "migrations"


def open_ledger(
    place: Path | str,
    *,
    create: bool = False,
    password: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Database:
    """A file, or a PostgreSQL URL with its password.

    Args: create: make what is not there, and bring an older schema to this one. timeout_s: how
        long a statement may take (PostgreSQL).
    Raises: DatabaseError.
    """
    return Database.open(
        place, migrations=MIGRATIONS, create=create, password=password, timeout_s=timeout_s
    )
