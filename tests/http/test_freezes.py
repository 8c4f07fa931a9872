"""Freezes: with reason and notice, several at once, four eyes to lift, over by themselves; and none
of a thousand racing debits behind the freeze's position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.clock import format_operation_id, new_operation_id, now_us
from gateway.control.pipe import ControlPipe
from gateway.registry.actors import Actor
from gateway.registry.notices import NoticeStore
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.freezes import FreezeClock
from gateway.wallet.stores.freezes import FreezeRow, FreezeStore
from tests.http.town import Town

FREEZE = {"reason": "owner asked", "what": "debit"}


async def _lift(town: Town, path: str) -> None:
    """By one, agreed to by another."""
    said = await town.city("POST", path, {}, key=f"lift{path}")
    assert (said.status, said.code) == (409, "APPROVAL_NEEDED")
    approvals = town.access.approvals
    other = Actor.system("somebody-else")
    await asyncio.to_thread(approvals.approve, other, said.body["approval_id"])
    lifted = await town.city.ok("POST", path, {}, key=f"lift{path}")
    assert lifted["state"] == "lifted"
    assert await town.city.ok("POST", path, {}, key=f"lift{path}") == lifted


async def test_a_freeze_has_a_reason_a_position_and_a_notice(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/freezes"
    made = await town.city.ok("POST", path, FREEZE, key="f")
    assert (made["state"], made["reason"]) == ("active", "owner asked")
    assert made["position"] > 0
    assert await town.city.ok("POST", path, FREEZE, key="f") == made
    pay = {"amount_minor": 1, "purpose": 0}
    said = await town.city("POST", f"/v1/accounts/{account}/payments", pay)
    assert (said.status, said.code) == (409, "account_frozen")
    notices = await asyncio.to_thread(
        lambda: NoticeStore(town.access.database).list(account, after=0, limit=9)
    )
    assert [(one.kind, one.body["freeze_id"]) for one in notices] == [
        ("account_frozen", made["freeze_id"])
    ]


async def test_what_another_freeze_blocks_stays_frozen(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/freezes"
    both = await town.city.ok("POST", path, FREEZE | {"what": "both"})
    debit = await town.city.ok("POST", path, FREEZE)
    await _lift(town, f"{path}/{both['freeze_id']}/lift")
    shown = await town.city.ok("GET", f"/v1/accounts/{account}")
    assert shown["status"] == ["frozen_debit"]
    await _lift(town, f"{path}/{debit['freeze_id']}/lift")
    shown = await town.city.ok("GET", f"/v1/accounts/{account}")
    assert shown["status"] == []


async def test_a_freeze_is_over_by_itself(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/freezes"
    said = await town.city("POST", path, FREEZE | {"expires_us": 1})
    assert said.body["faults"][0]["pointer"] == "/expires_us"
    made = await town.city.ok("POST", path, FREEZE | {"expires_us": now_us() + 200_000})
    pipe = ControlPipe(town.config.control.socket)
    store = FreezeStore(town.access.database)
    freezes = FreezeClock(Commands(pipe), store, now_us)
    assert await freezes.expire_due(Actor.system("worker")) == 0
    await asyncio.sleep(0.25)
    assert await freezes.expire_due(Actor.system("worker")) == 1
    assert await freezes.expire_due(Actor.system("worker")) == 0
    await pipe.close()
    (shown,) = (await town.city.ok("GET", path))["data"]
    assert (shown["freeze_id"], shown["state"]) == (made["freeze_id"], "expired")
    assert (await town.city.ok("GET", f"/v1/accounts/{account}"))["status"] == []


class Between(Commands):
    """Commands between whose look at an account and its unfreezing something else happens once."""

    def __init__(self, pipe: ControlPipe, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__(pipe)
        self._happens: list[Callable[[], Awaitable[object]]] = [happens]

    async def do(self, actor: Actor, cause: Cause, op: str, **args: Any) -> dict[str, Any]:
        if op == "unfreeze" and self._happens:
            await self._happens.pop()()
        return await super().do(actor, cause, op, **args)


async def test_a_freeze_placed_while_another_is_ended_stays(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/freezes"
    first = await town.city.ok("POST", path, FREEZE | {"expires_us": now_us() + 100_000})
    pipe = ControlPipe(town.config.control.socket)
    between = Between(pipe, lambda: town.city.ok("POST", path, FREEZE))
    freezes = FreezeClock(between, FreezeStore(town.access.database), now_us)
    await asyncio.sleep(0.15)
    assert await freezes.expire_due(Actor.system("worker")) == 1
    await pipe.close()
    shown = (await town.city.ok("GET", path))["data"]
    states = {one["freeze_id"] == first["freeze_id"]: one["state"] for one in shown}
    assert states == {True: "expired", False: "active"}
    assert (await town.city.ok("GET", f"/v1/accounts/{account}"))["status"] == ["frozen_debit"]


async def test_a_closed_account_does_not_keep_others_frozen(town: Town) -> None:
    gone, other = await town.city.account(), await town.city.account()
    soon = FREEZE | {"expires_us": now_us() + 300_000}
    for account in (gone, other):
        await town.city.ok("POST", f"/v1/accounts/{account}/freezes", soon)
    await town.city.ok("POST", f"/v1/accounts/{gone}/close", {})
    pipe = ControlPipe(town.config.control.socket)
    freezes = FreezeClock(Commands(pipe), FreezeStore(town.access.database), now_us)
    await asyncio.sleep(0.3)
    assert await freezes.expire_due(Actor.system("worker")) == 2
    await pipe.close()
    assert (await town.city.ok("GET", f"/v1/accounts/{other}"))["status"] == []
    (row,) = (await town.city.ok("GET", f"/v1/accounts/{gone}/freezes"))["data"]
    assert row["state"] == "expired"


async def test_a_freeze_that_was_begun_is_placed_by_the_worker(town: Town) -> None:
    account = await town.city.account()
    store = FreezeStore(town.access.database)
    begun = format_operation_id(new_operation_id())
    row = FreezeRow(begun, account, "debit", "odd", "", "key:1", "placing", 1, 0, 0)
    await asyncio.to_thread(store.begin, row)
    pipe = ControlPipe(town.config.control.socket)
    assert await FreezeClock(Commands(pipe), store, now_us).expire_due(Actor.system("worker")) == 1
    await pipe.close()
    assert (await town.city.ok("GET", f"/v1/accounts/{account}"))["status"] == ["frozen_debit"]
    notices = await asyncio.to_thread(
        lambda: NoticeStore(town.access.database).list(account, after=0, limit=9)
    )
    assert [one.kind for one in notices] == ["account_frozen"]


async def test_none_of_a_thousand_debits_comes_after_the_freeze(town: Town) -> None:
    account = await town.city.account(5000)
    pay = {"amount_minor": 1, "purpose": 0}

    async def debit() -> tuple[int, int]:
        said = await town.city("POST", f"/v1/accounts/{account}/payments", pay)
        assert said.status in {201, 409}, said
        return said.status, said.body.get("position", 0)

    async def freeze() -> int:
        await asyncio.sleep(0.2)
        made = await town.city.ok("POST", f"/v1/accounts/{account}/freezes", FREEZE)
        position: int = made["position"]
        return position

    frozen = asyncio.create_task(freeze())
    said = []
    for _ in range(20):
        said += await asyncio.gather(*(debit() for _ in range(50)))
    position = await frozen
    paid = [at for status, at in said if status == 201]
    assert len(said) == 1000
    assert 0 < len(paid) < 1000
    assert max(paid) < position
    assert await town.city.balance(account) == 5000 - len(paid)
