"""Every ride of a city is one operator's: its account in the ledger is touched by each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from benchmarks.projection import measure
from gateway.ledger.chart import Kind
from gateway.ledger.store import open_ledger
from gateway.ledger.tables import CHART, CHART_BALANCES, POSTINGS

RIDERS = 500


@pytest.mark.parametrize("records", [8_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_the_operators_account_is_what_its_rides_come_to(tmp_path: Path, records: int) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite", create=True)
    try:
        measure(tmp_path, ledger, records, RIDERS)
        with ledger.reading() as connection:
            (chart_id,) = connection.scalars(
                select(CHART.c.id).where(CHART.c.kind == int(Kind.OPERATOR))
            )
            rides, earned = connection.execute(
                select(func.count(), func.sum(POSTINGS.c.amount_minor)).where(
                    POSTINGS.c.credit == chart_id
                )
            ).one()
            (kept,) = connection.execute(
                select(CHART_BALANCES).where(CHART_BALANCES.c.chart_id == chart_id)
            )
    finally:
        ledger.close()
    assert rides > records // 5
    assert (kept.credit_minor, kept.debit_minor) == (earned, 0)
