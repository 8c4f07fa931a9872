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
    *((f"E {n}") for n in range(34, 45)),
    *((f"F {n}") for n in range(45, 54)),
    *((f"G {n}") for n in range(54, 61)),
    *((f"H {n}") for n in range(61, 68)),
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
    rows = re.findall(r"^\| ([A-H] \d+) \|", PAGE, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == CASES


def test_every_test_file_that_a_page_names_is_there() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    named = {
        (page.name, file)
        for page in pages
        for file in re.findall(r"\btests/[\w/]+\.py", page.read_text())
    }
    assert [(page, file) for page, file in sorted(named) if not (ROOT / file).is_file()] == []
