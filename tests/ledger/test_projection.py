"""A town's day, projected: what is posted, what is kept, and that it can be built again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from fastpath import _journal as codec
from fastpath.types import Op, Reason
from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger.batch import clear_ledger
from gateway.ledger.history import History
from gateway.ledger.mark import find_mark
from gateway.ledger.store import open_ledger
from gateway.ledger.tables import ACCOUNT_BALANCES, POSTINGS, RECORDS
from tests.ledger import books
from tests.support.plane import make_folder, records_of, running


@pytest.fixture
async def town(tmp_path: Path):
    """Settings of a gateway that has had its day."""
    config = make_folder(tmp_path / "town")
    async with running(config) as hands:
        await books.live(hands)
    return config


def find(records, op: Op, reason: Reason = Reason.OK, nth: int = 0):
    return [r for r in records if r.op == op and r.reason == reason][nth]


def test_every_kind_of_record_is_posted_where_it_belongs(town, ledger: Database) -> None:
    records = records_of(town)
    assert books.project(town, ledger) == len(records)

    def posted(op: Op, reason: Reason = Reason.OK, nth: int = 0):
        return books.postings_of(ledger, find(records, op, reason, nth).seq)

    assert posted(Op.CREDIT) == [("funding", "stored", 100_000)]
    assert posted(Op.CREDIT, nth=1) == [("sponsor:0", "subsidy", 400)]
    ride = [("subsidy", "operator:1", 400)]
    assert posted(Op.CHECK_OUT) == ride
    assert posted(Op.SETTLEMENT) == [(b, a, amount) for a, b, amount in ride]
    assert posted(Op.REVERSAL, nth=0)[0][:2] == ("operator:1", "subsidy")
    assert posted(Op.FLAT, Reason.OK_DEBT) == [("receivable", "operator:1", 150)]
    risk = posted(Op.CHECK_OUT, Reason.OK_RISK)
    assert risk == [("risk_loss:1", "operator:1", 400)]
    assert posted(Op.REVERSAL, Reason.OK_RISK) == [("operator:1", "risk_loss:1", 400)]
    assert posted(Op.DEBIT) == [("stored", "merchant:0", 500)]
    assert posted(Op.PASS_ADD) == [("stored", "passes:7", 1200)]
    assert posted(Op.PASS_REMOVE) == [("passes:7", "stored", 900)]
    assert posted(Op.ADJUST) == [("stored", "adjustments", 5)]
    refused = next(r for r in records if r.op == Op.DEBIT and not Reason(r.reason).accepted)
    assert books.postings_of(ledger, refused.seq) == []
    assert posted(Op.FREEZE) == []


def test_debits_equal_credits_and_accounts_are_what_the_engine_says(town, ledger) -> None:
    books.project(town, ledger, batch_records=4)
    assert sum(books.balances(ledger).values()) == 0
    last = {}
    for record in records_of(town):
        for item in record.items:
            if (item.type, item.line) == (1, 0):
                last[record.account_id] = tuple(
                    int.from_bytes(item.image[at : at + 8], "little", signed=True)
                    for at in (16, 24)
                )
    with ledger.reading() as connection:
        columns = ACCOUNT_BALANCES.c
        rows = connection.execute(
            select(columns.account_id, columns.main_minor, columns.subsidy_minor)
        ).all()
    assert {row[0]: (row[1], row[2]) for row in rows} == last
    control = books.balances(ledger)
    riders = sum(control.get(name, 0) for name in ("stored", "subsidy", "receivable"))
    assert -riders == sum(map(sum, last.values()))


def test_built_again_it_has_the_same_rows_whatever_the_batches(town, ledger, tmp_path) -> None:
    books.project(town, ledger, batch_records=3)
    first = books.digests(ledger)
    with ledger.transaction() as connection:
        clear_ledger(connection)
    assert books.digests(ledger) != first
    books.project(town, ledger, batch_records=1000)
    assert books.digests(ledger) == first
    other = open_ledger(tmp_path / "other.sqlite", create=True)
    books.project(town, other, batch_records=1)
    assert books.digests(other) == first


def test_records_are_kept_as_they_are(town, ledger: Database) -> None:
    books.project(town, ledger)
    history, journal = History(ledger), records_of(town)
    rows = history.events_after(0, 1000)
    assert [row.seq for row in rows] == [record.seq for record in journal]
    for row, record in zip(rows, journal, strict=True):
        again = codec.view_record(row.raw, row.position)
        assert again == record
        assert (row.op, row.account_id, row.fare_minor) == (
            record.op,
            record.account_id,
            record.fare_minor,
        )
    with_note = find(journal, Op.DEBIT)
    row = history.find_operation(with_note.id_a, with_note.id_b, with_note.id_c)
    assert row is not None
    assert (row.seq, row.notes()[2]) == (with_note.seq, "a book")
    assert history.find_operation(1, 2, 3) is None


def test_an_account_s_history_is_by_the_time_it_happened(town, ledger: Database) -> None:
    books.project(town, ledger)
    journal = records_of(town)
    account_id = find(journal, Op.DEBIT).account_id
    history = History(ledger)
    rows = history.list_account(account_id)
    assert [row.seq for row in rows] == [r.seq for r in journal if r.account_id == account_id]
    middle = rows[len(rows) // 2].at_us
    before = history.list_account(account_id, to_us=middle)
    behind = history.list_account(account_id, from_us=middle)
    assert len(before) + len(behind) == len(rows)
    assert all(row.at_us < middle for row in before)
    assert history.as_of().next_seq == journal[-1].seq + 1


def test_a_journal_that_lost_its_end_is_refused(town, ledger: Database) -> None:
    books.project(town, ledger)
    mark = find_mark(town.ledger_mark_path)
    assert mark is not None
    path = next(iter(sorted(town.journal.dir.glob("*.seg"))))
    data = bytearray(path.read_bytes())
    journal = books.projector(town, ledger)
    last = [bytes(group) for group in journal.journal.read(0)][-1]
    at = int.from_bytes(last[8:16], "little")
    journal.journal.close()
    data[at : at + len(last)] = bytes(len(last))
    path.write_bytes(data)
    cut = books.projector(town, ledger)
    with pytest.raises(LedgerError) as refused:
        cut.start()
    assert refused.value.code == "LEDGER_TAIL_LOST"
    cut.journal.close()


def test_two_projectors_do_not_write_twice(town, ledger: Database) -> None:
    one, other = books.projector(town, ledger, 5), books.projector(town, ledger, 5)
    one.start()
    other.start()
    assert one.step() >= 5
    with pytest.raises(LedgerError) as refused:
        other.step()
    assert refused.value.code == "LEDGER_MOVED"
    with ledger.reading() as connection:
        count = connection.scalar(select(func.count()).select_from(RECORDS))
        assert count == one.mark.next_seq - 1
    one.journal.close()
    other.journal.close()


def test_emptied_beside_a_projector_it_is_built_again(town, ledger: Database) -> None:
    one = books.projector(town, ledger, 5)
    one.start()
    one.step()
    with ledger.transaction() as connection:
        clear_ledger(connection)
    while one.step():
        pass
    first = books.digests(ledger)
    with ledger.transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(POSTINGS))
        clear_ledger(connection)
    while one.step():  # nothing new in the journal: it has to look by itself
        pass
    assert books.digests(ledger) == first
    one.journal.close()


def test_a_tap_belongs_to_its_tariff_s_service_day(town, ledger: Database) -> None:
    """The small tariff's days begin at midnight UTC, those of commands in Shanghai."""
    books.project(town, ledger)
    history, journal = History(ledger), records_of(town)
    ride, payment = find(journal, Op.CHECK_OUT), find(journal, Op.DEBIT)
    rows = {row.seq: row for row in history.events_after(0, 1000)}
    day_us = 86_400_000_000
    assert rows[ride.seq].service_day == ride.fare_ts_us // day_us
    assert rows[payment.seq].service_day == (payment.ts_us + day_us // 3) // day_us
