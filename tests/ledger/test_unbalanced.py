"""Books that do not balance are never written: the batch is refused, and the watermark stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from gateway.config import Config
from gateway.db import Database
from gateway.errors import LedgerError
from gateway.ledger import posting
from gateway.ledger.batch import find_watermark
from gateway.ledger.status import find_totals
from gateway.ledger.tables import ACCOUNT_BALANCES, CHART_BALANCES, POSTINGS
from tests.ledger import books
from tests.support.plane import make_folder, running


@pytest.fixture
async def town(tmp_path: Path) -> Config:
    config = make_folder(tmp_path / "town")
    async with running(config) as hands:
        await books.live(hands)
    return config


def half(config: Config, ledger: Database) -> Any:
    """A projector that has taken some of the records, not all."""
    one = books.projector(config, ledger, 5)
    one.start()
    assert one.step()
    return one


def state(ledger: Database) -> tuple[Any, Any]:
    with ledger.reading() as connection:
        return find_watermark(connection), connection.scalar(
            select(func.count()).select_from(POSTINGS)
        )


def refused(step: Callable[[], object], ledger: Database) -> str:
    """What is said of a batch that is refused; nothing of it is there."""
    before = state(ledger)
    with pytest.raises(LedgerError) as error:
        step()
    assert error.value.code == "LEDGER_UNBALANCED"
    assert state(ledger) == before
    return error.value.detail


async def test_a_chart_that_does_not_balance_takes_nothing_more(
    town: Config, ledger: Database
) -> None:
    one = half(town, ledger)
    with ledger.transaction() as connection:
        first = select(func.min(CHART_BALANCES.c.chart_id)).scalar_subquery()
        more = {"debit_minor": CHART_BALANCES.c.debit_minor + 1}
        connection.execute(
            update(CHART_BALANCES).where(CHART_BALANCES.c.chart_id == first).values(more)
        )
    assert "debits" in refused(one.step, ledger)
    with pytest.raises(LedgerError, match="LEDGER_UNBALANCED"):
        find_totals(ledger)
    one.journal.close()


async def test_a_record_that_moves_more_than_its_amount_is_not_posted(
    town: Config, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, move = half(town, ledger), posting.move

    def spoiled(record: Any, balances: Any) -> dict[int, int]:
        return {purse: delta + (delta != 0) for purse, delta in move(record, balances).items()}

    with monkeypatch.context() as patched:
        patched.setattr(posting, "move", spoiled)
        assert refused(one.step, ledger)
    one.start()
    while one.step():
        pass
    assert find_totals(ledger).postings > 0, "the journal was sound all the time"
    one.journal.close()


async def test_riders_and_their_control_accounts_say_the_same(
    town: Config, ledger: Database
) -> None:
    books.project(town, ledger)
    find_totals(ledger)
    with ledger.transaction() as connection:
        connection.execute(
            update(ACCOUNT_BALANCES).values(main_minor=ACCOUNT_BALANCES.c.main_minor + 1)
        )
    with pytest.raises(LedgerError, match="control accounts") as error:
        find_totals(ledger)
    assert error.value.code == "LEDGER_UNBALANCED"
