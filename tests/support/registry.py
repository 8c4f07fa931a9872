"""A registry to deliver from: a file, and a database of PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete

from gateway.db import Database
from gateway.delivery.tables import METADATA
from gateway.registry.store import copy_file, open_registry
from tests.support.postgres import running_postgres


@pytest.fixture(scope="session")
def postgres_place() -> Iterator[str]:
    """A server for the whole session, with the newest schema."""
    with running_postgres() as url:
        open_registry(url, create=True).close()
        yield url


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry without rows, to be copied: migrations take longer than most tests."""
    path = tmp_path_factory.mktemp("registry") / "registry.sqlite"
    open_registry(path, create=True).close()
    copy_file(path, path.with_name("empty.sqlite"))
    return path.with_name("empty.sqlite")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty registry is."""
    if request.param == "sqlite":
        empty = request.getfixturevalue("empty_file")
        return Path(shutil.copy(empty, tmp_path / "registry.sqlite"))
    url: str = request.getfixturevalue("postgres_place")
    engine = create_engine(url.replace("postgresql://", "postgresql+pg8000://"))
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(delete(table))
    engine.dispose()
    return url


@pytest.fixture
def database(place: Path | str) -> Iterator[Database]:
    """That registry, open."""
    opened = open_registry(place)
    yield opened
    opened.close()


@dataclass
class Clock:
    """A wall clock and a monotonic one that move when told."""

    us: int = 1_000_000_000_000_000
    steps: list[float] = field(default_factory=list)

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1_000_000

    def forward(self, seconds: float) -> None:
        self.us += int(seconds * 1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()
