"""A fare that was charged wrongly goes back: by two, once, to where it came from."""

from __future__ import annotations

import asyncio

from fastpath.types import Op, Reason, TapFlag, TapKind
from gateway.clock import now_us
from gateway.control.client import ControlClient
from gateway.delivery.clearing.source import LedgerSource
from gateway.journals import open_reader
from gateway.ledger.history import History
from gateway.registry.actors import Actor
from gateway.rerating.books import Books
from gateway.rerating.history import JournalHistory
from gateway.rerating.service import Rerater
from tests.http.town import Town
from tests.ledger import books
from tests.support.plane import Running
from tests.support.tariff import small_tariff

HOUR_US = 3_600_000_000
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


def rerate(town: Town, account: int) -> int:
    """Price an account's taps again; what it is charged, below 0: given back. Blocking."""
    rerater = Rerater(
        ControlClient(town.config.control.socket, client="worker"),
        JournalHistory(lambda: open_reader(town.config)),
        lambda: Books([(1, small_tariff())]),
        cells_max=town.config.engine_limits().cells_per_account_max,
    )
    result = rerater.run(account)
    return result.plan.amount_minor


async def test_a_fare_that_was_priced_again_is_not_given_back_whole(
    town: Town, plane: Running
) -> None:
    account, token = await plane.rider(5000)
    gate, at_us = await plane.gate(), now_us() - HOUR_US
    flags = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
    leave = gate.event(TapKind.CHECK_OUT, token, 12, device_ts_us=at_us + HOUR_US // 3, flags=flags)
    charged = (await gate.session.tap(leave)).fare_minor
    await gate.tap(TapKind.CHECK_IN, token, 11, device_ts_us=at_us, flags=flags)
    given_back = -await asyncio.to_thread(rerate, town, account)
    assert 0 < given_back < charged
    later = gate.event(TapKind.FLAT, token, 11)
    flat_minor = (await gate.session.tap(later)).fare_minor
    await asyncio.to_thread(town.project)
    left_minor = await town.city.balance(account)
    refused = await town.city("POST", f"/v1/taps/1-{gate.boot}-{leave.seq}/reversal", NOTE)
    assert (refused.status, refused.code) == (409, "RERATE_FARE_CHANGED")
    assert await town.city.balance(account) == left_minor
    made = await town.agreed(f"/v1/taps/1-{gate.boot}-{later.seq}/reversal", NOTE)
    assert (made.status, made.body["amount_minor"]) == (201, flat_minor), "charged since then"
