"""Purses that ended: what is left in them goes back to the sponsor by itself, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from fastpath.types import Op
from gateway.clock import now_us
from gateway.control.pipe import ControlPipe
from gateway.errors import CommandError, Retry, Uncertain
from gateway.ledger import history
from gateway.ledger.history import History, list_rows
from gateway.ledger.status import find_totals
from gateway.ledger.tables import RECORDS
from gateway.wallet import sweep_job
from gateway.wallet.commands import Commands
from gateway.wallet.stores.purse_ends import PurseEnd, PurseEndStore
from gateway.wallet.sweep_job import SweepJob
from tests.http.town import Town
from tests.support.plane import Running

SOON_US = 1_000_000


class Sweeper:
    """The job over a town, with a clock that can be ahead."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.ahead_us = 0
        self.store = PurseEndStore(town.access.database, "sweeps")
        self.history = History(town.ledger)
        pipe = ControlPipe(town.config.control.socket, timeout_s=5)
        self.job = SweepJob(
            Commands(pipe), self.store, lambda: self.history, lambda: now_us() + self.ahead_us
        )

    async def work(self) -> dict[str, Any]:
        await asyncio.to_thread(self.town.project)
        while await self.job.work(self.history):
            pass
        return dict(self.job.report())

    async def due(self) -> list[PurseEnd]:
        return await asyncio.to_thread(self.store.list_due, now_us() + 10 * SOON_US)


async def purse(town: Town, account: int, amount_minor: int, **more: Any) -> int:
    """A purse of the school's with money in it."""
    order = {"purposes": [1], "priority": 5, "merchant_id": town.merchant.merchant_id} | more
    made = await town.city.ok("POST", f"/v1/accounts/{account}/purses", order)
    purse_id: int = made["purse_id"]
    if amount_minor:
        credit = {"amount_minor": amount_minor, "reference": f"p{purse_id}", "purse_id": purse_id}
        await town.city.ok("POST", f"/v1/accounts/{account}/credits", credit)
    return purse_id


async def held(town: Town, account: int) -> dict[int, int]:
    """Balances of the purses that were opened."""
    shown = await town.city.ok("GET", f"/v1/accounts/{account}")
    return {one["purse_id"]: one["balance_minor"] for one in shown["purses"] if one["purse_id"] > 1}


async def test_what_is_left_goes_back_when_the_purse_has_ended(town: Town) -> None:
    account = await town.city.account(100)
    ends_us = now_us() + SOON_US
    ending = await purse(town, account, 70, expires_us=ends_us)
    lasting = await purse(town, account, 30)
    sweeper = Sweeper(town)
    assert await sweeper.work() == {"swept": 0, "put_off": 0}
    assert await held(town, account) == {ending: 70, lasting: 30}
    assert await sweeper.due() == [PurseEnd(account, ending, ends_us)]
    await asyncio.sleep(1.1)
    assert (await sweeper.work())["swept"] == 1
    assert await held(town, account) == {lasting: 30}
    assert (await sweeper.work())["swept"] == 1, "once"
    totals = await asyncio.to_thread(find_totals, town.ledger)
    sponsor = next(line for line in totals.chart if line.account.code.startswith("sponsor"))
    assert (sponsor.debit_minor, sponsor.credit_minor) == (100, 70)


async def test_one_that_was_closed_by_hand_is_forgotten(town: Town) -> None:
    account = await town.city.account()
    ending = await purse(town, account, 0, expires_us=now_us() + SOON_US)
    sweeper = Sweeper(town)
    await sweeper.work()
    await town.city.ok("POST", f"/v1/accounts/{account}/purses/{ending}/close", {})
    await asyncio.sleep(1.1)
    assert await sweeper.work() == {"swept": 0, "put_off": 0}
    assert await sweeper.due() == []


