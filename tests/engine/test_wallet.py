"""The wallet through a real data plane: purses, holds that expire, refunds, plans; over restarts
and full disks; audited and recounted by strangers' code.
"""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fastpath.reference_model import SpecBook
from fastpath.types import Item, Op, Reason, TapKind
from fastpath.wallet import Facts, unpack_parts
from gateway.bootstrap import audit_journal
from gateway.clock import format_operation_id, new_operation_id
from gateway.control.arguments import client_number
from gateway.errors import CommandError
from gateway.journal.files import RealFiles
from gateway.simulate.replay import ReferenceReplay
from tests.support.faultfs import Fault, FaultFiles
from tests.support.plane import Running, make_folder, records_of, running
from tests.support.tariff import small_spec, small_tariff

REPO = Path(__file__).parents[2]
HOUR_US = 3_600_000_000
MEAL, STUDENT, SOON = 11, 12, 13
TRANSIT_BIT, MEAL_BIT = 1, 2


def now_us() -> int:
    return time.time_ns() // 1000


def audit_is_silent(config: Any) -> None:
    report = audit_journal(config).as_dict()
    assert report["findings"] == []
    assert report["skipped"] == {}
    assert report["records"] == len(records_of(config))


def recount(config: Any) -> dict[str, Any]:
    command = [sys.executable, str(REPO / "examples" / "recount.py"), str(config.journal.dir)]
    said: dict[str, Any] = json.loads(subprocess.check_output(command))
    return said


async def fill(hands: Running, account_id: int, key: int, amount_minor: int, **how: int) -> None:
    """A purse with money in it."""
    await hands.call("purse_open", account_id=account_id, key=key, **how)
    await hands.call("credit", account_id=account_id, purse=key, amount_minor=amount_minor)


async def charge(hands: Running, op: str, **args: Any) -> dict[str, str]:
    """An operation that takes money; how a refund names it."""
    op_id = new_operation_id()
    reply = await hands.exchange(op, operation_id=op_id, **args)
    assert reply.ok, reply
    record = next(one for one in records_of(hands.config)[::-1] if one.op == Op[op.upper()])
    assert record.account_id == args["account_id"]
    return {"client": record.id_a, "id": format_operation_id(op_id)}  # type: ignore[dict-item]


