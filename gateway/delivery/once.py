"""Insert a row once, whoever else tries: the same statement for SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_once(connection: Connection, table: Table, **values: Any) -> bool:
    """False = a row with one of its unique keys is there, committed or our own.

    Waits for another transaction that is inserting the same key.
    """
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(table).values(**values).on_conflict_do_nothing()
    return connection.execute(statement).rowcount > 0
