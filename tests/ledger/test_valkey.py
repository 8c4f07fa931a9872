"""The ledger follows a journal in Valkey as it follows files; another stream is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import LedgerError
from gateway.journal.valkey import ValkeyJournal
from gateway.ledger.batch import BatchWriter
from gateway.ledger.projector import Projector
from gateway.ledger.status import find_totals
from gateway.ledger.store import open_ledger
from tests.ledger.books import calendar
from tests.support.journals import Bank, fill
from tests.support.valkey import needs_server, started

pytestmark = needs_server


def test_a_stream_is_projected_and_another_refused(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite", create=True)
    with started(tmp_path) as servers:
        bank = Bank()
        for name, groups in (("one", 7), ("other", 3)):
            writer = ValkeyJournal.open(servers.options(name))
            fill(writer, groups, bank if name == "one" else Bank())
            writer.close()
        projector = follow(tmp_path, ledger, servers.options("one"))
        projector.start()
        while projector.step():
            pass
        assert projector.mark.next_seq == 22
        projector.start()  # the watermark is found in the stream again
        projector.journal.close()
        totals = find_totals(ledger)
        assert totals.riders == {156: sum(bank.balances.values())}
        stranger = follow(tmp_path, ledger, servers.options("other"))
        with pytest.raises(LedgerError) as refused:
            stranger.start()
        assert refused.value.code == "LEDGER_TAIL_LOST"
        stranger.journal.close()


def follow(folder: Path, ledger, options) -> Projector:
    journal = ValkeyJournal.open_reader(options)
    return Projector(ledger, journal, BatchWriter(calendar(folder / "tariffs")), 5)
