"""A registry to test on: a file, and a database of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.db import Database
from gateway.registry.store import open_registry
from tests.support.postgres import running_postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server for the whole session; its database is emptied for each test."""
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty registry with the newest schema."""
    if request.param == "sqlite":
        yield open_registry(tmp_path / "registry.sqlite", create=True)
        return
    url = request.getfixturevalue("postgres_url")
    empty_postgres(url)
    registry = open_registry(url, create=True)
    yield registry
    registry.close()


def empty_postgres(url: str) -> None:
    """Drop everything in a database."""
    from sqlalchemy import create_engine

    engine = create_engine(url.replace("postgresql://", "postgresql+pg8000://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
