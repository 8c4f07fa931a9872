"""A fare that was charged wrongly goes back: by two, once, to where it came from."""

from __future__ import annotations

import asyncio

from fastpath.types import Op, Reason, TapKind
from gateway.clock import now_us
from gateway.delivery.clearing.source import LedgerSource
from gateway.ledger.history import History
from gateway.registry.actors import Actor
from tests.http.town import Town
from tests.ledger import books
from tests.support.plane import Running

NOTE = {"note": "the gate was broken"}


async def test_a_fare_is_given_back_once_behind_four_eyes(town: Town, plane: Running) -> None:
    account, token = await plane.rider(1000)
    gate = await plane.gate()
    event = gate.event(TapKind.FLAT, token, 11)
    fare = (await gate.session.tap(event)).fare_minor
    path = f"/v1/taps/1-{gate.boot}-{event.seq}/reversal"
    early = await town.city("POST", path, NOTE)
    assert early.code == "unknown_charge"
    await asyncio.to_thread(town.project)
    key = town.fresh_key()
    assert (await town.city("POST", path, NOTE, key=key)).code == "APPROVAL_NEEDED"
    made = await town.agreed(path, NOTE)
    assert (made.status, made.body["amount_minor"], made.body["account_id"]) == (201, fare, account)
    assert await town.city.balance(account) == 1000
    again = await town.agreed(path, NOTE)
    assert (again.status, again.code) == (409, "over_refund")
    assert (await gate.not_passed(event)).reason == Reason.NOTHING_TO_REVERSE
    assert await town.city.balance(account) == 1000
    await asyncio.to_thread(town.project)
    rows = History(town.ledger).list_account(account)
    refund = next(one for one in rows if one.op == Op.REFUND and one.amount_minor)
    assert books.postings_of(town.ledger, refund.seq) == [("operator:1", "stored", fare)]
    cleared = [row for _, row in LedgerSource(town.ledger).list_fares(0, now_us(), 10)]
    assert [(one.fare_minor, one.tap_kind) for one in cleared] == [
        (fare, "flat"),
        (-fare, "refund"),
    ]
    assert (cleared[1].token, cleared[1].device) == (token.hex(), 1)


async def test_the_same_key_is_the_same_reversal(town: Town, plane: Running) -> None:
    _, token = await plane.rider(1000)
    gate = await plane.gate()
    event = gate.event(TapKind.FLAT, token, 11)
    await gate.session.tap(event)
    await asyncio.to_thread(town.project)
    path, key = f"/v1/taps/1-{gate.boot}-{event.seq}/reversal", town.fresh_key()
    asked = await town.city("POST", path, NOTE, key=key)
    approve = town.access.approvals.approve
    await asyncio.to_thread(approve, Actor.system("somebody-else"), asked.body["approval_id"])
    first = await town.city("POST", path, NOTE, key=key)
    second = await town.city("POST", path, NOTE, key=key)
    assert (first.status, first.body) == (201, second.body)
    assert second.headers["Idempotent-Replayed"] == "true"


async def test_only_the_house_and_only_what_took_a_fare(town: Town, plane: Running) -> None:
    _, token = await plane.rider(1000)
    gate = await plane.gate()
    event = gate.event(TapKind.FLAT, token, 11)
    await gate.session.tap(event)
    await gate.not_passed(event)
    await asyncio.to_thread(town.project)
    path = f"/v1/taps/1-{gate.boot}-{event.seq}/reversal"
    assert (await town.school("POST", path, NOTE)).status == 403
    undone = await town.agreed(path, NOTE)
    assert (undone.status, undone.code) == (404, "unknown_charge")
    assert (await town.city("POST", "/v1/taps/9-9-9/reversal", NOTE)).code == "unknown_charge"
