"""Statements and consumption over HTTP: as old as the ledger, and they say how old."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from tests.http.town import Town


async def test_a_statement_says_why_and_how_old_it_is(town: Town) -> None:
    account = await town.city.account(1000)
    pay = {"amount_minor": 250, "purpose": 1, "merchant_id": town.merchant.merchant_id}
    paid = await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)
    path = f"/v1/accounts/{account}/statements"
    year = datetime.now(UTC).year
    period = f"period={year}-01-01..{year + 1}-01-15"
    said = await town.city("GET", f"{path}?{period}")
    assert (said.status, said.code) == (404, "LEDGER_NOT_FOUND")
    await asyncio.to_thread(town.project)
    report = await town.city.ok("GET", f"{path}?{period}&wait_for={paid['position']}")
    assert (report["opening_minor"], report["closing_minor"]) == (0, 750)
    assert [one["op"] for one in report["entries"]][-1] == "debit"
    assert report["as_of"]["position"] > paid["position"]
    by = await town.city.ok("GET", f"{path}?{period}&by=purpose")
    assert by["entries"] == []
    assert sum(one["net_minor"] for one in by["totals"]) == 750
    spent = await town.city.ok("GET", f"/v1/accounts/{account}/consumption?{period}")
    assert [one["spent_minor"] for one in spent["data"]] == [250]


async def test_a_period_has_to_be_one(town: Town) -> None:
    account = await town.city.account()
    path = f"/v1/accounts/{account}/statements"
    for odd in ("2026-13", "2026-02-30", "2026-11-02..2026-11-01", "nothing", "2026"):
        said = await town.city("GET", f"{path}?period={odd}")
        assert (said.status, said.body["faults"][0]["pointer"]) == (422, "/period")
    assert (await town.city("GET", path)).body["faults"][0]["rule"] == "required"


async def test_notices_are_read_in_parts(town: Town) -> None:
    account = await town.city.account()
    for _ in range(3):
        freeze = {"reason": "why", "what": "credit"}
        await town.city.ok("POST", f"/v1/accounts/{account}/freezes", freeze)
    path = f"/v1/accounts/{account}/notices"
    first = await town.city.ok("GET", f"{path}?limit=2")
    rest = await town.city.ok("GET", f"{path}?limit=2&starting_after={first['next_cursor']}")
    assert [len(first["data"]), len(rest["data"]), rest["has_more"]] == [2, 1, False]
    assert {one["kind"] for one in first["data"] + rest["data"]} == {"account_frozen"}