async def test_a_number_used_again_ends_as_the_purse_of_now(town: Town, plane: Running) -> None:
    account = await town.city.account()
    soon_us, named = now_us() + SOON_US, {"account_id": account, "key": 9}
    order = named | {"purposes": 2, "priority": 5}
    sweeper = Sweeper(town)
    await plane.call("purse_open", **order, expires_us=soon_us)
    await sweeper.work()
    assert await sweeper.due() == [PurseEnd(account, 9, soon_us)]
    await plane.call("purse_close", **named)
    await plane.call("purse_open", **order, expires_us=soon_us + 2 * SOON_US)
    await sweeper.work()
    assert await sweeper.due() == [PurseEnd(account, 9, soon_us + 2 * SOON_US)]
    await plane.call("purse_close", **named)
    await plane.call("purse_open", **order)
    assert await sweeper.work() == {"swept": 0, "put_off": 0}
    assert await sweeper.due() == []


async def test_nothing_is_asked_for_that_the_ledger_knows_is_gone(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "WINDOW", 3)
    monkeypatch.setattr(sweep_job, "WINDOW", 3)
    account = await town.city.account()
    gone = [await purse(town, account, 0, expires_us=now_us() + SOON_US) for _ in range(3)]
    for number in gone:
        await town.city.ok("POST", f"/v1/accounts/{account}/purses/{number}/close", {})
    left = await purse(town, account, 70, expires_us=now_us() + SOON_US)
    await asyncio.sleep(1.1)
    sweeper = Sweeper(town)
    assert await sweeper.work() == {"swept": 1, "put_off": 0}
    assert await held(town, account) == {}
    await asyncio.to_thread(town.project)
    with town.ledger.reading() as connection:
        asked = connection.execute(select(RECORDS).where(RECORDS.c.op == Op.PURSE_SWEEP)).all()
    assert [row.record().facts.key for row in list_rows(asked)] == [left]


async def test_a_clock_that_is_ahead_and_a_lost_answer_put_it_off(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_job, "AGAIN_US", SOON_US)
    account = await town.city.account()
    await purse(town, account, 70, expires_us=now_us() + SOON_US)
    sweeper, whole = Sweeper(town), Commands.do
    sweeper.ahead_us = SOON_US
    assert await sweeper.work() == {"swept": 0, "put_off": 1}
    await asyncio.sleep(1.1)

    async def losing(self: Commands, *args: Any, **more: Any) -> Any:
        await whole(self, *args, **more)
        raise Uncertain(detail="no answer")

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "do", losing)
        assert (await sweeper.work())["put_off"] == 2
    assert await held(town, account) == {}
    sweeper.ahead_us = 3 * SOON_US
    assert await sweeper.work() == {"swept": 0, "put_off": 2}
    assert await sweeper.due() == []


async def test_without_a_data_plane_everything_stays(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await town.city.account()
    await purse(town, account, 70, expires_us=now_us() + SOON_US)
    sweeper = Sweeper(town)
    await sweeper.work()
    await asyncio.sleep(1.1)

    async def nobody(self: Commands, *args: Any, **more: Any) -> Any:
        raise CommandError("COMMAND_NOT_SENT", retry=Retry.SAFE)

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "do", nobody)
        with pytest.raises(CommandError):
            await sweeper.work()
    assert (await sweeper.work())["swept"] == 1


async def test_a_ledger_that_ends_earlier_is_read_again(town: Town) -> None:
    account = await town.city.account()
    ends_us = now_us() + 5 * SOON_US
    ending = await purse(town, account, 0, expires_us=ends_us)
    sweeper = Sweeper(town)
    await asyncio.to_thread(sweeper.store.note, [], 1_000_000)
    await sweeper.work()
    assert await asyncio.to_thread(sweeper.store.position) < 100
    await asyncio.to_thread(sweeper.store.note, [], 0)
    await sweeper.work()
    assert await sweeper.due() == [PurseEnd(account, ending, ends_us)]
