"""Fares for the clearing house from a real journal and its ledger."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from adapters.transit.clearing.adapter import ClearingAdapter
from adapters.transit.clearing.files import build_taps
from adapters.transit.clearing.lines import Kind, Label, read_file
from adapters.transit.clearing.settings import ClearingSettings
from adapters.transit.clearing.simulator import HOUSE, US
from fastpath.types import Purpose
from gateway.clock import now_us
from gateway.config import Config
from gateway.db import Database
from gateway.delivery.clearing.book import ClearingBook
from gateway.delivery.clearing.job import build_source
from gateway.delivery.clearing.outgoing import Outgoing
from gateway.delivery.clearing.source import LedgerSource
from gateway.delivery.kinds import Configured
from gateway.ledger.batch import find_watermark
from gateway.ledger.store import open_ledger
from gateway.ledger.tables import RECORDS
from gateway.observability.page import DURABLE_SEQ, STATE, Page, PageReader, PlaneState
from gateway.registry.store import open_registry
from tests.ledger import books
from tests.ledger.scribe import take, writing
from tests.support.plane import make_folder, running

FOREVER_US = 1 << 60


@pytest.fixture
async def town(tmp_path: Path) -> Config:
    """A gateway that has had its day."""
    config = make_folder(tmp_path / "town")
    async with running(config) as hands:
        await books.live(hands)
    return config


@pytest.fixture
def ledger(town: Config) -> Database:
    made = open_ledger(town.gateway.data_dir / "ledger.sqlite", create=True)
    books.project(town, made)
    return made


def test_the_fares_are_what_the_ledger_owes_the_operators(ledger: Database) -> None:
    fares = LedgerSource(ledger).list_fares(0, FOREVER_US, 1000)
    owed = sum(-due for code, due in books.balances(ledger).items() if code.startswith("operator"))
    assert sum(row.fare_minor for _, row in fares) == owed > 0
    assert {row.tap_kind for _, row in fares} >= {"check_out", "flat", "reversal"}
    assert all(len(row.token) == 32 and row.device for _, row in fares)
    assert any(row.fare_minor < 0 for _, row in fares)
    numbers = [number for number, _ in fares]
    assert numbers == sorted(set(numbers))


def test_taps_that_took_nothing_are_rows_unless_the_house_takes_none(ledger: Database) -> None:
    whole = LedgerSource(ledger).list_fares(0, FOREVER_US, 1000)
    free = [row for _, row in whole if not row.fare_minor]
    assert "check_in" in {row.tap_kind for row in free}
    taps = select(RECORDS.c.seq).where(RECORDS.c.reason < 16, RECORDS.c.op < 16)
    with ledger.reading() as connection:
        accepted = set(connection.scalars(taps))
    assert {number for number, _ in whole} == accepted
    label = Label(US, HOUSE, Kind.TAPS, datetime.date(2026, 11, 28), 1)
    content = build_taps(label, 156, [row for _, row in whole])
    assert len(content.rows) == len(accepted)
    assert content.total_minor == sum(row.fare_minor for _, row in whole)
    only = LedgerSource(ledger, is_free_wanted=False).list_fares(0, FOREVER_US, 1000)
    assert only == [(number, row) for number, row in whole if row.fare_minor]


def test_the_setting_reaches_the_source(town: Config, ledger: Database, tmp_path: Path) -> None:
    for wanted in (True, False):
        settings = ClearingSettings(
            sender=US, receiver=HOUSE, folder=tmp_path, taps_without_fare=wanted
        )
        one = Configured("cc", "clearing", ClearingAdapter(settings))
        fares = build_source(town, one, ledger).list_fares(0, FOREVER_US, 1000)
        assert any(not row.fare_minor for _, row in fares) is wanted


def test_it_can_be_read_in_pieces_and_by_tariff(ledger: Database) -> None:
    source = LedgerSource(ledger)
    whole = source.list_fares(0, FOREVER_US, 1000)
    pieces = []
    while piece := source.list_fares(pieces[-1][0] if pieces else 0, FOREVER_US, 2):
        pieces += piece
    assert pieces == whole
    assert LedgerSource(ledger, [15]).list_fares(0, FOREVER_US, 1000) == []
    assert source.list_fares(0, 1, 1000) == []


def test_refunds_that_are_no_fares_leave_no_page_short(tmp_path: Path) -> None:
    with writing(tmp_path) as scribe:
        scribe.credit(1, 10_000, "2026-11-03 06:00")
        rides = [scribe.ride(1, 300)]
        for _ in range(3):
            scribe.pay(1, 50, Purpose.TRANSIT, 0)
            scribe.refund(1, 50, Purpose.TRANSIT, 0)
        rides += [scribe.ride(1, 400), scribe.ride(1, 500)]
    made = open_ledger(tmp_path / "ledger.sqlite", create=True)
    take(tmp_path, made)
    source = LedgerSource(made)
    first = [number for number, _ in source.list_fares(0, FOREVER_US, 2)]
    assert first == rides[:2], "fewer than were asked for say that there are no more"
    assert [number for number, _ in source.list_fares(first[-1], FOREVER_US, 2)] == rides[2:]


def test_fares_of_another_currency_are_another_house_s(ledger: Database) -> None:
    assert LedgerSource(ledger, currency=156).list_fares(0, FOREVER_US, 1000)
    assert LedgerSource(ledger, currency=840).list_fares(0, FOREVER_US, 1000) == []


def test_a_clock_that_steps_back_over_the_end_of_a_day_loses_no_fare(ledger: Database) -> None:
    source = LedgerSource(ledger)
    numbers = [number for number, _ in source.list_fares(0, FOREVER_US, 1000)]
    assert len(numbers) > 4
    at_us = dict.fromkeys(numbers, 90) | {numbers[1]: 101, numbers[2]: 102, numbers[-1]: 103}
    with ledger.transaction() as connection:
        for number, ts_us in at_us.items():
            connection.execute(update(RECORDS).where(RECORDS.c.seq == number).values(ts_us=ts_us))
    for limit in (1, 2, 3, 1000):
        found: list[int] = []
        while piece := source.list_fares(found[-1] if found else 0, 100, limit):
            found += [number for number, _ in piece]
        assert found == numbers[:-1], limit
        rest = source.list_fares(found[-1], 200, limit)
        assert [number for number, _ in rest] == numbers[-1:]


def test_a_file_of_it(town: Config, ledger: Database, tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry.sqlite", create=True)
    settings = ClearingSettings(sender=US, receiver=HOUSE, folder=tmp_path)
    outgoing = Outgoing("cc", settings, registry, tmp_path / "files")
    tomorrow_us = now_us() + 86_400_000_000
    source = LedgerSource(ledger)
    assert outgoing.make_due(source, tomorrow_us) == [], "nothing says that the day is complete"
    today = outgoing.days.day_of(now_us())
    source.is_complete = lambda _: True  # type: ignore[method-assign]
    made = outgoing.make_due(source, tomorrow_us)
    content = read_file(made[-1].name, (tmp_path / "files" / made[-1].name).read_bytes())
    assert content.label.day == today
    fares = source.list_fares(0, FOREVER_US, 1000)
    assert [row[2] for row in content.rows] == [row.row_id for _, row in fares]
    total = ClearingBook("cc", registry).totals()["sent"]["total_minor"]
    assert total == sum(row.fare_minor for _, row in fares)
    assert isinstance(today, datetime.date)


@pytest.mark.parametrize(
    ("case", "complete"),
    [
        ((PlaneState.READY, 0, 5_000_000), True),
        ((PlaneState.READY, 1, 5_000_000), False),
        ((PlaneState.READY, 0, 4_999_999), False),
        ((PlaneState.DRAINING, 0, 5_000_000), False),
    ],
)
def test_a_quiet_day_is_complete_when_all_there_is_was_projected(
    town: Config, ledger: Database, case: tuple[PlaneState, int, int], complete: bool
) -> None:
    state, behind, later_us = case
    with ledger.reading() as connection:
        next_seq = find_watermark(connection).next_seq
    page = Page.create(town.page_path)
    page.slots[STATE] = state
    page.slots[DURABLE_SEQ] = next_seq - 1 + behind
    source = LedgerSource(
        ledger, pages=PageReader(town.page_path), now_us=lambda: FOREVER_US + later_us
    )
    assert source.is_complete(FOREVER_US) is complete
    page.close()
