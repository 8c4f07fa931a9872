"""Persons, riders' sessions, clients' tokens and approvals over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from fastpath.types import Reason, TapKind
from gateway.cli import main
from gateway.clock import now_us
from gateway.control.client import ControlClient
from gateway.registry.credentials import CredentialKind, NewCredential
from gateway.registry.scopes import Scope, TenantKind
from tests.http.town import SYSTEM, Caller, Said, Town
from tests.registry.riders import SoftAuthenticator
from tests.support.plane import Running

LOGIN, PASSWORD = "wang@example.cn", "correct horse battery"
FORM = "application/x-www-form-urlencoded"
CURRENT = "/v1/sessions/current"


async def rider(town: Town, login: str = LOGIN) -> tuple[str, Caller]:
    """A person with an account of theirs, signed in."""
    person = await town.city.ok("POST", "/v1/persons", {"name": "王小明", "phone": "110"})
    path = f"/v1/persons/{person['person_id']}"
    body = {"login": login, "password": PASSWORD}
    await town.city.ok("PUT", f"{path}/login", body)
    signed = await town.anybody.ok("POST", "/v1/sessions", body, key=None)
    assert signed["person_id"] == person["person_id"]
    return person["person_id"], Caller(town, signed["token"])


async def totp_of(caller: Caller) -> pyotp.TOTP:
    begun = await caller.ok("POST", "/v1/factors/totp", {"password": PASSWORD}, key=None)
    totp = pyotp.TOTP(parse_qs(urlsplit(begun["uri"]).query)["secret"][0])
    code = {"code": totp.at(now_us() // 1_000_000 - 30)}
    said = await caller("POST", f"/v1/factors/{begun['factor_id']}/confirm", code, key=None)
    assert said.status == 204, said
    return totp


# --- persons --------------------------------------------------------------------------------------


async def test_a_person_from_entry_to_erasure(town: Town) -> None:
    body = {"name": "王小明", "phone": "+86 138-0013-8000"}
    key = town.fresh_key()
    made = await town.city("POST", "/v1/persons", body, key=key)
    again = await town.city("POST", "/v1/persons", body, key=key)
    assert (made.status, again.status) == (201, 201)
    assert made.body == again.body  # one key, one person
    path = f"/v1/persons/{made.body['person_id']}"
    search = {"field": "phone", "value": "+8613800138000"}
    found = await town.city.ok("POST", "/v1/persons/search", search)
    assert found["data"] == [made.body]
    changed = await town.city.ok("PATCH", path, {"phone": ""})
    assert changed["data"] == {"name": "王小明"}
    account_id = await town.city.account(500)
    assert (await town.city("PUT", f"{path}/accounts/{account_id}")).status == 204
    assert (await town.city.ok("GET", f"{path}/accounts"))["data"] == [account_id]
    erased = await town.city.ok("DELETE", path)
    assert (erased["state"], erased["data"]) == ("erased", {})
    assert (await town.city("PATCH", path, body)).code == "REGISTRY_ERASED"
    assert await town.city.balance(account_id) == 500


async def test_after_an_erasure_journal_trail_and_checkpoints_still_verify(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    person_id, caller = await rider(town)
    account_id = await town.city.account(1234)
    await town.city.ok("PUT", f"/v1/persons/{person_id}/accounts/{account_id}")

    def audit(*words: str) -> Any:
        file = str(town.config.gateway.data_dir / "gateway.toml")
        capsys.readouterr()
        assert (
            main(["audit", *words, "--json", "--set=journal.segment_mib=8", "--config", file]) == 0
        )
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    await asyncio.to_thread(town.project)
    await asyncio.to_thread(audit, "checkpoint")
    await town.city.ok("DELETE", f"/v1/persons/{person_id}")
    assert (await caller("GET", CURRENT)).status == 401
    await asyncio.to_thread(town.project)
    (found,) = await asyncio.to_thread(audit, "verify")
    assert found["findings"] == []
    assert await town.city.balance(account_id) == 1234
    trail = await asyncio.to_thread(audit, "show")
    assert ["person.erase", f"person:{person_id}"] in [
        [event["action"], event["subject"]] for event in trail
    ]
    data = b"".join(path.read_bytes() for path in town.config.journal.dir.glob("*.seg"))
    for secret in ("王小明", LOGIN):
        assert secret.encode() not in data
        assert secret not in json.dumps(trail, ensure_ascii=False)
    assert person_id.encode() not in data


async def test_a_tenant_sees_a_person_only_with_their_consent(town: Town) -> None:
    person_id, caller = await rider(town)
    path = f"/v1/persons/{person_id}"
    assert (await town.hospital("GET", path)).code == "AUTH_FORBIDDEN"
    consent = {"tenant_id": "hospital", "scope": "persons:read"}
    given = await caller.ok("POST", f"{path}/consents", consent | {"evidence": "in the app"})
    assert (await town.hospital.ok("GET", path))["data"]["name"] == "王小明"
    assert (await town.school("GET", path)).code == "AUTH_FORBIDDEN"
    await caller.ok("POST", f"{path}/consents/withdraw", consent)
    assert (await town.hospital("GET", path)).code == "AUTH_FORBIDDEN"
    (listed,) = (await caller.ok("GET", f"{path}/consents"))["data"]
    assert listed["consent_id"] == given["consent_id"]
    assert listed["evidence"] == "in the app"
    assert listed["withdrawn_us"] > 0


async def test_a_rider_reads_their_own_account_and_no_other(town: Town) -> None:
    person_id, caller = await rider(town)
    own, other = await town.city.account(700), await town.city.account(900)
    await town.city.ok("PUT", f"/v1/persons/{person_id}/accounts/{own}")
    assert await caller.balance(own) == 700
    assert (await caller("GET", f"/v1/accounts/{other}")).status == 404
    assert (await caller("GET", "/v1/persons/per_other")).status == 404
    assert (await caller("DELETE", f"/v1/persons/{person_id}")).code == "AUTH_SCOPE"


async def test_a_tenant_gives_an_owner_only_to_what_was_opened_for_it(town: Town) -> None:
    own = await town.city.account(tenant_id="school")
    granted, stranger = await town.city.account(100), await town.city.account(100)
    grant = {"tenant_id": "school"}
    await town.city.ok("POST", f"/v1/accounts/{granted}/grants", grant)
    pupil = await town.school.ok("POST", "/v1/persons", {"name": "李雷"})
    path = f"/v1/persons/{pupil['person_id']}/accounts"
    said = [await town.school("PUT", f"{path}/{one}") for one in (granted, stranger, 999_999)]
    assert {(one.status, one.code) for one in said} == {(404, "REGISTRY_UNKNOWN")}
    assert (await town.hospital("PUT", f"{path}/{own}")).code == "AUTH_FORBIDDEN"
    assert (await town.school("PUT", f"{path}/{own}")).status == 204
    assert (await town.school.ok("GET", path))["data"] == [own]


def import_card(town: Town, folder: Path, token: str) -> None:
    """As `faregate import` does it, with 50 yuan. Blocking."""
    file = folder / "cards.csv"
    file.write_text(f"token,balance\n{token},50.00\n")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    words = ["import", str(file), "--batch", "old", "--cutover", at]
    settings = ["--config", str(folder / "metro" / "gateway.toml"), "--set=journal.segment_mib=8"]
    assert main([*words, *settings]) == 0


async def test_an_imported_card_is_reported_lost_by_its_later_owner(
    town: Town, plane: Running, tmp_path: Path
) -> None:
    token = "5a" * 16
    await asyncio.to_thread(import_card, town, tmp_path, token)
    shown = await town.city.ok("POST", "/v1/media/lookup", {"token": token})
    account = shown["account_id"]
    person_id, caller = await rider(town)
    await town.city.ok("PUT", f"/v1/persons/{person_id}/accounts/{account}")
    await asyncio.to_thread(town.project)
    path = f"/v1/accounts/{account}/media"
    (medium,) = (await caller.ok("GET", path))["data"]
    assert (medium["kind"], medium["state"]) == ("card", "active")
    assert (await caller.ok("GET", path))["data"] == [medium]  # the same id from now on
    (owned,) = (await town.city.ok("GET", f"/v1/persons/{person_id}/media"))["data"]
    assert (owned["medium_id"], owned["account_id"]) == (medium["medium_id"], account)
    gate = await plane.gate()
    assert (await gate.tap(TapKind.FLAT, bytes.fromhex(token), 11)).reason == Reason.OK
    lost = {"medium_id": medium["medium_id"], "state": "lost"}
    await caller.ok("POST", f"{path}/state", lost)
    refused = await gate.tap(TapKind.FLAT, bytes.fromhex(token), 11)
    assert refused.reason in {Reason.MEDIUM_LOST, Reason.DENYLISTED}


async def test_media_linked_before_there_was_an_owner_and_moved_away_from_another(
    town: Town,
) -> None:
    first, second = "61" * 16, "62" * 16
    early, other = await town.city.account(), await town.city.account()
    await town.city.ok("POST", f"/v1/accounts/{early}/media", {"token": first, "kind": "phone"})
    person_id, caller = await rider(town)
    stranger, _ = await rider(town, "li@example.cn")
    await town.city.ok("PUT", f"/v1/persons/{stranger}/accounts/{other}")
    await town.city.ok("POST", f"/v1/accounts/{other}/media", {"token": second})
    await town.city.ok("PUT", f"/v1/persons/{person_id}/accounts/{early}")
    client = ControlClient(town.config.control.socket)
    move = {"account_id": early, "token": bytes.fromhex(second)}
    await asyncio.to_thread(client.call, "medium_move", move)
    await asyncio.to_thread(town.project)
    found = (await caller.ok("GET", f"/v1/accounts/{early}/media"))["data"]
    assert {one["kind"] for one in found} == {"phone", "card"}
    assert (await town.city.ok("GET", f"/v1/persons/{stranger}/media"))["data"] == []
    erased = await town.city("DELETE", f"/v1/persons/{person_id}")
    assert erased.status < 300
    assert (await town.city.ok("GET", f"/v1/accounts/{early}/media"))["data"] == []


async def test_the_house_takes_an_account_from_its_owner(town: Town) -> None:
    person_id, caller = await rider(town)
    account = await town.city.account(700)
    path = f"/v1/persons/{person_id}/accounts/{account}"
    await town.city.ok("PUT", path)
    assert await caller.balance(account) == 700
    assert (await caller("DELETE", path)).code == "AUTH_SCOPE"
    assert (await town.school("DELETE", path)).code == "AUTH_FORBIDDEN"
    assert (await town.city("DELETE", path)).status == 204
    assert (await caller("GET", f"/v1/accounts/{account}")).status == 404
    assert (await town.city("DELETE", path)).code == "API_NOT_FOUND"
    other, _ = await rider(town, "li@example.cn")
    await town.city.ok("PUT", f"/v1/persons/{other}/accounts/{account}")


# --- sessions -------------------------------------------------------------------------------------


async def test_who_exists_is_not_told(town: Town) -> None:
    await rider(town)
    bodies = ({"login": LOGIN, "password": "wrong password"}, {"login": "x@y.z", "password": "p"})
    said = [await town.anybody("POST", "/v1/sessions", body, key=None) for body in bodies]
    for one in said:
        for own in ("request_id", "instance"):
            del one.body[own]
    assert said[0].status == said[1].status == 401
    assert said[0].body == said[1].body
    codes = [
        (await town.anybody("POST", "/v1/sessions", bodies[1], key=None)).status for _ in range(6)
    ]
    assert codes == [401, 401, 401, 401, 429, 429]
    limited = await town.anybody("POST", "/v1/sessions", bodies[1], key=None)
    assert 0 < int(limited.headers["Retry-After"]) <= 60


async def test_a_session_ends_by_signing_out_or_by_a_new_password(town: Town) -> None:
    _, caller = await rider(town)
    assert (await caller.ok("GET", CURRENT))["has_factor"] is False
    assert (await caller("DELETE", CURRENT)).status == 204
    assert (await caller("GET", CURRENT)).code == "AUTH_INVALID"
    _, second = await rider(town, "li@example.cn")
    body = {"old": "not it", "new": "another horse battery"}
    assert (await second("PUT", f"{CURRENT}/password", body)).code == "AUTH_PROOF"
    assert (await second("PUT", f"{CURRENT}/password", body | {"old": PASSWORD})).status == 204
    assert (await second("GET", CURRENT)).status == 401


async def test_a_medium_is_linked_behind_a_second_factor(town: Town) -> None:
    person_id, caller = await rider(town)
    account_id = await town.city.account()
    await town.city.ok("PUT", f"/v1/persons/{person_id}/accounts/{account_id}")
    path, body = f"/v1/accounts/{account_id}/media", {"token": "00112233445566778899aabbccddeeff"}
    assert (await caller("POST", path, body)).code == "AUTH_STEP_UP"
    totp = await totp_of(caller)
    code = {"code": totp.now()}
    until = await caller.ok("POST", f"{CURRENT}/step-up", code, key=None)
    assert until["until_us"] > now_us()
    assert (await caller("POST", f"{CURRENT}/step-up", code, key=None)).code == "AUTH_PROOF"
    linked = await caller("POST", path, body)
    assert linked.status == 201, linked
    (medium,) = (await caller.ok("GET", f"/v1/persons/{person_id}/media"))["data"]
    assert medium["account_id"] == account_id
    codes = await caller.ok("POST", "/v1/factors/recovery-codes", key=None)
    code = {"code": codes["codes"][0], "kind": "recovery"}
    await caller.ok("POST", f"{CURRENT}/step-up", code, key=None)


async def test_a_passkey_over_http(town: Town) -> None:
    _, caller = await rider(town)
    device = SoftAuthenticator(origin="https://localhost", rp="localhost")
    begin = "/v1/factors/passkey-challenge"
    assert (await caller("POST", begin, {}, key=None)).code == "AUTH_PROOF"  # wants the password
    options = await caller.ok("POST", begin, {"password": PASSWORD}, key=None)
    made = {"credential": device.create(options["public_key"])}
    await caller.ok("POST", "/v1/factors/passkeys", made, key=None)
    options = await caller.ok("POST", f"{CURRENT}/passkey-challenge", key=None)
    shown = {"credential": device.get(options["public_key"])}
    await caller.ok("POST", f"{CURRENT}/passkey", shown, key=None)
    assert (await caller("POST", f"{CURRENT}/passkey", shown, key=None)).code == "AUTH_PROOF"
    session = await caller.ok("GET", CURRENT)
    assert session["step_up_us"] > 0
    (factor,) = (await caller.ok("GET", "/v1/factors"))["data"]
    assert (await caller("DELETE", f"/v1/factors/{factor['factor_id']}")).status == 204
    for junk in ({}, {"id": 7}, {"response": {"clientDataJSON": "%"}}):
        said = await caller("POST", "/v1/factors/passkeys", {"credential": junk}, key=None)
        assert said.code == "AUTH_PROOF"


async def test_a_key_has_no_session(town: Town) -> None:
    assert (await town.city("GET", CURRENT)).code == "AUTH_FORBIDDEN"
    assert (await town.city("GET", "/v1/factors")).code == "AUTH_FORBIDDEN"


# --- OAuth2 ---------------------------------------------------------------------------------------


@pytest.fixture
def client(town: Town) -> tuple[str, str]:
    """Id and secret of a client of the hospital."""
    wanted = NewCredential(
        "hospital", frozenset({Scope.PAYMENTS_WRITE}), "ward 3", CredentialKind.CLIENT
    )
    made = town.access.credentials.create(SYSTEM, wanted)
    return made.credential.credential_id, made.token


async def token(town: Town, data: str, **headers: str) -> tuple[int, dict[str, object]]:
    sent = {"Content-Type": FORM} | headers
    said = await town.anybody("POST", "/v1/oauth/token", data=data.encode(), key=None, headers=sent)
    return said.status, said.body


async def test_a_client_gets_a_token_as_rfc_6749_wants_it(
    town: Town, client: tuple[str, str]
) -> None:
    name, secret = client
    grant = "grant_type=client_credentials"
    status, body = await token(town, f"{grant}&client_id={name}&client_secret={secret}")
    assert (status, body["token_type"], body["expires_in"]) == (200, "Bearer", 900)
    basic = base64.b64encode(f"{name}:{secret}".encode()).decode()
    status, body = await token(
        town, f"{grant}&scope=payments:write", Authorization=f"Basic {basic}"
    )
    assert (status, body["scope"]) == (200, "payments:write")
    caller = Caller(town, str(body["access_token"]))
    assert (await caller("GET", "/v1/approvals")).code == "AUTH_SCOPE"  # it is let in, not there


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("grant_type=client_credentials&client_id=fgc_0&client_secret=x", 401),
        ("grant_type=client_credentials", 401),
        ("grant_type=password&client_id=a&client_secret=b", 422),
        ("grant_type=client_credentials&grant_type=client_credentials", 400),
        ("%%%", 400),
        ("", 422),
    ],
)
async def test_a_wrong_token_request_is_refused(town: Town, data: str, status: int) -> None:
    assert (await token(town, data))[0] == status
    for header in ("Basic ???", "Basic YQ==", "Bearer x", "Basic YTpi"):
        answer = await token(town, "grant_type=client_credentials", Authorization=header)
        assert answer[0] == 401


# --- approvals ------------------------------------------------------------------------------------


async def test_four_eyes_over_http(town: Town) -> None:
    account_id = await town.city.account(500)
    path, body = f"/v1/accounts/{account_id}/adjustments", {"amount_minor": -100, "note": "wrong"}

    async def adjust() -> Said:
        etag = (await town.city("GET", f"/v1/accounts/{account_id}")).headers["ETag"]
        return await town.city("POST", path, body, headers={"If-Match": etag})

    said = await adjust()
    assert (said.status, said.code) == (409, "APPROVAL_NEEDED")
    number = f"/v1/approvals/{said.body['approval_id']}"
    (waiting,) = (await town.city.ok("GET", "/v1/approvals"))["data"]
    assert waiting["approval_id"] == said.body["approval_id"]
    assert (await town.city("POST", f"{number}/approve", {})).code == "AUTH_SAME_EYES"
    other = town.access.credentials.create(
        SYSTEM, NewCredential("city", frozenset(Scope), "somebody else")
    )
    colleague = Caller(town, other.token)
    key = town.fresh_key()
    for _ in range(2):
        decided = await colleague("POST", f"{number}/approve", {"why": "seen"}, key=key)
        assert (decided.status, decided.body["state"]) == (200, "approved")
    assert (await adjust()).status == 201
    assert await town.city.balance(account_id) == 400
    assert (await adjust()).code == "APPROVAL_NEEDED"
    assert (await colleague("POST", f"{number}/reject", {})).code == "APPROVAL_CLOSED"
    assert (await colleague.ok("GET", number))["state"] == "executed"
    ward = town.caller(TenantKind.HOSPITAL)
    assert (await ward("GET", "/v1/approvals")).code == "AUTH_SCOPE"
    assert (await town.city("GET", "/v1/approvals/apr_none")).status == 404


# --- keys, tenants, merchants ---------------------------------------------------------------------


async def test_a_key_makes_keys_but_no_stronger_ones(town: Town) -> None:
    body = {"scopes": ["payments:write", "accounts:read"], "owner": "ward 3"}
    key = town.fresh_key()
    made = await town.hospital("POST", "/v1/keys", body, key=key)
    assert (made.status, made.body["key"]["tenant_id"]) == (201, "hospital")
    again = await town.hospital("POST", "/v1/keys", body, key=key)
    assert (again.status, again.code) == (409, "API_KEY_SPENT")  # its secret is told once
    ward = Caller(town, made.body["secret"])
    assert (await ward("POST", "/v1/keys", body)).code == "AUTH_SCOPE"
    for wrong in ({"scopes": ["audit:read"]}, {"tenant_id": "school"}):
        assert (await town.hospital("POST", "/v1/keys", body | wrong)).status == 403
    assert (await town.hospital("POST", "/v1/keys", body | {"scopes": ["all"]})).status == 422
    listed = (await town.hospital.ok("GET", "/v1/keys"))["data"]
    assert {one["tenant_id"] for one in listed} == {"hospital"}
    path = f"/v1/keys/{made.body['key']['credential_id']}"
    assert (await town.school("DELETE", path)).code == "AUTH_FORBIDDEN"
    assert (await town.hospital.ok("DELETE", path))["revoked_us"] > 0
    assert (await town.hospital("DELETE", "/v1/keys/fgk_none")).status == 404


async def test_the_house_enters_tenants_and_merchants(town: Town) -> None:
    body = {"tenant_id": "union", "kind": "hospital", "name": "Union"}
    made = await town.city.ok("POST", "/v1/tenants", body)
    assert await town.city.ok("POST", "/v1/tenants", body) == made
    other = await town.city("POST", "/v1/tenants", body | {"kind": "school"})
    assert other.code == "REGISTRY_TAKEN"
    assert (await town.school("POST", "/v1/tenants", body)).code == "AUTH_SCOPE"
    assert made in (await town.city.ok("GET", "/v1/tenants"))["data"]
    till = {"tenant_id": "union", "merchant_id": 77, "name": "pharmacy"}
    assert (await town.city.ok("POST", "/v1/merchants", till))["state"] == "active"
    assert [one["name"] for one in (await town.school.ok("GET", "/v1/merchants"))["data"]] == [
        "canteen"
    ]
    assert (await town.city.ok("DELETE", "/v1/merchants/77"))["state"] == "closed"
    assert (await town.city("DELETE", "/v1/merchants/78")).status == 404
