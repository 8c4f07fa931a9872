"""A registry copied as a whole: from PostgreSQL into a file, from a file into PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, func, insert, select
from sqlalchemy.engine import make_url

from gateway.db import Database
from gateway.errors import DatabaseError, EnvironmentFault, RegistryError
from gateway.registry import copying
from gateway.registry.copying import copy_registry, export_registry
from gateway.registry.notices import NOTICES
from gateway.registry.store import check_file, open_registry
from tests.registry.test_fitting import _anything


@pytest.fixture
def other(emptied_postgres_url: str) -> Iterator[Database]:
    """A second, new database of the same server, which listens to another language's order."""
    url = make_url(emptied_postgres_url).set(drivername="postgresql+pg8000")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE moved")
        place = make_url(emptied_postgres_url).set(database="moved")
        opened = open_registry(place.render_as_string(hide_password=False), create=True)
        yield opened
        opened.close()
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS moved")
        engine.dispose()


def fill(database: Database, rows: int = 3) -> dict[str, int]:
    """Every table, whatever it is for, with anything; how many rows each has."""
    tables = MetaData()
    tables.reflect(database.engine, only=lambda name, _: name not in ("alembic_version", "meta"))
    with database.transaction() as connection:
        for table in tables.sorted_tables:
            for number in range(1, rows + 1):
                row = {c.name: _anything(c.type, number) for c in table.columns}
                connection.execute(insert(table), row)
    return dict.fromkeys((table.name for table in tables.sorted_tables), rows)


def test_every_row_of_every_table_arrives_both_ways(
    on_postgres: Database, other: Database, tmp_path: Path
) -> None:
    counts = fill(on_postgres) | {"meta": 2}
    path = tmp_path / "registry.sqlite"
    sums = export_registry(on_postgres, path)
    assert {name: one.rows for name, one in sums.items()} == counts
    check_file(path)
    assert not path.with_name("registry.sqlite-wal").exists()
    back = open_registry(path)
    assert copy_registry(back, other) == sums
    back.close()
    with other.transaction() as connection:  # and the next number is a new one
        note = {c.name: _anything(c.type, 9) for c in NOTICES.columns if c.name != "notice_id"}
        connection.execute(insert(NOTICES).values(**note))
        assert connection.scalar(select(func.max(NOTICES.c.notice_id))) == 4


def test_what_is_written_meanwhile_is_in_all_of_it_or_in_nothing(
    on_postgres: Database,
    emptied_postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One state throughout: a row that comes between two tables, or between copy and comparison."""
    fill(on_postgres)
    real, late = copying._copy_table, iter(range(100, 10_000))

    def beside(*how: object) -> None:
        real(*how)  # type: ignore[arg-type]
        with on_postgres.transaction() as connection:
            number = next(late)
            note = {c.name: _anything(c.type, number) for c in NOTICES.columns}
            connection.execute(insert(NOTICES).values(**note))

    monkeypatch.setattr(copying, "_copy_table", beside)
    sums = export_registry(on_postgres, tmp_path / "registry.sqlite")
    assert {one.rows for name, one in sums.items() if name != "meta"} == {3}


def test_a_registry_that_has_rows_is_not_written_into(
    on_postgres: Database, emptied_postgres_url: str, tmp_path: Path
) -> None:
    fill(on_postgres)
    path = tmp_path / "registry.sqlite"
    export_registry(on_postgres, path)
    full = open_registry(path)
    with pytest.raises(EnvironmentFault, match="holds a registry already") as caught:
        copy_registry(full, on_postgres)
    assert caught.value.code == "ENV_EXISTS"
    full.close()


def test_a_copy_that_is_not_what_was_read_is_not_kept(
    on_postgres: Database,
    emptied_postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(on_postgres)
    real = copying._copy_table

    def forgetful(*how: object) -> None:
        real(*how)  # type: ignore[arg-type]
        _, _, writing, table = how
        if table.name == "notices":  # type: ignore[attr-defined]
            writing.exec_driver_sql("UPDATE notices SET position = 7 WHERE notice_id = 2")  # type: ignore[attr-defined]

    monkeypatch.setattr(copying, "_copy_table", forgetful)
    path = tmp_path / "registry.sqlite"
    with pytest.raises(RegistryError, match="notices differ") as caught:
        export_registry(on_postgres, path)
    assert caught.value.code == "REGISTRY_COPY"
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM notices").fetchone() == (0,)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        open_registry(f"postgresql://faregate@/postgres?unix_sock={tmp_path}/none")