async def test_purses_pay_by_priority_and_get_their_parts_back(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(1000)
        who = {"account_id": account_id}
        await fill(hands, account_id, MEAL, 300, purposes=MEAL_BIT, priority=5)
        await fill(hands, account_id, STUDENT, 200, purposes=MEAL_BIT | TRANSIT_BIT, priority=4)
        await hands.call("credit", **who, purse="subsidy", amount_minor=100)
        paid = await charge(hands, "debit", **who, amount_minor=700, purpose="meal", merchant=9)
        shown = await hands.account(account_id)
        assert [one["balance_minor"] for one in shown["purses"]] == [0, 0]
        assert (shown["balance_minor"], shown["subsidy_minor"]) == (800, 100)
        given = await hands.call("refund", **who, charge=paid, amount_minor=450)
        assert given["refunded_minor"] == 450
        shown = await hands.account(account_id)
        assert [one["balance_minor"] for one in shown["purses"]] == [250, 0]
        assert shown["balance_minor"] == 1000
        over = await hands.exchange("refund", **who, charge=paid, amount_minor=251)
        assert over.code == "over_refund"
        await hands.call("refund", **who, charge=paid, amount_minor=250)
        shown = await hands.account(account_id)
        assert [one["balance_minor"] for one in shown["purses"]] == [300, 200]
    async with running(config) as hands:
        assert await hands.account(account_id) == shown
        assert (await hands.exchange("refund", **who, charge=paid, amount_minor=1)).code == (
            "over_refund"
        )
    audit_is_silent(config)
    assert recount(config)["balance_minor"] == 1000 + 300 + 200 + 100
    debit = next(one for one in records_of(config) if one.op == Op.DEBIT)
    facts, parts = (
        next(item.image for item in debit.items if item.type == kind)
        for kind in (Item.FACTS, Item.PARTS)
    )
    assert (Facts.unpack(facts).merchant, Facts.unpack(facts).purpose) == (9, 1)
    assert unpack_parts(parts) == [(STUDENT, 200), (MEAL, 300)]


async def test_a_fare_draws_from_a_transit_purse_and_its_reversal_gives_back(
    tmp_path: Path,
) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, token = await hands.rider(1000)
        await fill(hands, account_id, STUDENT, 110, purposes=TRANSIT_BIT, priority=1)
        gate = await hands.gate()
        event = gate.event(TapKind.FLAT, token, 11)
        answer = await gate.session.tap(event)
        assert answer.reason == Reason.OK
        fare = answer.fare_minor
        assert fare == 150
        shown = await hands.account(account_id)
        assert (shown["purses"][0]["balance_minor"], shown["balance_minor"]) == (0, 960)
        undone = await gate.not_passed(event)
        assert (undone.reason, undone.fare_minor) == (Reason.OK, -fare)
        shown = await hands.account(account_id)
        assert (shown["purses"][0]["balance_minor"], shown["balance_minor"]) == (110, 1000)
    audit_is_silent(config)
    assert recount(config)["wrong"] == []


async def test_a_fare_is_given_back_once_and_its_device_takes_it_back_no_more(
    tmp_path: Path,
) -> None:
    """E 36: not more than it took, nothing of a reversed tap, none after the refund."""
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, token = await hands.rider(1000)
        await fill(hands, account_id, STUDENT, 110, purposes=TRANSIT_BIT, priority=1)
        gate = await hands.gate()
        event = gate.event(TapKind.FLAT, token, 11)
        reversed_ = gate.event(TapKind.FLAT, token, 12)
        assert (await gate.session.tap(event)).fare_minor == 150
        tap = {"device": 1, "boot": gate.boot, "seq": event.seq}
        who = {"account_id": account_id, "tap": tap}
        other = (await hands.rider(0))[0]
        strange = await hands.exchange("refund", account_id=other, tap=tap, amount_minor=150)
        assert strange.code == "unknown_charge"
        made = await hands.call("refund", **who, amount_minor=100)
        assert (made["refunded_minor"], made["amount_minor"]) == (100, 100)
        over = await hands.exchange("refund", **who, amount_minor=51)
        assert over.code == "over_refund"
        await hands.call("refund", **who, amount_minor=50)
        shown = await hands.account(account_id)
        assert (shown["purses"][0]["balance_minor"], shown["balance_minor"]) == (110, 1000)
        assert (await gate.not_passed(event)).reason == Reason.NOTHING_TO_REVERSE
    async with running(config) as hands:
        assert (await hands.exchange("refund", **who, amount_minor=1)).code == "over_refund"
        gate = await hands.gate(boot=8)
        assert (await gate.session.tap(reversed_)).reason == Reason.OK
        assert (await gate.not_passed(reversed_)).reason == Reason.OK
        who["tap"] = tap | {"seq": reversed_.seq, "boot": reversed_.boot}
        assert (await hands.exchange("refund", **who, amount_minor=1)).code == "unknown_charge"
    assert audit_journal(config).as_dict()["findings"] == []
    book = SpecBook()
    book.put(1, small_tariff().key, small_spec())
    replay = ReferenceReplay(book)
    assert [said for one in records_of(config) if (said := replay.apply(one))] == []


async def test_a_payout_takes_own_money_and_nobody_refunds_it(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(1000)
        who = {"account_id": account_id}
        await hands.call("set_credit_limit", **who, amount_minor=5000)
        over = await hands.exchange("debit", **who, amount_minor=1001, flow="payout")
        assert over.code == "insufficient_balance"
        operation_id = new_operation_id()
        more = {"amount_minor": 1000, "flow": "payout", "currency": 156}
        assert (await hands.exchange("debit", operation_id=operation_id, **who, **more)).ok
        charge = {"client": "control", "id": format_operation_id(operation_id)}
        refund = await hands.exchange("refund", **who, charge=charge, amount_minor=1000)
        assert refund.code == "unknown_charge"
        wrong = await hands.exchange("credit", **who, amount_minor=1, currency=840)
        assert wrong.code == "currency_mismatch"
        assert (await hands.account(account_id))["balance_minor"] == 0
    assert audit_journal(config).as_dict()["findings"] == []


async def test_a_hold_is_captured_in_parts_and_the_rest_let_go(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(1000)
        who = {"account_id": account_id}
        placing = new_operation_id()
        ask = {"key": 7, "amount_minor": 800, "purpose": "medical", "merchant": 3}
        ask |= {"expires_us": now_us() + HOUR_US, **who}
        placed = await hands.exchange("hold_place", operation_id=placing, **ask)
        assert (placed.ok, placed.result["held_minor"]) == (True, 800)
        again = await hands.exchange("hold_place", operation_id=placing, **ask)
        assert (again.result["repeated"], again.result["left_minor"]) == (True, 800)
        other = await hands.exchange("hold_place", operation_id=placing, **ask | {"key": 8})
        assert other.code == "op_conflict"
        assert (await hands.exchange("hold_place", **ask)).code == "insufficient_balance"
        assert (await hands.exchange("debit", **who, amount_minor=201)).code == (
            "insufficient_balance"
        )
        await hands.call("freeze", **who, what="both")
        taken = await hands.call("hold_capture", **who, key=7, amount_minor=300)
        assert (taken["amount_minor"], taken["left_minor"]) == (-300, 500)
        assert (await hands.exchange("hold_capture", **who, key=7, amount_minor=501)).code == (
            "over_capture"
        )
        last = await charge(hands, "hold_capture", **who, key=7, amount_minor=100, final=True)
        assert (await hands.exchange("hold_capture", **who, key=7, amount_minor=1)).code == (
            "unknown_hold"
        )
        await hands.call("refund", **who, charge=last, amount_minor=100)
        shown = await hands.account(account_id)
        assert (shown["balance_minor"], shown["held_minor"], shown["holds"]) == (700, 0, [])
    audit_is_silent(config)


async def test_holds_expire_by_themselves_once_over_a_restart(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(1000)
        who = {"account_id": account_id}
        soon = now_us() + 300_000
        await hands.call("hold_place", **who, key=1, amount_minor=100, expires_us=soon)
        await hands.call("hold_place", **who, key=2, amount_minor=200, expires_us=soon + HOUR_US)
        await hands.call("hold_place", **who, key=3, amount_minor=300, expires_us=soon)
        await hands.call("hold_extend", **who, key=3, expires_us=soon + 700_000)
        await asyncio.sleep(0.7)
        shown = await hands.account(account_id)
        assert [one["key"] for one in shown["holds"]] == [2, 3]
        assert shown["held_minor"] == 500
        late = await hands.exchange("hold_capture", **who, key=1, amount_minor=1)
        assert late.code == "unknown_hold"
    await asyncio.sleep(0.5)
    for _ in range(2):
        async with running(config) as hands:
            await asyncio.sleep(0.3)
            assert [one["key"] for one in (await hands.account(account_id))["holds"]] == [2]
    expired = [one for one in records_of(config) if one.op == Op.HOLD_EXPIRE]
    assert len(expired) == 2
    assert {one.reason for one in expired} == {Reason.OK}
    audit_is_silent(config)


async def test_nothing_is_kept_of_holds_that_are_over(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(1000)
        who = {"account_id": account_id}
        far = now_us() + 1000 * HOUR_US
        for key in (1, 2, 3, 4):
            await hands.call("hold_place", **who, key=key, amount_minor=100, expires_us=far)
        await hands.call("hold_extend", **who, key=1, expires_us=far + HOUR_US)
        assert len(hands.plane.holds) == 4
        await hands.call("hold_capture", **who, key=1, amount_minor=50)
        assert len(hands.plane.holds) == 4
        await hands.call("hold_capture", **who, key=1, amount_minor=50)
        await hands.call("hold_capture", **who, key=2, amount_minor=10, final=True)
        await hands.call("hold_release", **who, key=3)
        assert len(hands.plane.holds) == 1


async def test_a_full_disk_takes_back_what_the_wallet_did(tmp_path: Path) -> None:
    files = FaultFiles(RealFiles())
    config = make_folder(tmp_path / "gateway")
    async with running(config, files=files) as hands:
        account_id, _ = await hands.rider(1000)
        who = {"account_id": account_id}
        await fill(hands, account_id, MEAL, 300, purposes=MEAL_BIT, priority=5)
        soon = now_us() + 200_000
        await hands.call("hold_place", **who, key=1, amount_minor=100, expires_us=soon)
        before = await hands.account(account_id)
        files.faults.append(Fault("pwrite", errno.ENOSPC))
        for op, args in (
            ("debit", {"amount_minor": 400, "purpose": "meal"}),
            ("hold_capture", {"key": 1, "amount_minor": 100}),
            ("purse_open", {"key": 99, "purposes": 1}),
        ):
            with pytest.raises(CommandError):
                await hands.call(op, **who, **args)
        await asyncio.sleep(0.5)
        files.faults.clear()
        assert before["holds"] == (await hands.account(account_id))["holds"]
        for _ in range(200):  # the journal prepares its reserve first
            after = await hands.account(account_id)
            if not after["holds"]:
                break
            await asyncio.sleep(0.1)
        assert after["holds"] == []
        assert after["purses"] == before["purses"]
        assert after["balance_minor"] == before["balance_minor"]
    audit_is_silent(config)
    assert recount(config)["wrong"] == []


async def test_credit_plans_late_state_and_write_off(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(0)
        who = {"account_id": account_id}
        await hands.call("set_credit_limit", **who, amount_minor=1000)
        await hands.call("debit", **who, amount_minor=900, purpose="shopping")
        opened = await hands.call("plan_open", **who, key=5, amount_minor=600, instalments=6)
        assert (opened["outstanding_minor"], opened["amount_minor"]) == (600, 600)
        shown = await hands.account(account_id)
        assert shown["credit"] == {
            "limit_minor": 1000,
            "drawn_minor": 300,
            "plans_minor": 600,
            "left_minor": 100,
            "is_late": False,
        }
        assert (await hands.exchange("debit", **who, amount_minor=101)).code == (
            "insufficient_balance"
        )
        await hands.call("credit_state", **who, late=True)
        assert (await hands.exchange("debit", **who, amount_minor=100)).code == "credit_late"
        assert (await hands.exchange("debit", **who, amount_minor=100, way_home=True)).ok
        await hands.call("credit_state", **who, late=0)
        await hands.call("plan_repay", **who, key=5, amount_minor=100)
        assert (await hands.exchange("close", **who)).code == "balance_not_zero"
        await hands.call("plan_repay", **who, key=5, amount_minor=500)
        owed = await hands.account(account_id)
        assert (owed["plans"], owed["balance_minor"]) == ([], -1000)
        given_up = {"amount_minor": 1000, "expected_version": owed["version"]}
        assert (await hands.exchange("write_off", **who, **given_up)).ok
        assert (await hands.exchange("close", **who)).ok
    audit_is_silent(config)
    assert recount(config)["balance_minor"] == 0


async def test_a_medium_moves_to_another_account_when_the_rider_is_outside(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        _, token = await hands.rider(1000)
        second, _ = await hands.rider(2000)
        gate = await hands.gate()
        assert (await gate.tap(TapKind.CHECK_IN, token, 11)).reason == Reason.OK
        moving = {"account_id": second, "token": token}
        assert (await hands.exchange("medium_move", **moving)).code == "already_in"
        assert (await gate.tap(TapKind.CHECK_OUT, token, 12)).reason == Reason.OK
        stale = await hands.exchange("medium_move", **moving, left_version=1)
        assert stale.code == "version_conflict"
        assert (await hands.exchange("medium_move", **moving)).ok
        assert (await hands.exchange("medium_move", **moving)).code == "already_exists"
        before = (await hands.account(second))["balance_minor"]
        fare = (await gate.tap(TapKind.FLAT, token, 11)).fare_minor
        assert (await hands.account(second))["balance_minor"] == before - fare
    async with running(config) as hands:
        assert (await hands.call("medium_show", token=token))["account_id"] == second
    audit_is_silent(config)


def test_the_data_planes_own_operations_have_no_clients_number() -> None:
    assert client_number("") != 0
