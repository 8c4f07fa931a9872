"""A key behind the engine's answer horizon gets the first answer from the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.control.client import CommandRefused
from gateway.control.frames import Reply
from gateway.control.pipe import ControlPipe
from tests.http.town import Town


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data plane that has forgotten every operation, as after its horizon."""
    whole = ControlPipe.exchange

    async def exchange(self: ControlPipe, op: str, *args: Any, **more: Any) -> Reply:
        reply = await whole(self, op, *args, **more)
        if reply.result.get("repeated"):
            return replace(reply, ok=False, code="op_too_old", result={})
        return reply

    async def call(self: ControlPipe, op: str, *args: Any, **more: Any) -> dict[str, Any]:
        reply = await exchange(self, op, *args, **more)
        if op == "operation_show":
            reply = replace(reply, ok=False, code="unknown_operation")
        if not reply.ok:
            raise CommandRefused(reply)
        return reply.result

    monkeypatch.setattr(ControlPipe, "exchange", exchange)
    monkeypatch.setattr(ControlPipe, "call", call)


@pytest.mark.usefixtures("forgetful")
async def test_an_old_key_gets_the_first_answer(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/payments"
    pay = {"amount_minor": 60, "purpose": 1}
    first = await town.city("POST", path, pay, key="a")
    refused = await town.city("POST", path, pay, key="b")
    assert (first.status, refused.status) == (201, 402)
    said = await town.city("POST", path, pay, key="a")
    assert (said.status, said.code) == (409, "op_too_old"), "the ledger has not seen it yet"
    await asyncio.to_thread(town.project)
    again = await town.city("POST", path, pay, key="a")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    said = await town.city("POST", path, pay, key="b")
    assert (said.status, said.code) == (402, "insufficient_balance")
    assert (await town.city.ok("GET", "/v1/requests/a"))["state"] == "done"
    assert await town.city.balance(account) == 40
