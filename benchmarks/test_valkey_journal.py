"""The comparison of journals in small, so that it does not rot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import valkey_journal
from tests.support.valkey import needs_server


@needs_server
def test_each_journal_has_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--json", "--rounds", "1", "--appends", "5", "--dir", str(tmp_path)]
    assert valkey_journal.main(options) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    names = {(row["journal"], row["records"]) for row in rows}
    assert names == {(n, r) for n in ("segments", "valkey", "valkey+1") for r in (1, 64)}
    assert all(row["appends"] == 5 and row["p50_us"] > 0 for row in rows)
