"""Top-ups and budgets: after the commit, once each through lost answers, within a day's cap."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.clock import now_us
from gateway.errors import CommandError, Retry
from gateway.ledger.history import History
from gateway.ledger.statements import Statements
from gateway.registry.notices import NoticeStore
from gateway.wallet.budgets import BudgetBook, BudgetWatch
from gateway.wallet.commands import Commands
from gateway.wallet.inflows import Inflows
from gateway.wallet.own import Ownerships
from gateway.wallet.rule_job import RuleJob
from gateway.wallet.stores.accounts import AccountStore
from gateway.wallet.stores.inflows import InflowStore
from gateway.wallet.stores.rules import RuleStore
from gateway.wallet.topups import TopupRunner, Topups
from tests.http.town import SYSTEM, Town


class Desk:
    """The job with the town's parts."""

    def __init__(self, town: Town) -> None:
        self.town = town
        store, notices = RuleStore(town.access.database), NoticeStore(town.access.database)
        zone = town.config.ledger.zone
        commands = town.api.services.get(Topups)._commands
        book = BudgetBook(lambda: Statements(town.ledger), now_us, zone)
        self.watch = BudgetWatch(store, book, notices, now_us)
        database = town.access.database
        self.runner = TopupRunner(
            commands,
            store,
            notices,
            inflows=Inflows(InflowStore(database), now_us, day_max_minor=5_000),
            standings=Ownerships(AccountStore(database), town.access.tenants),
            clock=now_us,
            zone=zone,
        )
        self.history = History(town.ledger)
        self.job = RuleJob(store, lambda: self.history, self.runner, lambda: self.watch)

    async def work(self) -> dict[str, Any]:
        await asyncio.to_thread(self.town.project)
        while await self.job.work(self.history, self.watch):
            pass
        return dict(self.job.report())


def _pay(town: Town, account: int, amount_minor: int) -> Any:
    body = {"amount_minor": amount_minor, "purpose": 1}
    return town.city.ok("POST", f"/v1/accounts/{account}/payments", body)


RULE = {"kind": "threshold", "source": "mandate-7", "threshold_minor": 500, "amount_minor": 1000}


async def test_below_the_threshold_value_is_put_in_up_to_the_days_cap(town: Town) -> None:
    account = await town.city.account(600)
    path = f"/v1/accounts/{account}/top-up-rules"
    await town.city.ok("POST", path, RULE | {"daily_cap_minor": 2000}, key="t")
    await town.city.ok("POST", path, RULE | {"daily_cap_minor": 2000}, key="t")
    desk = Desk(town)
    await desk.work()
    assert await town.city.balance(account) == 600
    for paid, balance in ((200, 1400), (1000, 1400), (1000, 400)):
        await _pay(town, account, paid)
        await desk.work()
        assert await town.city.balance(account) == balance
    (rule,) = (await town.city.ok("GET", path))["data"]
    assert (rule["runs"], rule["state"]) == (2, "active")


async def test_a_rule_on_an_account_that_is_low_already_runs_at_once(town: Town) -> None:
    account = await town.city.account(100)
    desk = Desk(town)
    await desk.work()  # nothing new happens on the account from here on
    path = f"/v1/accounts/{account}/top-up-rules"
    made = await town.city.ok("POST", path, RULE)
    await desk.work()
    assert await town.city.balance(account) == 1100
    await town.city.ok("POST", f"{path}/{made['rule_id']}/state", {"state": "off"})
    await _pay(town, account, 900)
    await desk.work()
    assert await town.city.balance(account) == 200
    await town.city.ok("POST", f"{path}/{made['rule_id']}/state", {"state": "active"})
    await desk.work()
    assert await town.city.balance(account) == 1200


async def test_a_capped_rule_goes_on_the_next_day_by_itself(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/top-up-rules"
    rule = RULE | {"amount_minor": 300, "daily_cap_minor": 300}
    made = await town.city.ok("POST", path, rule)
    desk, store = Desk(town), RuleStore(town.access.database)
    await desk.work()
    assert await town.city.balance(account) == 400  # below 500 still, and nothing is left today
    row = store.find_topup(made["rule_id"])
    assert row is not None
    zone = ZoneInfo(town.config.ledger.zone)
    at = datetime.fromtimestamp(row.look_us / 1_000_000, zone)
    assert (at.hour, at.minute, at.second) == (0, 0, 0)
    assert at.date().toordinal() == row.day + 1
    desk.runner._clock = lambda: row.look_us - 1
    await desk.work()
    assert (store.find_topup(made["rule_id"]) or row).runs == 1
    desk.runner._clock = lambda: row.look_us
    await desk.work()
    later = store.find_topup(made["rule_id"])
    assert later is not None
    assert (later.runs, later.day) == (2, row.day + 1)  # to the data plane it is still today


async def test_held_money_is_not_there(town: Town) -> None:
    account = await town.city.account(700)
    hold = {"amount_minor": 400, "purpose": 1, "expires_us": now_us() + 600_000_000}
    await town.city.ok("POST", f"/v1/accounts/{account}/holds", hold)
    rule = {"kind": "threshold", "source": "mandate-7", "threshold_minor": 500}
    await town.city.ok("POST", f"/v1/accounts/{account}/top-up-rules", rule | {"target_minor": 900})
    await Desk(town).work()
    assert await town.city.balance(account) == 1300  # 900 of it can be spent


async def test_a_lost_answer_puts_nothing_in_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await town.city.account(100)
    await town.city.ok("POST", f"/v1/accounts/{account}/top-up-rules", RULE)
    desk, whole = Desk(town), Commands.do

    async def losing(self: Commands, *args: Any, **more: Any) -> Any:
        await whole(self, *args, **more)
        raise CommandError("COMMAND_NOT_SENT", retry=Retry.SAFE)

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "do", losing)
        await desk.work()
    assert await town.city.balance(account) == 1100
    await desk.work()
    assert await town.city.balance(account) == 1100


