"""The daily settlement: each day once it is over, what came late once more, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.db import Database
from gateway.ledger import settling
from gateway.ledger.settling import SettlementJob, build_settlement_jobs
from gateway.ledger.store import open_ledger
from gateway.registry.audit import iter_events
from gateway.registry.store import open_registry
from tests.ledger.scribe import ZONE, Scribe, at, take, writing


class Town:
    """A journal that is written on, its ledger, and the job as the worker has it."""

    def __init__(self, folder: Path, scribe: Scribe) -> None:
        self.folder = folder
        self.scribe = scribe
        self.ledger = open_ledger(folder / "ledger.sqlite", create=True)
        self.registry = open_registry(folder / "registry.sqlite", create=True)
        self.out = folder / "settlements"

    def job(self, days: int = 3) -> SettlementJob:
        ledger = SimpleNamespace(zone=ZONE, names={}, settle_days=days)
        tools: Any = SimpleNamespace(
            config=SimpleNamespace(ledger=ledger, settlements_dir=self.out),
            registry=self.registry,
            now_us=lambda: at("2026-11-06 12:00"),
            open_ledger=lambda: Database.open(
                self.folder / "ledger.sqlite", migrations=self.ledger._migrations
            ),
        )
        (made,) = build_settlement_jobs(tools)
        assert isinstance(made, SettlementJob)
        return made

    def see(self) -> None:
        """Bring the ledger up to the journal."""
        self.scribe.flush()
        take(self.folder, self.ledger)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.out.glob("*.csv"))


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with writing(tmp_path) as scribe:
        scribe.credit(1, 10_000, "2026-11-03 06:00")
        scribe.ride(1, 300, "2026-11-03 07:00")
        yield Town(tmp_path, scribe)


def names(made: list[Any]) -> list[str]:
    return [one.file_name for one in made]


def test_a_day_is_settled_when_the_ledger_has_seen_its_end_and_once(town: Town) -> None:
    job = town.job()
    assert job.step() == [], "there is nothing yet"
    town.scribe.credit(1, 1, "2026-11-04 05:59")
    town.see()
    assert job.step() == []
    town.scribe.credit(1, 1, "2026-11-04 06:00")
    town.see()
    assert names(job.step()) == ["settlement-operator-1-2026-11-03.csv"]
    assert job.step() == []
    assert town.files() == ["settlement-operator-1-2026-11-03.csv"]
    assert (town.out / "settlement-operator-1-2026-11-03.json").exists()
    assert job.report() == {"made": 1, "settled": "2026-11-03"}
    with town.registry.reading() as connection:
        (told,) = [one for one in iter_events(connection) if one.action == "settlement.run"]
    assert told.actor == "system:worker"


def test_what_came_late_makes_the_next_file_while_its_day_is_looked_at(town: Town) -> None:
    town.scribe.credit(1, 1, "2026-11-04 07:00")
    town.see()
    job = town.job(days=2)
    job.step()
    late_us = at("2026-11-03 07:10")
    town.scribe.ride(1, 100, "2026-11-04 09:00", fare_ts_us=late_us)
    town.scribe.ride(1, 200, "2026-11-04 10:00")
    town.scribe.credit(1, 1, "2026-11-05 07:00")
    town.see()
    assert names(job.step()) == [
        "settlement-operator-1-2026-11-03-1.csv",
        "settlement-operator-1-2026-11-04.csv",
    ]
    town.scribe.ride(1, 100, "2026-11-05 09:00", fare_ts_us=late_us)
    town.scribe.credit(1, 1, "2026-11-06 07:00")
    town.see()
    assert job.step() == [], "too late: that day is settled by hand"
    assert town.files() == [
        "settlement-operator-1-2026-11-03-1.csv",
        "settlement-operator-1-2026-11-03.csv",
        "settlement-operator-1-2026-11-04.csv",
    ]


def test_a_worker_that_starts_again_puts_nothing_back_that_was_taken_away(town: Town) -> None:
    town.scribe.credit(1, 1, "2026-11-04 07:00")
    town.see()
    town.job().step()
    assert town.job().step() == [], "all of it is there"
    for path in town.out.iterdir():
        path.unlink()
    assert town.job().step() == []
    assert town.files() == []


def test_a_file_that_was_numbered_and_not_written_is_written_by_the_next(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, files: list[Any]) -> None:
        raise OSError(28, "No space left on device")

    town.scribe.credit(1, 1, "2026-11-04 07:00")
    town.see()
    with monkeypatch.context() as patched:
        patched.setattr(settling, "write_files", full)
        with pytest.raises(OSError, match="No space"):
            town.job().step()
    (again,) = town.job().step()
    assert (again.repeated, again.service_date) == (True, date(2026, 11, 3))
    assert town.files() == ["settlement-operator-1-2026-11-03.csv"]
    assert town.job().step() == []


def test_it_can_be_left_to_hands() -> None:
    tools: Any = SimpleNamespace(
        config=SimpleNamespace(ledger=SimpleNamespace(settle_days=0), settlements_dir=Path())
    )
    assert list(build_settlement_jobs(tools)) == []
