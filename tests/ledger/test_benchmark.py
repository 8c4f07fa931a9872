"""The benchmark of the projection, small: what it makes is a journal the ledger takes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.projection import measure
from gateway.db import Database
from gateway.ledger.status import find_totals


def test_a_small_projection(tmp_path: Path, ledger: Database) -> None:
    found = measure(tmp_path, ledger, 2_000, 150)
    assert (found.records, found.accounts) == (2_000, 150)
    assert found.records_per_s > 0
    totals = find_totals(ledger)
    assert (totals.mark.next_seq, totals.accounts) == (2_001, 150)
