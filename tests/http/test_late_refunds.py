"""Refunds of charges that the data plane has forgotten: never more than was taken, however they
race, the same key the same refund, and linked with their charge in the ledger.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

import gateway.clock
from fastpath.types import Op
from gateway.bootstrap import audit_journal, build_shell
from gateway.clock import OperationIds, format_operation_id, now_us
from gateway.control.arguments import client_number
from gateway.control.client import ControlClient
from gateway.ledger.history import History
from gateway.wallet.commands import Cause
from gateway.wallet.holds import Holds
from tests.http.town import SYSTEM, Town

AGO_US = 40 * 86_400_000_000
MERCHANT = 4711


def _charge(town: Town, then: int) -> tuple[int, str]:
    """An account with 700 in it and 100 in a meal purse, and a meal of 300. Blocking."""
    client, ids = ControlClient(town.config.control.socket, client="api"), OperationIds()

    def call(op: str, **args: object) -> bytes:
        made = ids.make(then)
        client.call(op, args, operation_id=made)
        return made

    call("account_open", account_id=7)
    call("credit", account_id=7, amount_minor=900)
    call("purse_open", account_id=7, key=5, purposes=2, priority=1)
    call("credit", account_id=7, amount_minor=100, purse=5)
    debit = call("debit", account_id=7, amount_minor=300, purpose="meal", merchant=MERCHANT)
    return 7, format_operation_id(debit)


@pytest.fixture
async def charged(town: Town, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Where refunds of a charge of forty days ago go, and its id."""
    with monkeypatch.context() as patched:
        patched.setattr(gateway.clock, "now_us", lambda: now_us() - AGO_US)
        account, charge_id = await asyncio.to_thread(_charge, town, now_us() - AGO_US)
    await asyncio.to_thread(town.project)
    return f"/v1/accounts/{account}/refunds", charge_id


@asynccontextmanager
async def projecting(town: Town) -> AsyncIterator[None]:
    """The ledger follows meanwhile."""

    async def follow() -> None:
        while True:
            await asyncio.to_thread(town.project)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_goes_where_it_came_from_and_never_beyond(
    town: Town, charged: tuple[str, str]
) -> None:
    path, charge_id = charged
    order = {"charge_id": charge_id, "amount_minor": 250}
    first = await town.city("POST", path, order, key="first")
    assert (first.status, first.body["refunded_minor"]) == (201, 250)
    await asyncio.to_thread(town.project)
    again = await town.city("POST", path, order, key="first")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await town.city("POST", path, order | {"amount_minor": 51})).code == "over_refund"
    await asyncio.to_thread(town.project)
    rest = await town.city.ok("POST", path, order | {"amount_minor": 50})
    assert rest["refunded_minor"] == 300
    await asyncio.to_thread(town.project)
    assert (await town.city("POST", path, order | {"amount_minor": 1})).code == "over_refund"
    shown = await town.city.ok("GET", "/v1/accounts/7")
    meal = next(one for one in shown["purses"] if one["purse_id"] == 5)
    assert (shown["balance_minor"], meal["balance_minor"]) == (900, 100)
    assert (await town.city.ok("GET", "/v1/requests/first"))["state"] == "done"


async def test_many_that_race_give_back_no_more_than_was_taken(
    town: Town, charged: tuple[str, str]
) -> None:
    path, charge_id = charged
    order = {"charge_id": charge_id, "amount_minor": 120}
    async with projecting(town):
        said = await asyncio.gather(*(town.city("POST", path, order) for _ in range(10)))
    assert Counter(one.status for one in said) == {201: 2, 409: 8}
    assert {one.code for one in said if one.status != 201} == {"over_refund"}
    assert sorted(one.body["refunded_minor"] for one in said if one.status == 201) == [120, 240]


async def test_the_ledger_knows_whose_charge_it_is(town: Town, charged: tuple[str, str]) -> None:
    path, charge_id = charged
    await town.city.ok("POST", path, {"charge_id": charge_id, "amount_minor": 120})
    await asyncio.to_thread(town.project)
    history = History(town.ledger)
    high, low = (int(charge_id.replace("-", "")[at : at + 16], 16) for at in (0, 16))
    charge = await asyncio.to_thread(history.find_operation, client_number("api"), high, low)
    assert charge is not None
    assert await asyncio.to_thread(history.given_back, charge) == 120
    (row,) = [
        one for one in await asyncio.to_thread(history.list_account, 7) if one.op == Op.REFUND
    ]
    assert (row.merchant, row.purpose, row.amount_minor) == (MERCHANT, 1, 120)


async def test_it_waits_for_the_ledger(town: Town, charged: tuple[str, str]) -> None:
    path, charge_id = charged
    town.api.services.get(Holds)._late._wait_max_s = 0.05
    await town.city.account(5)  # the journal goes on, the ledger does not
    order = {"charge_id": charge_id, "amount_minor": 120}
    said = await town.city("POST", path, order, key="k")
    assert (said.status, said.code) == (503, "COMMAND_BUSY")
    assert await town.city.balance(7) == 700
    await asyncio.to_thread(town.project)
    await town.city.ok("POST", path, order, key="k")
    assert await town.city.balance(7) == 820


async def test_the_command_line_does_it_too(town: Town, charged: tuple[str, str]) -> None:
    """`faregate refund` by the same service; the same operation once."""
    cause = Cause(OperationIds().make(now_us()))
    for repeated in (False, True):
        shell = build_shell(town.config)
        refund = shell.holds.refund
        made, again = await refund(SYSTEM, cause, 7, charged[1], 120, charge_client="api")
        await shell.close()
        assert (made.refunded_minor, again) == (120, repeated)
        await asyncio.to_thread(town.project)
    assert await town.city.balance(7) == 820


async def test_a_place_where_no_such_charge_lies_is_refused(
    town: Town, charged: tuple[str, str]
) -> None:
    client, account = ControlClient(town.config.control.socket), {"account_id": 7}
    charge = {"client": "api", "id": charged[1]}
    for position in (1, 4097, 1 << 40):
        args = account | {"amount_minor": 1, "charge": charge, "charge_position": position}
        reply = await asyncio.to_thread(client.exchange, "refund", args)
        assert (reply.ok, reply.code) == (False, "unknown_charge"), position
    args = account | {"amount_minor": 1, "charge": charge}  # it is known by its place alone
    reply = await asyncio.to_thread(client.exchange, "refund", args)
    assert (reply.ok, reply.code) == (False, "unknown_charge")


async def test_the_audit_decides_it_again(town: Town, charged: tuple[str, str]) -> None:
    path, charge_id = charged
    await town.city.ok("POST", path, {"charge_id": charge_id, "amount_minor": 120})
    report = await asyncio.to_thread(audit_journal, town.config)
    assert report.is_sound, report.findings
