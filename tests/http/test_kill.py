"""The HTTP process is killed under load, at any moment; the same keys sent again afterwards have
one effect each. Real processes, SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from gateway.bootstrap import build_access
from gateway.config import load_config
from gateway.registry.actors import Actor
from gateway.registry.credentials import NewCredential
from gateway.registry.scopes import CEILINGS, TenantKind
from gateway.registry.tenants import Tenant
from tests.control.commands import Gateway, make_folder

SYSTEM = Actor.system("test")
AMOUNT = 7
ROUNDS = 4
PER_ROUND = 40


def _make_key(config: Path) -> str:
    access = build_access(load_config(config, env={}).config)
    access.tenants.add(SYSTEM, Tenant("city", TenantKind.CITY, "a city"))
    wanted = NewCredential("city", CEILINGS[TenantKind.CITY], "somebody")
    return access.credentials.create(SYSTEM, wanted).token


class Hands:
    """Calls a gateway whose HTTP process comes and goes."""

    def __init__(self, session: ClientSession, url: str, token: str) -> None:
        self.session, self.url, self.token = session, url, token

    async def post(self, path: str, body: Any, key: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key}
        async with self.session.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def insist(self, path: str, body: Any, key: str) -> Any:
        """Until there is a final answer."""
        for _ in range(400):
            try:
                status, said = await self.post(path, body, key)
            except (ClientError, ConnectionError, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            if status < 400:
                return said
            assert said["retryable"], said
            await asyncio.sleep(0.05)
        raise AssertionError(f"no answer to {key}")


@pytest.mark.timeout(180)
async def test_the_same_keys_have_one_effect_each_through_kills(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "metro")
    text = config.read_text()
    for name, value in (("rate_per_s", 100_000), ("rate_burst", 100_000)):
        text = text.replace(f"{name} = {200 if name == 'rate_per_s' else 400}", f"{name} = {value}")
    port = 20_000 + os.getpid() % 20_000
    config.write_text(text)
    token = await asyncio.to_thread(_make_key, config)
    gateway = await asyncio.to_thread(Gateway, config, f"--set=http.port={port}")
    try:
        async with ClientSession() as session:
            hands = Hands(session, f"http://127.0.0.1:{port}", token)
            await _play(gateway, hands)
    finally:
        await asyncio.to_thread(gateway.stop)


async def _play(gateway: Gateway, hands: Hands) -> None:
    opened = await hands.insist("/v1/accounts", {}, "open")
    account = opened["account_id"]
    credit = {"amount_minor": 50_000, "reference": "start"}
    await hands.insist(f"/v1/accounts/{account}/credits", credit, "start")
    dice = random.Random(7)
    pay = {"amount_minor": AMOUNT, "purpose": 0}
    path = f"/v1/accounts/{account}/payments"
    answers: dict[str, set[str]] = {}
    for number in range(ROUNDS):
        keys = [f"pay-{number}-{one}" for one in range(PER_ROUND)]
        work = [asyncio.create_task(hands.insist(path, pay, key)) for key in keys]
        await asyncio.sleep(dice.uniform(0.005, 0.15))
        os.kill(gateway.pid_of("http"), signal.SIGKILL)
        await asyncio.to_thread(gateway.wait_for, "started", process="http")
        for key, said in zip(keys, await asyncio.gather(*work), strict=True):
            answers.setdefault(key, set()).add(said["operation_id"])
    for key, ids in answers.items():
        ids.add((await hands.insist(path, pay, key))["operation_id"])
    assert all(len(ids) == 1 for ids in answers.values())
    assert len({next(iter(ids)) for ids in answers.values()}) == ROUNDS * PER_ROUND
    assert (await hands.insist("/v1/accounts", {}, "open"))["account_id"] == account
    last = await hands.insist(path, pay, "last")
    assert last["balance_minor"] == 50_000 - (ROUNDS * PER_ROUND + 1) * AMOUNT
