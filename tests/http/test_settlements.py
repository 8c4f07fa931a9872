"""Settlements over HTTP: each tenant its own, files as they were made; CSV of all that has one."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.config import Config
from gateway.http.accept import wants_csv
from gateway.ledger.settlement import Settlement, SettlementFile, write_files
from gateway.registry.scopes import Scope, TenantKind
from tests.http.town import Town

DAY = date(2026, 11, 3)
CSV = {"Accept": "text/csv"}


@pytest.fixture
def config(config: Config) -> Config:
    """The operator's ledger accounts are named; a school's are its merchants'."""
    return replace(config, ledger=replace(config.ledger, tenants={"operator:1": "operator"}))


def today(town: Town) -> date:
    return datetime.now(ZoneInfo(town.config.ledger.zone)).date()


def settle(town: Town, *, written: bool = True) -> list[SettlementFile]:
    """What was paid today, settled. Blocking."""
    town.project()
    settlement = Settlement(town.ledger, town.access.database, zone=town.config.ledger.zone)
    made = settlement.run(today(town), 1, open_day=True)
    if written:
        write_files(town.config.settlements_dir, made)
    return made


def keep(town: Town, made: SettlementFile) -> None:
    """As the worker does for each file it makes. Blocking."""
    Settlement(town.ledger, town.access.database, zone="UTC")._number(made, 1)


async def pay(town: Town, amount_minor: int) -> int:
    account = await town.city.account(amount_minor)
    body = {"amount_minor": amount_minor, "purpose": 1, "merchant_id": town.merchant.merchant_id}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", body)
    return account


async def test_a_settlement_is_shown_with_its_totals_and_its_file(town: Town) -> None:
    await pay(town, 250)
    (made,) = await asyncio.to_thread(settle, town)
    listed = await town.city.ok("GET", "/v1/settlements")
    (one,) = listed["data"]
    assert one["ledger_account"] == f"merchant:{town.merchant.merchant_id}"
    assert (one["totals"][0]["payable_minor"], one["totals"][0]["lines"]) == (250, 1)
    path = f"/v1/settlements/{one['ledger_account']}/{one['service_date']}"
    assert await town.city.ok("GET", path) == one
    said = await town.city("GET", path, headers=CSV)
    assert said.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert made.file_name in said.headers["Content-Disposition"]
    assert said.headers["Vary"] == "Accept"
    assert hashlib.sha256(said.body.encode()).hexdigest() == one["sha256"]
    rows = list(csv.DictReader(io.StringIO(said.body, newline="")))
    assert [row["record"] for row in rows] == ["line", "total"]


async def test_a_file_that_was_fetched_is_made_again_until_something_came_late(town: Town) -> None:
    await pay(town, 250)
    (made,) = await asyncio.to_thread(settle, town, written=False)
    path = f"/v1/settlements/{made.account}/{made.service_date}"
    assert (await town.city("GET", path, headers=CSV)).body == made.text
    await pay(town, 100)
    await asyncio.to_thread(town.project)
    gone = await town.city("GET", path, headers=CSV)
    assert (gone.status, gone.code) == (409, "LEDGER_FILE_GONE")
    assert (await town.city.ok("GET", path))["number"] == 0
    (late,) = await asyncio.to_thread(settle, town)
    shown = await town.city.ok("GET", path)
    assert (shown["number"], shown["totals"][0]["payable_minor"]) == (1, 350)
    assert (await town.city("GET", path, headers=CSV)).body == late.text
    (town.config.settlements_dir / late.file_name).write_text("somebody wrote here")
    assert (await town.city("GET", path, headers=CSV)).body == late.text
    assert (await town.city.ok("GET", f"{path}?number=0"))["sha256"] == made.sha256
    listed = await town.city.ok("GET", "/v1/settlements?limit=1")
    assert (listed["data"][0]["number"], listed["has_more"]) == (1, True)
    older = f"/v1/settlements?limit=1&starting_after={listed['next_cursor']}"
    assert (await town.city.ok("GET", older))["data"][0]["number"] == 0


