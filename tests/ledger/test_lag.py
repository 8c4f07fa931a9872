"""How far the ledger is behind, as /metrics tells it."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import now_us
from gateway.ledger.batch import Watermark
from gateway.ledger.projector import Teller
from gateway.observability.ledger_metrics import LedgerCollector, find_lag
from gateway.observability.page import DURABLE_SEQ, Page, PageReader


def test_lag_is_what_is_durable_and_not_projected(tmp_path: Path) -> None:
    own, data = Page.create(tmp_path / "own"), Page.create(tmp_path / "data")
    readers = PageReader(own.path), PageReader(data.path)

    def lag() -> tuple[int, int]:
        views = [reader.read() for reader in readers]
        assert views[0] is not None
        return find_lag(views[0], views[1])

    teller = Teller(own)
    data.slots[DURABLE_SEQ] = 100
    made_us = now_us() - 5_000_000
    own.slots[4] = made_us  # the projector has run for five seconds
    teller.tell(Watermark(4096, 41, bytes(32), made_us), 40, 2500)
    records, age_us = lag()
    assert records == 60
    assert 5_000_000 <= age_us < 8_000_000
    teller.tell(Watermark(8192, 101, bytes(32), made_us), 60, 2500)
    assert lag() == (0, 0)
    found = {one.name: one.samples[0].value for one in LedgerCollector(*readers).collect()}
    assert found["fare_ledger_up"] == 1
    assert found["fare_ledger_records"] == 100
    assert found["fare_ledger_batches"] == 2
    assert found["fare_ledger_batch_seconds"] == 0.0025
    own.close()
    data.close()
