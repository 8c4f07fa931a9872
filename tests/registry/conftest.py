"""A registry to test on: a file, and a database of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from gateway.db import Database
from gateway.registry.store import open_registry
from tests.support.postgres import running_postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server for the whole session; its database is emptied for each test."""
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def on_postgres(postgres_url: str) -> Iterator[Database]:
    registry = open_registry(postgres_url, create=True)
    yield registry
    registry.close()


@pytest.fixture
def emptied_postgres_url(postgres_url: str, on_postgres: Database) -> str:
    """URL of an empty registry: tests come in any order, and one may leave what it wrote."""
    _empty(on_postgres)
    return postgres_url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty registry with the newest schema."""
    if request.param == "sqlite":
        return open_registry(tmp_path / "registry.sqlite", create=True)
    registry: Database = request.getfixturevalue("on_postgres")
    _empty(registry)
    return registry


def _empty(registry: Database) -> None:
    with registry.transaction() as connection:
        names = set(inspect(connection).get_table_names()) - {"alembic_version", "meta"}
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for name in names:
            connection.exec_driver_sql(f"DELETE FROM {name}")
        connection.exec_driver_sql("UPDATE meta SET value = 0 WHERE name = 'changes'")
