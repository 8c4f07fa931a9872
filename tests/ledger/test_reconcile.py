"""Three-way reconciliation: each kind of difference is found, kept, aged, explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from fastpath import _journal as codec
from fastpath.types import Item, Op, Purpose, Reason
from gateway.errors import LedgerError
from gateway.ledger.breaks import BreakBook, BreakState, ageing
from gateway.ledger.peers_file import Columns, read_peer_file
from gateway.ledger.reconcile import BreakType, Source
from gateway.ledger.reconciling import Order, reconcile
from gateway.tariffs.units import CURRENCIES
from tests.ledger.scribe import Scribe, take, writing

DAY_US = 86_400_000_000
FIRST, BEHIND = date(2026, 11, 3), date(2026, 11, 4)
HEAD = "key,amount_minor,date,status\n"


def tell(scribe: Scribe) -> None:
    """Taps 501-1-2 ... of an operator, and payments at a hospital."""
    scribe.credit(1, 90_000, "2026-11-03 06:00")
    for fare in (300, 400, 500, 600):
        scribe.ride(1, fare, None if fare > 300 else "2026-11-03 07:00")
    scribe.ride(1, 700, "2026-11-04 07:00")
    facts = {"merchant": 5001, "purpose": int(Purpose.MEDICAL)}
    for number, minor in enumerate((2_500, 1_200)):
        notes = {1: f"HIS-{number}"}
        when = "2026-11-03 09:00"
        scribe.write(Op.DEBIT, 1, when=when, main=-minor, facts=facts, notes=notes)
    refused = {"reason": Reason.INSUFFICIENT_BALANCE, "fare_minor": 0, "flags": 1 << 24}
    scribe.write(Op.CHECK_IN, 1, when="2026-11-03 10:00", **refused)
    scribe.write(Op.CHECK_IN, 1, when="2026-11-03 11:00")
    scribe.ride(1, 0, "2026-11-03 11:30")  # on a pass, capped, or free


@contextmanager
def undoing(scribe: Scribe, seq: int) -> Iterator[None]:
    """What is written meanwhile takes back the tap 501-1-`seq`."""
    image = (1).to_bytes(8, "little") + seq.to_bytes(4, "little") + bytes(52)
    original = codec.build_item(Item.ORIGINAL, 0, 0, image)
    beside = scribe._beside
    scribe._beside = lambda facts, notes: [original, *beside(facts, notes)]  # type: ignore[method-assign]
    yield
    scribe._beside = beside  # type: ignore[method-assign]


def order(folder: Path, code: str = "operator:1", **files: str) -> Order:
    paths = {}
    for name, text in files.items():
        paths[Source(name)] = path = folder / f"{name}-{abs(hash(text))}.csv"
        path.write_text(HEAD + text)
    return Order(code, FIRST, BEHIND, paths, Columns())


@pytest.fixture
def folder(tmp_path: Path, books) -> Path:
    with writing(tmp_path) as scribe:
        tell(scribe)
    take(tmp_path, books[0])
    return tmp_path


def run(books, asked: Order, now_us: int = DAY_US):
    return reconcile(books[0], BreakBook(books[1]), asked, now_us)[1]


HONEST = "501-1-2,300,2026-11-03,ok\n501-1-3,400,2026-11-03,\n501-1-4,500,,ok\n501-1-5,600,,\n"
HONEST += "501-1-10,0,2026-11-03,ok\n501-1-11,0,,\n"  # a check-in and a ride that took nothing


def test_the_same_on_both_sides_is_no_break(folder: Path, books) -> None:
    found = run(books, order(folder, taps=HONEST + "501-1-9,0,2026-11-03,refused\n"))
    assert found.breaks == []
    assert found.matched == {"taps": 7}
    only_fares = "".join(HONEST.splitlines(keepends=True)[:4])
    assert run(books, order(folder, taps=only_fares)).breaks == []


def test_taps_that_took_nothing_are_held_to_what_they_were(folder: Path, books) -> None:
    wrong = HONEST.replace("501-1-10,0,2026-11-03,ok", "501-1-10,0,2026-11-02,ok")
    found = run(books, order(folder, taps=wrong.replace("501-1-11,0", "501-1-11,200")))
    assert [(one.key, one.type) for one in found.breaks] == [
        ("501-1-10", BreakType.DATE_DIFFERS),
        ("501-1-11", BreakType.AMOUNT_DIFFERS),
    ]
    found = run(books, order(folder, taps=HONEST.replace("501-1-11,0,,", "501-1-11,0,,refused")))
    assert [(one.key, one.type) for one in found.breaks] == [("501-1-11", BreakType.STATUS_DIFFERS)]
    other = run(books, order(folder, "merchant:5001", bill="501-1-10,0,2026-11-03,ok\n"))
    assert BreakType.MISSING_HERE in {one.type for one in other.breaks}


@pytest.mark.parametrize(
    ("was", "op", "status"),
    [
        (Reason.OK, Op.REVERSAL, "reversed"),  # undone by its device
        (Reason.OK, Op.SETTLEMENT, "reversed"),  # the device had refused it
        (Reason.DENYLISTED, Op.SETTLEMENT, "ok"),  # the device had opened
    ],
)
def test_a_check_in_that_came_out_otherwise(
    tmp_path: Path, books, was: Reason, op: Op, status: str
) -> None:
    with writing(tmp_path) as scribe:
        scribe.credit(1, 9_000, "2026-11-03 06:00")
        scribe.ride(1, 300, "2026-11-03 07:00")
        scribe.write(Op.CHECK_IN, 1, reason=was)
        if op is Op.REVERSAL:
            with undoing(scribe, 3):
                scribe.write(op, 1)
        else:
            scribe.write(op, 1, id_c=3)
    take(tmp_path, books[0])
    taps = "501-1-2,300,2026-11-03,ok\n501-1-3,0,2026-11-03,"
    assert run(books, order(tmp_path, taps=taps + status)).breaks == []
    other = "ok" if status == "reversed" else "reversed"
    found = run(books, order(tmp_path, taps=taps + other))
    assert [(one.key, one.type) for one in found.breaks] == [("501-1-3", BreakType.STATUS_DIFFERS)]


def test_every_kind_of_difference_is_told(folder: Path, books) -> None:
    taps = "501-1-2,350,2026-11-03,ok\n"  # another amount
    taps += "501-1-3,400,2026-11-02,ok\n"  # another date
    taps += "501-1-4,500,2026-11-03,ok\n" * 2  # twice
    taps += "501-1-6,700,2026-11-03,ok\n"  # ours is of the next day
    taps += "501-1-9,300,2026-11-03,ok\n"  # we had refused it
    taps += "999-9-9,100,2026-11-03,ok\n"  # unknown here
    found = run(books, order(folder, taps=taps, bill=HONEST))
    of_taps = {(one.key, one.type) for one in found.breaks if one.source is Source.TAPS}
    assert of_taps == {
        ("501-1-2", BreakType.AMOUNT_DIFFERS),
        ("501-1-3", BreakType.DATE_DIFFERS),
        ("501-1-4", BreakType.DUPLICATE),
        ("501-1-5", BreakType.MISSING_THERE),
        ("501-1-6", BreakType.DATE_DIFFERS),
        ("501-1-9", BreakType.STATUS_DIFFERS),
        ("999-9-9", BreakType.MISSING_HERE),
    }
    assert not [one for one in found.breaks if one.source is Source.BILL]
    amount = next(one for one in found.breaks if one.type is BreakType.AMOUNT_DIFFERS)
    assert (amount.here_minor, amount.there_minor, amount.account_id) == (300, 350, 1)
    assert "bill: 300" in amount.detail  # what the third side has


def test_a_reversed_ride_is_no_ride(tmp_path: Path, books) -> None:
    with writing(tmp_path) as scribe:
        scribe.credit(1, 9_000, "2026-11-03 06:00")
        scribe.ride(1, 300, "2026-11-03 07:00")
        with undoing(scribe, 2):
            scribe.write(Op.REVERSAL, 1, main=300, flags=1 << 24)
    take(tmp_path, books[0])
    assert run(books, order(tmp_path, taps="501-1-2,300,2026-11-03,reversed\n")).breaks == []
    assert run(books, order(tmp_path, taps="")).breaks == []
    found = run(books, order(tmp_path, taps="501-1-2,300,2026-11-03,ok\n"))
    assert [one.type for one in found.breaks] == [BreakType.STATUS_DIFFERS]


def test_a_hospital_s_bill_goes_by_its_own_references(folder: Path, books) -> None:
    bill = "HIS-0,2500,2026-11-03,ok\nHIS-1,1300,2026-11-03,ok\n"
    found = run(books, order(folder, "merchant:5001", bill=bill))
    assert [(one.key, one.type) for one in found.breaks] == [("HIS-1", BreakType.AMOUNT_DIFFERS)]
    bank = run(books, order(folder, "funding", bill=""))
    assert [one.here_minor for one in bank.breaks] == [90_000]


def test_breaks_are_kept_aged_explained_and_closed_when_gone(folder: Path, books) -> None:
    keeper = BreakBook(books[1])
    wrong = order(folder, taps=HONEST.replace("300", "350", 1) + "9-9-9,1,2026-11-03,ok\n")
    run(books, wrong, now_us=DAY_US)
    run(books, wrong, now_us=3 * DAY_US)
    found = keeper.list()
    assert [(one.key, one.state) for one in found] == [("501-1-2", "open"), ("9-9-9", "open")]
    assert [one.age_days(10 * DAY_US) for one in found] == [9, 9]
    assert ageing(found, 10 * DAY_US)["8-30 days"] == {"count": 2, "difference_minor": 51}
    kept = keeper.explain(found[0].id, "their clock", "cli:test", 11 * DAY_US)
    assert (kept.state, kept.note, kept.actor) == ("explained", "their clock", "cli:test")
    run(books, wrong, now_us=12 * DAY_US)
    assert keeper.list()[0].state == "explained"
    run(books, order(folder, taps=HONEST), now_us=13 * DAY_US)
    assert [(one.state, one.note) for one in keeper.list()] == [
        ("explained", "their clock"),
        ("closed", "gone in run 4"),
    ]
    run(books, wrong, now_us=14 * DAY_US)
    again = keeper.list(states=[BreakState.OPEN])
    assert [(one.key, one.opened_us) for one in again] == [("9-9-9", 14 * DAY_US)]
    closed = keeper.explain(again[0].id, "not ours", "cli:test", 15 * DAY_US, close=True)
    assert closed.state == "closed"


@pytest.mark.parametrize(("number", "note"), [(1, "  "), (77, "what is it")])
def test_what_cannot_be_explained(books, number: int, note: str) -> None:
    with pytest.raises(LedgerError) as refused:
        BreakBook(books[1]).explain(number, note, "cli:test", 1)
    assert refused.value.code == "LEDGER_BREAK"


def test_every_faulty_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "taps.csv"
    path.write_text(HEAD + "a,1,2026-11-03,\n,1,,\nb,1.5,,\nc,1,3 November,\nd,nan,,\n")
    with pytest.raises(LedgerError) as refused:
        read_peer_file(path, Columns())
    assert refused.value.code == "LEDGER_FILE"
    assert all(f"line {number}:" in refused.value.detail for number in (3, 4, 5, 6))
    assert "line 2:" not in refused.value.detail


@pytest.mark.parametrize(
    ("code", "text", "minor"), [("CNY", "12.3", 1230), ("JPY", "12", 12), ("KRW", "5e3", 5000),
                                ("BHD", "1.234", 1234), ("KWD", "0.005", 5)]
)  # fmt: skip
def test_major_units_have_the_digits_of_their_currency(
    tmp_path: Path, code: str, text: str, minor: int
) -> None:
    path = tmp_path / "bill.csv"
    path.write_text(f"key,amount\nX1,{text}\n")
    digits = CURRENCIES[code].exponent
    columns = Columns(amount="amount", is_major=True, exponent=digits)
    assert [line.amount_minor for line in read_peer_file(path, columns)] == [minor]
    path.write_text("key,amount\nX1,0." + "0" * digits + "1\n")
    with pytest.raises(LedgerError, match="whole minor units"):
        read_peer_file(path, columns)


def test_amounts_in_major_units_and_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes("订单号,金额,日期\nX1,12.30,2026/11/03\n".encode("gb18030"))
    columns = Columns("订单号", "金额", "日期", "", is_major=True, encoding="gb18030")
    (line,) = read_peer_file(path, columns)
    assert (line.key, line.amount_minor, line.day) == ("X1", 1230, date(2026, 11, 3))
    with pytest.raises(LedgerError) as refused:
        read_peer_file(path, Columns("order", "amount", encoding="gb18030"))
    assert "no column amount, order" in refused.value.detail
