"""The same key: one effect, one answer."""

from __future__ import annotations

import asyncio
from collections import Counter

from gateway.clock import now_us
from tests.http.town import Town
from tests.support.stall import stalling

ONE = {"amount_minor": 1, "purpose": 0}


async def test_a_replay_gives_the_first_answer(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/payments"
    first = await town.city("POST", path, ONE, key="k")
    await town.city("POST", path, ONE)
    again = await town.city("POST", path, ONE, key="k")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.status == first.status
    assert again.body == first.body
    assert await town.city.balance(account) == 98


async def test_a_refusal_is_replayed_too_even_when_it_would_succeed_now(town: Town) -> None:
    account = await town.city.account(0)
    path = f"/v1/accounts/{account}/payments"
    first = await town.city("POST", path, ONE, key="k")
    credit = {"amount_minor": 5, "reference": "r"}
    await town.city.ok("POST", f"/v1/accounts/{account}/credits", credit)
    again = await town.city("POST", path, ONE, key="k")
    assert (first.status, again.status) == (402, 402)
    assert again.body["operation"]["position"] == first.body["operation"]["position"]
    state = await town.city.ok("GET", "/v1/requests/k")
    assert (state["state"], state["code"]) == ("refused", "insufficient_balance")


async def test_another_body_path_or_method_is_refused(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/payments"
    await town.city.ok("POST", path, ONE, key="k")
    for changed in (ONE | {"amount_minor": 2}, ONE | {"note": "x"}):
        said = await town.city("POST", path, changed, key="k")
        assert (said.status, said.code) == (422, "API_KEY_REUSED")
    other = await town.city.account(100)
    said = await town.city("POST", f"/v1/accounts/{other}/payments", ONE, key="k")
    assert (said.status, said.code) == (422, "API_KEY_REUSED")
    assert await town.city.balance(account) == 99
    assert await town.city.balance(other) == 100


async def test_a_missing_or_odd_key_is_refused_before_anything_happens(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/payments"
    for key in (None, "k" * 256, "with space", "caf\u00e9"):
        said = await town.city("POST", path, ONE, key=key)
        assert (said.status, said.code) == (400, "API_KEY_MISSING")
    assert await town.city.balance(account) == 100


async def test_keys_of_two_tenants_do_not_meet(town: Town) -> None:
    account = await town.city.account(100)
    await town.city.ok("POST", f"/v1/accounts/{account}/grants", {"tenant_id": "school"})
    path = f"/v1/accounts/{account}/payments"
    mine = ONE | {"merchant_id": town.merchant.merchant_id}
    assert (await town.school("POST", path, mine, key="k")).status == 201
    assert (await town.city("POST", path, ONE, key="k")).status == 201
    assert (await town.hospital("GET", "/v1/requests/k")).status == 404


async def test_a_hundred_at_once_have_one_effect(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/payments"
    said = await asyncio.gather(*(town.city("POST", path, ONE, key="k") for _ in range(100)))
    counts = Counter(one.status for one in said)
    assert set(counts) <= {201, 409}
    assert counts[201] >= 1
    assert len({one.body["operation_id"] for one in said if one.status == 201}) == 1
    assert {one.code for one in said if one.status == 409} <= {"API_KEY_IN_FLIGHT"}
    assert await town.city.balance(account) == 99
    assert (await town.city("POST", path, ONE, key="k")).status == 201


async def test_a_key_at_work_is_told_so_and_then_gives_the_first_answer(town: Town) -> None:
    async with stalling(town.config.control.socket) as stall:
        account = await town.city.account(100)
        path = f"/v1/accounts/{account}/payments"
        stall.shut()
        first = asyncio.create_task(town.city("POST", path, ONE, key="k"))
        await stall.asked.wait()  # the data plane has the command, and nobody its answer
        second = await town.city("POST", path, ONE, key="k")
        assert (second.status, second.code) == (409, "API_KEY_IN_FLIGHT")
        assert int(second.headers["Retry-After"]) >= 1
        assert second.body["retry"] == "safe"
        assert not first.done()
        stall.let_go()
        done = await first
        again = await town.city("POST", path, ONE, key="k")
        assert (done.status, again.status) == (201, 201)
        assert again.body == done.body
        assert again.headers["Idempotent-Replayed"] == "true"
        assert await town.city.balance(account) == 99


async def test_what_became_of_a_request_is_told(town: Town) -> None:
    account = await town.city.account(100)
    before = now_us()
    paid = await town.city.ok("POST", f"/v1/accounts/{account}/payments", ONE, key="k/1")
    state = await town.city.ok("GET", "/v1/requests/k%2F1")
    assert state["state"] == "done"
    assert state["operation"]["operation_id"] == paid["operation_id"] == state["operation_id"]
    assert state["operation"]["balance_minor"] == 99
    assert before <= state["created_us"] <= now_us()
    assert (await town.city("GET", "/v1/requests/never")).status == 404


async def test_a_request_that_failed_its_checks_used_up_no_key(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}/payments"
    said = await town.city("POST", path, ONE | {"amount_minor": 0}, key="k")
    assert said.status == 422
    assert (await town.city("POST", path, ONE, key="k")).status == 201
