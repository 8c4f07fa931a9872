"""Media: linked, reported lost by token or by id, replaced; a lost one is refused at the gate."""

from __future__ import annotations

import asyncio

import pytest

from fastpath.types import Reason, TapKind
from gateway.control.client import ControlClient
from gateway.errors import DatabaseError
from gateway.link import frames
from gateway.registry.actors import Actor
from gateway.wallet.media import Media
from tests.engine.test_live_changes import listener
from tests.http.town import Town
from tests.support.plane import Running

TOKEN, OTHER = "11" * 16, "22" * 16


async def test_a_lost_report_stops_the_next_tap(town: Town, plane: Running) -> None:
    account = await town.city.account(5000)
    path = f"/v1/accounts/{account}/media"
    await town.city.ok("POST", path, {"token": TOKEN})
    gate = await plane.gate()
    assert (await gate.tap(TapKind.CHECK_IN, bytes.fromhex(TOKEN), 11)).reason == Reason.OK
    await town.city.ok("POST", f"{path}/state", {"token": TOKEN, "state": "lost"})
    answer = await gate.tap(TapKind.CHECK_IN, bytes.fromhex(TOKEN), 11)
    assert answer.reason in {Reason.MEDIUM_LOST, Reason.DENYLISTED}


async def test_a_lost_report_over_http_is_in_the_next_delta(town: Town, plane: Running) -> None:
    """Validators that keep lists refuse it offline, too; found again, it leaves them."""
    account = await town.city.account(5000)
    path = f"/v1/accounts/{account}/media"
    for token in (OTHER, TOKEN):
        await town.city.ok("POST", path, {"token": token})
    pushed, _ = await listener(plane, 1)
    await town.city.ok("POST", f"{path}/state", {"token": OTHER, "state": "lost"})
    await asyncio.wait_for(pushed.get(), 20)  # the first list there is
    await town.city.ok("POST", f"{path}/state", {"token": TOKEN, "state": "lost"})
    delta = await asyncio.wait_for(pushed.get(), 20)
    assert isinstance(delta, frames.DenylistDelta)
    assert (delta.full, delta.added, delta.removed) == (False, (bytes.fromhex(TOKEN),), ())
    await town.city.ok("POST", f"{path}/state", {"token": TOKEN, "state": "active"})
    delta = await asyncio.wait_for(pushed.get(), 20)
    assert isinstance(delta, frames.DenylistDelta)
    assert (delta.added, delta.removed) == ((), (bytes.fromhex(TOKEN),))


async def test_media_of_an_owner_are_named_by_id_and_never_show_their_token(town: Town) -> None:
    system = Actor.system("test")
    person = await asyncio.to_thread(town.access.persons.add, system, {})
    account = await town.city.account(100)
    await asyncio.to_thread(town.access.links.link_account, system, person.person_id, account)
    path = f"/v1/accounts/{account}/media"
    await town.city.ok("POST", path, {"token": TOKEN, "label": "blue card"}, key="m")
    await town.city.ok("POST", path, {"token": TOKEN, "label": "blue card"}, key="m")
    (medium,) = (await town.city.ok("GET", path))["data"]
    assert (medium["label"], medium["state"]) == ("blue card", "active")
    assert TOKEN not in str(medium)
    lost = {"medium_id": medium["medium_id"], "state": "lost"}
    await town.city.ok("POST", f"{path}/state", lost)
    swap = {"old_medium_id": medium["medium_id"], "token": OTHER}
    await town.city.ok("POST", f"{path}/replacements", swap, key="r")
    again = await town.city("POST", f"{path}/replacements", swap, key="r")
    assert again.headers["Idempotent-Replayed"] == "true"
    states = {one["state"] for one in (await town.city.ok("GET", path))["data"]}
    assert states == {"replaced", "active"}


