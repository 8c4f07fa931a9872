"""examples/recount.py, which knows nothing but docs/journal.md, agrees with the code."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from struct import calcsize, unpack

import pytest

from fastpath import _journal as codec
from gateway.journal.segment import segment_name
from gateway.journal.segments import SegmentJournal
from tests.support.journals import SMALL, Bank, fill, make_journal

REPO = Path(__file__).parents[2]
SCRIPT = REPO / "examples" / "recount.py"
SEG = SMALL.segment_bytes


def recount(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-I", str(SCRIPT), str(folder), *options]
    return subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("options", [(), ("--quick",)])
def test_it_recounts_a_journal_of_several_segments(tmp_path: Path, options: tuple[str]) -> None:
    bank = Bank()
    journal = SegmentJournal.open(tmp_path, SMALL)
    fill(journal, 50, bank)
    journal.close()
    done = recount(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["records"] == 150
    assert said["accounts"] == len(bank.balances)
    assert said["balance_minor"] == sum(bank.balances.values())
    assert said["amount_minor"] - said["fare_minor"] == said["balance_minor"]
    assert said["wrong"] == []


def test_a_balance_that_the_records_do_not_explain(tmp_path: Path) -> None:
    bank = Bank()
    journal = SegmentJournal.open(tmp_path, SMALL)
    fill(journal, 20, bank)
    bank.balances[3] += 1
    fill(journal, 20, bank)
    journal.close()
    done = recount(tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["wrong"] == [3]


def test_a_new_journal(tmp_path: Path) -> None:
    make_journal(tmp_path, 0)
    done = recount(tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 0


@pytest.mark.parametrize("at", [10, 60, 78, 100, 128 + 90, 128 + 168 + 30])
def test_damage(tmp_path: Path, at: int) -> None:
    made = make_journal(tmp_path, 8)
    position = codec.view_group(made[4]).position
    path = tmp_path / segment_name(0)
    data = bytearray(path.read_bytes())
    data[position + at] ^= 4
    path.write_bytes(data)
    done = recount(tmp_path)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert str(position) in done.stderr


def test_a_missing_segment(tmp_path: Path) -> None:
    make_journal(tmp_path, 50)
    (tmp_path / segment_name(SEG)).unlink()
    assert recount(tmp_path).returncode == 1


def test_it_is_short_and_stands_alone() -> None:
    text = SCRIPT.read_text("utf-8")
    assert len(text.splitlines()) <= 70
    tree = ast.parse(text)
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)


def field_rows(page: str, heading: str) -> list[tuple[int, str]]:
    """(offset, type) of the first table under a heading."""
    part = page.split(f"\n{heading}\n", 1)[1].split("| offset", 1)[1].split("\n\n", 1)[0]
    rows = [line.split("|")[1:3] for line in part.splitlines()[2:]]
    return [(int(offset), kind.strip()) for offset, kind in rows]


@pytest.mark.parametrize(
    ("heading", "size"),
    [("## A segment", 4096), ("## A group", 128), ("## A record", 168)],
)
def test_the_tables_of_the_page_have_no_holes(heading: str, size: int) -> None:
    rows = field_rows((REPO / "docs" / "journal.md").read_text("utf-8"), heading)
    widths = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8}
    at = 0
    for offset, kind in rows:
        assert offset == at
        at += widths[kind] if kind in widths else int(kind.split()[0] or 0) if kind else 0
    assert at == size
    assert calcsize(codec_format()) == codec.RECORD_HEAD_BYTES


def codec_format() -> str:
    """The record table as a struct format, to compare with the code's own size."""
    rows = field_rows((REPO / "docs" / "journal.md").read_text("utf-8"), "## A record")
    letters = {"u8": "B", "u32": "I", "u64": "Q", "i64": "q", "16 bytes": "16s"}
    return "<" + "".join(letters[kind] for _, kind in rows)


def test_the_page_names_the_fields_the_code_writes() -> None:
    """A record with a different value in every field, read by the page's offsets."""
    names = [n for n in codec.RecordView._fields if n not in ("items", "position")]
    values = {name: i + 1 for i, name in enumerate(names)}
    values |= {"token": bytes(range(16))}
    fields = {k: v for k, v in values.items() if k not in ("length_bytes", "item_count")}
    record = codec.build_record(**fields)  # type: ignore[arg-type]
    found = unpack(codec_format(), record)
    expected = values | {"length_bytes": 168, "item_count": 0}
    assert found == tuple(expected.values())
