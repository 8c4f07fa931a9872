"""Holds and refunds over HTTP, and their races: never more captured than held, never more given
back than taken.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from fastpath.types import Op, Reason
from gateway.clock import OperationIds, now_us
from gateway.control.client import CommandRefused
from gateway.shell import Telling
from gateway.wallet.commands import Cause
from gateway.wallet.holds import Holds, number_of
from tests.http.town import SYSTEM, Caller, Said, Town
from tests.support.plane import Running, records_of

MINUTE_US = 60_000_000
TOKEN = "00112233445566778899aabbccddeeff"


def _order(amount_minor: int, *, for_us: int = MINUTE_US) -> dict[str, Any]:
    return {"amount_minor": amount_minor, "purpose": 2, "expires_us": now_us() + for_us}


async def _hold(town: Town, amount_minor: int, balance_minor: int = 1000) -> tuple[int, str]:
    account = await town.city.account(balance_minor)
    made = await town.city.ok("POST", f"/v1/accounts/{account}/holds", _order(amount_minor))
    return account, f"/v1/accounts/{account}/holds/{made['hold_id']}"


async def test_a_hold_is_placed_captured_in_parts_and_over(town: Town) -> None:
    account, path = await _hold(town, 600)
    (hold,) = (await town.city.ok("GET", f"/v1/accounts/{account}/holds"))["data"]
    assert (hold["left_minor"], hold["purpose"]) == (600, 2)
    pay = {"amount_minor": 401, "purpose": 0}
    said = await town.city("POST", f"/v1/accounts/{account}/payments", pay)
    assert (said.status, said.code) == (402, "insufficient_balance")
    part = await town.city.ok("POST", f"{path}/capture", {"amount_minor": 200}, key="c")
    assert (part["left_minor"], part["balance_minor"]) == (400, 400)
    again = await town.city("POST", f"{path}/capture", {"amount_minor": 200}, key="c")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (part, "true")
    said = await town.city("POST", f"{path}/capture", {"amount_minor": 401})
    assert (said.status, said.code) == (409, "over_capture")
    close = await town.city("POST", f"/v1/accounts/{account}/close", {})
    assert close.code in {"hold_open", "balance_not_zero"}
    later = {"expires_us": now_us() + 2 * MINUTE_US}
    assert (await town.city.ok("POST", f"{path}/extend", later))["left_minor"] == 400
    last = await town.city.ok("POST", f"{path}/capture", {"amount_minor": 100, "final": True})
    assert (last["left_minor"], last["balance_minor"]) == (0, 700)
    assert (await town.city.ok("GET", f"/v1/accounts/{account}/holds"))["data"] == []
    said = await town.city("POST", f"{path}/release", {})
    assert (said.status, said.code) == (404, "unknown_hold")


@pytest.mark.parametrize("body", [{"amount_minor": 200, "final": True}, {"amount_minor": 600}])
@pytest.mark.parametrize("whose", ["city", "school"])
async def test_a_capture_that_ends_its_hold_gets_its_first_answer_again(
    town: Town, body: dict[str, Any], whose: str
) -> None:
    account = await town.city.account(1000)
    caller: Caller = getattr(town, whose)
    await town.city.ok("POST", f"/v1/accounts/{account}/grants", {"tenant_id": "school"})
    merchant = town.merchant.merchant_id if whose == "school" else 0
    order = _order(600) | {"merchant_id": merchant}
    hold = (await caller.ok("POST", f"/v1/accounts/{account}/holds", order))["hold_id"]
    path = f"/v1/accounts/{account}/holds/{hold}/capture"
    first = await caller.ok("POST", path, body, key="last")
    again = await caller("POST", path, body, key="last")
    assert (again.status, again.body) == (200, first)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await town.city.balance(account) == 1000 - body["amount_minor"]


async def test_a_capture_of_an_earlier_version_gets_its_first_answer_again(town: Town) -> None:
    account, path = await _hold(town, 600)
    holds, hold_id = town.api.services.get(Holds), path.rsplit("/", 1)[1]
    cause = Cause(OperationIds().make(now_us()), "k")
    args = {"account_id": account, "key": number_of(hold_id), "amount_minor": 600, "final": True}
    commands = holds._commands
    first = await commands.do(SYSTEM, cause, "hold_capture", **args, purpose=2, merchant=0)
    made, repeated = await holds.capture(SYSTEM, cause, account, hold_id, 600, is_final=True)
    assert (made.position, made.left_minor, repeated) == (first["position"], 0, True)
    telling = Telling(commands._pipe)
    shell = Holds(telling, holds._access, holds._charges, holds._late)
    await shell.capture(SYSTEM, cause, account, hold_id, 600, is_final=True)
    assert telling.told["operation_id"] == made.operation_id, "what a command line shows of it"
    with pytest.raises(CommandRefused) as refused:
        await holds.capture(SYSTEM, cause, account, hold_id, 599, is_final=True)
    assert refused.value.code == "op_conflict"
    assert await town.city.balance(account) == 400


async def test_two_captures_racing_take_no_more_than_is_held(town: Town) -> None:
    account, path = await _hold(town, 100)
    said = await asyncio.gather(
        *(town.city("POST", f"{path}/capture", {"amount_minor": 60}) for _ in range(10))
    )
    counts = Counter(one.status for one in said)
    assert counts[200] == 1
    assert {one.code for one in said if one.status != 200} == {"over_capture"}
    assert await town.city.balance(account) == 940


async def test_two_refunds_racing_give_back_no_more_than_was_taken(town: Town) -> None:
    account, path = await _hold(town, 100)
    taken = await town.city.ok("POST", f"{path}/capture", {"amount_minor": 100, "final": True})
    order = {"charge_id": taken["operation_id"], "amount_minor": 40}
    refunds = f"/v1/accounts/{account}/refunds"
    said = await asyncio.gather(*(town.city("POST", refunds, order) for _ in range(10)))
    good = [one.body for one in said if one.status == 201]
    assert sorted(one["refunded_minor"] for one in good) == [40, 80]
    assert {one.code for one in said if one.status != 201} == {"over_refund"}
    assert await town.city.balance(account) == 980
    one = await town.city.ok("POST", refunds, order | {"amount_minor": 20}, key="r")
    assert await town.city.ok("POST", refunds, order | {"amount_minor": 20}, key="r") == one
    assert await town.city.balance(account) == 1000


async def test_an_expiring_hold_is_captured_or_given_back_never_both(
    town: Town, plane: Running
) -> None:
    """Some captures come at once and some when all is over, so that both ends are there however
    slow the machine is; between them one every few milliseconds around the instant itself.
    """
    account = await town.city.account(1000)
    path = f"/v1/accounts/{account}/holds"
    began = now_us()
    await town.city.ok("POST", path, _order(1))
    ends_us = now_us() + 500_000 + 60 * (now_us() - began)
    order = {"amount_minor": 10, "purpose": 2, "expires_us": ends_us}
    holds = [(await town.city.ok("POST", path, order))["hold_id"] for _ in range(14)]

    async def capture(hold: str, at_us: int = 0) -> Said:
        await asyncio.sleep(max(at_us - now_us(), 0) / 1e6)
        body = {"amount_minor": 10, "final": True}
        return await town.city("POST", f"{path}/{hold}/capture", body)

    early, around, late = holds[:2], holds[2:13], holds[13:]
    said = [await capture(hold) for hold in early]
    instants = range(ends_us - 50_000, ends_us + 50_001, 10_000)
    pairs = zip(around, instants, strict=True)
    said += await asyncio.gather(*(capture(hold, at_us) for hold, at_us in pairs))
    for _ in range(600):
        shown = await town.city.ok("GET", f"/v1/accounts/{account}")
        if shown["held_minor"] == 1:
            break
        await asyncio.sleep(0.1)
    said += [await capture(hold) for hold in late]
    taken = [hold for hold, one in zip(holds, said, strict=True) if one.status == 200]
    assert {one.code for one in said if one.status != 200} <= {"hold_expired", "unknown_hold"}
    assert taken[:2] == early
    assert not set(late) & set(taken)
    assert (shown["held_minor"], shown["balance_minor"]) == (1, 1000 - 10 * len(taken))
    await plane.plane.commit.committed()
    records = [one for one in records_of(town.config) if one.account_id == account]
    captured = [one for one in records if (one.op, one.reason) == (Op.HOLD_CAPTURE, Reason.OK)]
    expired = [one for one in records if (one.op, one.reason) == (Op.HOLD_EXPIRE, Reason.OK)]
    assert len(captured) == len(taken)
    assert len(captured) + len(expired) == len(holds)


async def test_captures_of_holds_before_a_freeze_go_through_new_holds_do_not(town: Town) -> None:
    account, path = await _hold(town, 100)
    freeze = {"reason": "risk", "what": "debit"}
    await town.city.ok("POST", f"/v1/accounts/{account}/freezes", freeze)
    said = await town.city("POST", f"/v1/accounts/{account}/holds", _order(1))
    assert (said.status, said.code) == (409, "account_frozen")
    await town.city.ok("POST", f"{path}/capture", {"amount_minor": 100, "final": True})


async def test_a_tenant_touches_only_its_own_merchants_holds_and_charges(town: Town) -> None:
    account = await town.city.account(1000)
    await town.city.ok("POST", f"/v1/accounts/{account}/media", {"token": TOKEN})
    mine = _order(100) | {"merchant_id": town.merchant.merchant_id, "medium_token": TOKEN}
    path = f"/v1/accounts/{account}/holds"
    hold = (await town.school.ok("POST", path, mine))["hold_id"]
    for what, body in (("capture", {"amount_minor": 1}), ("release", {})):
        said = await town.hospital("POST", f"{path}/{hold}/{what}", body)
        assert (said.status, said.code) == (404, "unknown_account")
    await town.city.ok("POST", f"/v1/accounts/{account}/grants", {"tenant_id": "hospital"})
    said = await town.hospital("POST", f"{path}/{hold}/release", {})
    assert (said.status, said.code) == (403, "AUTH_FORBIDDEN")
    capture = {"amount_minor": 100, "final": True}
    taken = await town.school.ok("POST", f"{path}/{hold}/capture", capture, key="c")
    assert await town.school.ok("POST", f"{path}/{hold}/capture", capture, key="c") == taken
    assert (await town.school("POST", f"{path}/{hold}/release", {})).code == "unknown_account"
    order = {"charge_id": taken["operation_id"], "amount_minor": 1}
    said = await town.school("POST", f"/v1/accounts/{account}/refunds", order)
    assert (said.status, said.code, said.body["retryable"]) == (404, "unknown_charge", True)
    await asyncio.to_thread(town.project)
    said = await town.hospital("POST", f"/v1/accounts/{account}/refunds", order)
    assert (said.status, said.code) == (403, "AUTH_FORBIDDEN")
    other = await town.city.account()
    for number in (other, 999_999):
        said = await town.school("POST", f"/v1/accounts/{number}/refunds", order)
        assert (said.status, said.code) == (404, "unknown_charge")
    given = await town.school.ok("POST", f"/v1/accounts/{account}/refunds", order)
    assert (given["refunded_minor"], given["balance_minor"]) == (1, None)


async def test_purses_pay_first_for_what_they_are_for(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/purses"
    order = {"purposes": [1], "priority": 5}
    purse = (await town.city.ok("POST", path, order, key="p"))["purse_id"]
    assert (await town.city.ok("POST", path, order, key="p"))["purse_id"] == purse
    credit = {"amount_minor": 50, "reference": "meal", "purse_id": purse}
    await town.city.ok("POST", f"/v1/accounts/{account}/credits", credit)
    await town.city.ok(
        "POST", f"/v1/accounts/{account}/payments", {"amount_minor": 60, "purpose": 1}
    )
    shown = await town.city.ok("GET", f"/v1/accounts/{account}")
    meal = next(one for one in shown["purses"] if one["purse_id"] == purse)
    assert (meal["balance_minor"], meal["purposes"], shown["balance_minor"]) == (0, [1], 90)
    await town.city.ok("POST", f"{path}/{purse}/close", {})
    said = await town.city("POST", f"{path}/{purse}/close", {})
    assert (said.status, said.code) == (404, "unknown_purse")


async def test_a_purse_that_is_named_pays_only_for_what_it_is_for(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}"
    await town.city.ok("POST", f"{path}/grants", {"tenant_id": "school"})
    meal = (await town.city.ok("POST", f"{path}/purses", {"purposes": [1]}))["purse_id"]
    for purse in (1, meal):
        credit = {"amount_minor": 50, "reference": f"aid-{purse}", "purse_id": purse}
        await town.city.ok("POST", f"{path}/credits", credit)
    order = {"amount_minor": 30, "merchant_id": town.merchant.merchant_id}
    for purse, purpose in ((1, 5), (1, 1), (meal, 5), (meal, 0)):
        body = order | {"purse_id": purse, "purpose": purpose}
        said = await town.school("POST", f"{path}/payments", body)
        assert (said.status, said.code) == (404, "unknown_purse"), (purse, purpose)
    for purse, purpose in ((1, 0), (meal, 1)):
        body = order | {"purse_id": purse, "purpose": purpose}
        await town.school.ok("POST", f"{path}/payments", body)
    last = order | {"amount_minor": 20, "purse_id": meal, "purpose": 1}
    paid = await town.school.ok("POST", f"{path}/payments", last, key="last")
    await town.city.ok("POST", f"{path}/purses/{meal}/close", {})
    assert await town.school.ok("POST", f"{path}/payments", last, key="last") == paid
    assert await town.city.balance(account) == 100


async def test_tier_and_write_off_go_by_version_and_four_eyes(town: Town) -> None:
    account = await town.city.account()
    await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 3})
    limit = {"amount_minor": 500}
    await town.city.ok("POST", f"/v1/accounts/{account}/credit-limit", limit)
    pay = {"amount_minor": 300, "purpose": 0}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    shown = await town.city("GET", f"/v1/accounts/{account}")
    assert (shown.body["tier"], shown.body["credit"]["left_minor"]) == (3, 200)
    order = {"amount_minor": 300, "note": "lost"}
    match = {"If-Match": shown.headers["ETag"]}
    said = await town.agreed(f"/v1/accounts/{account}/write-offs", order, headers=match)
    assert (said.status, said.body["balance_minor"]) == (201, 0)