async def test_a_tenant_sees_its_own_and_learns_nothing_of_others(town: Town) -> None:
    await pay(town, 250)
    (made,) = await asyncio.to_thread(settle, town)
    path = f"/v1/settlements/{made.account}/{made.service_date}"
    assert (await town.school.ok("GET", path))["sha256"] == made.sha256
    assert len((await town.school.ok("GET", "/v1/settlements"))["data"]) == 1
    assert (await town.hospital.ok("GET", "/v1/settlements"))["data"] == []
    named = f"/v1/settlements?ledger_account={made.account}"
    assert (await town.hospital.ok("GET", named))["data"] == []
    answers = set()
    for number in (town.merchant.merchant_id, 999_999):
        for headers in ({}, CSV):
            where = f"/v1/settlements/merchant:{number}/{made.service_date}"
            said = await town.hospital("GET", where, headers=headers)
            assert (said.status, said.code) == (404, "LEDGER_NOT_FOUND")
            answers.add(said.body["detail"].replace(f":{number} ", ":N "))
    assert len(answers) == 1


async def test_an_operator_has_the_ledger_accounts_that_the_settings_give_it(town: Town) -> None:
    operator = town.caller(TenantKind.OPERATOR)
    for slot in (1, 2):
        made = SettlementFile(f"operator:{slot}", "", DAY, 0, 1, "ab" * 32, [], "")
        await asyncio.to_thread(keep, town, made)
    (shown,) = (await operator.ok("GET", "/v1/settlements"))["data"]
    assert shown["ledger_account"] == "operator:1"
    assert (await operator("GET", f"/v1/settlements/operator:1/{DAY}")).status == 200
    assert (await operator("GET", f"/v1/settlements/operator:2/{DAY}")).status == 404
    assert len((await town.city.ok("GET", "/v1/settlements"))["data"]) == 2


async def test_it_needs_its_scope(town: Town) -> None:
    other = town.caller(TenantKind.CITY, frozenset({Scope.STATEMENTS_READ}))
    said = await other("GET", "/v1/settlements")
    assert (said.status, said.code) == (403, "AUTH_SCOPE")


async def test_days_have_to_be_days(town: Town) -> None:
    assert (await town.city("GET", "/v1/settlements/operator:1/2026-02-30")).status == 404
    said = await town.city("GET", "/v1/settlements?from_date=2026-02-30")
    assert (said.status, said.body["faults"][0]["pointer"]) == (422, "/from_date")
    await pay(town, 5)
    (made,) = await asyncio.to_thread(settle, town)
    day = made.service_date
    inside = f"/v1/settlements?from_date={day}&until_date={day}"
    assert len((await town.city.ok("GET", inside))["data"]) == 1
    before = f"/v1/settlements?until_date={date.fromordinal(day.toordinal() - 1)}"
    assert (await town.city.ok("GET", before))["data"] == []


async def test_a_statement_is_a_csv_where_that_is_asked_for(town: Town) -> None:
    account = await town.city.account()
    order = {"amount_minor": 700, "reference": "=1+1"}
    await town.city.ok("POST", f"/v1/accounts/{account}/credits", order)
    await asyncio.to_thread(town.project)
    year = datetime.now(UTC).year
    period = f"period={year}-01-01..{year + 1}-01-15"
    path = f"/v1/accounts/{account}/statements?{period}"
    report = await town.city.ok("GET", path)
    said = await town.city("GET", path, headers={"Accept": "text/csv, application/json;q=0.5"})
    rows = list(csv.DictReader(io.StringIO(said.body, newline="")))
    assert [int(row["amount_minor"]) for row in rows if row["op"] == "credit"] == [700]
    assert [row["reference"] for row in rows if row["op"] == "credit"] == ["'=1+1"]
    assert report["entries"][-1]["reference"] == "=1+1"
    assert int(said.headers["As-Of-Position"]) == report["as_of"]["position"]
    assert int(said.headers["As-Of-Seq"]) == report["as_of"]["seq"]
    by = await town.city("GET", f"{path}&by=month", headers=CSV)
    assert by.body.splitlines()[0] == "key,entries,in_minor,out_minor,net_minor"
    spent = f"/v1/accounts/{account}/consumption?{period}"
    assert (await town.city("GET", spent, headers=CSV)).body == ""
    wrong = await town.city("GET", f"/v1/accounts/{account}/statements?period=x", headers=CSV)
    assert wrong.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("", False),
        ("*/*", False),
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/csv, */*", True),
        ("text/csv, application/json", False),
        ("text/csv, application/json;q=0.9", True),
        ("text/csv;q=0.2, */*;q=0.3", False),
        ("text/csv;q=0", False),
        ("text/csv;q=nonsense", False),
        ("text/*, application/json;q=0.999", True),
        ("text/html", False),
    ],
)
def test_what_an_accept_header_likes_better(accept: str, is_csv: bool) -> None:
    assert wants_csv(accept) is is_csv
