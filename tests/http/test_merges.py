"""Merges: media and money go over, whatever stops in between is carried on, nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastpath.types import Op, Reason, TapKind
from gateway.clock import format_operation_id, new_operation_id, now_us
from gateway.control.client import CommandRefused
from gateway.control.frames import Reply
from gateway.errors import CommandError, Retry
from gateway.ledger.history import History
from gateway.registry.actors import Actor
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.merges import PAUSE_US, Merges
from gateway.wallet.stores.sagas import SagaRow
from tests.http.town import Town
from tests.ledger import books
from tests.support.plane import Running

TOKENS = ["11" * 16, "22" * 16]
MEAL, BED, SUBSIDY = 2, 9, 1
PURSES = {MEAL: 300, BED: 40, SUBSIDY: 70}
"""What is in them besides the main purse's 700."""
COMMANDS = 2 + 1 + 2 * 4 + 1
"""Media, a purse to be opened, four purses out and in, the end."""


async def _two(town: Town, plane: Running) -> tuple[int, int]:
    """Of the further purses one is in the new account with the same facts, one with others."""
    old, new = await town.city.account(700), await town.city.account(50)
    for token in TOKENS:
        await town.city.ok("POST", f"/v1/accounts/{old}/media", {"token": token})
    for account in (old, new):
        await plane.call("purse_open", account_id=account, key=MEAL, purposes=2, merchant=7)
    await plane.call("purse_open", account_id=old, key=BED, purposes=4, priority=3)
    await plane.call("purse_open", account_id=new, key=BED, purposes=8, priority=3)
    for purse, amount_minor in PURSES.items():
        await plane.call("credit", account_id=old, purse=purse, amount_minor=amount_minor)
    return old, new


def _order(old: int, new: int) -> dict[str, Any]:
    return {"from_account_id": old, "to_account_id": new, "tokens": TOKENS}


async def _state(plane: Running, account: int) -> dict[str, Any]:
    shown = await plane.account(account)
    names = ("balance_minor", "subsidy_minor", "status_names")
    purses = {one["key"]: one["balance_minor"] for one in shown["purses"]}
    return {name: shown[name] for name in names} | {"purses": purses}


async def _carry_on(town: Town, monkeypatch: pytest.MonkeyPatch) -> int:
    runner = town.api.services.get(Merges)._runner
    assert await runner.run_due() == 0, "it waits a moment"
    later = now_us() + 2 * PAUSE_US
    monkeypatch.setattr(runner, "clock", lambda: later)
    return await runner.run_due()


async def test_all_money_and_the_media_go_over_and_the_account_is_closed(
    town: Town, plane: Running
) -> None:
    old, new = await _two(town, plane)
    made = await town.city.ok("POST", "/v1/merges", _order(old, new), key="m")
    assert (made["state"], made["media_moved"]) == ("done", 2)
    assert made["amount_minor"] == 700 + sum(PURSES.values())
    assert await town.city.ok("POST", "/v1/merges", _order(old, new), key="m") == made
    assert await town.city.ok("GET", f"/v1/merges/{made['merge_id']}") == made
    assert await _state(plane, old) == {
        "balance_minor": 0,
        "subsidy_minor": 0,
        "status_names": ["closed"],
        "purses": {MEAL: 0, BED: 0},
    }
    after = await _state(plane, new)
    further = after["purses"]
    assert (after["balance_minor"], after["subsidy_minor"], further[MEAL]) == (750, 70, 300)
    assert (further[BED], sorted(further.values())) == (0, [0, 40, 300])
    for token in TOKENS:
        assert (await plane.call("medium_show", token=bytes.fromhex(token)))["account_id"] == new
    assert (await town.school("GET", f"/v1/merges/{made['merge_id']}")).status in {403, 404}


async def test_a_merge_is_no_spending_and_no_income(town: Town, plane: Running) -> None:
    old, new = await _two(town, plane)
    await town.city.ok("POST", "/v1/merges", _order(old, new))
    await asyncio.to_thread(town.project)
    rows = [r for one in (old, new) for r in History(town.ledger).list_account(one)]
    moved = [one for one in rows if one.record().facts and one.record().facts.flags & 16]
    sides = [side for one in moved for side in books.postings_of(town.ledger, one.seq)]
    assert len(moved) == 8
    out = sum(amount for _, credit, amount in sides if credit == "transfers")
    back = sum(amount for debit, _, amount in sides if debit == "transfers")
    assert out == back == 700 + sum(PURSES.values())
    assert not [one for one in moved if one.op not in (Op.DEBIT, Op.CREDIT)]


@pytest.mark.parametrize("broken", range(COMMANDS))
async def test_whatever_stops_in_between_is_carried_on_once(
    town: Town, plane: Running, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    """Each command in turn fails after it was carried out: its answer is lost."""
    old, new = await _two(town, plane)
    whole, left = Commands.do, [broken]

    async def losing(self: Commands, *args: Any, **more: Any) -> Any:
        done = await whole(self, *args, **more)
        left[0] -= 1
        if left[0] == -1:
            raise CommandError("COMMAND_NOT_SENT", retry=Retry.SAFE)
        return done

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "do", losing)
        made = await town.city.ok("POST", "/v1/merges", _order(old, new))
    assert made["state"] == "running"
    assert await _carry_on(town, monkeypatch) == 1
    done = await town.city.ok("GET", f"/v1/merges/{made['merge_id']}")
    assert (done["state"], done["amount_minor"]) == ("done", 700 + sum(PURSES.values()))
    after = await _state(plane, new)
    assert (after["balance_minor"], after["subsidy_minor"]) == (750, 70)


