"""Payouts: placed under four eyes, carried out by the worker, of an account's own money, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from adapters.contract import Capability, Command, Money, Outcome, Refusal, Status
from gateway.clock import now_us
from gateway.control.client import ControlClient
from gateway.delivery.funding import BankEvents, PayoutDesk, take_out_later
from gateway.delivery.inbox import Inbox, Stored
from gateway.delivery.outbox import Outbox
from gateway.delivery.purge import purge
from gateway.delivery.sealed import CommandSealer
from gateway.keys import load_control_secrets
from gateway.registry.notices import NoticeStore
from gateway.wallet.payout_job import LeftPayoutsJob, PayoutRunner
from gateway.wallet.payouts import KIND, Payouts
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.sagas import SagaRow, SagaStore
from tests.http.town import Town

BANK = "city-bank"
ORDER = {"amount_minor": 300, "bank": BANK, "destination": "DE-77", "name": "Han Meimei"}


class Worker:
    """What the worker's jobs do, step by step."""

    def __init__(self, town: Town) -> None:
        keys = load_control_secrets(town.config).registry_keys
        database = town.access.database
        client = ControlClient(town.config.control.socket, client="worker")
        desk = PayoutDesk(BANK, client, database, CommandSealer(keys))
        self.runner = PayoutRunner(
            desk, SagaStore(database), NoticeStore(database), Sealer(keys), now_us
        )
        self.outbox = Outbox(database)
        self.inbox = Inbox(database)
        self.events = BankEvents(BANK, client, database)

    async def send(self) -> int:
        return await asyncio.to_thread(self.runner.run_due)

    async def hear(self, outcome: Outcome) -> None:
        """The bank's word on what it was told."""

        def work() -> None:
            (letter,) = self.outbox.claim(BANK, 10, now_us())
            self.outbox.finish(letter, outcome, now_us(), self.events.on_outcome)
            self.inbox.apply(BANK, self.events, now_us())

        await asyncio.to_thread(work)


