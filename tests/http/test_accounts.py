"""Accounts and money over HTTP: what is done, what is refused, and who may."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway.clock import now_us
from gateway.wallet.stores.inflows import Inflow, InflowStore
from tests.http.town import Town

TOKEN = "00112233445566778899aabbccddeeff"


async def test_an_account_is_opened_filled_and_charged(town: Town) -> None:
    account = await town.city.account(1000, reference="rider-1")
    paid = await town.city.ok(
        "POST", f"/v1/accounts/{account}/payments", {"amount_minor": 300, "purpose": 1}
    )
    assert (paid["op"], paid["amount_minor"], paid["balance_minor"]) == ("debit", -300, 700)
    shown = await town.city("GET", f"/v1/accounts/{account}")
    assert shown.body["balance_minor"] == 700
    assert shown.body["reference"] == "rider-1"
    assert shown.headers["ETag"] == f'"{shown.body["version"]}"'


async def test_a_refusal_is_a_problem_with_the_reason(town: Town) -> None:
    account = await town.city.account(100)
    said = await town.city(
        "POST", f"/v1/accounts/{account}/payments", {"amount_minor": 101, "purpose": 0}
    )
    assert (said.status, said.code) == (402, "insufficient_balance")
    assert said.headers["Content-Type"].startswith("application/problem+json")
    assert said.body["operation"]["balance_minor"] == 100
    assert said.body["retryable"] is False
    assert said.headers["X-Request-Id"] == said.body["request_id"]


async def test_what_is_not_there_looks_like_what_is_somebody_elses(town: Town) -> None:
    account = await town.city.account(100)
    theirs = await town.hospital("GET", f"/v1/accounts/{account}")
    nowhere = await town.hospital("GET", "/v1/accounts/999999")
    assert theirs.status == nowhere.status == 404
    assert theirs.code == nowhere.code == "unknown_account"
    assert theirs.body["detail"].replace(str(account), "999999") == nowhere.body["detail"]
    for path in ("freezes", "holds", "media", "statements"):
        mine = await town.hospital("GET", f"/v1/accounts/{account}/{path}")
        other = await town.hospital("GET", f"/v1/accounts/999999/{path}")
        assert mine.status == other.status
        assert mine.body.get("code") == other.body.get("code")


ON_AN_ACCOUNT: list[tuple[str, dict[str, Any]]] = [
    ("credits", {"amount_minor": 5, "reference": "r"}),
    ("payments", {"amount_minor": 5, "purpose": 1}),
    ("holds", {"amount_minor": 5, "purpose": 1, "expires_us": 1 << 52}),
    ("holds/hold_0000000000000001/capture", {"amount_minor": 5}),
    ("holds/hold_0000000000000001/release", {}),
    ("refunds", {"amount_minor": 5, "charge_id": "0192f0c1-2345-7678-9abc-def012345678"}),
    ("top-up-rules", {"kind": "threshold", "source": "salary", "amount_minor": 5}),
    ("media", {"token": TOKEN}),
    ("media/state", {"token": TOKEN, "state": "lost"}),
    ("budgets", {"month_minor": 5}),
]


async def test_a_tenant_does_nothing_to_a_strangers_account_and_learns_nothing(town: Town) -> None:
    """Not there, empty, full: one answer, byte for byte but for the number that was sent."""
    full, empty = await town.city.account(10_000), await town.city.account()
    merchant = {"merchant_id": town.merchant.merchant_id}
    for path, body in ON_AN_ACCOUNT:
        sent = body | (merchant if path in {"credits", "payments", "holds"} else {})
        answers = set()
        for number in (full, empty, 999_999):
            said = await town.school("POST", f"/v1/accounts/{number}/{path}", sent)
            assert said.status == 404, (path, said)
            for own in ("request_id", "instance"):
                del said.body[own]
            answers.add(json.dumps(said.body).replace(f"account {number}", "N"))
        assert len(answers) == 1, (path, answers)
    assert await town.city.balance(full) == 10_000


async def test_whoever_is_shown_the_medium_charges_and_learns_no_balance(town: Town) -> None:
    account, other = await town.city.account(100), await town.city.account(100)
    await town.city.ok("POST", f"/v1/accounts/{account}/media", {"token": TOKEN})
    found = await town.school.ok("POST", "/v1/media/lookup", {"token": TOKEN}, key=None)
    assert found == {"account_id": account, "state": "active"}
    nothing = await town.school("POST", "/v1/media/lookup", {"token": "f" * 32}, key=None)
    assert (nothing.status, nothing.code) == (404, "unknown_medium")
    pay = {"amount_minor": 30, "purpose": 1, "merchant_id": town.merchant.merchant_id}
    shown = pay | {"medium_token": TOKEN}
    said = await town.school("POST", f"/v1/accounts/{other}/payments", shown)
    assert (said.status, said.code) == (404, "unknown_medium")
    path = f"/v1/accounts/{account}/payments"
    paid = await town.school.ok("POST", path, shown, key="k")
    assert (paid["amount_minor"], paid["balance_minor"]) == (-30, None)
    state = await town.school.ok("GET", "/v1/requests/k")
    assert state["operation"] == paid
    said = await town.school("POST", path, shown | {"amount_minor": 71})
    assert (said.status, said.body["operation"]["balance_minor"]) == (402, None)
    await asyncio.to_thread(town.project)
    events = (await town.school.ok("GET", "/v1/events"))["data"]
    assert {(one["merchant_id"], one["balance_minor"]) for one in events} == {
        (town.merchant.merchant_id, None)
    }
    blocked = {"token": TOKEN, "state": "lost"}
    await town.city.ok("POST", f"/v1/accounts/{account}/media/state", blocked)
    assert (await town.school("POST", path, shown)).code == "unknown_medium"
    assert await town.city.balance(account) == 70


async def test_a_reference_of_the_outside_world_is_put_in_once(town: Town) -> None:
    account, other = await town.city.account(), await town.city.account()
    path, order = f"/v1/accounts/{account}/credits", {"amount_minor": 70, "reference": "t-1"}
    first = await town.city.ok("POST", path, order)
    again = await town.city("POST", path, order | {"note": "sent once more"})
    assert (again.status, again.body) == (201, first)
    assert again.headers["Idempotent-Replayed"] == "true"
    for where, wrong in (
        (path, order | {"amount_minor": 71}),
        (f"/v1/accounts/{other}/credits", order),
    ):
        said = await town.city("POST", where, wrong)
        assert (said.status, said.code) == (409, "API_CONFLICT")
    await town.city.ok("POST", path, order | {"source": "other books"})
    assert await town.city.balance(account) == 140


async def test_a_refused_credit_leaves_its_reference_free(town: Town) -> None:
    account = await town.city.account()
    freezes, frozen = f"/v1/accounts/{account}/freezes", {"reason": "risk", "what": "credit"}
    freeze = (await town.city.ok("POST", freezes, frozen))["freeze_id"]
    path, order = f"/v1/accounts/{account}/credits", {"amount_minor": 70, "reference": "t-1"}
    assert (await town.city("POST", path, order)).code == "account_frozen"
    lifted = await town.agreed(f"{freezes}/{freeze}/lift", {"note": "settled"})
    assert lifted.status < 300, lifted
    await town.city.ok("POST", path, order)
    assert await town.city.balance(account) == 70


async def test_a_tenant_puts_in_for_its_own_till_up_to_the_days_ceiling(town: Town) -> None:
    account = await town.city.account(tenant_id="school")
    path = f"/v1/accounts/{account}/credits"
    ceiling = town.config.api.credit_day_max_minor
    order = {"amount_minor": 100, "reference": "till-1"}
    assert (await town.school("POST", path, order)).code == "AUTH_FORBIDDEN"
    order |= {"merchant_id": town.merchant.merchant_id}
    await town.school.ok("POST", path, order)
    store = InflowStore(town.access.database)
    so_far = Inflow("school", "", "earlier", account, 0, 0, ceiling - 150, "op", now_us())
    await asyncio.to_thread(store.enter, so_far, None)
    said = await town.school("POST", path, order | {"reference": "till-2"})
    assert (said.status, said.code) == (422, "COMMAND_CEILING")
    await town.school.ok("POST", path, order | {"reference": "till-2", "amount_minor": 50})
    await town.city.ok("POST", path, {"amount_minor": 100, "reference": "till-2"})
    assert await town.city.balance(account) == 250


async def test_a_granted_tenant_sees_and_charges_for_its_own_merchant_only(town: Town) -> None:
    account = await town.city.account(100)
    grant = {"tenant_id": "school"}
    await town.city.ok("POST", f"/v1/accounts/{account}/grants", grant)
    path = f"/v1/accounts/{account}/payments"
    mine = {"amount_minor": 1, "purpose": 1, "merchant_id": town.merchant.merchant_id}
    assert (await town.school("POST", path, mine)).status == 201
    for merchant in (0, 77):
        said = await town.school("POST", path, mine | {"merchant_id": merchant})
        assert (said.status, said.code) == (403, "AUTH_FORBIDDEN")
    assert (await town.school("GET", f"/v1/accounts/{account}")).status == 200
    assert (await town.hospital("GET", f"/v1/accounts/{account}")).status == 404
    said = await town.hospital("POST", path, mine)
    assert (said.status, said.code) == (404, "unknown_account")
    assert await town.city.balance(account) == 99


async def test_a_grant_opens_no_more_than_it_says_and_is_taken_back(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}"
    rule = {"kind": "threshold", "source": "salary", "threshold_minor": 5, "amount_minor": 5}
    ruled = await town.city.ok("POST", f"{path}/top-up-rules", rule)
    said = await town.city("POST", f"{path}/grants", {"tenant_id": "nobody"})
    assert (said.status, said.code) == (404, "REGISTRY_UNKNOWN")
    await town.city.ok("POST", f"{path}/grants", {"tenant_id": "school"})
    assert await town.school.balance(account) == 100
    for where, body in (
        ("media", {"token": TOKEN}),
        ("budgets", {"month_minor": 5}),
        ("top-up-rules", rule),
        (f"top-up-rules/{ruled['rule_id']}/state", {"state": "off"}),
    ):
        said = await town.school("POST", f"{path}/{where}", body)
        assert said.status == 404, (where, said)
    assert (await town.city("DELETE", f"{path}/grants/school")).status == 204
    assert (await town.school("GET", path)).status == 404
    assert (await town.city("DELETE", f"{path}/grants/school")).code == "API_NOT_FOUND"
    said = await town.city("POST", "/v1/accounts", {"tenant_id": "nobody"})
    assert (said.status, said.code) == (404, "REGISTRY_UNKNOWN")


async def test_a_tenant_lists_what_it_may_see(town: Town) -> None:
    mine = [await town.city.account(tenant_id="school") for _ in range(3)]
    await town.city.account()
    granted = await town.city.account()
    await town.city.ok("POST", f"/v1/accounts/{granted}/grants", {"tenant_id": "school"})
    first = await town.school.ok("GET", "/v1/accounts?limit=2")
    assert first["has_more"] is True
    rest = await town.school.ok(
        "GET", f"/v1/accounts?limit=2&starting_after={first['next_cursor']}"
    )
    assert (rest["has_more"], rest["next_cursor"]) == (False, None)
    seen = [one["account_id"] for one in first["data"] + rest["data"]]
    assert seen == [*mine, granted]
    assert len((await town.city.ok("GET", "/v1/accounts"))["data"]) == 5


async def test_an_adjustment_needs_the_version_it_corrects(town: Town) -> None:
    account = await town.city.account(100)
    path, order = f"/v1/accounts/{account}/adjustments", {"amount_minor": -7, "note": "till"}
    said = await town.city("POST", path, order)
    assert (said.status, said.code) == (428, "API_PRECONDITION_MISSING")
    etag = (await town.city("GET", f"/v1/accounts/{account}")).headers["ETag"]
    for wrong, status in (('"1"', 412), ('"x"', 412), ('W/"2"', 412), ("x", 400), ("", 400)):
        said = await town.city("POST", path, order, headers={"If-Match": wrong})
        assert said.status == status
    said = await town.agreed(path, order, headers={"If-Match": etag})
    assert (said.status, said.body["balance_minor"]) == (201, 93)
    said = await town.city("POST", path, order, headers={"If-Match": etag})
    assert (said.status, said.code) == (412, "version_conflict")


async def test_closing_needs_an_empty_account_and_the_right_version(town: Town) -> None:
    account = await town.city.account(5)
    path = f"/v1/accounts/{account}/close"
    assert (await town.city("POST", path, {})).code == "balance_not_zero"
    await town.city.ok(
        "POST", f"/v1/accounts/{account}/payments", {"amount_minor": 5, "purpose": 0}
    )
    said = await town.city("POST", path, {}, headers={"If-Match": '"1"'})
    assert (said.status, said.code) == (412, "version_conflict")
    etag = (await town.city("GET", f"/v1/accounts/{account}")).headers["ETag"]
    await town.city.ok("POST", path, {}, headers={"If-Match": etag})
    shown = await town.city.ok("GET", f"/v1/accounts/{account}")
    assert shown["status"] == ["closed"]


async def test_scopes_are_needed(town: Town) -> None:
    from gateway.registry.scopes import Scope, TenantKind

    reader = town.caller(TenantKind.CITY, frozenset({Scope.ACCOUNTS_READ}))
    account = await town.city.account()
    assert (await reader("GET", f"/v1/accounts/{account}")).status == 200
    said = await reader("POST", "/v1/accounts", {})
    assert (said.status, said.code) == (403, "AUTH_SCOPE")
    assert "accounts:write" in said.body["detail"]
    for token in ("", "fgk_0011223344556677_nonsense", "nonsense"):
        from tests.http.town import Caller

        said = await Caller(town, token)("GET", f"/v1/accounts/{account}")
        assert said.status == 401
        assert said.headers["WWW-Authenticate"] == "Bearer"
