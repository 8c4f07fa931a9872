"""What owners are told of their media and purses: once, and nothing that is long over."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.clock import now_us
from gateway.ledger.history import History
from gateway.registry.links import AccountOwners
from gateway.registry.notices import NoticeStore
from gateway.wallet.notice_job import DAY_US, EMPTY_AGAIN_US, SOON_US, NoticeBook, NoticeJob
from gateway.wallet.stores.purse_ends import PurseEnd, PurseEndStore
from gateway.wallet.stores.rules import RuleStore
from tests.http.test_sweeps import Sweeper, purse
from tests.http.town import SYSTEM, Town

TOKEN = "31" * 16


class Teller:
    """The job over a town, with a clock that can be ahead."""

    def __init__(self, town: Town, ahead_us: int = 0) -> None:
        database = town.access.database
        self.town = town
        self.purses = PurseEndStore(database, "sweeps")
        self.history = History(town.ledger)
        self.job = NoticeJob(
            NoticeBook(NoticeStore(database), RuleStore(database), self.purses),
            AccountOwners(database),
            lambda: self.history,
            lambda: now_us() + ahead_us,
        )

    async def work(self) -> int:
        """Returns how many notices it made so far."""
        await asyncio.to_thread(self.town.project)
        while await asyncio.to_thread(self.job.work, self.history):
            pass
        told: int = self.job.report()["told"]
        return told


async def owned(town: Town, amount_minor: int = 0) -> int:
    """An account that belongs to somebody."""
    account = await town.city.account(amount_minor)
    person = await asyncio.to_thread(town.access.persons.add, SYSTEM, {})
    await asyncio.to_thread(town.access.links.link_account, SYSTEM, person.person_id, account)
    return account


async def told(town: Town, account: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await town.city.ok("GET", f"/v1/accounts/{account}/notices"))[
        "data"
    ]
    return found


async def test_owners_hear_of_media_that_were_linked_and_reported_lost(town: Town) -> None:
    account, nobodys = await owned(town), await town.city.account()
    path = f"/v1/accounts/{account}/media"
    await town.city.ok("POST", path, {"token": TOKEN})
    await town.city.ok("POST", f"/v1/accounts/{nobodys}/media", {"token": "32" * 16})
    for state in ("denylisted", "active", "lost"):
        await town.city.ok("POST", f"{path}/state", {"token": TOKEN, "state": state})
    refused = await town.city("POST", path, {"token": "32" * 16})  # somebody else's
    assert refused.code == "already_exists"
    teller = Teller(town)
    assert await teller.work() == 2
    assert await teller.work() == 2, "once"
    notices = await told(town, account)
    assert [one["kind"] for one in notices] == ["medium_linked", "medium_lost"]
    assert notices[1]["title_zh"] == "您的卡片或手机已挂失"
    assert await told(town, nobodys) == []
    feed = (await town.city.ok("GET", "/v1/events?notices_after=0&limit=100"))["data"]
    types = [one["type"] for one in feed]
    lost = types.index("medium.lost")
    assert feed[lost]["position"] == feed[lost - 1]["position"], "right behind its record"
    assert types[lost - 1] == "medium_state"


async def test_a_ledger_that_is_read_anew_tells_no_old_stories(town: Town) -> None:
    account = await owned(town)
    await town.city.ok("POST", f"/v1/accounts/{account}/media", {"token": TOKEN})
    assert await Teller(town, ahead_us=4 * DAY_US).work() == 0
    await asyncio.to_thread(RuleStore(town.access.database).put_cursor, "notices", 0)
    for _ in range(2):
        await asyncio.to_thread(RuleStore(town.access.database).put_cursor, "notices", 0)
        await Teller(town).work()
    assert len(await told(town, account)) == 1


async def test_owners_hear_of_a_purse_that_ends_soon_while_there_is_money_in_it(
    town: Town,
) -> None:
    account, nobodys = await owned(town), await town.city.account()
    soon_us = now_us() + DAY_US
    ending = await purse(town, account, 70, expires_us=soon_us)
    empty = await purse(town, account, 0, expires_us=soon_us)
    await purse(town, account, 5, expires_us=now_us() + 2 * SOON_US)
    await purse(town, nobodys, 70, expires_us=soon_us)
    await Sweeper(town).work()  # reads from the ledger which purses end when
    teller = Teller(town)
    assert await teller.work() == 1
    assert await teller.work() == 1, "once"
    (notice,) = await told(town, account)
    assert (notice["kind"], notice["body"]) == (
        "purse_ending",
        {"purse_id": ending, "left_minor": 70, "expires_us": soon_us},
    )
    money = {"amount_minor": 9, "reference": "meal", "purse_id": empty}
    await town.city.ok("POST", f"/v1/accounts/{account}/credits", money)
    assert await teller.work() == 1
    assert await Teller(town, ahead_us=EMPTY_AGAIN_US).work() == 1, "it has money by now"
    store, one = teller.purses, PurseEnd(account, ending, soon_us)
    await asyncio.to_thread(store.put_off, one, soon_us + 60_000_000)  # a sweep that has to wait
    assert await Teller(town).work() == 0
