"""Whatever changes the registry over the API is in the audit trail, with who did it."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.control.operations import OPERATIONS
from gateway.http.catalogue import all_endpoints
from gateway.http.endpoint import Endpoint
from gateway.registry.audit import AuditRow, check_trail, iter_events
from gateway.shapes import hints_of
from gateway.wallet.stores.webhooks import WebhookStore
from tests.http.things import Things, body_of, make_things
from tests.http.town import Said, Town
from tests.support.plane import Running
from tests.support.waiting import found

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
SHOWN = {"account_show", "cells_show", "medium_show", "operation_show", "tariff_list", "status"}
"""Operations of the control socket that change nothing."""
TOLD = {"device_put"}
"""It carries a change of the registry to the data plane, and that one is in the trail."""


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


def _read(town: Town) -> list[AuditRow]:
    with town.access.database.reading() as connection:
        return list(iter_events(connection))


async def _events(town: Town) -> list[AuditRow]:
    return await asyncio.to_thread(_read, town)


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


async def test_every_change_of_the_data_plane_itself_is_in_the_trail(
    town: Town, plane: Running
) -> None:
    """What is a record of the journal is told by that; the rest, by whom the kernel says."""
    unknown = await plane.exchange("no_such_operation")
    known = set(unknown.detail.rpartition("known: ")[2].split(", "))
    slot, tariff = next(iter(plane.plane.store.list()))
    digest = tariff.digest.hex()
    asked: dict[str, tuple[dict[str, Any], str, str, tuple[str, Any]]] = {
        "tariff_load": (
            {"slot": slot, "digest": digest},
            *("tariff.load", f"slot:{slot}", ("digest", digest)),
        ),
        "limits_load": ({"digest": ""}, "limits.load", "limits", ("limits", None)),
        "mode_set": (
            {"mode": "emergency_release"},
            *("mode.set", "devices", ("mode", "emergency_release")),
        ),
        "drain": ({}, "plane.drain", "plane", ("at", "the end")),
    }
    assert known - set(OPERATIONS) - SHOWN - TOLD == set(asked)
    before = await _events(town)
    refused = await plane.exchange("tariff_load", slot=slot, digest="00" * 32)
    assert refused.code == "TARIFF_NOT_FOUND"
    for op, (args, *_) in asked.items():
        await plane.call(op, **args)
    rows = await found(partial(_read, town), lambda rows: len(rows) - len(before) >= len(asked))
    told = rows[len(before) :]
    assert [(row.action, row.subject) for row in told] == [one[1:3] for one in asked.values()]
    assert {row.actor for row in told} == {f"uid:{os.getuid()}/cli"}
    for row, (_, _, _, (name, value)) in zip(told, asked.values(), strict=True):
        assert json.loads(row.facts).get(name, "the end") == value
    assert not list(check_trail(iter(await _events(town))))