@pytest.fixture
def worker(town: Town, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(town.api.services.get(Payouts), "_banks", lambda: {BANK})
    return Worker(town)


async def test_a_payout_is_placed_by_two_and_sent_by_the_worker_once(
    town: Town, worker: Worker
) -> None:
    account = await town.city.account(1000)
    said = await town.agreed(f"/v1/accounts/{account}/payouts", ORDER)
    assert (said.status, said.body["state"]) == (202, "placed")
    shown = said.headers["Location"]
    assert await town.city.balance(account) == 1000
    assert await worker.send() == 1
    assert await worker.send() == 0
    assert (await town.city.ok("GET", shown))["state"] == "sent"
    assert await town.city.balance(account) == 700
    await worker.hear(Outcome(Status.DONE))
    assert (await town.city.ok("GET", shown))["state"] == "done"
    assert (await town.school("GET", shown)).status == 403
    kept = SagaStore(town.access.database).find(said.body["payout_id"])
    assert kept is not None
    assert kept.body["personal"] == ""  # where it went only the bank's order says
    await asyncio.to_thread(purge, town.access.database, now_us() + 1)
    assert (await town.city.ok("GET", shown))["state"] == "sent"


async def test_what_the_bank_refuses_comes_back_without_being_asked_for_limits(
    town: Town, worker: Worker
) -> None:
    account = await town.city.account(1000)
    said = await town.agreed(f"/v1/accounts/{account}/payouts", ORDER)
    await worker.send()
    await worker.hear(Outcome(Status.REJECTED, refusal=Refusal.CLOSED))
    shown = await town.city.ok("GET", said.headers["Location"])
    assert (shown["state"], shown["reason"]) == ("refused", str(Refusal.CLOSED))
    (notice,) = (await town.city.ok("GET", f"/v1/accounts/{account}/notices"))["data"]
    about = {"key": shown["key"], "amount_minor": 300, "reason": str(Refusal.CLOSED)}
    assert (notice["kind"], notice["body"]) == ("payout_refused", about)
    assert await town.city.balance(account) == 1000
    await asyncio.to_thread(town.project)
    month = f"{datetime.now(ZoneInfo(town.config.ledger.zone)):%Y-%m}"
    path = f"/v1/accounts/{account}/statements?period={month}"
    entries = (await town.city.ok("GET", path))["entries"]
    assert [one["counterpart"] for one in entries if one["amount_minor"]] == ["funding"] * 3


@pytest.mark.parametrize("amount_minor", [300, 300_000])
async def test_what_a_restored_journal_lacks_is_taken_out_of_the_engine_into_debt(
    town: Town, worker: Worker, amount_minor: int
) -> None:
    """Above the ceiling of corrections a person has to look."""
    account, at_us = await town.city.account(100), now_us() // 1000 * 1000
    facts = {"account_id": account, "at_us": at_us}
    money = Money(amount_minor, (await town.city.ok("GET", f"/v1/accounts/{account}"))["currency"])
    order = Command("funding:refund:1", Capability.REFUND, "DE-77", money, facts=facts)

    def work() -> list[str]:
        worker.outbox.put(BANK, order.key, order, now_us())
        with town.access.database.transaction() as connection:
            take_out_later(connection, BANK, order, now_us())
        worker.inbox.apply(BANK, worker.events, now_us())
        return [one["reason"] for one in worker.inbox.list_events(BANK, Stored.HELD)]

    held = await asyncio.to_thread(work)
    is_small = amount_minor == 300
    assert held == ([] if is_small else ["COMMAND_CEILING"])
    assert await town.city.balance(account) == (-200 if is_small else 100)


async def test_no_credit_is_paid_out(town: Town, worker: Worker) -> None:
    account = await town.city.account(200)
    limit = {"amount_minor": 1000}
    await town.city.ok("POST", f"/v1/accounts/{account}/credit-limit", limit)
    refused = await town.city("POST", f"/v1/accounts/{account}/payouts", ORDER)
    assert (refused.status, refused.code) == (402, "insufficient_balance")
    said = await town.agreed(f"/v1/accounts/{account}/payouts", ORDER | {"amount_minor": 200})
    payment = {"amount_minor": 1, "purpose": 5}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", payment)
    assert await worker.send() == 0
    shown = await town.city.ok("GET", said.headers["Location"])
    assert (shown["state"], shown["reason"]) == ("refused", "insufficient_balance")
    (notice,) = (await town.city.ok("GET", f"/v1/accounts/{account}/notices"))["data"]
    assert notice["body"]["reason"] == "insufficient_balance"
    assert await town.city.balance(account) == 199
    assert worker.outbox.count(BANK) == {}


async def test_payouts_of_a_bank_that_is_gone_hold_up_no_other_s(
    town: Town, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    store = SagaStore(town.access.database)
    body = {"account": 1, "amount_minor": 1, "bank": "gone", "personal": "", "key": ""}
    gone = SagaRow("", KIND, "", "me", "running", 0, body, 1, 1, 1)
    for number in range(50):  # as many as are looked at in one round
        await asyncio.to_thread(store.add, replace(gone, saga_id=f"gone-{number}"))
    account = await town.city.account(1000)
    await town.agreed(f"/v1/accounts/{account}/payouts", ORDER)
    assert await worker.send() == 1
    assert await town.city.balance(account) == 700
    job = LeftPayoutsJob(store, {BANK})
    for _ in range(2):
        await asyncio.to_thread(job.look)
    assert job.report() == {"waiting": 50}
    assert [one.getMessage() for one in caplog.records].count("payouts_left") == 1
    there = LeftPayoutsJob(store, {BANK, "gone"})
    await asyncio.to_thread(there.look)
    assert there.report() == {"waiting": 0}


async def test_only_the_house_and_only_to_a_bank_of_the_settings(
    town: Town, worker: Worker
) -> None:
    account = await town.city.account(1000)
    other = await town.city("POST", f"/v1/accounts/{account}/payouts", ORDER | {"bank": "other"})
    assert other.code == "API_INVALID"
    assert (await town.school("POST", f"/v1/accounts/{account}/payouts", ORDER)).status == 403
    assert (await town.city("GET", "/v1/payouts/" + "0" * 36)).status == 404
