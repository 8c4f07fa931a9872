"""Events from the ledger: in order, each once, only one's own; and waiting for a position."""

from __future__ import annotations

import asyncio

from tests.http.town import Town


async def test_events_come_in_order_and_can_be_read_in_parts(town: Town) -> None:
    account = await town.city.account(100)
    order = {"amount_minor": 30, "purpose": 1, "reference": "till-7"}
    paid = await town.city.ok("POST", f"/v1/accounts/{account}/payments", order)
    refused = {"amount_minor": 90_000, "purpose": 1}
    await town.city("POST", f"/v1/accounts/{account}/payments", refused)
    await asyncio.to_thread(town.project)
    first = await town.city.ok("GET", "/v1/events?limit=2")
    rest = await town.city.ok("GET", f"/v1/events?after={first['next_after']}")
    assert (first["has_more"], rest["has_more"]) == (True, False)
    events = first["data"] + rest["data"]
    assert [one["type"] for one in events] == ["account_open", "credit", "debit", "debit"]
    assert [one["seq"] for one in events] == sorted({one["seq"] for one in events})
    assert events[2]["operation_id"] == paid["operation_id"]
    assert events[2]["reference"] == "till-7"
    assert events[3]["reason"] == "insufficient_balance"
    assert rest["as_of"]["seq"] == events[3]["seq"]
    nothing = await town.city.ok("GET", f"/v1/events?after={rest['next_after']}")
    assert nothing["data"] == []
    assert nothing["next_after"] == rest["next_after"]


async def test_a_tenant_sees_its_accounts_and_its_merchants_only(town: Town) -> None:
    own = await town.city.account(tenant_id="school")
    other = await town.city.account(100)
    order = {"amount_minor": 30, "purpose": 1, "merchant_id": town.merchant.merchant_id}
    await town.city("POST", f"/v1/accounts/{other}/payments", order)
    await asyncio.to_thread(town.project)
    seen = (await town.school.ok("GET", "/v1/events"))["data"]
    assert {one["account_id"] for one in seen} <= {own, other}
    assert [one["type"] for one in seen if one["account_id"] == other] in ([], ["debit"])
    assert (await town.hospital.ok("GET", "/v1/events"))["data"] == []


async def test_a_read_waits_for_a_position_but_not_for_ever(town: Town) -> None:
    account = await town.city.account(100)
    credit = {"amount_minor": 1, "reference": "r"}
    made = await town.city.ok("POST", f"/v1/accounts/{account}/credits", credit)
    waiting = asyncio.create_task(town.city.ok("GET", f"/v1/events?wait_for={made['position']}"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await asyncio.to_thread(town.project)
    page = await waiting
    assert page["as_of"]["position"] > made["position"]
    assert page["data"][-1]["position"] == made["position"]
