"""The case that decides everything: the device waits, decides alone, and uploads the same tap
later.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fastpath.types import Op, Reason, TapFlag, TapKind, Verdict
from tests.support.plane import Gate, Running, make_folder, random_token, records_of, running

OPENED = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
REFUSED = int(TapFlag.OFFLINE)


@pytest.fixture
async def hands(tmp_path: Path):
    async with running(make_folder(tmp_path / "gateway")) as plane:
        yield plane


async def ride(gate: Gate, token: bytes) -> None:
    """Check in at 11 and out at 13: 400."""
    assert (await gate.tap(TapKind.CHECK_IN, token, 11)).reason == Reason.OK
    assert (await gate.tap(TapKind.CHECK_OUT, token, 13)).fare_minor == 400


async def test_server_ok_device_opened_changes_nothing(hands: Running) -> None:
    account_id, token = await hands.rider()
    gate = await hands.gate()
    event = gate.event(TapKind.CHECK_IN, token, 11)
    first = await gate.session.tap(event)
    again = await gate.session.tap(replace(event, flags=OPENED, attempt=1))
    assert again == first
    assert (await hands.account(account_id))["version"] == 4


async def test_server_ok_device_refused_is_reversed_once(hands: Running) -> None:
    account_id, token = await hands.rider()
    gate = await hands.gate()
    await gate.tap(TapKind.CHECK_IN, token, 11)
    event = gate.event(TapKind.CHECK_OUT, token, 13)
    charged = await gate.session.tap(event)
    assert charged.fare_minor == 400
    late = replace(event, flags=REFUSED, attempt=1)
    reversal = await gate.session.tap(late)
    assert (reversal.kind, reversal.fare_minor) == (Op.SETTLEMENT, -400)
    assert await gate.session.tap(late) == reversal
    shown = await hands.account(account_id)
    assert (shown["balance_minor"], shown["journey_state"]) == (5000, 1)


async def test_server_refused_device_opened_posts_as_debt_once(hands: Running) -> None:
    account_id, token = await hands.rider(amount_minor=0)
    gate = await hands.gate()
    event = gate.event(TapKind.CHECK_IN, token, 11)
    assert (await gate.session.tap(event)).reason == Reason.INSUFFICIENT_BALANCE
    late = replace(event, flags=OPENED)
    settled = await gate.session.tap(late)
    assert (settled.kind, settled.verdict) == (Op.SETTLEMENT, Verdict.OPEN_WITH_DEBT)
    assert await gate.session.tap(late) == settled
    out = gate.event(TapKind.CHECK_OUT, token, 14, flags=OPENED)
    assert (await gate.session.tap(out)).fare_minor == 500
    assert (await hands.account(account_id))["balance_minor"] == -500


async def test_server_refused_device_refused_changes_nothing(hands: Running) -> None:
    _, token = await hands.rider(amount_minor=0)
    gate = await hands.gate()
    event = gate.event(TapKind.CHECK_IN, token, 11)
    first = await gate.session.tap(event)
    assert await gate.session.tap(replace(event, flags=REFUSED, attempt=2)) == first


async def test_unknown_medium_that_was_let_in_goes_to_risk(hands: Running) -> None:
    gate = await hands.gate()
    event = gate.event(TapKind.CHECK_OUT, random_token(), 14)
    assert (await gate.session.tap(event)).reason == Reason.UNKNOWN_MEDIUM
    settled = await gate.session.tap(replace(event, flags=OPENED))
    assert (settled.reason, settled.fare_minor) == (Reason.OK_RISK, 500)


async def test_an_upload_the_server_never_saw_is_accepted(hands: Running) -> None:
    account_id, token = await hands.rider()
    gate = await hands.gate()
    taps = [
        gate.event(TapKind.CHECK_IN, token, 11, flags=OPENED),
        gate.event(TapKind.CHECK_OUT, token, 13, flags=OPENED),
        gate.event(TapKind.CHECK_IN, token, 12, flags=REFUSED),
    ]
    answers = await gate.session.tap_batch(taps)
    assert [a.reason for a in answers] == [Reason.OK, Reason.OK, Reason.OFFLINE_REFUSED]
    assert await gate.session.tap_batch(taps) == answers
    assert (await hands.account(account_id))["balance_minor"] == 4600


async def test_passage_report_reverses_once_whatever_comes_after(hands: Running) -> None:
    account_id, token = await hands.rider()
    gate = await hands.gate()
    await gate.tap(TapKind.CHECK_IN, token, 11)
    event = gate.event(TapKind.CHECK_OUT, token, 13)
    charged = await gate.session.tap(event)
    assert (await gate.not_passed(event)).fare_minor == -400
    assert (await gate.not_passed(event)).reason == Reason.NOTHING_TO_REVERSE
    assert await gate.session.tap(replace(event, flags=REFUSED)) == charged
    assert (await hands.account(account_id))["balance_minor"] == 5000


async def test_a_passage_report_sent_again_is_answered_again_and_another_is_a_conflict(
    hands: Running,
) -> None:
    _, token = await hands.rider()
    gate = await hands.gate()
    entry = gate.event(TapKind.CHECK_IN, token, 11)
    await gate.session.tap(entry)
    event = gate.event(TapKind.CHECK_OUT, token, 13)
    await gate.session.tap(event)
    report = {"passed": False, "device_ts_us": event.device_ts_us + 5}
    first = await gate.session.passage(7, 3, original=event, **report)
    assert await gate.session.passage(7, 3, original=event, **report) == first
    other = await gate.session.passage(7, 3, original=entry, **report)
    assert other.reason == Reason.OP_CONFLICT


async def test_settlements_survive_a_restart(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        await gate.tap(TapKind.CHECK_IN, token, 11)
        event = gate.event(TapKind.CHECK_OUT, token, 13)
        await gate.session.tap(event)
        late = replace(event, flags=REFUSED)
        reversal = await gate.session.tap(late)
        undone = gate.event(TapKind.CHECK_OUT, token, 14)
        await gate.session.tap(undone)
        report = await gate.not_passed(undone)
    before = len(records_of(config))
    async with running(config) as hands:
        gate = await hands.gate()
        assert await gate.session.tap(late) == reversal
        gate = Gate(gate.session, 7, first_seq=report.seq + 1)
        assert (await gate.not_passed(undone)).reason == Reason.NOTHING_TO_REVERSE
    assert len(records_of(config)) == before + 1


async def test_the_same_id_with_other_facts_is_a_conflict(hands: Running) -> None:
    _, token = await hands.rider()
    gate = await hands.gate()
    event = gate.event(TapKind.CHECK_IN, token, 11)
    await gate.session.tap(event)
    for other in (replace(event, stop=12), replace(event, kind=TapKind.CHECK_OUT)):
        assert (await gate.session.tap(other)).reason == Reason.OP_CONFLICT
