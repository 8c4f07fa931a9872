"""Ledgers to test on: a file, and a database of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.db import Database
from gateway.ledger.store import open_ledger
from gateway.registry.store import open_registry
from tests.support.postgres import running_postgres


@pytest.fixture(scope="session")
def ledger_postgres_url() -> Iterator[str]:
    """A server for the whole session; its database is emptied for each test."""
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty ledger with the newest schema."""
    if request.param == "sqlite":
        yield open_ledger(tmp_path / "ledger.sqlite", create=True)
        return
    url = request.getfixturevalue("ledger_postgres_url")
    _empty(url)
    database = open_ledger(url, create=True)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """An empty ledger, a file or a database of PostgreSQL, and an empty registry."""
    if request.param == "sqlite":
        ledger = open_ledger(tmp_path / "ledger.sqlite", create=True)
        yield ledger, open_registry(tmp_path / "registry.sqlite", create=True)
        return
    url = request.getfixturevalue("ledger_postgres_url")
    _empty(url)
    ledger = open_ledger(url, create=True)
    registry = open_registry(tmp_path / "registry.sqlite", create=True)
    yield ledger, registry
    ledger.close()


@pytest.fixture
def empty_postgres() -> Callable[[str], None]:
    """Drops everything in a database."""
    return _empty


def _empty(url: str) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(url.replace("postgresql://", "postgresql+pg8000://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
