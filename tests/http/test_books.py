"""Breaks, the audit and commands to peers over HTTP: who may see them, and what is done once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update

from gateway.clock import now_us
from gateway.ledger.auditing import read_signing_key
from gateway.ledger.checkpoints import make_checkpoint
from gateway.registry.audit import AUDIT_EVENTS, AuditRow, check_trail
from gateway.registry.scopes import TenantKind
from gateway.wallet.breaks import Breaks
from gateway.wallet.peer_commands import PeerCommands
from tests.http.things import bury, keep_break
from tests.http.town import SYSTEM, Town

DAY_US = 86_400_000_000
BREAKS = "/v1/reconciliation/breaks"


async def test_breaks_are_listed_with_type_and_age(town: Town) -> None:
    code = f"merchant:{town.merchant.merchant_id}"
    old = now_us() - 9 * DAY_US
    first = await asyncio.to_thread(keep_break, town, code, "501-1-2", old)
    await asyncio.to_thread(keep_break, town, "operator:1", "501-1-9", now_us())
    one = await town.city.ok("GET", f"{BREAKS}/{first}")
    assert (one["type"], one["age_days"], one["bucket"]) == ("amount_differs", 9, "8-30 days")
    assert (one["here_minor"], one["there_minor"], one["account_id"]) == (300, 350, 7)
    listed = await town.city.ok("GET", f"{BREAKS}?limit=1")
    assert (listed["data"], listed["has_more"]) == ([one], True)
    rest = await town.city.ok("GET", f"{BREAKS}?limit=1&starting_after={listed['next_cursor']}")
    assert [row["ledger_account"] for row in rest["data"]] == ["operator:1"]
    of_one = await town.city.ok("GET", f"{BREAKS}?ledger_account=operator:1&state=open")
    assert of_one["data"] == rest["data"]
    ages = await town.city.ok("GET", "/v1/reconciliation/ageing")
    counts = {row["bucket"]: (row["count"], row["difference_minor"]) for row in ages["data"]}
    assert counts["8-30 days"] == counts["0-1 days"] == (1, 50)
    assert counts["over 30 days"] == (0, 0)


async def test_a_tenant_sees_its_own_breaks_and_no_rider(town: Town) -> None:
    code = f"merchant:{town.merchant.merchant_id}"
    number = await asyncio.to_thread(keep_break, town, code)
    explain = f"{BREAKS}/{number}/explanations"
    await town.city.ok("POST", explain, {"note": "a clerk's error"})
    mine = await town.school.ok("GET", f"{BREAKS}/{number}")
    assert (mine["state"], mine["account_id"], mine["note"]) == ("explained", 0, "")
    assert mine["explained_by"] == ""
    assert len((await town.school.ok("GET", BREAKS))["data"]) == 1
    assert (await town.hospital.ok("GET", BREAKS))["data"] == []
    ages = await town.hospital.ok("GET", f"/v1/reconciliation/ageing?ledger_account={code}")
    assert {row["count"] for row in ages["data"]} == {0}
    theirs = await town.hospital("GET", f"{BREAKS}/{number}")
    nowhere = await town.hospital("GET", f"{BREAKS}/{number + 99}")
    assert theirs.status == nowhere.status == 404
    told = theirs.body["detail"].replace(str(number), "N")
    assert told == nowhere.body["detail"].replace(str(number + 99), "N")
    assert (await town.school("POST", explain, {"note": "no"})).code == "AUTH_SCOPE"


async def test_a_break_is_explained_once_with_who(town: Town) -> None:
    number = await asyncio.to_thread(keep_break, town, "operator:1")
    path = f"{BREAKS}/{number}/explanations"
    body = {"note": "paid twice, given back", "close": True}
    said = await town.city("POST", path, body, key="once")
    assert (said.body["state"], said.body["note"]) == ("closed", body["note"])
    assert said.body["explained_by"].startswith("key:")
    again = await town.city("POST", path, body, key="once")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (said.body, "true")
    assert len(await events(town, f"break:{number}")) == 1
    blank = await town.city("POST", path, {"note": " \u3000"})
    assert (blank.status, blank.body["faults"][0]["pointer"]) == (422, "/note")
    assert (await town.city("POST", f"{BREAKS}/999/explanations", body)).code == "LEDGER_BREAK"


async def events(town: Town, subject: str = "") -> list[dict[str, Any]]:
    """All there are, over HTTP, the newest first."""
    path = "/v1/audit/events?limit=3" + (f"&subject={subject}" if subject else "")
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = await town.city.ok("GET", path + (f"&starting_after={cursor}" if cursor else ""))
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def row_of(event: dict[str, Any]) -> AuditRow:
    """An event that was read, as it is stored: whoever reads the trail can follow its hashes."""
    facts = json.dumps(event["facts"], ensure_ascii=False, sort_keys=True)
    hashes = {name: bytes.fromhex(event[name]) for name in ("previous_hash", "hash")}
    return AuditRow(**event | hashes | {"facts": facts})


async def test_the_trail_is_read_and_can_be_followed(town: Town) -> None:
    await asyncio.to_thread(town.caller, TenantKind.HOSPITAL)
    refused = await town.city("POST", "/v1/tenants", {"tenant_id": "school", "kind": "hospital"})
    assert refused.status == 409
    found = await events(town)
    assert [one["seq"] for one in found] == list(range(len(found), 0, -1))
    assert list(check_trail(map(row_of, reversed(found)))) == []
    (school,) = await events(town, "tenant:school")
    assert (school["action"], school["outcome"]) == ("tenant.add", "done")
    newest = await town.city.ok("GET", "/v1/audit/events?limit=1")
    await town.city.ok("POST", "/v1/tenants", {"tenant_id": "one-more", "kind": "school"})
    since = f"/v1/audit/events?ending_before={newest['previous_cursor']}"
    (added,) = (await town.city.ok("GET", since))["data"]
    assert added["subject"] == "tenant:one-more"


def sign(town: Town) -> Ed25519PrivateKey:
    """A checkpoint, as the worker signs one a day. Blocking."""
    key = read_signing_key(town.config.security.signing_key_file)
    make_checkpoint(town.ledger, town.access.database, key, now_us(), "system:worker")
    return key


async def test_checkpoints_can_be_verified_by_who_has_the_public_key(town: Town) -> None:
    await town.city.account(5)
    await asyncio.to_thread(town.project)
    await asyncio.to_thread(sign, town)
    key = await asyncio.to_thread(sign, town)
    second, first = (await town.city.ok("GET", "/v1/audit/checkpoints"))["data"]
    for one in (first, second):
        body = one["body"].encode()
        key.public_key().verify(bytes.fromhex(one["signature"]), body)
        assert hashlib.sha256(body).hexdigest() == one["sha256"]
    assert json.loads(second["body"])["previous"] == first["sha256"]
    page = await town.city.ok("GET", "/v1/audit/checkpoints?limit=1")
    assert (page["data"], page["has_more"]) == ([second], True)


async def test_the_state_says_what_is_signed_and_what_does_not_follow_it(town: Town) -> None:
    state = await town.city.ok("GET", "/v1/audit/state")
    assert (state["checkpoint"], state["is_sound"]) == (0, True)
    await town.city.account(5)
    await asyncio.to_thread(town.project)
    await asyncio.to_thread(sign, town)
    await town.city.ok("POST", "/v1/tenants", {"tenant_id": "one-more", "kind": "school"})
    state = await town.city.ok("GET", "/v1/audit/state")
    assert (state["checkpoint"], state["is_sound"], state["findings"]) == (1, True, [])
    assert state["events"] == state["checked_event"] == state["signed_event"] + 1
    assert state["records"] == state["signed_record"] > 0

    def change(seq: int, **values: object) -> None:
        with town.access.database.transaction() as connection:
            connection.execute(update(AUDIT_EVENTS).where(AUDIT_EVENTS.c.seq == seq).values(values))

    await asyncio.to_thread(change, state["events"], actor="nobody")
    broken = await town.city.ok("GET", "/v1/audit/state")
    assert (broken["is_sound"], len(broken["findings"])) == (False, 1)
    await asyncio.to_thread(change, state["signed_event"], hash=bytes(32))
    broken = await town.city.ok("GET", "/v1/audit/state")
    assert "another trail leads to event" in broken["findings"][0]


async def test_dead_letters_are_listed_and_taken_up_again_once(town: Town) -> None:
    for key in ("refund:1", "refund:2"):
        await asyncio.to_thread(bury, town, key)
    path = "/v1/peer-commands"
    dead = await town.city.ok("GET", f"{path}?state=dead&limit=1")
    assert ([one["key"] for one in dead["data"]], dead["has_more"]) == (["refund:1"], True)
    assert dead["data"][0]["last_error"] == "Timeout: nothing came"
    assert (await town.city.ok("GET", f"{path}?adapter=clinic"))["data"] == []
    said = await town.city("POST", f"{path}/refund:1/replay", key="r")
    assert (said.status, said.body["state"]) == (200, "uncertain")
    again = await town.city("POST", f"{path}/refund:1/replay", key="r")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (said.body, "true")
    other = await town.city("POST", f"{path}/refund:1/replay")
    assert (other.status, other.code) == (409, "DELIVERY_NOT_DEAD")
    (told,) = await events(town, "command:refund:1")
    assert told["action"] == "outbox.replay"
    assert (await town.city.ok("GET", f"{path}/refund:1"))["state"] == "uncertain"
    assert (await town.city("GET", f"{path}/refund:9")).code == "DELIVERY_NOT_FOUND"
    left = await town.city.ok("GET", f"{path}?state=dead")
    assert [one["key"] for one in left["data"]] == ["refund:2"]


async def test_what_was_done_and_not_answered_is_not_done_again(town: Town) -> None:
    """A process that dies behind the change leaves a key that comes again: the second time the
    service is asked under the same operation.
    """
    await asyncio.to_thread(bury, town, "refund:1")
    peers, breaks = town.api.services.get(PeerCommands), town.api.services.get(Breaks)
    first = await peers.replay(SYSTEM, b"\1" * 16, "refund:1")
    assert await peers.replay(SYSTEM, b"\1" * 16, "refund:1") == first
    assert len(await events(town, "command:refund:1")) == 1
    number = await asyncio.to_thread(keep_break, town, "operator:1")
    await breaks.explain(SYSTEM, b"\2" * 16, number, "their clock", close=False)
    closed = await breaks.explain(SYSTEM, b"\3" * 16, number, "settled", close=True)
    assert await breaks.explain(SYSTEM, b"\2" * 16, number, "their clock", close=False) == closed
    assert len(await events(town, f"break:{number}")) == 2


async def test_audit_and_delivery_are_the_house_s(town: Town) -> None:
    for caller in (town.school, town.hospital, town.caller(TenantKind.OPERATOR)):
        for path in ("audit/events", "audit/checkpoints", "audit/state", "peer-commands"):
            said = await caller("GET", f"/v1/{path}")
            assert (said.status, said.code) == (403, "AUTH_SCOPE"), path
