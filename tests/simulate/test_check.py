"""The check finds what was falsified, and nothing in what was not."""

from __future__ import annotations

import pytest

from fastpath.types import Op, Reason, TapKind
from gateway.simulate.check import TAP_OPS
from tests.simulate.people import Evidence, run_evidence


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return run_evidence(tmp_path_factory.mktemp("run"))


def test_an_honest_run_is_clean(evidence: Evidence) -> None:
    result = evidence.check()
    assert result.findings == []
    assert result.ok
    assert result.taps == evidence.crowd.stats.taps > 1_000
    assert result.records == len(evidence.records)
    assert result.fare_minor == evidence.crowd.stats.revenue_minor - _risk_minor(evidence)
    assert result.accounts == len(evidence.balances) > 100


def _risk_minor(evidence: Evidence) -> int:
    """Fares no account bears: of strangers an offline gate let through."""
    return sum(record.fare_minor for record in evidence.records if not record.account_id)


def test_the_run_had_all_the_trouble_it_should(evidence: Evidence) -> None:
    stats = evidence.crowd.stats
    assert not stats.errors
    assert stats.stray == 0
    assert stats.repeats > 0
    assert stats.count_of(Op.REVERSAL) > 0
    assert stats.count_of(Op.SETTLEMENT) > 0
    assert stats.count_of(TapKind.INSPECT) > 0
    wanted = {"ok", "unknown_medium", "medium_lost", "account_frozen", "insufficient_balance"}
    assert wanted | {"already_in", "not_checked_in", "passback"} <= set(stats.by_reason())


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("fare_minor", 1),
        ("reason", 1),
        ("verdict", 1),
        ("balance_minor", -1),
        ("nominal_minor", 10),
        ("subsidy_minor", 1),
        ("period_paid_minor", 1),
        ("rules", 1 << 20),
        ("distance_m", 1),
        ("other_stop", 1),
        ("tariff_key", 1),
        ("fare_ts_us", 1),
    ],
)
def test_a_falsified_field_of_a_ride_is_found(evidence: Evidence, field: str, change: int) -> None:
    at = evidence.find(op=Op.CHECK_OUT, reason=Reason.OK)
    result = evidence.falsified(at, **{field: getattr(evidence.records[at], field) + change})
    assert result.wrong > 0
    assert f"record {evidence.records[at].seq} " in result.findings[0]


@pytest.mark.parametrize("op", [Op.REVERSAL, Op.SETTLEMENT])
def test_money_given_back_twice_over_is_found(evidence: Evidence, op: Op) -> None:
    at = next(
        at
        for at, record in enumerate(evidence.records)
        if record.op == op and record.fare_minor < 0
    )
    record = evidence.records[at]
    fare, balance = 2 * record.fare_minor, record.balance_minor - record.fare_minor
    assert evidence.falsified(at, fare_minor=fare, balance_minor=balance).wrong == 1


def test_a_credit_that_never_was_is_found(evidence: Evidence) -> None:
    at = evidence.find(op=Op.CREDIT, reason=Reason.OK)
    amount = evidence.records[at].amount_minor
    assert evidence.falsified(at, amount_minor=amount + 100).wrong > 0


def test_a_refusal_turned_into_a_passage_is_found(evidence: Evidence) -> None:
    at = evidence.find(op=Op.CHECK_IN, reason=Reason.INSUFFICIENT_BALANCE)
    assert evidence.falsified(at, reason=Reason.OK).wrong > 0


def test_a_missing_tap_is_lost(evidence: Evidence) -> None:
    at = evidence.find(op=Op.CHECK_IN, reason=Reason.UNKNOWN_MEDIUM)
    records = evidence.records[:at] + evidence.records[at + 1 :]
    result = evidence.check(records=records)
    assert result.lost == 1
    assert "no record at" in result.findings[0]


def test_a_tap_recorded_twice_is_doubled(evidence: Evidence) -> None:
    at = evidence.find(op=Op.CHECK_IN, reason=Reason.UNKNOWN_MEDIUM)
    twin = evidence.records[at]._replace(position=evidence.records[-1].position + 4096)
    result = evidence.check(records=[*evidence.records, twin])
    assert (result.doubled, result.lost) == (1, 0)


@pytest.mark.parametrize(
    "field", ["fare_minor", "balance_minor", "reason", "verdict", "seq", "period_paid_minor"]
)
def test_an_altered_answer_is_found(evidence: Evidence, field: str) -> None:
    device, sent, answer = evidence.find_told(TapKind.CHECK_OUT)
    altered = answer._replace(**{field: getattr(answer, field) + 1})
    assert evidence.told_falsely((device, sent, answer)).wrong == 0
    result = evidence.told_falsely((device, sent, altered))
    assert result.wrong == 1
    assert "told otherwise" in result.findings[0]


def test_an_answer_to_another_device_is_found(evidence: Evidence) -> None:
    device, sent, answer = evidence.find_told(TapKind.CHECK_IN)
    assert evidence.told_falsely((device + 1, sent, answer)).wrong == 1


@pytest.mark.parametrize("field", ["kind", "stop", "device_ts_us"])
def test_a_record_with_other_facts_than_the_tap_is_found(evidence: Evidence, field: str) -> None:
    device, sent, answer = evidence.find_told(TapKind.CHECK_OUT)
    other = sent._replace(**{field: getattr(sent, field) + 1})
    result = evidence.told_falsely((device, other, answer))
    assert result.wrong == 1
    assert "facts" in result.findings[0]


def test_an_answer_without_a_record_is_wrong(evidence: Evidence) -> None:
    device, sent, answer = evidence.find_told(TapKind.FLAT)
    refused = answer._replace(position=0, reason=Reason.OP_CONFLICT)
    result = evidence.told_falsely((device, sent, refused))
    assert result.wrong == 1
    assert "op_conflict" in result.findings[0]


def test_a_balance_that_is_off_by_one_is_found(evidence: Evidence) -> None:
    account, balance = next(iter(evidence.balances.items()))
    result = evidence.check(balances=evidence.balances | {account: balance + 1})
    assert result.wrong == 1
    assert f"account {account} has {balance + 1}" in result.findings[0]


def test_a_money_field_moved_to_another_account_is_found(evidence: Evidence) -> None:
    at = evidence.find(op=Op.CHECK_OUT, reason=Reason.OK)
    account = evidence.records[at].account_id
    other = next(one for one in evidence.balances if one != account)
    assert evidence.falsified(at, account_id=other).wrong > 0


def test_only_taps_count_as_taps(evidence: Evidence) -> None:
    answered = {
        (device, sent.boot, sent.seq)
        for device, sent, answer in evidence.crowd.log
        if sent is not None and answer.kind in TAP_OPS
    }
    assert evidence.check().taps == len(answered)
