"""The bank on a whole gateway: webhooks over HTTP, the worker killed, every yuan once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.contract import Money
from adapters.funding.bank.bench import BankBench
from adapters.funding.bank.reference import build_reference
from adapters.funding.bank.simulator import (
    CLOSED_ACCOUNT,
    BankRemote,
    Movement,
    signed,
    webhook,
)
from adapters.testing.remote import Trouble
from gateway.bootstrap import build_access
from gateway.clock import new_operation_id, now_us
from gateway.config import load_config
from gateway.control.client import ControlClient
from gateway.db import Database
from gateway.delivery.funding import Payout, PayoutDesk
from gateway.delivery.inbox import Inbox, Stored
from gateway.delivery.outbox import Outbox
from gateway.delivery.sealed import CommandSealer
from gateway.keys import load_control_secrets
from gateway.observability.worker_page import read_page
from gateway.registry.actors import Actor
from gateway.registry.store import open_registry
from tests.adapters.test_commands import bank_table
from tests.control.commands import Gateway, make_folder

PATIENCE_S = 60.0
ROOT = Path(__file__).parents[2]


class Town:
    """A gateway, its bank, and who asks both."""

    def __init__(self, bench: BankBench, folder: Path) -> None:
        self.bench = bench
        self.remote = bench.remote
        assert isinstance(self.remote, BankRemote)
        self.config_path = make_folder(folder)
        text = self.config_path.read_text()
        text = text.replace('# inbound_port = "..."', "inbound_port = 0")
        self.config_path.write_text(text + bank_table("city-bank", bench))
        self.config = load_config(self.config_path, env={}).config
        self.gateway: Gateway
        self.registry: Database

    def start(self) -> None:
        self.gateway = Gateway(self.config_path)
        self.registry = open_registry(self.config.registry_path)
        self.client = ControlClient(self.config.control.socket)
        self.sealer = CommandSealer(load_control_secrets(self.config).registry_keys)

    def stop(self) -> None:
        self.registry.close()
        assert self.gateway.stop() == 0

    def balance(self, account_id: int) -> int:
        shown = self.client.call("account_show", {"account_id": account_id})
        return int(shown["balance_minor"])

    def open_account(self) -> int:
        return int(self.client.call("account_open", {})["account_id"])

    async def worker_port(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                view = await asyncio.to_thread(read_page, self.config.worker_page_path)
                if view is not None and view.writer_lives() and view.jobs["receive"]["port"]:
                    return int(view.jobs["receive"]["port"])
                await asyncio.sleep(0.05)

    async def deliver(self, movement: Movement) -> int:
        """As a bank does: until somebody says that it has it."""
        body = webhook(movement)
        async with aiohttp.ClientSession() as session:
            for _ in range(100):
                url = f"http://127.0.0.1:{await self.worker_port()}/inbound/city-bank"
                try:
                    async with session.post(url, data=body, headers=signed(body, now_us())) as said:
                        return said.status
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
        raise AssertionError("nobody took it")

    async def until(self, holds: object) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(holds):  # type: ignore[arg-type]  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    bench = BankBench()
    await bench.remote.start()
    made = Town(bench, tmp_path / "city")
    try:
        await asyncio.to_thread(made.start)
        try:
            yield made
        finally:
            await asyncio.to_thread(made.stop)
    finally:
        await bench.remote.stop()
        bench.dispose()


async def test_every_yuan_once_though_the_worker_is_killed(town: Town) -> None:
    account = await asyncio.to_thread(town.open_account)
    reference = build_reference(account)
    movements = [Movement(f"E-{number}", 100 + number, reference) for number in range(12)]
    due = sum(one.amount_minor for one in movements)

    async def deliver_all() -> list[int]:
        return await asyncio.gather(*(town.deliver(one) for one in movements * 2))

    delivering = asyncio.create_task(deliver_all())
    await asyncio.sleep(0.2)
    for _ in range(2):
        os.kill(await worker_pid(town), signal.SIGKILL)
        await asyncio.sleep(1.0)
    assert set(await delivering) == {200}
    await town.until(lambda: town.balance(account) >= due)
    assert set(await deliver_all()) == {200}
    await asyncio.sleep(1.5)
    assert await asyncio.to_thread(town.balance, account) == due

    inbox = Inbox(town.registry)
    assert await town.deliver(Movement("E-99", 50, "for Li Lei")) == 200
    await town.until(lambda: inbox.count("city-bank").get("held") == 1)
    inbox.decide("city-bank", "E-99", {"account_id": account}, now_us())
    await town.until(lambda: town.balance(account) == due + 50)

    assert await town.deliver(Movement("E-100", 100, "", "debit", "E-0")) == 200
    await town.until(lambda: town.balance(account) == due - 50)
    assert inbox.list_events("city-bank", Stored.HELD, Stored.CONFLICT) == []

    await refunds(town, account, due - 50)
    await asyncio.to_thread(refund_by_command, town, account)
    outbox = Outbox(town.registry)
    await town.until(lambda: outbox.count("city-bank") == {"done": 2, "rejected": 1})
    assert town.remote.paid_minor == 301
    assert await asyncio.to_thread(town.balance, account) == due - 50 - 301


def refund_by_command(town: Town, account: int) -> None:
    """Proposed, agreed to, the same one twice under its id, then one that is more than there is."""
    words = [sys.executable, "-m", "gateway.cli", "bank", "refund", "city-bank", str(account)]
    where = ["--to", "DE-77", "--config", str(town.config_path), "--json"]
    once = ["0.01", "--operation-id", new_operation_id().hex()]
    status, said = run_cli([*words, *once, *where])
    assert (status, said["error"]["code"]) == (1, "APPROVAL_NEEDED")
    approvals = build_access(town.config).approvals
    approvals.approve(Actor.system("somebody-else"), said["error"]["approval_id"])
    answers = [run_cli([*words, *amount, *where]) for amount in (once, once, ["999"])]
    assert [status for status, _ in answers] == [0, 0, 1]
    assert answers[0][1]["key"] == answers[1][1]["key"]
    assert answers[2][1]["error"]["code"] == "insufficient_balance"


def run_cli(command: list[str]) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout)


async def worker_pid(town: Town) -> int:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            view = await asyncio.to_thread(read_page, town.config.worker_page_path)
            if view is not None and view.writer_lives():
                return view.pid
            await asyncio.sleep(0.05)


async def refunds(town: Town, account: int, balance: int) -> None:
    """One that gets lost on the way back, one that the bank refuses."""
    outbox = Outbox(town.registry)
    town.remote.on_write.append(Trouble.DROP_AFTER)
    good = Payout(new_operation_id(), account, Money(300, 156), "DE-77")
    bad = Payout(new_operation_id(), account, Money(40, 156), CLOSED_ACCOUNT)
    for payout in (good, bad):
        desk = PayoutDesk("city-bank", town.client, town.registry, town.sealer)
        reply = await asyncio.to_thread(desk.place, payout, now_us())
        assert reply.ok
    await town.until(lambda: outbox.count("city-bank") == {"done": 1, "rejected": 1})
    await town.until(lambda: town.balance(account) == balance - 300)
    assert town.remote.effects == {good.key: 1}
    assert town.bench.remote.paid_minor == 300
