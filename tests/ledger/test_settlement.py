"""Settlement: the same run gives the same file, what comes late a complete one with a number."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import date
from pathlib import Path

import pytest

from fastpath.types import Op, Purpose, Reason
from gateway.errors import LedgerError
from gateway.ledger.settlement import Settlement, write_files
from gateway.registry.audit import AuditEvent, append, check_trail, iter_events
from tests.ledger.scribe import ZONE, Scribe, take, writing

DAY = date(2026, 11, 3)


def tell(scribe: Scribe) -> None:
    """A day of two operators and a hospital, and the morning after."""
    scribe.credit(1, 10_000, "2026-11-03 06:00")
    scribe.ride(1, 300, "2026-11-03 07:00", stop=14)
    scribe.ride(1, 500, slot=2)
    scribe.risk(400)
    scribe.write(Op.REVERSAL, 1, main=300, flags=1 << 24)
    scribe.ride(1, 200, "2026-11-03 23:00")
    scribe.pay(1, 2_500, Purpose.MEDICAL, 5001)
    scribe.refund(1, 500, Purpose.MEDICAL, 5001)
    scribe.credit(1, 1, "2026-11-04 06:01")


def settlement(books, zone: str = ZONE) -> Settlement:
    def note(connection, action, subject, facts) -> None:
        append(connection, AuditEvent("cli:test", action, subject, 1, facts=facts))

    return Settlement(*books, zone=zone, names={"operator:1": "Metro"}, note=note)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_each_account_has_a_file_with_control_totals(tmp_path: Path, books) -> None:
    with writing(tmp_path) as scribe:
        tell(scribe)
    take(tmp_path, books[0])
    files = {one.account: one for one in settlement(books).run(DAY, 1)}
    assert list(files) == ["operator:1", "operator:2", "merchant:5001"]
    metro = files["operator:1"]
    assert (metro.name, metro.number, metro.repeated) == ("Metro", 0, False)
    assert metro.totals == [
        {
            "currency": 156,
            "lines": 4,
            "earned_minor": 900,
            "given_back_minor": 300,
            "risk_minor": 400,
            "payable_minor": 200,
        }
    ]
    *lines, total = rows_of(metro.text)
    assert sum(int(line["amount_minor"]) for line in lines) == 600
    assert [line["paid_by"] for line in lines] == ["stored", "risk_loss", "stored", "stored"]
    assert lines[0]["key"] == "501-1-2"
    assert lines[0]["stop"] == "14"
    assert (total["record"], total["amount_minor"]) == ("total", "200")
    assert "lines=4" in total["key"]
    assert files["merchant:5001"].totals[0]["payable_minor"] == 2_000
    assert hashlib.sha256(metro.text.encode()).hexdigest() == metro.sha256
    assert "account" not in metro.text.splitlines()[0]  # riders are nobody's business


def test_made_twice_it_is_the_same_and_late_taps_make_the_next(tmp_path: Path, books) -> None:
    with writing(tmp_path) as scribe:
        tell(scribe)
        scribe.flush()
        take(tmp_path, books[0])
        first = settlement(books).run(DAY, 1)
        again = settlement(books).run(DAY, 2)
        assert [one.text for one in again] == [one.text for one in first]
        assert all(one.repeated and one.number == 0 for one in again)
        scribe.ride(1, 100, "2026-11-05 08:00", fare_ts_us=first_ride_us(first[0].text))
        scribe.flush()
        take(tmp_path, books[0])
        late = {one.account: one for one in settlement(books).run(DAY, 3)}
    metro = late["operator:1"]
    assert (metro.number, metro.repeated) == (1, False)
    assert metro.totals[0]["payable_minor"] == 300
    assert len(rows_of(metro.text)) == len(rows_of(first[0].text)) + 1
    assert late["operator:2"].repeated
    assert metro.file_name == "settlement-operator-1-2026-11-03-1.csv"
    with books[1].reading() as connection:
        events = list(iter_events(connection))
        assert list(check_trail(iter(events))) == []
    assert [event.subject for event in events] == [
        "operator:1/2026-11-03",
        "operator:2/2026-11-03",
        "merchant:5001/2026-11-03",
        "operator:1/2026-11-03",
    ]


def first_ride_us(text: str) -> int:
    return int(rows_of(text)[0]["at_us"]) + 1_000


def test_a_day_that_is_not_over_is_not_settled(tmp_path: Path, books) -> None:
    with writing(tmp_path) as scribe:
        scribe.credit(1, 1_000, "2026-11-03 06:00")
        scribe.ride(1, 300, "2026-11-04 05:59")
    take(tmp_path, books[0])
    with pytest.raises(LedgerError) as refused:
        settlement(books).run(DAY, 1)
    assert refused.value.code == "LEDGER_DAY_OPEN"
    assert settlement(books).run(DAY, 1, open_day=True) == []


@pytest.mark.parametrize("code", ["operator:9", "nonsense:1", "operator", "funding:3"])
def test_an_account_that_is_none_is_named(tmp_path: Path, books, code: str) -> None:
    with writing(tmp_path) as scribe:
        tell(scribe)
    take(tmp_path, books[0])
    with pytest.raises(LedgerError) as refused:
        settlement(books).run(DAY, 1, code=code)
    assert refused.value.code == "LEDGER_UNKNOWN_ACCOUNT"


def test_files_are_written_whole_with_their_hash_beside(tmp_path: Path, books) -> None:
    with writing(tmp_path) as scribe:
        tell(scribe)
        scribe.write(
            Op.DEBIT, 1, when="2026-11-03 10:00", main=-1, notes={1: "=cmd()"},
            facts={"merchant": 5001, "purpose": 2}, reason=Reason.OK,
        )  # fmt: skip
    take(tmp_path, books[0])
    files = settlement(books).run(DAY, 1, open_day=True)
    paths = write_files(tmp_path / "out", files)
    for path, one in zip(paths, files, strict=True):
        assert path.read_bytes().endswith(b"\r\n")
        about = json.loads(path.with_suffix(".json").read_text())
        assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() == one.sha256
    assert "'=cmd()" in files[-1].text  # a spreadsheet shall not run it
    assert not list((tmp_path / "out").glob(".*"))