async def test_media_are_listed_and_reported_lost_while_the_ledger_is_away(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = Actor.system("test")
    person = await asyncio.to_thread(town.access.persons.add, system, {})
    account = await town.city.account()
    await asyncio.to_thread(town.access.links.link_account, system, person.person_id, account)
    path = f"/v1/accounts/{account}/media"
    await town.city.ok("POST", path, {"token": TOKEN})

    class Away:
        def list_media(self, account_id: int) -> list[bytes]:
            raise DatabaseError("DATABASE_ERROR", "no connection")

    monkeypatch.setattr(town.api.services.get(Media), "_linked", Away())
    (medium,) = (await town.city.ok("GET", path))["data"]
    lost = {"medium_id": medium["medium_id"], "state": "lost"}
    await town.city.ok("POST", f"{path}/state", lost)


async def test_a_block_of_the_house_is_lifted_by_the_house_alone(town: Town) -> None:
    account = await town.city.account(tenant_id="school")
    path = f"/v1/accounts/{account}/media"
    await town.school.ok("POST", path, {"token": TOKEN})
    for own in ("lost", "active"):
        await town.school.ok("POST", f"{path}/state", {"token": TOKEN, "state": own})
    for word in ("denylisted", "expired"):
        said = await town.school("POST", f"{path}/state", {"token": TOKEN, "state": word})
        assert (said.status, said.code) == (403, "AUTH_FORBIDDEN")
    lost = await town.school.ok("POST", f"{path}/state", {"token": TOKEN, "state": "lost"}, key="l")
    await town.city.ok("POST", f"{path}/state", {"token": TOKEN, "state": "denylisted"})
    for own in ("active", "lost", "replaced"):
        said = await town.school("POST", f"{path}/state", {"token": TOKEN, "state": own})
        assert (said.status, said.code) == (403, "AUTH_FORBIDDEN")
    again = await town.school.ok(
        "POST", f"{path}/state", {"token": TOKEN, "state": "lost"}, key="l"
    )
    assert again == lost
    await town.city.ok("POST", f"{path}/state", {"token": TOKEN, "state": "active"})


async def test_a_medium_that_moved_is_its_new_account_s_by_its_id(town: Town) -> None:
    system = Actor.system("test")
    person = await asyncio.to_thread(town.access.persons.add, system, {})
    old, new = await town.city.account(), await town.city.account()
    for account in (old, new):
        await asyncio.to_thread(town.access.links.link_account, system, person.person_id, account)
    for token in (TOKEN, OTHER):
        await town.city.ok("POST", f"/v1/accounts/{old}/media", {"token": token})
    client = ControlClient(town.config.control.socket)
    move = {"account_id": new, "token": bytes.fromhex(TOKEN)}
    await asyncio.to_thread(client.call, "medium_move", move)
    (moved,) = (await town.city.ok("GET", f"/v1/accounts/{new}/media"))["data"]
    (stayed,) = (await town.city.ok("GET", f"/v1/accounts/{old}/media"))["data"]
    shown = (await town.city.ok("GET", f"/v1/persons/{person.person_id}/media"))["data"]
    accounts = {one["medium_id"]: one["account_id"] for one in shown}
    assert accounts == {moved["medium_id"]: new, stayed["medium_id"]: old}
    lost = {"medium_id": moved["medium_id"], "state": "lost"}
    said = await town.city("POST", f"/v1/accounts/{old}/media/state", lost)
    assert (said.status, said.code) == (404, "unknown_medium")
    await town.city.ok("POST", f"/v1/accounts/{new}/media/state", lost)
    shown = await asyncio.to_thread(client.call, "medium_show", {"token": bytes.fromhex(TOKEN)})
    assert shown["state"] == "lost"


async def test_a_medium_of_another_account_is_unknown(town: Town) -> None:
    mine, theirs = await town.city.account(), await town.city.account()
    await town.city.ok("POST", f"/v1/accounts/{theirs}/media", {"token": TOKEN})
    report = {"token": TOKEN, "state": "lost"}
    said = await town.city("POST", f"/v1/accounts/{mine}/media/state", report)
    assert (said.status, said.code) == (404, "unknown_medium")
    said = await town.city("POST", f"/v1/accounts/{mine}/media", {"token": TOKEN})
    assert (said.status, said.code) == (409, "already_exists")
    for odd in ({"state": "lost"}, report | {"medium_id": "med_1"}):
        said = await town.city("POST", f"/v1/accounts/{mine}/media/state", odd)
        assert (said.status, said.code) == (422, "API_INVALID")


async def test_a_replacement_that_is_taken_leaves_the_old_one(town: Town) -> None:
    mine, theirs = await town.city.account(), await town.city.account()
    await town.city.ok("POST", f"/v1/accounts/{mine}/media", {"token": TOKEN})
    await town.city.ok("POST", f"/v1/accounts/{theirs}/media", {"token": OTHER})
    swap = {"old_token": TOKEN, "token": OTHER}
    said = await town.city("POST", f"/v1/accounts/{mine}/media/replacements", swap)
    assert (said.status, said.code) == (409, "already_exists")
    client = ControlClient(town.config.control.socket)
    shown = await asyncio.to_thread(client.call, "medium_show", {"token": bytes.fromhex(TOKEN)})
    assert shown["state"] == "active"
