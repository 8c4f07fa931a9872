"""Who was refused what over HTTP is in the audit trail, where no record of the journal tells it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway.registry.audit import AuditRow, check_trail, iter_events
from gateway.registry.credentials import CredentialKind, NewCredential
from gateway.registry.scopes import Scope, TenantKind
from tests.http.test_people import rider
from tests.http.town import SYSTEM, Caller, Said, Town
from tests.support.waiting import found

TOO_MUCH = 100_001
"""More than control.credit_max_minor."""


async def refused(town: Town, count: int) -> list[AuditRow]:
    """Refusals in the trail, once there are so many."""

    def read() -> list[AuditRow]:
        with town.access.database.reading() as connection:
            rows = list(iter_events(connection))
        assert not list(check_trail(iter(rows)))
        return [row for row in rows if row.outcome == "refused"]

    return await found(read, lambda rows: len(rows) >= count)


def told(rows: list[AuditRow]) -> list[tuple[str, str, str]]:
    return [(row.tenant_id, row.subject, json.loads(row.facts)["code"]) for row in rows]


async def test_who_lacks_the_right_is_in_the_trail(town: Town) -> None:
    person_id, caller = await rider(town)
    assert (await town.school("GET", f"/v1/persons/{person_id}")).status == 403
    assert (await town.school("GET", "/v1/approvals")).status == 403
    assert (await caller("DELETE", f"/v1/persons/{person_id}")).status == 403
    assert (await town.anybody("GET", "/v1/approvals")).status == 401
    rows = await refused(town, 3)
    assert [(row.tenant_id, row.action, row.subject) for row in rows] == [
        ("school", "get_persons_person_id", f"/v1/persons/{person_id}"),
        ("school", "get_approvals", "/v1/approvals"),
        ("", "delete_persons_person_id", "/v1/persons/{person_id}"),
    ]


async def test_who_reaches_for_a_strangers_account_is_in_the_trail(town: Town) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}"
    pay = {"amount_minor": 1, "purpose": 0, "merchant_id": town.merchant.merchant_id}
    assert (await town.hospital("GET", path)).code == "unknown_account"
    assert (await town.school("POST", f"{path}/payments", pay)).code == "unknown_account"
    assert told(await refused(town, 2)) == [
        ("hospital", path, "unknown_account"),
        ("school", f"{path}/payments", "unknown_account"),
    ]


async def test_what_reached_no_account_is_in_the_trail_and_what_did_is_in_the_journal(
    town: Town,
) -> None:
    account = await town.city.account(100)
    path = f"/v1/accounts/{account}"

    async def post(what: str, key: str = "", **body: Any) -> Said:
        return await town.city("POST", f"{path}/{what}", body, key=key)

    poor = await post("payments", amount_minor=101, purpose=0)
    assert (poor.code, poor.body["operation"]["position"] > 0) == ("insufficient_balance", True)
    much = await post("credits", amount_minor=TOO_MUCH, reference="much")
    key = town.fresh_key()
    assert (await post("payments", key, amount_minor=1, purpose=0)).status == 201
    other = await post("payments", key, amount_minor=2, purpose=0)
    nobody = await town.city("DELETE", "/v1/merchants/78")
    assert (await town.city("POST", f"{path}/payments", {"amount_minor": -1})).code == "API_INVALID"
    assert [much.code, other.code, nobody.code] == [
        "COMMAND_CEILING",
        "API_KEY_REUSED",
        "REGISTRY_UNKNOWN",
    ]
    assert told(await refused(town, 3)) == [
        ("city", f"{path}/credits", "COMMAND_CEILING"),
        ("city", f"{path}/payments", "API_KEY_REUSED"),
        ("city", "/v1/merchants/78", "REGISTRY_UNKNOWN"),
    ]


async def test_a_revoked_key_is_told_like_a_wrong_one_and_known_in_the_trail(town: Town) -> None:
    keys, wanted = (
        town.access.credentials,
        NewCredential("school", frozenset({Scope.KEYS_WRITE}), "a"),
    )
    key = await asyncio.to_thread(keys.create, SYSTEM, wanted)
    client = await asyncio.to_thread(
        keys.create,
        SYSTEM,
        NewCredential("school", frozenset({Scope.KEYS_WRITE}), "a", CredentialKind.CLIENT),
    )
    for one in (key, client):
        await asyncio.to_thread(keys.revoke, SYSTEM, one.credential.credential_id)
    id_ = key.credential.credential_id
    said = [
        await Caller(town, token)("GET", "/v1/accounts/1")
        for token in (key.token, f"{id_}_guessed", "fgk_nobody_knows")
    ]
    own = ("request_id", "instance")
    bodies = [{k: v for k, v in one.body.items() if k not in own} for one in said]
    assert bodies[0] == bodies[1] == bodies[2]
    form = f"grant_type=client_credentials&client_id={client.credential.credential_id}"
    token = await town.anybody(
        "POST",
        "/v1/oauth/token",
        key=None,
        data=f"{form}&client_secret={client.secret}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (token.status, token.code) == (401, "AUTH_INVALID")
    rows = await refused(town, 2)
    assert [(row.actor, row.action) for row in rows] == [
        (f"key:{id_}", "get_accounts_account_id"),
        (f"client:{client.credential.credential_id}", "post_oauth_token"),
    ]
    assert told(rows)[0] == ("school", "/v1/accounts/{account_id}", "AUTH_INVALID")


async def test_a_flood_is_written_down_now_and_then_and_counted(town: Town) -> None:
    several = town.caller(TenantKind.HOSPITAL)
    for _ in range(50):
        assert (await several("GET", "/v1/approvals")).status == 403
    await town.school("GET", "/v1/approvals")
    rows = await refused(town, 21)
    assert len([row for row in rows if row.tenant_id == "hospital"]) < 30
    left_out = sum(json.loads(row.facts).get("left_out", 0) for row in rows)
    assert len(rows) + left_out == 51
