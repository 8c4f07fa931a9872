"""Every endpoint that names something, for every kind of tenant: its own, and what is another's."""

from __future__ import annotations

import pytest

from gateway.http.catalogue import all_endpoints
from gateway.http.endpoint import Endpoint
from gateway.registry.scopes import CEILINGS, HOUSES, TenantKind
from tests.http.things import Things, body_of, make_things
from tests.http.town import Caller, Said, Town

NAMING = [one for one in all_endpoints() if "{" in one.path and one.scopes]
OUTSIDE = {
    *("merge_id", "payout_id", "approval_id", "purse_id", "plan_id", "month", "tap_id"),
    "service_date",
}
"""Only the house makes these; whose settlements are whose: tests/http/test_settlements.py."""
NOT_ITS_WORD = {
    ("DELETE", "/v1/persons/{person_id}/accounts/{account_id}"),
    ("POST", "/v1/persons/{person_id}/consents"),
    ("POST", "/v1/persons/{person_id}/consents/withdraw"),
    ("GET", "/v1/persons/{person_id}/consents"),
}
"""Refused to a tenant on its own things, too: what the house or the person says."""
APART = [kind for kind in TenantKind if kind not in HOUSES]


async def _ask(caller: Caller, endpoint: Endpoint, things: Things) -> Said:
    body = body_of(endpoint, things) if set(endpoint.scopes) <= CEILINGS[APART[0]] else None
    return await caller(endpoint.method, things.path(endpoint), body)


def _named(endpoint: Endpoint) -> bool:
    return not any(f"{{{name}}}" in endpoint.path for name in OUTSIDE)


def _ends(endpoint: Endpoint) -> bool:
    """These last: what they end is asked for by others."""
    return endpoint.method == "DELETE" or endpoint.path.endswith("/release")


@pytest.mark.parametrize("kind", APART)
async def test_what_is_anothers_is_not_there(town: Town, kind: TenantKind) -> None:
    caller = town.caller(kind)
    whose = next(one for one in APART if one is not kind)
    theirs = await make_things(town, str(whose), town.caller(whose))
    before = await town.city.ok("GET", f"/v1/accounts/{theirs.names['account_id']}")
    for endpoint in filter(_named, NAMING):
        said = await _ask(caller, endpoint, theirs)
        if set(endpoint.scopes) <= CEILINGS[kind]:
            assert said.status in {403, 404}, (endpoint.method, endpoint.path, said)
        else:
            assert said.code == "AUTH_SCOPE", (endpoint.method, endpoint.path, said)
    assert await town.city.ok("GET", f"/v1/accounts/{theirs.names['account_id']}") == before


@pytest.mark.parametrize("kind", APART)
async def test_its_own_is_within_reach_as_far_as_its_scopes_go(
    town: Town, kind: TenantKind
) -> None:
    caller = town.caller(kind)
    mine = await make_things(town, str(kind), caller)
    for endpoint in sorted(filter(_named, NAMING), key=_ends):
        said = await _ask(caller, endpoint, mine)
        where = (endpoint.method, endpoint.path)
        if not set(endpoint.scopes) <= CEILINGS[kind]:
            assert said.code == "AUTH_SCOPE", (where, said)
        elif where in NOT_ITS_WORD:
            assert said.code in {"AUTH_FORBIDDEN", "REGISTRY_UNKNOWN"}, (where, said)
        else:
            assert said.status not in {401, 403, 404, 422}, (where, said)


async def test_an_operator_enters_merchants_of_its_own_and_no_tenants(town: Town) -> None:
    operator = town.caller(TenantKind.OPERATOR)
    own = await operator.ok(
        "POST", "/v1/merchants", {"tenant_id": "operator", "merchant_id": 4711, "name": "line 1"}
    )
    other = {"tenant_id": "school", "merchant_id": 4711, "name": "line 1"}
    assert (await operator("POST", "/v1/merchants", other)).code == "AUTH_FORBIDDEN"
    foreign = f"/v1/merchants/{town.merchant.merchant_id}"
    assert (await operator("DELETE", foreign)).code == "REGISTRY_UNKNOWN"
    tenant = {"tenant_id": "x", "kind": "city", "name": "x"}
    assert (await operator("POST", "/v1/tenants", tenant)).code == "AUTH_FORBIDDEN"
    (seen,) = (await operator.ok("GET", "/v1/tenants"))["data"]
    assert seen["tenant_id"] == "operator"
    assert (await operator.ok("GET", "/v1/accounts"))["data"] == []
    assert (await operator.ok("GET", "/v1/events"))["data"] == []
    await operator.ok("DELETE", f"/v1/merchants/{own['merchant_id']}")
