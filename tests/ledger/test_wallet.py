"""Wallet commands through the whole gateway into the ledger, and random lives that must balance."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from fastpath.types import FactFlag, Op, Purpose, TapFlag, TapKind
from gateway.db import Database
from gateway.ledger.history import History
from gateway.ledger.status import find_totals
from gateway.ledger.store import open_ledger
from gateway.ledger.tables import ACCOUNT_BALANCES, HOLDS, PURSE_BALANCES
from tests.ledger import books
from tests.ledger.scribe import take, writing
from tests.support.plane import Running, make_folder, records_of, running

HOSPITAL = 5001
SCHOOL = 7001
OPENED = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)


def in_us(seconds: float) -> int:
    return time.time_ns() // 1000 + int(seconds * 1_000_000)


async def care(hands: Running) -> int:
    """Purses, holds, refunds, plans of one account."""
    account = (await hands.rider(50_000))[0]

    async def call(op: str, **args: Any) -> dict[str, Any]:
        return await hands.call(op, account_id=account, **args)

    until = in_us(1.5)
    await call("purse_open", key=9, purposes=1 << Purpose.MEAL, merchant=SCHOOL, expires_us=until)
    await call("credit", amount_minor=2_000, purse=9)
    await call("debit", amount_minor=2_600, purpose="meal", merchant=SCHOOL)
    await call("hold_place", key=1, amount_minor=8_000, purpose="medical", merchant=HOSPITAL,
               expires_us=in_us(3600))  # fmt: skip
    await call("hold_capture", key=1, amount_minor=3_000)
    await call("hold_capture", key=1, amount_minor=1_000, final=True)
    await call("purse_open", key=8, purposes=1 << Purpose.MEAL, merchant=SCHOOL, expires_us=until)
    await call("credit", amount_minor=700, purse=8)
    await asyncio.sleep(1.6)
    await call("purse_sweep", key=8)
    await call("set_credit_limit", amount_minor=20_000)
    await call("debit", amount_minor=50_000, purpose="shopping", merchant=3)
    await call("plan_open", key=4, amount_minor=4_000, instalments=3)
    await call("plan_repay", key=4, amount_minor=1_000)
    version = (await hands.account(account))["version"]
    await call("write_off", amount_minor=500, expected_version=version)
    await call("debit", amount_minor=70, fee=True, way_home=True)
    return account


def seq_of(records, op: Op, nth: int = 0) -> int:
    return [r.seq for r in records if r.op == op and r.reason < 16][nth]


async def test_every_wallet_command_is_posted_where_it_belongs(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "town")
    async with running(config) as hands:
        account = await care(hands)
    ledger = open_ledger(tmp_path / "ledger.sqlite", create=True)
    records = records_of(config)
    books.project(config, ledger, batch_records=1)

    def posted(op: Op, nth: int = 0):
        return books.postings_of(ledger, seq_of(records, op, nth))

    hospital, school = f"merchant:{HOSPITAL}", f"merchant:{SCHOOL}"
    assert posted(Op.CREDIT, 1) == [(f"sponsor:{SCHOOL}", "purse", 2_000)]
    assert sorted(posted(Op.DEBIT)) == [("purse", school, 2_000), ("stored", school, 600)]
    assert posted(Op.HOLD_PLACE) == []
    assert posted(Op.HOLD_CAPTURE) == [("stored", hospital, 3_000)]  # the hold says for whom
    assert posted(Op.HOLD_CAPTURE, 1) == [("stored", hospital, 1_000)]
    assert posted(Op.PURSE_SWEEP) == [("purse", f"sponsor:{SCHOOL}", 700)]
    assert sorted(posted(Op.DEBIT, 1)) == [
        ("receivable", "merchant:3", 4_600),
        ("stored", "merchant:3", 45_400),
    ]
    assert posted(Op.DEBIT, 2) == [("receivable", "fees", 70)]
    assert posted(Op.PLAN_OPEN) == [("plans", "receivable", 4_000)]
    assert posted(Op.PLAN_REPAY) == [("receivable", "plans", 1_000)]
    assert posted(Op.WRITE_OFF) == [("write_offs", "receivable", 500)]
    row = History(ledger).list_account(account)
    captures = [one for one in row if one.op == Op.HOLD_CAPTURE]
    assert {(one.merchant, one.purpose) for one in captures} == {(HOSPITAL, Purpose.MEDICAL)}
    with ledger.reading() as connection:
        hold = connection.execute(select(HOLDS)).one()
        purses = {
            one.purse: one.balance_minor for one in connection.execute(select(PURSE_BALANCES))
        }
    assert (hold.merchant, hold.left_minor, hold.placed_minor) == (HOSPITAL, 0, 8_000)
    assert purses == {9: 0, 8: 0}
    find_totals(ledger)


class Life:
    """Random commands and taps; refusals are part of it."""

    def __init__(self, hands: Running, seed: int) -> None:
        self.hands = hands
        self.rng = random.Random(seed)
        self.riders: list[tuple[int, bytes]] = []
        self.charges: list[tuple[int, dict[str, Any]]] = []
        self.taps: list[Any] = []

    async def live(self, steps: int) -> None:
        self.riders = [await self.hands.rider(self.rng.choice((0, 900, 20_000))) for _ in range(3)]
        self.gate = await self.hands.gate()
        deeds = [self.tap, self.tap, self.undo, self.money, self.purse, self.hold, self.plan]
        for _ in range(steps):
            await self.rng.choice(deeds)(*self.rng.choice(self.riders))

    def some(self, *values: Any) -> Any:
        return self.rng.choice(values)

    async def tap(self, _account: int, token: bytes) -> None:
        kind = self.some(TapKind.CHECK_IN, TapKind.CHECK_OUT, TapKind.FLAT)
        token = self.some(token, token, token, bytes(15) + b"x")
        event = self.gate.event(
            kind, token, self.some(11, 12, 13, 14), flags=self.some(0, 0, OPENED)
        )
        self.taps.append(event)
        await self.gate.session.tap(event)

    async def undo(self, _account: int, _token: bytes) -> None:
        if self.taps:
            await self.gate.not_passed(self.rng.choice(self.taps))

    async def money(self, account: int, _token: bytes) -> None:
        op = self.some("credit", "debit", "debit", "adjust", "pass_add", "write_off")
        args: dict[str, Any] = {"account_id": account, "amount_minor": self.some(1, 450, 3_000)}
        if op in ("credit", "debit"):
            args["purse"] = self.some("stored", "subsidy", 2, 3)
        if op == "debit" and args["purse"] == "stored":
            args |= {
                "purpose": self.some("meal", "medical", "transit"),
                "merchant": self.some(0, 9),
            }
        if op == "pass_add":
            args["pass_id"] = self.some(1, 2)
        if op in ("adjust", "write_off"):
            args["expected_version"] = (await self.hands.account(account))["version"]
        await self.hands.exchange(op, **args)

    async def purse(self, account: int, _token: bytes) -> None:
        key = self.some(2, 3)
        op = self.some("purse_open", "purse_open", "purse_close", "purse_sweep")
        args: dict[str, Any] = {"account_id": account, "key": key}
        if op == "purse_open":
            args |= {"purposes": self.some(3, 6), "priority": key, "merchant": 70 + key}
            args["expires_us"] = self.some(0, in_us(0.05), in_us(60))
        await self.hands.exchange(op, **args)

    async def hold(self, account: int, _token: bytes) -> None:
        op = self.some("hold_place", "hold_place", "hold_capture", "hold_release")
        args: dict[str, Any] = {"account_id": account, "key": self.some(1, 2)}
        if op != "hold_release":
            args["amount_minor"] = self.some(100, 800)
        if op == "hold_place":
            args |= {"expires_us": in_us(60), "merchant": HOSPITAL, "purpose": "medical"}
        if op == "hold_capture":
            args["final"] = self.some(True, False)
        await self.hands.exchange(op, **args)

    async def plan(self, account: int, _token: bytes) -> None:
        op = self.some("set_credit_limit", "plan_open", "plan_repay", "freeze", "unfreeze")
        args: dict[str, Any] = {"account_id": account}
        if op == "set_credit_limit":
            args["amount_minor"] = self.some(0, 5_000)
        elif op.startswith("plan"):
            args |= {"key": self.some(1, 2), "amount_minor": self.some(200, 700)}
            args |= {"instalments": 3} if op == "plan_open" else {}
        await self.hands.exchange(op, **args)


@pytest.mark.parametrize("seed", range(6))
async def test_random_lives_balance(tmp_path: Path, seed: int) -> None:
    config = make_folder(tmp_path / "town")
    async with running(config) as hands:
        await Life(hands, seed).live(120)
        shown = [await hands.account(number) for number in range(1, 4)]
    one = open_ledger(tmp_path / "one.sqlite", create=True)
    other = open_ledger(tmp_path / "other.sqlite", create=True)
    books.project(config, one, batch_records=1)
    books.project(config, other)
    assert books.digests(one) == books.digests(other)
    totals = find_totals(one)  # debits = credits, control accounts = riders' balances
    assert sum(totals.riders.values()) == sum(_held_by(account) for account in shown)
    _compare(one, shown)


def _held_by(account: dict[str, Any]) -> int:
    further = sum(purse["balance_minor"] for purse in account.get("purses", ()))
    return int(account["balance_minor"] + account["subsidy_minor"] + further)


def _compare(ledger: Database, shown: list[dict[str, Any]]) -> None:
    with ledger.reading() as connection:
        rows = {row.account_id: row for row in connection.execute(select(ACCOUNT_BALANCES))}
    for account in shown:
        row = rows[account["account_id"]]
        assert (row.main_minor, row.subsidy_minor, row.held_minor) == (
            account["balance_minor"],
            account["subsidy_minor"],
            account["held_minor"],
        )


def test_money_that_is_not_spent_goes_to_the_bank_or_to_another_account(
    tmp_path: Path, ledger
) -> None:
    payout, transfer = {"flags": FactFlag.PAYOUT}, {"flags": FactFlag.TRANSFER}
    with writing(tmp_path) as scribe:
        scribe.credit(1, 9_000, "2026-11-03 08:00")
        out = scribe.write(Op.DEBIT, 1, main=-500, facts=payout)
        back = scribe.write(Op.CREDIT, 1, main=500, facts=payout)
        taken = scribe.write(Op.ADJUST, 1, main=-9_000, facts=payout)
        away = scribe.write(Op.DEBIT, 1, main=-300, facts=transfer)
        there = scribe.write(Op.CREDIT, 2, main=200, facts=transfer)
        again = scribe.write(Op.REFUND, 1, main=100, facts=transfer | {"charge_low": 1})
    take(tmp_path, ledger, 1000)

    def posted(seq: int):
        return books.postings_of(ledger, seq)

    assert posted(out) == [("stored", "funding", 500)]
    assert posted(back) == [("funding", "stored", 500)]
    assert posted(taken) == [("stored", "funding", 9_000)]
    assert ("receivable", "transfers", 300) in posted(away)
    assert posted(there) == [("transfers", "stored", 200)]
    assert posted(again) == [("transfers", "receivable", 100)]


@pytest.mark.parametrize("batch", [1, 1000])
def test_a_fare_given_back_is_the_operators(tmp_path: Path, ledger, batch: int) -> None:
    with writing(tmp_path) as scribe:
        scribe.credit(1, 9_000, "2026-11-03 08:00")
        ride = scribe.ride(1, 300, slot=3)
        scribe.ride(1, 400, slot=1)
        facts = {"charge_client": 501, "charge_high": 1, "charge_low": ride}
        facts |= {"purpose": 255, "flags": FactFlag.FARE}
        refund = scribe.write(Op.REFUND, 1, main=200, facts=facts)
    take(tmp_path, ledger, batch)
    assert books.postings_of(ledger, refund) == [("operator:3", "stored", 200)]
    row = next(one for one in History(ledger).list_account(1) if one.seq == refund)
    assert (row.tariff_slot, row.purpose) == (3, Purpose.TRANSIT)


@pytest.mark.parametrize("batch", [1, 1000])
def test_a_refund_goes_back_to_whom_its_charge_paid(tmp_path: Path, ledger, batch: int) -> None:
    """Also when the charge was projected long before."""
    with writing(tmp_path) as scribe:
        scribe.credit(1, 9_000, "2026-11-03 08:00")
        charge = scribe.pay(1, 500, Purpose.MEDICAL, HOSPITAL)
        for _ in range(4):
            scribe.ride(1, 300)
        facts = {"charge_client": 9001, "charge_high": 1, "charge_low": charge, "purpose": 255}
        refund = scribe.write(Op.REFUND, 1, main=200, facts=facts)
        facts["charge_low"] = 12345  # a charge nobody knows
        stray = scribe.write(Op.REFUND, 1, main=1, facts=facts)
    take(tmp_path, ledger, batch)
    assert books.postings_of(ledger, refund) == [(f"merchant:{HOSPITAL}", "stored", 200)]
    assert books.postings_of(ledger, stray) == [("merchant:0", "stored", 1)]
    row = next(one for one in History(ledger).list_account(1) if one.seq == refund)
    assert (row.merchant, row.purpose) == (HOSPITAL, Purpose.MEDICAL)
