"""docs/reliability.md names tests that exist, and has a row for every case of the list."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
CASES = {
    *((f"A {n}") for n in range(1, 11)),
    *((f"B {n}") for n in range(11, 23)),
    *((f"C {n}") for n in range(23, 27)),
    *((f"D {n}") for n in range(27, 34)),
    *((f"G {n}") for n in range(54, 57)),
}


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 40
    missing = [
        (file, name)
        for file, name in named
        if not re.search(rf"def {name}\(", (ROOT / file).read_text())
    ]
    assert missing == []


def test_every_case_has_its_row() -> None:
    rows = re.findall(r"^\| ([A-G] \d+) \|", PAGE, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == CASES
