"""The ledger and the journal tell the same records."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.journals import open_reader
from gateway.ledger.history import History as Ledger
from gateway.ledger.store import open_ledger
from gateway.rerating.history import JournalHistory, LedgerHistory
from tests.ledger.books import project
from tests.rerating.test_service import TARIFF, Desk, midday_us, open_desk, ride
from tests.support.plane import running


def test_both_histories_are_alike(tmp_path: Path) -> None:
    config = open_desk(tmp_path)

    async def travel() -> int:
        async with running(config, tariffs=[(1, TARIFF)]) as hands:
            account_id, token = await hands.rider(5000)
            entry, leave = ride(midday_us())
            await Desk(config, hands).taps(token, leave, entry)
            return account_id

    account_id = asyncio.run(travel())
    ledger = open_ledger(tmp_path / "ledger.sqlite", create=True)
    project(config, ledger)
    found = LedgerHistory(Ledger(ledger)).collect([account_id, 999])
    ledger.close()
    assert list(found) == [account_id]
    assert found == JournalHistory(lambda: open_reader(config)).collect([account_id])
