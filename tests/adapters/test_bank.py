"""The bank's formats: references with check digits, statements whole or not at all, signatures."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest

from adapters.contract import AckResult, Capability, Command, Meta, Money
from adapters.errors import Malformed, Refusal, Rejected, Unauthorized
from adapters.funding.bank.adapter import REFUSALS, BankAdapter
from adapters.funding.bank.bench import NOW_US, BankBench
from adapters.funding.bank.reference import build_reference, find_account
from adapters.funding.bank.settings import BankSettings
from adapters.funding.bank.simulator import Movement, signed, statement, webhook
from adapters.funding.bank.statement import read_statement

BY_HAND = Meta("bank", NOW_US, by_hand=True)


@pytest.fixture
def adapter() -> BankAdapter:
    bench = BankBench()
    made = bench.make_adapter()
    made.kept = bench  # type: ignore[attr-defined]
    yield made
    bench.dispose()


@pytest.fixture
def settings(adapter: BankAdapter) -> BankSettings:
    return adapter.config


# --- references -----------------------------------------------------------------------------------


@pytest.mark.parametrize("account_id", [1, 42, 1001, 10**15, 1 << 53])
def test_a_reference_names_its_account(account_id: int) -> None:
    assert find_account(build_reference(account_id)) == account_id


def test_a_known_reference() -> None:
    # ISO 11649: the remainder of "1001RF" and the digits, mod 97, is 1.
    reference = build_reference(1001)
    digits = "".join(str(int(one, 36)) for one in f"1001{reference[:4]}")
    assert (int(digits) % 97, reference[:2]) == (1, "RF")


def test_one_wrong_or_swapped_digit_is_found() -> None:
    right = build_reference(104_729)
    for at in range(2, len(right)):
        for digit in "0123456789":
            wrong = right[:at] + digit + right[at + 1 :]
            assert wrong == right or find_account(wrong) is None
        if at + 1 < len(right) and right[at] != right[at + 1]:
            swapped = right[:at] + right[at + 1] + right[at] + right[at + 2 :]
            assert find_account(swapped) is None


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("top-up RF{0} thanks", 1001),
        ("rf{0}", 1001),
        ("RF {0[0]}{0[1]} 10 01", 1001),
        ("RF{0} RF{0}", 1001),
        ("RF{0} and {1}", None),
        ("1001", None),
        ("", None),
        ("RF00", None),
        ("充值 RF{0}", 1001),
    ],
)
def test_what_people_write(text: str, account: int | None) -> None:
    tail, other = build_reference(1001)[2:], build_reference(2002)
    assert find_account(text.format(tail, other)) == account


@pytest.mark.parametrize("account_id", [0, -1, (1 << 53) + 1])
def test_no_reference_for_what_is_no_account(account_id: int) -> None:
    with pytest.raises(ValueError, match="no account number"):
        build_reference(account_id)


# --- statements -----------------------------------------------------------------------------------

ONE = Movement("E-1", 5000, build_reference(1001))
TWO = Movement("E-2", 300, "unknown")
BACK = Movement("E-3", 5000, "", "debit", "E-1")


def test_a_statement_is_read_whole(settings: BankSettings) -> None:
    entries = read_statement(statement(ONE, TWO, BACK), settings)
    assert [entry.kind for entry in entries] == ["bank_credit", "bank_credit", "bank_return"]
    event = entries[0].as_event()
    assert event.payload == {
        "entry_ref": "E-1",
        "amount_minor": 5000,
        "currency": 156,
        "booked": "2026-11-28",
        "reverses": "",
        "account_id": 1001,
        "reference": "",
    }
    day = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
    assert event.occurred_us == int(day.timestamp()) * 1_000_000
    assert entries[1].as_event().payload["reference"] == "unknown"
    assert entries[2].as_event().aggregate == "E-1"


def test_cut_anywhere_it_is_refused(settings: BankSettings) -> None:
    raw = statement(ONE, TWO, BACK)
    for end in range(len(raw)):
        with pytest.raises(Malformed):
            read_statement(raw[:end], settings)
    assert len(read_statement(raw, settings)) == 3


FAULTS = {
    "line gone": lambda raw: raw.replace(b"E-2,2026-11-28,300,156,credit,,unknown\n", b""),
    "amount": lambda raw: raw.replace(b",300,", b",301,"),
    "sum": lambda raw: raw.replace(b"5300", b"5301"),
    "fraction": lambda raw: raw.replace(b",300,", b",3.00,"),
    "negative": lambda raw: raw.replace(b",300,", b",-300,"),
    "currency": lambda raw: raw.replace(b"300,156", b"300,840"),
    "direction": lambda raw: raw.replace(b"credit,,unknown", b"kredit,,unknown"),
    "date": lambda raw: raw.replace(b"E-2,2026-11-28", b"E-2,2026-11-31"),
    "twice": lambda raw: raw.replace(b"E-2,", b"E-1,"),
    "reference": lambda raw: raw.replace(b"E-2,", b"E 2\xc3\xa9,"),
    "account": lambda raw: raw.replace(b"CN-FG-0001", b"CN-FG-0002"),
    "format": lambda raw: raw.replace(b"FGBANK,1", b"FGBANK,2"),
    "columns": lambda raw: raw.replace(b"amount_minor,currency", b"currency,amount_minor"),
    "charset": lambda raw: raw.replace(b"unknown", b"\xff\xfe"),
    "quote": lambda raw: raw.replace(b"unknown", b'"unknown'),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_statement_is_refused_and_its_values_are_not_told(
    settings: BankSettings, name: str
) -> None:
    raw = FAULTS[name](statement(ONE, TWO))
    assert raw != statement(ONE, TWO)
    with pytest.raises(Malformed) as refused:
        read_statement(raw, settings)
    assert "RF" not in refused.value.detail


def test_further_columns_are_ignored_and_a_mark_of_utf8_is_taken(settings: BankSettings) -> None:
    raw = statement(ONE).replace(b",reference\n", b",reference,name\n")
    raw = raw.replace(b"\nEND", b",Han Meimei\nEND", 1).replace(b"\n,Han", b",Han")
    entries = read_statement(b"\xef\xbb\xbf" + raw, settings)
    assert "Han Meimei" not in str(entries)


def test_the_same_entry_by_both_ways_is_the_same_event(adapter: BankAdapter) -> None:
    by_file = adapter.parse(statement(ONE), BY_HAND)
    headers = signed(webhook(ONE), NOW_US)
    assert adapter.parse(webhook(ONE), Meta("bank", NOW_US, headers)) == by_file


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'"x"', b'{"type": "entry.booked"}', webhook(ONE, "CN-OTHER")],
)
def test_messages_that_are_none(adapter: BankAdapter, body: bytes) -> None:
    with pytest.raises(Malformed):
        adapter.parse(body, Meta("bank", NOW_US, signed(body, NOW_US)))


def test_only_what_an_operator_hands_in_needs_no_signature(adapter: BankAdapter) -> None:
    adapter.parse(statement(ONE), BY_HAND)
    with pytest.raises(Unauthorized):
        adapter.parse(statement(ONE), Meta("bank", NOW_US))


def test_one_of_several_signatures_is_enough_while_keys_change(adapter: BankAdapter) -> None:
    body = webhook(ONE)
    headers = signed(body, NOW_US)
    headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
    assert adapter.parse(body, Meta("bank", NOW_US, headers))


def test_acknowledgements(adapter: BankAdapter) -> None:
    assert json.loads(adapter.ack(AckResult.ACCEPTED, b"")) == {"result": "accepted"}


# --- refunds --------------------------------------------------------------------------------------


def test_every_refusal_of_the_bank_has_a_word_of_its_own() -> None:
    assert len(set(REFUSALS.values())) == len(REFUSALS)


@pytest.mark.parametrize(
    ("money", "subject", "error"),
    [
        (None, "x", Malformed),
        (Money(0, 156), "x", Malformed),
        (Money(1, 156), "", Malformed),
        (Money(1, 840), "x", Rejected),
    ],
)
def test_what_is_never_sent(
    adapter: BankAdapter, money: Money | None, subject: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        adapter.validate(Command("k", Capability.REFUND, subject, money))


async def test_an_unknown_word_for_no_is_kept() -> None:
    bench = BankBench()
    await bench.remote.start()
    bench.remote.orders["k-1"] = {"reference": "k-1", "state": "refused", "reason": "moon"}
    try:
        async with bench.opened() as adapter:
            outcome = await adapter.query("k-1")
    finally:
        await bench.remote.stop()
        bench.dispose()
    assert (outcome.refusal, outcome.detail) == (Refusal.OTHER, "moon")


def test_the_page_shows_a_statement_that_is_read(settings: BankSettings) -> None:
    page = (Path(__file__).parents[2] / "docs" / "bank.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(FGBANK.*?)```", page, re.DOTALL)
    entries = read_statement(shown.encode(), settings)
    assert [entry.kind for entry in entries] == ["bank_credit", "bank_return"]
    assert find_account(entries[0].reference) == 1001
