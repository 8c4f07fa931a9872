"""Events from the ledger: in order, each once, only one's own; and waiting for a position."""

from __future__ import annotations

import asyncio

import pytest

from gateway.ledger import words
from gateway.registry.notices import NoticeRow
from gateway.wallet import events
from gateway.wallet.events import AsOf, Behind, Merge, event_of_notice
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


async def test_what_owners_were_told_comes_behind_the_record_it_belongs_to(town: Town) -> None:
    account = await town.city.account(100, tenant_id="school")
    other = await town.city.account(100)
    order = {"reason": "look", "what": "debit"}
    for one in (account, other):
        await town.city.ok("POST", f"/v1/accounts/{one}/freezes", order)
    early = await town.city.ok("GET", "/v1/events?notices_after=0")
    assert early["data"] == [], "not before its record is seen"
    await asyncio.to_thread(town.project)
    page = await town.city.ok("GET", "/v1/events?notices_after=0")
    told = [(one["type"], one["account_id"]) for one in page["data"]]
    for one in (account, other):
        mine = [kind for kind, account_id in told if account_id == one]
        assert mine == ["account_open", "credit", "freeze", "account.frozen"]
    frozen = next(one for one in page["data"] if one["type"] == "account.frozen")
    assert frozen["event_id"] == "ntc_1"
    assert frozen["notice"]["kind"] == "account_frozen"
    assert frozen["notice"]["title_zh"] == "您的账户已冻结"
    assert frozen["notice"]["body"]["reason"] == "look"
    mine = (await town.school.ok("GET", "/v1/events?notices_after=0"))["data"]
    assert {one["account_id"] for one in mine} == {account}
    assert mine[-1]["type"] == "account.frozen"
    plain = await town.city.ok("GET", "/v1/events")
    assert [one for one in page["data"] if not one["notice"]] == plain["data"]


async def test_records_and_notices_are_read_in_parts_without_a_gap(town: Town) -> None:
    for _ in range(2):
        account = await town.city.account(100)
        order = {"reason": "look", "what": "debit"}
        await town.city.ok("POST", f"/v1/accounts/{account}/freezes", order)
    await asyncio.to_thread(town.project)
    whole = await town.city.ok("GET", "/v1/events?notices_after=0")
    after, notices_after, found = 0, 0, []
    while True:
        query = f"after={after}&notices_after={notices_after}&limit=1"
        page = await town.city.ok("GET", f"/v1/events?{query}")
        found += page["data"]
        after, notices_after = page["next_after"], page["next_notice_after"]
        if not page["has_more"]:
            break
    assert found == whole["data"]
    assert (after, notices_after) == (whole["next_after"], whole["next_notice_after"])


def test_notices_keep_their_order_and_none_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "SCAN_ROWS", 3)

    def notice(number: int, position: int) -> tuple[NoticeRow, bool]:
        return NoticeRow(number, 7, "budget_over", {}, 1, position), True

    merge = Merge(Behind(0, 0), 9, [notice(1, 500), notice(2, 100), notice(3, 0)])
    as_of = AsOf(position=600, seq=9, ts_us=1)
    assert merge.take_notices(400), "the first one belongs behind 500, so all wait"
    assert merge.page(as_of, has_more=False).data == ()
    assert not merge.take_notices(600), "there may be more behind the third: look before going on"
    page = merge.page(as_of, has_more=True)
    assert [one.event_id for one in page.data] == ["ntc_1", "ntc_2", "ntc_3"]
    assert page.next_notice_after == 3


def test_every_notice_has_a_type_of_its_own_kind() -> None:
    types = {
        kind: event_of_notice(NoticeRow(1, 7, kind, {}, 1, 0), 5).type for kind in words.NOTICES
    }
    assert types == {
        "account_frozen": "account.frozen",
        "account_unfrozen": "account.unfrozen",
        "budget_near": "budget.warned",
        "budget_over": "budget.warned",
        "credit_due": "credit.due",
        "credit_late": "credit.late",
        "credit_statement": "credit.statement",
        "medium_linked": "medium.linked",
        "medium_lost": "medium.lost",
        "payout_refused": "payout.refused",
        "purse_ending": "purse.ending",
        "topup_failed": "topup.failed",
    }


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
