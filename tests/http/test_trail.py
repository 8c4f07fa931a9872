"""Whatever changes the registry over the API is in the audit trail, with who did it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from gateway.http.catalogue import all_endpoints
from gateway.http.endpoint import Endpoint
from gateway.registry.audit import AuditRow, check_trail, iter_events
from gateway.shapes import hints_of
from gateway.wallet.stores.webhooks import WebhookStore
from tests.http.things import Things, body_of, make_things
from tests.http.town import Said, Town

LOOKS = {
    ("POST", "/v1/media/lookup"),
    ("POST", "/v1/persons/search"),
}
"""They change nothing: a POST keeps what is looked for out of addresses."""
ELSEWHERE = {
    ("POST", "/v1/accounts/{account_id}/payouts"),
    ("POST", "/v1/accounts/{account_id}/credit-line/statements/{month}/write-off"),
    ("POST", "/v1/accounts/{account_id}/credit-line/plans/{plan_id}/repayments"),
    ("POST", "/v1/approvals/{approval_id}/approve"),
    ("POST", "/v1/approvals/{approval_id}/reject"),
}
"""They need a bank, months of a credit line, or somebody else: told where they are tested."""
APART = LOOKS | ELSEWHERE


def _changes(endpoint: Endpoint) -> bool:
    """What is kept by the registry alone: what a journal record answers, its note says by whom.

    Of those that need a scope; sessions and factors of riders: tests/registry/test_changes.py.
    """
    where = (endpoint.method, endpoint.path)
    if not endpoint.scopes or endpoint.method == "GET" or where in APART:
        return False
    return endpoint.answer is None or "position" not in hints_of(endpoint.answer)


def _last(endpoint: Endpoint) -> int:
    """What ends something comes after what needs it."""
    ends = ("/lift", "/withdraw", "/score")
    return 2 * (endpoint.method == "DELETE") + endpoint.path.endswith(ends)


async def _events(town: Town) -> list[AuditRow]:
    def read() -> list[AuditRow]:
        with town.access.database.reading() as connection:
            return list(iter_events(connection))

    return await asyncio.to_thread(read)


async def _call(town: Town, endpoint: Endpoint, things: Things) -> Said:
    if endpoint.path.endswith(("/credit-line", "/credit-line/close")):
        account = await town.city.account()
        await town.city.ok("POST", f"/v1/accounts/{account}/tier", {"tier": 2})
        if endpoint.path.endswith("close"):
            line = {"policy": "ride-first", "score": 650}
            await town.city.ok("POST", f"/v1/accounts/{account}/credit-line", line)
        things = replace(things, names=things.names | {"account_id": account})
    path, body = things.path(endpoint), await _body(town, endpoint, things)
    headers = {}
    if endpoint.if_match == "required":
        account = await town.city("GET", f"/v1/accounts/{things.names['account_id']}")
        headers = {"If-Match": account.headers["ETag"]}
    key = town.fresh_key() if endpoint.method == "POST" else None
    said = await town.city(endpoint.method, path, body, key=key, headers=headers)
    if said.status == 409 and said.code == "APPROVAL_NEEDED":
        return await town.agreed(path, body, headers=headers)
    return said


async def _body(town: Town, endpoint: Endpoint, things: Things) -> Any:
    if endpoint.path.endswith("/withdraw"):
        consents = things.path(endpoint).removesuffix("/withdraw")
        await town.city("POST", consents, body_of(endpoint, things))
    if endpoint.path.endswith("/enable"):
        hooks = WebhookStore(town.access.database)
        await asyncio.to_thread(hooks.change, things.names["webhook_id"], state="disabled")
    if endpoint.path.endswith("/plans"):
        await _draw_all(town, things.names["account_id"])
    if endpoint.path == "/v1/merges":
        into = await town.city.account()
        from_id = await town.city.account(5)
        return {"from_account_id": from_id, "to_account_id": into}
    return body_of(endpoint, things)


async def _draw_all(town: Town, account: int) -> None:
    shown = await town.city.ok("GET", f"/v1/accounts/{account}")
    amount = shown["balance_minor"] - shown["held_minor"] + shown["credit"]["left_minor"]
    pay = {"amount_minor": amount, "purpose": 0}
    await town.city.ok("POST", f"/v1/accounts/{account}/payments", pay)


async def test_every_change_of_the_registry_is_in_the_trail(town: Town) -> None:
    things = await make_things(town, "city", town.city)
    untold = []
    for endpoint in sorted(filter(_changes, all_endpoints()), key=_last):
        before = await _events(town)
        said = await _call(town, endpoint, things)
        assert said.status < 300, (endpoint.method, endpoint.path, said)
        after = await _events(town)
        if len(after) == len(before):
            untold.append(f"{endpoint.method} {endpoint.path}")
        assert all(row.actor for row in after[len(before) :])
    assert untold == []
    assert not list(check_trail(iter(await _events(town))))
