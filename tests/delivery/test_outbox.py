"""The outbox: one row a key, order in an aggregate, claims that end, no last word lost."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.contract import Capability, Command, Leg, Money, Outcome, Status
from adapters.errors import Refusal
from gateway.db import Database
from gateway.delivery.codec import decode_command, decode_outcome, encode_command, encode_outcome
from gateway.delivery.outbox import LEASE_US, Left, Letter, Outbox, State, put
from gateway.errors import DeliveryError
from tests.support.peer import credit

NOW = 1_700_000_000_000_000
DAY_US = 86_400_000_000
DONE = Outcome(Status.DONE, peer_ref="r1")


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


def keys(letters: list[Letter]) -> list[str]:
    return [letter.command.key for letter in letters]


def test_the_same_command_is_one_row(outbox: Outbox) -> None:
    assert outbox.put("bank", "a", credit("k1"), NOW)
    assert not outbox.put("bank", "a", credit("k1"), NOW + 5)
    assert outbox.count("bank") == {"waiting": 1}


@pytest.mark.parametrize("other", [credit("k1", 501), credit("k1", facts={"x": 1})])
def test_a_key_names_one_command_for_ever(outbox: Outbox, other: Command) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    with pytest.raises(DeliveryError) as refused:
        outbox.put("bank", "a", other, NOW)
    assert refused.value.code == "DELIVERY_CONFLICT"
    with pytest.raises(DeliveryError):
        outbox.put("another", "a", credit("k1"), NOW)


def test_a_command_goes_with_the_change_that_causes_it(outbox: Outbox, database: Database) -> None:
    def change() -> None:
        with database.transaction() as connection:
            put(connection, "bank", "a", credit("k1"), NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert outbox.count("bank") == {}


def test_many_put_the_same_key_at_once(outbox: Outbox) -> None:
    barrier = threading.Barrier(8)

    def one(_: int) -> bool:
        barrier.wait()
        return outbox.put("bank", "a", credit("k1"), NOW)

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(one, range(8))) == {True: 1, False: 7}


def test_commands_of_one_aggregate_go_in_order(outbox: Outbox) -> None:
    for key, aggregate in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")):
        outbox.put("bank", aggregate, credit(key), NOW)
    first = outbox.claim("bank", 10, NOW)
    assert keys(first) == ["a1", "b1"]
    assert outbox.claim("bank", 10, NOW) == []
    outbox.finish(first[0], DONE, NOW)
    assert keys(outbox.claim("bank", 10, NOW)) == ["a2"]


@pytest.mark.parametrize("state", [State.PENDING, State.UNCERTAIN, State.WAITING])
def test_an_open_command_holds_up_its_aggregate(outbox: Outbox, state: State) -> None:
    outbox.put("bank", "a", credit("a1"), NOW)
    outbox.put("bank", "a", credit("a2"), NOW)
    (letter,) = outbox.claim("bank", 10, NOW)
    outbox.leave(letter, Left(state, NOW + 1_000_000), NOW)
    assert outbox.claim("bank", 10, NOW) == []
    (again,) = outbox.claim("bank", 10, NOW + 1_000_000)
    assert (again.command.key, again.came_from) == ("a1", state)


@pytest.mark.parametrize("how", ["rejected", "dead"])
def test_what_is_over_holds_up_nothing(outbox: Outbox, how: str) -> None:
    outbox.put("bank", "a", credit("a1"), NOW)
    outbox.put("bank", "a", credit("a2"), NOW)
    (letter,) = outbox.claim("bank", 10, NOW)
    if how == "dead":
        outbox.leave(letter, Left(State.DEAD, 0, "broken"), NOW)
    else:
        outbox.finish(letter, Outcome(Status.REJECTED, refusal=Refusal.LIMIT), NOW)
    assert keys(outbox.claim("bank", 10, NOW)) == ["a2"]


def test_another_adapters_commands_are_its_own(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    assert outbox.claim("clinic", 10, NOW) == []


def test_a_claim_behind_its_lease_is_uncertain(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    outbox.claim("bank", 1, NOW)
    assert outbox.claim("bank", 1, NOW + LEASE_US) == []
    (again,) = outbox.claim("bank", 1, NOW + LEASE_US + 1)
    assert (again.came_from, again.command.attempt) == (State.UNCERTAIN, 1)


def test_who_lost_its_claim_changes_nothing(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    (slow,) = outbox.claim("bank", 1, NOW)
    later = NOW + LEASE_US + 1
    (fresh,) = outbox.claim("bank", 1, later)
    outbox.leave(slow, Left(State.WAITING, later, "Unavailable: none"), later)
    assert outbox.find("k1") == (State.IN_FLIGHT, None)
    outbox.leave(fresh, Left(State.UNCERTAIN, later), later)
    assert outbox.find("k1")[0] is State.UNCERTAIN


def test_the_peers_last_word_counts_from_whoever_heard_it(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    (slow,) = outbox.claim("bank", 1, NOW)
    later = NOW + 2 * DAY_US
    (fresh,) = outbox.claim("bank", 1, later)
    assert outbox.leave(fresh, Left(State.UNCERTAIN, later), later) is State.DEAD
    assert outbox.finish(slow, DONE, later)
    assert outbox.find("k1") == (State.DONE, DONE)
    assert not outbox.finish(fresh, Outcome(Status.REJECTED), later)
    assert outbox.find("k1") == (State.DONE, DONE)


def test_what_follows_from_an_outcome_happens_once(outbox: Outbox) -> None:
    seen: list[str] = []
    outbox.put("bank", "a", credit("k1"), NOW)
    (letter,) = outbox.claim("bank", 1, NOW)
    for _ in range(3):
        outbox.finish(letter, DONE, NOW, lambda _c, one, _o: seen.append(one.command.key))
    assert seen == ["k1"]


def test_an_outcome_and_what_follows_are_one_transaction(outbox: Outbox) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    outbox.put("bank", "a", credit("k1"), NOW)
    (letter,) = outbox.claim("bank", 1, NOW)
    with pytest.raises(ZeroDivisionError):
        outbox.finish(letter, DONE, NOW, fail)
    assert outbox.find("k1") == (State.IN_FLIGHT, None)


def test_the_last_moment_of_the_budget_is_worth_a_call_then_it_is_dead(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    (letter,) = outbox.claim("bank", 1, NOW)
    left = Left(State.WAITING, NOW + 9 * DAY_US, "RateLimited: come back next week")
    assert outbox.leave(letter, left, NOW) is State.WAITING
    assert outbox.claim("bank", 1, NOW + DAY_US - 1) == []
    (last,) = outbox.claim("bank", 1, NOW + DAY_US)
    assert outbox.leave(last, left, NOW + DAY_US) is State.DEAD
    (dead,) = outbox.list_dead("bank")
    assert (dead["key"], dead["last_error"]) == ("k1", "RateLimited: come back next week")
    assert outbox.list_dead("clinic") == []


def test_money_that_goes_back_is_tried_for_a_week(outbox: Outbox) -> None:
    outbox.put("bank", "a", Command("r1", Capability.REFUND), NOW)
    assert outbox.show("r1")["until_us"] == NOW + 7 * DAY_US


def test_three_times_the_same_failure_is_poison(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    states = []
    for error in ("Conflict: x", "Conflict: y", *["Conflict: z" * 200] * 3):
        (letter,) = outbox.claim("bank", 1, NOW)
        states.append(outbox.leave(letter, Left(State.WAITING, NOW, error, poisonous=True), NOW))
    assert states == [State.WAITING] * 4 + [State.DEAD]


def test_a_replayed_letter_is_asked_about_first(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    (letter,) = outbox.claim("bank", 1, NOW)
    outbox.leave(letter, Left(State.DEAD, 0, "broken"), NOW)
    later = NOW + 30 * DAY_US
    outbox.replay("k1", later)
    (again,) = outbox.claim("bank", 1, later)
    assert again.came_from is State.UNCERTAIN
    assert again.until_us == later + DAY_US


@pytest.mark.parametrize("key", ["k1", "nobody"])
def test_only_a_dead_letter_is_replayed(outbox: Outbox, key: str) -> None:
    outbox.put("bank", "a", credit("k1"), NOW)
    with pytest.raises(DeliveryError) as refused:
        outbox.replay(key, NOW)
    assert refused.value.code == "DELIVERY_NOT_DEAD"


def test_what_is_shown_does_not_hold_what_the_command_says(outbox: Outbox) -> None:
    outbox.put("bank", "a", credit("k1", facts={"name": "Li Lei"}), NOW)
    assert "Li Lei" not in str(outbox.show("k1"))
    with pytest.raises(DeliveryError) as refused:
        outbox.show("nobody")
    assert refused.value.code == "DELIVERY_NOT_FOUND"


def test_two_relays_never_claim_the_same(outbox: Outbox) -> None:
    for number in range(40):
        outbox.put("bank", f"a{number % 7}", credit(f"k{number}"), NOW)
    claimed: Counter[str] = Counter()
    order: list[str] = []
    lock = threading.Lock()

    def work(_: int) -> None:
        idle = 0
        while idle < 50:
            letters = outbox.claim("bank", 3, NOW)
            idle = 0 if letters else idle + 1
            for letter in letters:
                with lock:
                    claimed[letter.command.key] += 1
                    order.append(letter.command.key)
                outbox.finish(letter, DONE, NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert claimed == {f"k{number}": 1 for number in range(40)}
    for start in range(7):
        mine = [key for key in order if int(key[1:]) % 7 == start]
        assert mine == sorted(mine, key=lambda key: int(key[1:]))


def test_the_age_of_the_queue(outbox: Outbox) -> None:
    assert outbox.oldest_us("bank") == 0
    outbox.put("bank", "a", credit("k1"), NOW + 3)
    outbox.put("bank", "a", credit("k2"), NOW + 7)
    assert outbox.oldest_us("bank") == NOW + 3
    outbox.finish(outbox.claim("bank", 1, NOW + 9)[0], DONE, NOW)
    assert outbox.oldest_us("bank") == NOW + 7


def test_commands_and_outcomes_survive_as_json() -> None:
    legs = (Leg("insured", Money(3, 156)), Leg("personal", Money(4, 156)))
    command = Command(
        "k", Capability.CHARGE, "病人", Money(7, 156), legs, "orig", 3, {"n": [1]}, "c1"
    )
    assert decode_command(encode_command(command), attempt=3) == command
    outcome = Outcome(
        Status.REJECTED, "r", 5, Money(7, 156), legs, Refusal.FROZEN, "说明", "d", 2.5
    )
    assert decode_outcome(encode_outcome(outcome)) == outcome
