"""The inbox: stored once, applied once and in order, doubts kept for a human."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from adapters.contract import AckResult, Event
from adapters.errors import Malformed, Poison
from gateway.db import Database
from gateway.delivery.inbox import PARK_US, Inbox, Stored, Verdict
from gateway.delivery.tables import CURSORS
from gateway.errors import DeliveryError

NOW = 1_700_000_000_000_000


def event(message_id: str, *, aggregate: str = "a", version: int = 1, **payload: object) -> Event:
    return Event(message_id, "credit", "subject", NOW, aggregate, version, payload)


class Ordered:
    """Applies versions 1, 2, 3 ... of each aggregate, in a table of the same database."""

    def __init__(self) -> None:
        self.performed: list[str] = []
        self.recorded: list[tuple[str, int]] = []
        self.next: dict[str, int] = {}
        self.fail: Callable[[], None] = lambda: None

    def perform(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
        self.fail()
        self.performed.append(event.message_id)
        if event.version != self.next.get(event.aggregate, 1):
            return Verdict(Stored.PARKED, "the one before it is missing")
        if event.payload.get("doubt") and not decision:
            return Verdict(Stored.HELD, "whose is it")
        return Verdict(result={"decision": decision})

    def record(self, connection: Connection, event: Event, verdict: Verdict) -> None:
        row = {
            "adapter": event.aggregate,
            "kind": str(event.version),
            "cursor": "",
            "changed_us": 0,
        }
        connection.execute(insert(CURSORS).values(**row))
        self.next[event.aggregate] = event.version + 1
        self.recorded.append((event.aggregate, event.version))


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


@pytest.fixture
def handler() -> Ordered:
    return Ordered()


def test_the_same_message_is_stored_once(inbox: Inbox, handler: Ordered) -> None:
    for _ in range(3):
        assert inbox.take("bank", event("m1"), NOW) is AckResult.ACCEPTED
    assert inbox.apply("bank", handler, NOW) == 1
    assert inbox.take("bank", event("m1"), NOW) is AckResult.ACCEPTED
    assert inbox.apply("bank", handler, NOW) == 0
    assert handler.recorded == [("a", 1)]


def test_the_same_id_with_another_content_is_never_applied(inbox: Inbox, handler: Ordered) -> None:
    inbox.take("bank", event("m1", amount=5), NOW)
    for _ in range(2):
        assert inbox.take("bank", event("m1", amount=6), NOW) is AckResult.REFUSED
    assert inbox.apply("bank", handler, NOW) == 1
    assert inbox.count("bank") == {"applied": 1, "conflict": 1}
    (kept,) = inbox.list_events("bank", Stored.CONFLICT)
    assert kept["message_id"].startswith("m1#")
    assert inbox.take("bank", event("m1", amount=5), NOW) is AckResult.ACCEPTED


def test_another_source_may_use_the_same_id(inbox: Inbox) -> None:
    inbox.take("bank", event("m1", amount=5), NOW)
    assert inbox.take("clinic", event("m1", amount=6), NOW) is AckResult.ACCEPTED


def test_long_ids_are_kept_apart(inbox: Inbox) -> None:
    for end in ("x", "y"):
        assert inbox.take("bank", event("m" * 300 + end), NOW) is AckResult.ACCEPTED
    assert inbox.count("bank") == {"stored": 2}


def test_many_take_the_same_message_at_once(inbox: Inbox) -> None:
    barrier = threading.Barrier(6)

    def one(_: int) -> AckResult:
        barrier.wait()
        return inbox.take("bank", event("m1"), NOW)

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(one, range(6))) == {AckResult.ACCEPTED}
    assert inbox.count("bank") == {"stored": 1}


def test_out_of_order_they_wait_for_each_other(inbox: Inbox, handler: Ordered) -> None:
    inbox.take("bank", event("m3", version=3), NOW)
    inbox.take("bank", event("m2", version=2), NOW)
    inbox.take("bank", event("b1", aggregate="b"), NOW)
    assert inbox.apply("bank", handler, NOW) == 1
    assert inbox.count("bank") == {"applied": 1, "parked": 2}
    inbox.take("bank", event("m1", version=1), NOW)
    assert inbox.apply("bank", handler, NOW) == 3
    assert handler.recorded == [("b", 1), ("a", 1), ("a", 2), ("a", 3)]


def test_many_that_wait_do_not_hold_up_the_others(inbox: Inbox, handler: Ordered) -> None:
    for number in range(150):
        inbox.take("bank", event(f"early{number}", aggregate=f"a{number}", version=9), NOW)
    inbox.take("bank", event("z1", aggregate="z"), NOW)
    assert inbox.apply("bank", handler, NOW) == 1


def test_what_waits_too_long_is_over_until_a_human_looks(inbox: Inbox, handler: Ordered) -> None:
    inbox.take("bank", event("m2", version=2), NOW)
    inbox.apply("bank", handler, NOW + PARK_US)
    assert inbox.count("bank") == {"parked": 1}
    inbox.apply("bank", handler, NOW + PARK_US + 1)
    assert inbox.count("bank") == {"expired": 1}
    inbox.take("bank", event("m1", version=1), NOW)
    inbox.apply("bank", handler, NOW + PARK_US + 2)
    inbox.decide("bank", "m2", {}, NOW + PARK_US + 3)
    assert inbox.apply("bank", handler, NOW + PARK_US + 4) == 1


def test_a_doubt_is_held_until_somebody_decides(inbox: Inbox, handler: Ordered) -> None:
    inbox.take("bank", event("m1", doubt=True), NOW)
    assert inbox.apply("bank", handler, NOW) == 0
    assert inbox.apply("bank", handler, NOW) == 0
    assert handler.performed == ["m1"], "it is not tried again and again"
    (held,) = inbox.list_events("bank", Stored.HELD)
    assert (held["message_id"], held["reason"]) == ("m1", "whose is it")
    told: list[object] = []

    def note(_connection: object, *said: object) -> None:
        told.append(said)

    inbox.decide("bank", "m1", {"account_id": 7}, NOW, note)
    assert told == [("inbox.decide", "event:bank:m1", {"account_id": 7})]
    assert inbox.apply("bank", handler, NOW) == 1
    with pytest.raises(DeliveryError) as refused:
        inbox.decide("bank", "m1", {"account_id": 8}, NOW)
    assert refused.value.code == "DELIVERY_NOT_HELD"


@pytest.mark.parametrize("error", [Poison("no such plan"), Malformed("bad amount")])
def test_an_event_nobody_can_apply_is_held(inbox: Inbox, error: Exception) -> None:
    class Refusing(Ordered):
        def perform(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
            if event.message_id == "m1":
                raise error
            return super().perform(event, decision)

    inbox.take("bank", event("m1"), NOW)
    inbox.take("bank", event("b1", aggregate="b"), NOW)
    assert inbox.apply("bank", Refusing(), NOW) == 1
    assert inbox.list_events("bank", Stored.HELD)[0]["reason"] == f"{type(error).__name__}: {error}"


def test_a_crash_before_the_mark_performs_again_and_records_once(
    inbox: Inbox, handler: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.take("bank", event("m1"), NOW)
    with monkeypatch.context() as patched:

        def crash(*_: object) -> None:
            raise ZeroDivisionError

        patched.setattr(handler, "record", crash)
        with pytest.raises(ZeroDivisionError):
            inbox.apply("bank", handler, NOW)
    assert inbox.count("bank") == {"stored": 1}
    assert inbox.apply("bank", handler, NOW) == 1
    assert handler.performed == ["m1", "m1"]
    assert handler.recorded == [("a", 1)]


def test_what_ends_the_round_leaves_the_event_as_it_was(inbox: Inbox, handler: Ordered) -> None:
    def unreachable() -> None:
        raise DeliveryError(detail="the gateway is down")

    inbox.take("bank", event("m1"), NOW)
    handler.fail = unreachable
    with pytest.raises(DeliveryError):
        inbox.apply("bank", handler, NOW)
    handler.fail = lambda: None
    assert inbox.apply("bank", handler, NOW) == 1
