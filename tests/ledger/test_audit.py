"""`audit verify`: whatever is changed, deleted or computed anew is found and named."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, update

from fastpath.types import Purpose
from gateway.db import Database
from gateway.ledger.auditing import AuditReport, Evidence, audit
from gateway.ledger.checkpoints import make_checkpoint, write_file
from gateway.ledger.record_tables import CHECKPOINTS
from gateway.ledger.tables import ACCOUNT_BALANCES, GROUPS, POSTINGS, RECORDS, WATERMARK
from gateway.ledger.trail_state import look_at_trail
from gateway.registry.audit import AUDIT_EVENTS, AuditEvent, iter_events
from tests.ledger.books import calendar
from tests.ledger.scribe import take, writing
from tests.support.trail import append_alone

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@dataclass
class Town:
    """A ledger, a registry, two checkpoints with something behind each."""

    ledger: Database
    records: Database
    folder: Path

    def audit(self, *, rows: bool = True) -> AuditReport:
        public = KEY.public_key()
        evidence = Evidence(
            self.ledger, self.records, calendar(self.folder), public, self.folder / "checkpoints"
        )
        return audit(evidence, rows=rows)

    def found(self, *, rows: bool = True) -> list[str]:
        return [f"{one.what} {one.where}: {one.detail}" for one in self.audit(rows=rows).findings]

    def sign(self, now_us: int) -> None:
        made = make_checkpoint(self.ledger, self.records, KEY, now_us, "cli:test")
        write_file(self.folder / "checkpoints", made)

    def change(self, *statements) -> None:
        with self.ledger.transaction() as connection:
            for statement in statements:
                connection.execute(statement)

    def change_records(self, *statements) -> None:
        with self.records.transaction() as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def town(tmp_path: Path, books) -> Town:
    made = Town(*books, tmp_path)
    with writing(tmp_path) as scribe:
        for number in range(3):
            scribe.credit(1, 5_000, "2026-11-03 06:00" if number == 0 else None)
            scribe.ride(1, 300)
            scribe.pay(1, 700, Purpose.MEAL, 7001)
            scribe.flush()
            take(tmp_path, made.ledger)
            append_alone(made.records, AuditEvent("key:1", "tenant.add", f"tenant:{number}", 1))
            if number < 2:
                made.sign(number + 1)
    return made


def test_an_honest_town_is_sound(town: Town) -> None:
    report = town.audit()
    assert report.findings == []
    assert (report.records, report.audit_events, report.checkpoints) == (9, 5, 2)
    assert (report.signed_seq, report.signed_event) == (6, 4)  # the rest waits for the next one


def test_one_byte_of_a_record_is_found(town: Town) -> None:
    with town.ledger.reading() as connection:
        raw = bytearray(connection.scalar(select(RECORDS.c.raw).where(RECORDS.c.seq == 2)))
    raw[90] ^= 1
    town.change(update(RECORDS).where(RECORDS.c.seq == 2).values(raw=bytes(raw)))
    found = town.found(rows=False)
    assert "ledger before record 4: the group before record 4 is not what was written" in found
    assert any(one.startswith("journal up to record 3: checkpoint 1") for one in found)


def test_one_byte_of_the_last_record_is_found(town: Town) -> None:
    with town.ledger.reading() as connection:
        raw = bytearray(connection.scalar(select(RECORDS.c.raw).where(RECORDS.c.seq == 9)))
    raw[20] ^= 1
    town.change(update(RECORDS).where(RECORDS.c.seq == 9).values(raw=bytes(raw)))
    assert town.found(rows=False) == [
        "ledger before record 10: the last group is not what was written"
    ]


def test_a_deleted_record_is_found(town: Town) -> None:
    town.change(delete(RECORDS).where(RECORDS.c.seq == 5))
    said = "ledger records 4-6: a record of this group is missing, or its head differs"
    assert said in town.found(rows=False)


def test_a_deleted_tail_is_found(town: Town) -> None:
    town.change(
        delete(RECORDS).where(RECORDS.c.seq > 6), delete(GROUPS).where(GROUPS.c.first_seq > 6)
    )
    assert "ledger records 7-9: the records from 7 on are missing" in town.found(rows=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            update(POSTINGS).where(POSTINGS.c.seq == 8).values(amount_minor=1),
            "ledger postings 128: the row was changed",
        ),
        (
            delete(POSTINGS).where(POSTINGS.c.seq == 8),
            "ledger postings 128: the row is missing",
        ),
        (
            update(ACCOUNT_BALANCES).values(main_minor=0),
            "ledger account_balances 1: the row was changed",
        ),
        (
            update(RECORDS).where(RECORDS.c.seq == 8).values(merchant=5),
            "ledger records 8: the row was changed",
        ),
        (
            insert(ACCOUNT_BALANCES).values(
                account_id=7, currency=156, main_minor=1, subsidy_minor=0, held_minor=0,
                credit_limit_minor=0, status=0, version=1, seq=1,
            ),
            "ledger account_balances 7: the row was put in",
        ),
    ],
)  # fmt: skip
def test_a_row_that_is_not_what_its_record_says_is_found(town: Town, change, said: str) -> None:
    town.change(change)
    assert town.found() == [said]


def test_a_journal_computed_anew_from_some_place_on_is_found(town: Town) -> None:
    """Everything is consistent again; only the signature knows better."""
    with town.ledger.transaction() as connection:
        raw = bytearray(connection.scalar(select(RECORDS.c.raw).where(RECORDS.c.seq == 5)))
        raw[40] ^= 1
        connection.execute(update(RECORDS).where(RECORDS.c.seq == 5).values(raw=bytes(raw)))
        previous = bytes(32)
        for head in connection.execute(select(GROUPS).order_by(GROUPS.c.first_seq)).all():
            data = bytes(head.head[:80]) + previous + bytes(head.head[112:])
            query = select(RECORDS.c.raw).where(RECORDS.c.seq >= head.first_seq)
            query = query.where(RECORDS.c.seq < head.first_seq + head.record_count)
            body = b"".join(map(bytes, connection.scalars(query.order_by(RECORDS.c.seq))))
            change = update(GROUPS).where(GROUPS.c.first_seq == head.first_seq)
            connection.execute(change.values(head=data))
            previous = hashlib.sha256(data + body).digest()
        connection.execute(update(WATERMARK).values(chain_hash=previous))
    assert town.found(rows=False) == [
        "journal up to record 6: checkpoint 2: another chain of groups leads to record 6"
    ]


def test_a_trail_computed_anew_from_some_place_on_is_found(town: Town) -> None:
    with town.records.transaction() as connection:
        rows = list(iter_events(connection))
        previous = rows[0].hash
        for row in rows[1:]:
            forged = replace(row, previous_hash=previous, actor="nobody")
            previous = forged.digest()
            change = update(AUDIT_EVENTS).where(AUDIT_EVENTS.c.seq == row.seq)
            values = {"actor": "nobody", "previous_hash": forged.previous_hash, "hash": previous}
            connection.execute(change.values(values))
    found = town.found(rows=False)
    assert found == [
        "audit up to event 2: checkpoint 1: another trail leads to event 2",
        "audit up to event 4: checkpoint 2: another trail leads to event 4",
    ]

    with town.ledger.reading() as ledger, town.records.reading() as records:
        looked = look_at_trail(ledger, records)
    assert looked.findings[0] == "checkpoint 2: another trail leads to event 4"


def test_a_look_goes_from_the_newest_checkpoint_so_far_and_no_further(town: Town) -> None:
    for number in range(5):
        append_alone(town.records, AuditEvent("cli:test", "tenant.add", f"tenant:{number}", 20))
    with town.ledger.reading() as ledger, town.records.reading() as records:
        looked = look_at_trail(ledger, records, events_max=2)
        newest = looked.checkpoint
        assert newest is not None
        signed = newest.facts()["audit"]["seq"]
        assert (looked.checked_event, looked.findings) == (signed + 2, [])
        assert look_at_trail(ledger, records).checked_event == looked.head.seq >= signed + 5
    # A ledger that is being built again has nothing to be held against yet.
    town.change(delete(RECORDS), update(WATERMARK).values(next_seq=1))
    with town.ledger.reading() as ledger, town.records.reading() as records:
        assert look_at_trail(ledger, records).findings == []


def test_a_journal_that_is_not_what_was_signed_is_seen_at_a_look(town: Town) -> None:
    town.change(update(RECORDS).where(RECORDS.c.seq == 6).values(raw=b"other"))
    with town.ledger.reading() as ledger, town.records.reading() as records:
        (said,) = look_at_trail(ledger, records).findings
    assert said.startswith("checkpoint 2: another chain of groups leads to record")


def test_a_deleted_event_is_found(town: Town) -> None:
    town.change_records(delete(AUDIT_EVENTS).where(AUDIT_EVENTS.c.seq == 3))
    assert "audit audit event 3 is missing: audit event 3 is missing: 4 follows 2" in town.found()


def test_a_checkpoint_that_was_taken_out_is_found(town: Town) -> None:
    town.change_records(delete(CHECKPOINTS).where(CHECKPOINTS.c.number == 2))
    assert town.found(rows=False) == ["checkpoint checkpoint 2: it is missing"]
    (town.folder / "checkpoints" / "000002.json").unlink()
    # Without any copy the newest is gone; the trail still tells that there was one.
    with town.records.reading() as connection:
        assert "checkpoint:2" in [event.subject for event in iter_events(connection)]


def test_a_forged_checkpoint_is_found(town: Town) -> None:
    with town.records.reading() as connection:
        body = connection.scalar(select(CHECKPOINTS.c.body).where(CHECKPOINTS.c.number == 1))
    other = Ed25519PrivateKey.generate()
    forged = body.replace('"at_us":1', '"at_us":5')
    town.change_records(
        update(CHECKPOINTS)
        .where(CHECKPOINTS.c.number == 1)
        .values(body=forged, signature=other.sign(forged.encode()))
    )
    assert town.found(rows=False) == [
        "checkpoint checkpoint 1: the registry's and the file's differ"
    ]
    (town.folder / "checkpoints" / "000001.json").unlink()
    found = town.found(rows=False)
    assert "checkpoint checkpoint 1: its signature is wrong" in found


def test_a_checkpoint_file_that_is_none_is_found(town: Town) -> None:
    (town.folder / "checkpoints" / "000001.json").write_text("{}")
    (found,) = town.found(rows=False)
    assert found.startswith("checkpoint 000001.json: the file cannot be read")


def test_totals_are_signed(town: Town) -> None:
    town.change(delete(POSTINGS).where(POSTINGS.c.seq == 2))
    assert [one.split(":")[0] for one in town.found(rows=False)] == [
        "ledger up to record 3",
        "ledger up to record 6",
    ]


class Clock:
    def __init__(self, now_us: int) -> None:
        self.now_us = now_us


def test_the_job_signs_once_a_local_day(town: Town, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from gateway.ledger.auditing import CheckpointJob
    from tests.ledger.scribe import ZONE, at

    town.change_records(delete(CHECKPOINTS))
    clock = Clock(at("2026-11-28 23:50"))
    tools = SimpleNamespace(
        config=SimpleNamespace(ledger=SimpleNamespace(zone=ZONE)),
        registry=town.records,
        now_us=lambda: clock.now_us,
        open_ledger=lambda: town.ledger,
    )
    job = CheckpointJob(tools, KEY, tmp_path / "kept")
    first = job.step()
    assert first is not None
    clock.now_us = at("2026-11-28 23:59")
    assert job.step() is None
    clock.now_us = at("2026-11-29 00:00")
    second = job.step()
    assert second is not None
    assert second.facts()["previous"] == first.digest
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "000001.json",
        "000002.json",
    ]
    assert job.report()["made"] == 2