async def test_an_interval_comes_round_and_a_refusal_pauses_with_a_notice(town: Town) -> None:
    account = await town.city.account(0)
    path = f"/v1/accounts/{account}/top-up-rules"
    rule = {"kind": "interval", "source": "salary", "target_minor": 700, "every_s": 1}
    made = await town.city.ok("POST", path, rule)
    desk = Desk(town)
    await asyncio.sleep(1.1)
    await desk.work()
    assert await town.city.balance(account) == 700
    freeze = {"reason": "risk", "what": "credit"}
    await _pay(town, account, 100)
    await town.city.ok("POST", f"/v1/accounts/{account}/freezes", freeze)
    await asyncio.sleep(1.1)
    await desk.work()
    (shown,) = (await town.city.ok("GET", path))["data"]
    assert (shown["state"], shown["last_error"]) == ("paused", "account_frozen")
    notices = (await town.city.ok("GET", f"/v1/accounts/{account}/notices"))["data"]
    shown = {one["kind"]: one["title_zh"] for one in notices}
    assert shown["topup_failed"] == "您的自动充值已暂停"
    off = await town.city.ok("POST", f"{path}/{made['rule_id']}/state", {"state": "off"})
    assert off["state"] == "off"


async def test_an_interval_s_last_run_made_again_skips_none(town: Town) -> None:
    """As a restore leaves it: the run under way again, the next one already set."""
    account = await town.city.account(0)
    rule = {"kind": "interval", "source": "salary", "target_minor": 700, "every_s": 1}
    made = await town.city.ok("POST", f"/v1/accounts/{account}/top-up-rules", rule)
    desk, store = Desk(town), RuleStore(town.access.database)
    await asyncio.sleep(1.1)
    await desk.work()
    next_us = now_us() + 3_600_000_000
    again = {"due_minor": 700, "next_us": next_us, "every_s": 86_400}
    assert store.change_topup(made["rule_id"], 1, again)
    await desk.work()
    row = store.find_topup(made["rule_id"])
    assert row is not None
    assert (row.due_minor, row.next_us) == (0, next_us)
    assert await town.city.balance(account) == 700


async def test_rules_that_do_not_hold_together_are_refused(town: Town) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/top-up-rules"
    for change in (
        {"source": "nobody"},
        {"target_minor": 5},
        {"amount_minor": 0},
        {"every_s": 9},
        {"kind": "interval"},
    ):
        assert (await town.city("POST", path, RULE | change)).status == 422
    for _ in range(5):
        await town.city.ok("POST", path, RULE)
    assert (await town.city("POST", path, RULE)).code == "API_CONFLICT"


async def test_a_tenants_rule_puts_in_what_the_tenant_may_until_it_is_closed(town: Town) -> None:
    account = await town.city.account(0, tenant_id="school")
    path = f"/v1/accounts/{account}/top-up-rules"
    rule = RULE | {"threshold_minor": 4_000, "amount_minor": 2_000}
    await town.school.ok("POST", path, rule)
    desk = Desk(town)
    await desk.work()
    await desk.work()
    assert await town.city.balance(account) == 4_000
    await _pay(town, account, 1_000)
    await desk.work()  # 6,000 within a day would be more than the 5,000 of the desk
    (shown,) = (await town.school.ok("GET", path))["data"]
    assert (shown["state"], shown["last_error"]) == ("paused", "COMMAND_CEILING")
    assert await town.city.balance(account) == 3_000
    await town.city.ok("POST", f"{path}/{shown['rule_id']}/state", {"state": "active"})
    await asyncio.to_thread(town.access.tenants.close, SYSTEM, "school")
    await _pay(town, account, 10)
    await desk.work()
    (shown,) = (await town.city.ok("GET", path))["data"]
    assert (shown["state"], shown["last_error"]) == ("paused", "REGISTRY_CLOSED")


async def test_a_budget_warns_once_near_and_once_over(town: Town) -> None:
    account = await town.city.account(5000)
    path = f"/v1/accounts/{account}/budgets"
    await town.city.ok("POST", path, {"month_minor": 1000, "purpose": 1})
    desk = Desk(town)
    mine = {"purpose": 1, "merchant_id": town.merchant.merchant_id}
    told = []
    for paid in (500, 350, 100, 100, 100):
        order = mine | {"amount_minor": paid}
        await town.city.ok("POST", f"/v1/accounts/{account}/payments", order)
        told.append((await desk.work())["warnings"])
    assert told == [0, 1, 1, 2, 2]
    (budget,) = (await town.city.ok("GET", path))["data"]
    assert (budget["used_minor"], budget["left_minor"], budget["warning"]) == (1150, -150, "over")
    notices = (await town.city.ok("GET", f"/v1/accounts/{account}/notices"))["data"]
    assert [one["kind"] for one in notices] == ["budget_near", "budget_over"]
    assert (await town.city("DELETE", f"{path}/1")).status == 204
    assert (await town.city("DELETE", f"{path}/1")).status == 404
