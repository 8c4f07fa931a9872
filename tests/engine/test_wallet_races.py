"""Wallet commands that arrive at once, through a real data plane (fault cases E 34-37)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from fastpath.types import Op, Reason
from gateway.bootstrap import audit_journal
from gateway.clock import format_operation_id, new_operation_id
from gateway.control.pipe import ControlPipe
from tests.support.plane import Running, make_folder, records_of, running


def codes(replies: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reply in replies:
        found[reply.code] = found.get(reply.code, 0) + 1
    return found


class Crowd:
    """Many requests in flight at once over one connection."""

    def __init__(self, hands: Running) -> None:
        self.pipe = ControlPipe(hands.config.control.socket, client="crowd", timeout_s=60)

    async def send(self, op: str, *, op_id: bytes | None = None, **args: Any) -> Any:
        return await self.pipe.exchange(op, args, operation_id=op_id or new_operation_id())


async def test_no_debit_of_a_thousand_succeeds_behind_a_freeze(tmp_path: Path) -> None:
    """E 37."""
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(100_000)
        crowd, who = Crowd(hands), {"account_id": account_id}
        sent = [crowd.send("debit", **who, amount_minor=1) for _ in range(400)]
        sent.append(crowd.send("freeze", **who, what="debit"))
        sent += [crowd.send("debit", **who, amount_minor=1) for _ in range(600)]
        await asyncio.gather(*sent)
        await crowd.pipe.close()
    records = records_of(config)
    frozen = next(one.seq for one in records if one.op == Op.FREEZE)
    debits = [one for one in records if one.op == Op.DEBIT]
    assert len(debits) == 1000
    accepted = [one.seq for one in debits if one.reason == Reason.OK]
    assert 0 < len(accepted) < 1000
    assert max(accepted) < frozen
    assert all(one.reason == Reason.ACCOUNT_FROZEN for one in debits if one.seq > frozen)


async def test_captures_and_refunds_that_race_take_and_give_no_more_than_there_is(
    tmp_path: Path,
) -> None:
    """E 35, E 36: of a hundred, as many as fit."""
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(1000)
        crowd, who = Crowd(hands), {"account_id": account_id}
        ends = time.time_ns() // 1000 + 3_600_000_000
        await crowd.send("hold_place", **who, key=1, amount_minor=1000, expires_us=ends)
        taken = [crowd.send("hold_capture", **who, key=1, amount_minor=300) for _ in range(100)]
        assert codes(await asyncio.gather(*taken)) == {"ok": 3, "over_capture": 97}
        op_id = new_operation_id()
        charge = {"client": "crowd", "id": format_operation_id(op_id)}
        last = await crowd.send("hold_capture", op_id=op_id, **who, key=1, amount_minor=100)
        assert last.ok
        given = [crowd.send("refund", **who, charge=charge, amount_minor=30) for _ in range(100)]
        assert codes(await asyncio.gather(*given)) == {"ok": 3, "over_refund": 97}
        shown = await hands.account(account_id)
        assert (shown["balance_minor"], shown["held_minor"]) == (90, 0)
        await crowd.pipe.close()
    assert audit_journal(config).as_dict()["findings"] == []


async def test_one_refund_under_one_id_is_one_refund(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(1000)
        crowd, who = Crowd(hands), {"account_id": account_id}
        debit, op_id = new_operation_id(), new_operation_id()
        await crowd.send("debit", op_id=debit, **who, amount_minor=500)
        charge = {"client": "crowd", "id": format_operation_id(debit)}
        ask = {"op_id": op_id, "charge": charge, "amount_minor": 100, **who}
        replies = [await crowd.send("refund", **ask) for _ in range(5)]
        assert [one.result["repeated"] for one in replies] == [False, *[True] * 4]
        assert {one.result["refunded_minor"] for one in replies} == {100}
        other = await crowd.send("refund", **ask | {"amount_minor": 101})
        assert other.code == "op_conflict"
        assert (await hands.account(account_id))["balance_minor"] == 600
        await crowd.pipe.close()


async def test_a_capture_at_the_instant_of_expiry_has_one_winner(tmp_path: Path) -> None:
    """E 34: the money is taken or let go, never both."""
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        crowd, riders = Crowd(hands), [(await hands.rider(100))[0] for _ in range(20)]
        ends = time.time_ns() // 1000 + 600_000
        for one in riders:
            await crowd.send("hold_place", account_id=one, key=1, amount_minor=100, expires_us=ends)
        await asyncio.sleep(ends / 1e6 - time.time() - 0.05)
        replies = []
        for turn in range(40):
            who = riders[turn % len(riders)]
            replies.append(await crowd.send("hold_capture", account_id=who, key=1, amount_minor=5))
            await asyncio.sleep(0.005)
        assert set(codes(replies)) <= {"ok", "hold_expired", "unknown_hold"}
        for number in range(60):
            held = [(await hands.account(one))["held_minor"] for one in riders]
            if not any(held):
                break
            await asyncio.sleep(0.05 + number / 1000)
        assert not any(held)
        await crowd.pipe.close()
    captured = [one for one in records_of(config) if one.op == Op.HOLD_CAPTURE]
    expired = {one.account_id: one.seq for one in records_of(config) if one.op == Op.HOLD_EXPIRE}
    assert len(expired) == len(riders)
    for one in captured:
        assert one.reason != Reason.OK or one.seq < expired[one.account_id]
    assert audit_journal(config).as_dict()["findings"] == []
