"""Many rows at once: executemany on raw tuples for SQLite, COPY for PostgreSQL.

Rows are tuples in the order of the table's columns; u64 numbers are given as they are and stored
as two's complement. Thread: the connection's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.db import U64

Rows = Sequence[tuple[object, ...]]

_SIGN = 1 << 63
_WRAP = 1 << 64
_UNIQUE_VIOLATION = "23505"


def insert(connection: Connection, table: Table, rows: Rows) -> None:
    """Add rows that are not there. Raises: IntegrityError as the driver has it."""
    if not rows:
        return
    signed = _signed(table, rows)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_insert_sql(table), list(signed))
    else:
        _copy(connection, table.name, _columns(table), signed)


def put(connection: Connection, table: Table, rows: Rows) -> None:
    """Add rows, or take the place of those with the same key."""
    _upsert(connection, table, rows, "{0} = excluded.{0}")


def add(connection: Connection, table: Table, rows: Rows) -> None:
    """Add rows; where the key is there, add to its other columns."""
    _upsert(connection, table, rows, "{0} = " + table.name + ".{0} + excluded.{0}")


def clear(connection: Connection, tables: Iterable[Table]) -> None:
    """Take all rows away."""
    for table in tables:
        connection.exec_driver_sql(f"DELETE FROM {table.name}")


def _upsert(connection: Connection, table: Table, rows: Rows, change: str) -> None:
    if not rows:
        return
    keys = ", ".join(column.name for column in table.primary_key)
    others = [column.name for column in table.columns if not column.primary_key]
    conflict = f" ON CONFLICT ({keys}) DO UPDATE SET " + ", ".join(map(change.format, others))
    signed = _signed(table, rows)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_insert_sql(table) + conflict, list(signed))
        return
    beside = f"fresh_{table.name}"
    made = f"CREATE TEMP TABLE IF NOT EXISTS {beside} (LIKE {table.name}) ON COMMIT DELETE ROWS"
    connection.exec_driver_sql(made)
    columns = _columns(table)
    _copy(connection, beside, columns, signed)
    taken = f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {beside}{conflict}"
    connection.exec_driver_sql(taken)
    connection.exec_driver_sql(f"DELETE FROM {beside}")


def _columns(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


def _insert_sql(table: Table) -> str:
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {table.name} ({_columns(table)}) VALUES ({marks})"


def _signed(table: Table, rows: Rows) -> Iterable[tuple[object, ...]]:
    """Rows with u64 columns as signed numbers; most are small, so rows are rarely rebuilt."""
    places = [at for at, column in enumerate(table.columns) if isinstance(column.type, U64)]
    if not places:
        return rows
    return (_wrapped(row, places) for row in rows)


def _wrapped(row: tuple[object, ...], places: Sequence[int]) -> tuple[object, ...]:
    for at in places:
        if row[at] >= _SIGN:  # type: ignore[operator]
            return tuple(
                value - _WRAP if here in places and value >= _SIGN else value  # type: ignore[operator]
                for here, value in enumerate(row)
            )
    return row


def _copy(
    connection: Connection, name: str, columns: str, rows: Iterable[tuple[object, ...]]
) -> None:
    text = StringIO()
    for row in rows:
        text.write("\t".join([_field(value) for value in row]) + "\n")
    text.seek(0)
    cursor = connection.connection.cursor()
    statement = f"COPY {name} ({columns}) FROM STDIN"
    driver = connection.dialect.loaded_dbapi
    try:
        cursor.execute(statement, stream=text)  # type: ignore[call-arg]
    except driver.Error as error:
        said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        kind = IntegrityError if said.get("C") == _UNIQUE_VIOLATION else DBAPIError
        raise kind(statement, None, error) from error
    finally:
        cursor.close()


def _field(value: object) -> str:
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)
