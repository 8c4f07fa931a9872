"""Limits under concurrency and at midnight in a running gateway: never a cent too much, and what is
counted is what a recount of the journal finds (fault cases 42 and 43 of the wallet)."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import defaultdict
from pathlib import Path

from fastpath._journal import RecordView
from fastpath.api import LimitBook
from fastpath.limits import LimitProfile, LimitSpec
from fastpath.types import Op, Reason, Rule, TapKind
from gateway.bootstrap import audit_journal
from gateway.clock import format_operation_id, new_operation_id
from tests.limits.test_plane import book, serving, spent
from tests.support.plane import Running, make_folder, records_of, running

DAY_US = 86_400_000_000


def now_us() -> int:
    return time.time_ns() // 1000


def book_with_midnight_at(at_us: int, *profiles: LimitProfile) -> LimitBook:
    """Limits whose local day ends at an instant: a zone of the test's own."""
    return LimitBook.build(
        LimitSpec(
            limits_id="test",
            version="1",
            currency=156,
            first_day=20_000,
            start_us=array("q", [at_us + (place - 50) * DAY_US for place in range(101)]),
            month=array("I", [24_000 + place // 30 for place in range(100)]),
            profiles=profiles,
        )
    )


def counted_minor(record: RecordView) -> int:
    """What a record counted in the limits."""
    if not record.rules & Rule.COUNTED or record.reason >= Reason.BUSY:
        return 0
    return record.fare_minor if record.op < Op.ACCOUNT_OPEN else -record.amount_minor


async def debits(hands: Running, account_id: int, count: int, amount_minor: int) -> list[Reason]:
    """So many at once."""
    replies = await asyncio.gather(
        *(
            hands.exchange("debit", account_id=account_id, amount_minor=amount_minor)
            for _ in range(count)
        )
    )
    return [Reason(reply.reason) for reply in replies]


async def test_a_hundred_debits_at_once_take_the_day_and_no_cent_more(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with serving(config, book(day_minor=1000)) as hands:
        account_id, _ = await hands.rider(50_000)
        reasons = await debits(hands, account_id, 100, 30)
        assert reasons.count(Reason.OK) == 33
        assert reasons.count(Reason.LIMIT_EXCEEDED) == 67
        assert (await spent(hands, account_id))["day_minor"] == 990
        assert (await hands.account(account_id))["balance_minor"] == 50_000 - 990
    assert audit_journal(config).findings == []


async def test_taps_debits_and_holds_race_for_one_day(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with serving(config, book(day_minor=2000)) as hands:
        account_id, token = await hands.rider(50_000)
        gate = await hands.gate()

        async def taps() -> None:
            for turn in range(40):
                await gate.tap(TapKind.FLAT, token, 11 + turn % 4, amount_minor=70)

        await asyncio.gather(taps(), debits(hands, account_id, 40, 60))
        used = (await spent(hands, account_id))["day_minor"]
        assert 2000 - 60 < used <= 2000
    own = [one for one in records_of(config) if one.account_id == account_id]
    assert sum(counted_minor(one) for one in own) == used
    assert audit_journal(config).findings == []


async def test_the_day_begins_anew_exactly_at_midnight(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        accounts = [(await hands.rider(50_000))[0] for _ in range(3)]
    midnight_us = now_us() + 2_500_000
    made = book_with_midnight_at(midnight_us, LimitProfile(0, 0, day_minor=1000))
    async with serving(config, made) as hands:
        while now_us() < midnight_us + 700_000:
            await asyncio.gather(*(debits(hands, one, 5, 90) for one in accounts))
        for one in accounts:
            used = await spent(hands, one)
            assert (used["day"], used["day_minor"]) == (20_050, 990)
    by_day: dict[tuple[int, bool], int] = defaultdict(int)
    for record in records_of(config):
        if record.op != Op.DEBIT:
            continue
        is_after = record.ts_us >= midnight_us
        before = by_day[record.account_id, is_after]
        assert (record.reason == Reason.OK) == (before + 90 <= 1000), record
        by_day[record.account_id, is_after] += counted_minor(record)
    assert by_day == {(one, after): 990 for one in accounts for after in (False, True)}
    report = audit_journal(config)
    assert report.findings == []
    assert not report.skipped


async def test_down_a_tier_in_the_middle_of_credits_and_debits(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    low = LimitProfile(1, 0, day_minor=500, balance_minor=1000)
    high = LimitProfile(2, 0, day_minor=50_000, balance_minor=90_000)
    made = book_with_midnight_at(now_us() + DAY_US // 2, low, high)
    async with serving(config, made) as hands:
        account_id, _ = await hands.rider(40_000)
        await hands.call("set_tier", account_id=account_id, tier=2)

        async def credit() -> None:
            for _ in range(20):
                await hands.exchange("credit", account_id=account_id, amount_minor=1000)

        async def lower() -> None:
            await asyncio.sleep(0.02)
            await hands.call("set_tier", account_id=account_id, tier=1)

        await asyncio.gather(credit(), debits(hands, account_id, 20, 300), lower())
        before = (await hands.account(account_id))["balance_minor"]
        refused = await hands.exchange("credit", account_id=account_id, amount_minor=1)
        assert (refused.ok, refused.code) == (False, "balance_limit")
        assert (await debits(hands, account_id, 1, 501)) == [Reason.LIMIT_EXCEEDED]
        assert (await hands.account(account_id))["balance_minor"] == before
    tier = 0
    for record in records_of(config):
        if record.op == Op.SET_TIER:
            tier = 2 if tier == 0 else 1
        elif tier == 1 and record.op == Op.CREDIT:
            assert record.reason == Reason.BALANCE_LIMIT
    assert tier == 1
    report = audit_journal(config)
    assert report.findings == []
    assert not report.skipped


async def test_holds_and_refunds_keep_to_the_limits(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with serving(config, book(day_minor=1000)) as hands:
        account_id, _ = await hands.rider(50_000)
        until_us = now_us() + 3_600_000_000
        named = {"account_id": account_id, "expires_us": until_us}
        placed = await asyncio.gather(
            *(
                hands.exchange("hold_place", key=key, amount_minor=300, **named)
                for key in range(1, 9)
            )
        )
        assert sum(one.ok for one in placed) == 3
        assert {one.code for one in placed if not one.ok} == {"limit_exceeded"}
        kept = [key for key, one in enumerate(placed, start=1) if one.ok]
        for key in kept:
            captured = {"key": key, "amount_minor": 300}
            await hands.call("hold_capture", account_id=account_id, **captured)
        assert (await spent(hands, account_id))["day_minor"] == 900
        operation = new_operation_id()
        asked = {"account_id": account_id, "amount_minor": 100}
        debited = await hands.exchange("debit", operation_id=operation, **asked)
        assert debited.ok
        assert await debits(hands, account_id, 1, 1) == [Reason.LIMIT_EXCEEDED]
        charge = {"client": "cli", "id": format_operation_id(operation)}
        await hands.call("refund", account_id=account_id, amount_minor=60, charge=charge)
        assert (await spent(hands, account_id))["day_minor"] == 940
        assert await debits(hands, account_id, 1, 61) == [Reason.LIMIT_EXCEEDED]
        assert await debits(hands, account_id, 1, 60) == [Reason.OK]
    report = audit_journal(config)
    assert report.findings == []
    assert not report.skipped


async def test_a_hundred_debits_at_once_draw_the_credit_line_and_no_cent_more(
    tmp_path: Path,
) -> None:
    config = make_folder(tmp_path / "gateway")
    async with serving(config, book(day_minor=1500)) as hands:
        account_id, token = await hands.rider(0)
        await hands.call("set_credit_limit", account_id=account_id, amount_minor=1000)
        gate = await hands.gate()

        async def taps() -> None:
            for turn in range(20):
                await gate.tap(TapKind.FLAT, token, 11 + turn % 4, amount_minor=30)

        await asyncio.gather(taps(), debits(hands, account_id, 100, 30))
        shown = await hands.account(account_id)
        assert shown["balance_minor"] == -990
        assert shown["credit"]["left_minor"] == 10
        assert shown["limits"]["day"]["used_minor"] == 990
        await hands.call("credit", account_id=account_id, amount_minor=990)
        await debits(hands, account_id, 30, 30)
        shown = await hands.account(account_id)
        assert shown["limits"]["day"] == {
            "limit_minor": 1500,
            "used_minor": 1500,
            "left_minor": 0,
        }
        assert shown["balance_minor"] == -510
    assert audit_journal(config).findings == []