@pytest.mark.parametrize(
    ("refused", "lost"), [*((n, False) for n in range(COMMANDS)), (4, True), (11, True)]
)
async def test_what_is_refused_on_the_way_brings_everything_back(
    town: Town, plane: Running, monkeypatch: pytest.MonkeyPatch, refused: int, *, lost: bool
) -> None:
    """lost: and the answer of the first step back."""
    old, new = await _two(town, plane)
    before = [await _state(plane, one) for one in (old, new)]
    whole, left = Commands.do, [refused]

    async def refusing(self: Commands, *args: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            raise CommandRefused(Reply(bytes(16), ok=False, code="account_frozen"))
        done = await whole(self, *args, **more)
        if lost and left[0] == -2:
            raise CommandError("COMMAND_NOT_SENT", retry=Retry.SAFE)
        return done

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "do", refusing)
        made = await town.city.ok("POST", "/v1/merges", _order(old, new))
    if lost and refused:
        assert made["state"] == "running"
        assert await _carry_on(town, monkeypatch) == 1
        made = await town.city.ok("GET", f"/v1/merges/{made['merge_id']}")
    assert (made["state"], made["reason"]) == ("failed", "account_frozen")
    assert (made["media_moved"], made["amount_minor"]) == (0, 0)
    assert [await _state(plane, one) for one in (old, new)] == before
    for token in TOKENS:
        assert (await plane.call("medium_show", token=bytes.fromhex(token)))["account_id"] == old


async def test_money_comes_back_into_an_account_that_takes_no_credit(
    town: Town, plane: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are frozen for credits in the middle: a way back by a credit would end there."""
    old, new = await _two(town, plane)
    before = await _state(plane, old)
    whole = Commands.do

    async def freezing(self: Commands, actor: Any, cause: Any, op: str, **more: Any) -> Any:
        if op == "credit":
            for one in (old, new):
                await plane.call("freeze", account_id=one, what="credit")
        return await whole(self, actor, cause, op, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Commands, "do", freezing)
        made = await town.city.ok("POST", "/v1/merges", _order(old, new))
    assert (made["state"], made["reason"]) == ("failed", "account_frozen")
    assert await _state(plane, old) == before | {"status_names": ["frozen_credit"]}


LEFT = {
    "hold": ("hold_place", {"key": 5, "amount_minor": 5, "expires_us": 1 << 52}),
    "a credit line": ("set_credit_limit", {"amount_minor": 500}),
    "pass": ("pass_add", {"pass_id": 3, "until_us": 1 << 52}),
    "concession": ("concession_set", {"rider_category": 2, "until_us": 1 << 52}),
    "status frozen_debit": ("freeze", {"what": "debit"}),
    "a debt": ("adjust", {"amount_minor": -5000}),
}


@pytest.mark.parametrize("name", LEFT)
async def test_what_cannot_go_along_is_said_before_anything_moves(
    town: Town, plane: Running, name: str
) -> None:
    old, new = await _two(town, plane)
    op, args = LEFT[name]
    version = (await plane.account(old))["version"]
    more = {"expected_version": version} if op == "adjust" else {}
    await plane.call(op, account_id=old, **args, **more)
    before = await _state(plane, old)
    said = await town.city("POST", "/v1/merges", _order(old, new))
    assert (said.status, said.code) == (409, "COMMAND_NOT_MERGED")
    assert name in said.body["detail"]
    assert await _state(plane, old) == before


async def test_not_into_itself_nor_into_another_currency(town: Town, plane: Running) -> None:
    old, _ = await _two(town, plane)
    assert (await town.city("POST", "/v1/merges", _order(old, old))).code == "API_INVALID"
    dollars = await town.city.account(0, currency=840)
    said = await town.city("POST", "/v1/merges", _order(old, dollars))
    assert said.code == "currency_mismatch"
    assert (await town.city("POST", "/v1/merges", _order(old, 999_999))).code == "unknown_account"


async def test_more_than_one_command_may_move_goes_over(town: Town, plane: Running) -> None:
    """The ceilings of single commands are for what comes from outside."""
    old, new = await town.city.account(), await town.city.account()
    for _ in range(3):
        await plane.call("credit", account_id=old, amount_minor=100_000)
    order = {"from_account_id": old, "to_account_id": new}
    made = await town.city.ok("POST", "/v1/merges", order)
    assert (made["state"], made["amount_minor"]) == ("done", 300_000)


class Spoiler:
    """Stands between a merge and its commands: does something before one of them, then refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, op: str, meanwhile: Any) -> None:
        whole = Commands.do

        async def spoiling(_: Commands, actor: Any, cause: Any, sent: str, **more: Any) -> Any:
            if sent == op and cause.reference.startswith("merge "):
                await meanwhile()
                raise CommandRefused(Reply(bytes(16), ok=False, code="account_frozen"))
            return await whole(_, actor, cause, sent, **more)

        monkeypatch.setattr(Commands, "do", spoiling)


