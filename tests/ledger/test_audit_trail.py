"""The audit trail's chain: what is changed, taken out or put in is found and named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.db import Database
from gateway.registry.audit import (
    AUDIT_EVENTS,
    AuditEvent,
    Outcome,
    append,
    check_trail,
    find_head,
    iter_events,
)
from gateway.registry.store import open_registry
from tests.support.trail import append_alone


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty registry."""
    if request.param == "sqlite":
        yield open_registry(tmp_path / "registry.sqlite", create=True)
        return
    url = request.getfixturevalue("ledger_postgres_url")
    request.getfixturevalue("empty_postgres")(url)
    database = open_registry(url, create=True)
    yield database
    database.close()


def event(number: int, outcome: Outcome = Outcome.DONE) -> AuditEvent:
    return AuditEvent(
        "key:1", "tenant.add", f"tenant:{number}", number, outcome, facts={"n": number}
    )


def fill(registry: Database, count: int) -> None:
    with registry.transaction() as connection:
        for number in range(1, count + 1):
            append(connection, event(number))


def faults(registry: Database) -> list[str]:
    with registry.reading() as connection:
        return list(check_trail(iter_events(connection)))


def test_an_honest_trail_has_no_fault(registry: Database) -> None:
    fill(registry, 5)
    head = append_alone(registry, event(6, Outcome.REFUSED))
    assert faults(registry) == []
    with registry.reading() as connection:
        assert find_head(connection) == head
        rows = list(iter_events(connection))
        assert [row.seq for row in iter_events(connection, 4)] == [5, 6]
        assert [row.seq for row in iter_events(connection, subject="tenant:3")] == [3]
    assert rows[5].outcome == "refused"
    assert rows[2].as_dict()["facts"] == {"n": 3}


def test_a_change_is_named(registry: Database) -> None:
    fill(registry, 5)
    changed = AUDIT_EVENTS.update().where(AUDIT_EVENTS.c.seq == 3).values(actor="key:2")
    with registry.transaction() as connection:
        connection.execute(changed)
    assert faults(registry) == ["audit event 3 is not what was written: its hash differs"]


def test_a_missing_event_is_named(registry: Database) -> None:
    fill(registry, 5)
    with registry.transaction() as connection:
        connection.execute(AUDIT_EVENTS.delete().where(AUDIT_EVENTS.c.seq == 2))
    assert faults(registry) == ["audit event 2 is missing: 3 follows 1"]


def test_an_event_put_in_its_place_is_named(registry: Database) -> None:
    fill(registry, 5)
    with registry.transaction() as connection:
        row = next(iter_events(connection, 1))
        forged = AUDIT_EVENTS.update().where(AUDIT_EVENTS.c.seq == 2)
        from dataclasses import replace

        other = replace(row, actor="nobody")
        connection.execute(forged.values(actor="nobody", hash=other.digest()))
    assert faults(registry) == ["audit event 3 does not follow event 2: its previous hash differs"]


def test_side_by_side_appends_make_one_chain(registry: Database) -> None:
    threads = [
        threading.Thread(target=lambda at=at: append_alone(registry, event(at))) for at in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults(registry) == []
    with registry.reading() as connection:
        assert find_head(connection).seq == 12