async def test_a_medium_comes_back_once_its_rider_has_left(
    town: Town, plane: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusal is kept under its id, so the next try has another."""
    old, token = await plane.rider(700)
    new = await town.city.account(5000)
    gate = await plane.gate()

    async def ride() -> None:
        assert (await gate.tap(TapKind.CHECK_IN, token, 11)).reason == Reason.OK

    with monkeypatch.context() as patched:
        Spoiler(patched, "close", ride)
        order = {"from_account_id": old, "to_account_id": new, "tokens": [token.hex()]}
        made = await town.city.ok("POST", "/v1/merges", order)
    assert (made["state"], made["reason"]) == ("running", "already_in")
    assert (await gate.tap(TapKind.CHECK_OUT, token, 12)).reason == Reason.OK
    assert await _carry_on(town, monkeypatch) == 1
    done = await town.city.ok("GET", f"/v1/merges/{made['merge_id']}")
    assert (done["state"], done["reason"]) == ("failed", "account_frozen")
    assert (await plane.call("medium_show", token=token))["account_id"] == old
    assert await town.city.balance(old) == 700


async def test_money_that_was_spent_comes_back_once_it_is_there_again(
    town: Town, plane: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = await town.city.account(700), await town.city.account(50)

    async def spend() -> None:
        await plane.call("debit", account_id=new, amount_minor=750)

    with monkeypatch.context() as patched:
        Spoiler(patched, "close", spend)
        order = {"from_account_id": old, "to_account_id": new}
        made = await town.city.ok("POST", "/v1/merges", order)
    assert (made["state"], made["reason"]) == ("running", "insufficient_balance")
    await plane.call("credit", account_id=new, amount_minor=720)
    assert await _carry_on(town, monkeypatch) == 1
    done = await town.city.ok("GET", f"/v1/merges/{made['merge_id']}")
    assert (done["state"], done["amount_minor"]) == ("failed", 0)
    assert (await town.city.balance(old), await town.city.balance(new)) == (700, 20)


class Earlier:
    """A merge of an earlier version: no steps, only media, the main purse, the end."""

    def __init__(self, town: Town, old: int, new: int) -> None:
        self.town, self.old, self.new = town, old, new
        self.runner = town.api.services.get(Merges)._runner
        self.cause = Cause(new_operation_id())
        self.merge_id = format_operation_id(self.cause.operation_id)

    async def send(self, part: str) -> None:
        """One of its commands, said as that version did."""
        op, account_id = ("debit", self.old) if part == "out" else ("credit", self.new)
        account_id = self.old if part == "back" else account_id
        cause = Cause(self.cause.part(part), reference=f"merge {self.merge_id}")
        args = {"account_id": account_id, "amount_minor": 700}
        await self.runner.commands.do(Actor.system("key:k"), cause, op, **args)

    async def carry_on(self, step: int, **more: int) -> dict[str, Any]:
        body = {"from": self.old, "to": self.new, "tokens": [], **more}
        times = dict.fromkeys(("created_us", "changed_us", "next_us"), now_us())
        row = SagaRow(self.merge_id, "merge", "city", "key:k", "running", step, body, **times)
        await asyncio.to_thread(self.runner.store.add, row)
        shown = await self.town.city.ok("GET", f"/v1/merges/{self.merge_id}")
        assert (shown["state"], shown["amount_minor"]) == ("running", 0)
        assert await self.runner.run_due() == 1
        return await self.town.city.ok("GET", f"/v1/merges/{self.merge_id}")


@pytest.mark.parametrize(("step", "sent"), [(0, ""), (0, "out"), (1, "out"), (1, "out in")])
async def test_a_merge_of_an_earlier_version_is_shown_and_carried_on(
    town: Town, step: int, sent: str
) -> None:
    """sent: what it did before it stopped, perhaps without writing that down."""
    old, new = await town.city.account(700), await town.city.account(50)
    merge = Earlier(town, old, new)
    for part in sent.split():
        await merge.send(part)
    shown = await merge.carry_on(step, **({"amount_minor": 700} if sent else {}))
    assert (shown["state"], shown["amount_minor"]) == ("done", 700)
    assert (await town.city.balance(old), await town.city.balance(new)) == (0, 750)


@pytest.mark.parametrize("sent", ["out", "out back"])
async def test_a_merge_of_an_earlier_version_brings_its_money_back_once(
    town: Town, plane: Running, sent: str
) -> None:
    old, new = await town.city.account(700), await town.city.account(50)
    merge = Earlier(town, old, new)
    for part in sent.split():
        await merge.send(part)
    await plane.call("freeze", account_id=new, what="credit")
    shown = await merge.carry_on(1, amount_minor=700)
    assert (shown["state"], shown["reason"]) == ("failed", "account_frozen")
    assert (await town.city.balance(old), await town.city.balance(new)) == (700, 50)
