"""The relay: told once, asked after doubt, left alone when in trouble."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from adapters.contract import NOT_FOUND, CheckStatus, Outcome, Status
from adapters.errors import (
    AdapterError,
    Conflict,
    Malformed,
    Misconfigured,
    Poison,
    RateLimited,
    Refusal,
    Rejected,
    Unauthorized,
    Unavailable,
    Uncertain,
)
from gateway.db import Database
from gateway.delivery.backoff import Backoff
from gateway.delivery.breaker import Breaker, BreakerSettings, BreakerState
from gateway.delivery.outbox import Outbox, State
from gateway.delivery.relay import Relay, RelaySettings
from gateway.errors import DatabaseError
from tests.support.peer import (
    Peer,
    PeerAdapter,
    credit,
    good,
    held,
    late,
    lost,
    pending,
    silent,
)
from tests.support.registry import Clock

Act = Callable[..., object]
SETTINGS = RelaySettings(deadline_s=30.0, poll_s=0.01, ask_again_s=5.0, drain_s=0.2)
DONE = Outcome(Status.DONE, peer_ref="ref-k1")
DAY_S = 86_400.0


class Line:
    """A relay between a registry and a peer, with a clock that is moved by hand."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.clock = clock
        self.peer = Peer()
        self.outbox = Outbox(database)
        self.adapter = PeerAdapter(self.peer)
        self.relay = self.make()

    def make(self, **changes: object) -> Relay:
        fields: dict[str, object] = {
            "settings": SETTINGS,
            "backoff": Backoff(random.Random(7)),
            "breaker": Breaker(BreakerSettings(open_s=30.0)),
            "monotonic": self.clock.monotonic,
        }
        return Relay("bank", self.adapter, self.outbox, self.clock.now_us, **(fields | changes))

    def put(self, *keys: str) -> None:
        for key in keys:
            self.outbox.put("bank", key, credit(key), self.clock.us)

    def state(self, key: str = "k1") -> State:
        return self.outbox.find(key)[0]

    async def rounds(self, count: int, seconds: float = 6.0) -> None:
        """So many turns, some time apart."""
        for _ in range(count):
            await self.relay.work()
            self.clock.forward(seconds)


@pytest.fixture
def line(database: Database, clock: Clock) -> Line:
    return Line(database, clock)


async def test_done(line: Line) -> None:
    line.put("k1")
    assert await line.relay.work() == 1
    assert line.outbox.find("k1") == (State.DONE, DONE)
    assert line.peer.calls == [("execute", "k1")]
    assert line.relay.report()["done"] == 1


async def test_the_outcome_changes_the_business_once(line: Line) -> None:
    seen: list[tuple[str, Outcome]] = []
    line.relay = line.make(on_outcome=lambda _c, letter, o: seen.append((letter.command.key, o)))
    line.put("k1")
    await line.rounds(3)
    assert seen == [("k1", DONE)]


@pytest.mark.parametrize("how", ["raised", "returned"])
async def test_a_refusal_is_final(line: Line, how: str) -> None:
    error = Rejected(Refusal.FROZEN, "the account is frozen")

    async def refuse(*_: object) -> Outcome:
        if how == "raised":
            raise error
        return Outcome.rejected(error)

    line.peer.script.append(refuse)
    line.put("k1")
    await line.rounds(3)
    state, outcome = line.outbox.find("k1")
    assert state is State.REJECTED
    assert outcome is not None
    assert (outcome.refusal, outcome.detail) == (Refusal.FROZEN, "the account is frozen")
    assert line.peer.calls == [("execute", "k1")]


async def test_what_the_adapter_cannot_do_is_refused_before_it_is_sent(line: Line) -> None:
    command = replace(credit("k1"), capability="freeze")
    line.outbox.put("bank", "a", command, line.clock.us)
    await line.rounds(1)
    assert line.state() is State.REJECTED
    assert line.peer.calls == []


async def test_pending_is_asked_about_until_it_is_done(line: Line) -> None:
    line.peer.script.append(pending)
    line.peer.answers.extend([Outcome(Status.PENDING), Outcome(Status.PENDING)])
    line.put("k1")
    await line.rounds(1, 0.5)
    assert line.state() is State.PENDING
    assert await line.relay.work() == 0, "not before the time the peer named"
    await line.rounds(4)
    assert line.state() is State.DONE
    assert [call for call, _ in line.peer.calls] == ["execute", "query", "query", "query"]


ACTS = {"deadline": held, "time-out": lost, "raised": Uncertain("dropped")}


@pytest.mark.parametrize("name", ACTS)
async def test_after_doubt_the_peer_is_asked_not_told(line: Line, name: str) -> None:
    act = ACTS[name]
    line.peer.script.append(act)
    if isinstance(act, Exception):
        line.peer.commit(credit("k1"))
    if act is held:
        line.relay = line.make(settings=replace(SETTINGS, deadline_s=0.2))
    line.put("k1")
    await line.rounds(3)
    assert line.state() is State.DONE
    assert line.peer.effects == {"k1": 1}
    assert [call for call, _ in line.peer.calls] == ["execute", "query"]


async def test_an_outcome_that_is_uncertain_is_asked_about(line: Line) -> None:
    async def unsure(peer: Peer, command: object) -> Outcome:
        peer.commit(command)
        return Outcome(Status.UNCERTAIN, detail="half an answer")

    line.peer.script.append(unsure)
    line.put("k1")
    await line.rounds(3)
    assert (line.state(), line.peer.effects) == (State.DONE, {"k1": 1})


async def test_unknown_is_believed_the_second_time_then_it_is_sent_again(line: Line) -> None:
    line.peer.script.append(late)
    line.put("k1")
    await line.rounds(6)
    assert line.state() is State.DONE
    calls = [call for call, _ in line.peer.calls]
    assert calls == ["execute", "query", "query", "execute"]
    assert line.peer.effects == {"k1": 1}


async def test_a_peer_that_sees_its_writes_late_is_not_told_twice(line: Line) -> None:
    line.peer.script.append(lost)
    line.peer.answers.append(NOT_FOUND)
    line.put("k1")
    await line.rounds(6)
    assert [call for call, _ in line.peer.calls] == ["execute", "query", "query"]
    assert (line.state(), line.peer.effects) == (State.DONE, {"k1": 1})


@pytest.mark.parametrize("error", [Malformed("?"), Unavailable(), Rejected(Refusal.NOT_SUPPORTED)])
async def test_trouble_while_asking_leaves_it_unknown(line: Line, error: AdapterError) -> None:
    line.peer.script.append(lost)
    line.peer.answers.append(error)
    line.put("k1")
    await line.rounds(2)
    assert line.state() is State.UNCERTAIN
    await line.rounds(2)
    assert (line.state(), line.peer.effects) == (State.DONE, {"k1": 1})


@pytest.mark.parametrize("how", ["raised", "returned"])
async def test_a_duplicate_is_no_refusal_but_a_question(line: Line, how: str) -> None:
    error = Rejected(Refusal.DUPLICATE)

    async def known(peer: Peer, command: object) -> Outcome:
        peer.commit(command)
        if how == "raised":
            raise error
        return Outcome.rejected(error)

    line.peer.script.append(known)
    line.put("k1")
    await line.rounds(2)
    assert line.outbox.find("k1") == (State.DONE, DONE)


async def test_a_bug_of_the_adapter_is_doubt(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.peer.script.append(ZeroDivisionError("oops"))
    line.put("k1")
    await line.rounds(1)
    assert line.state() is State.UNCERTAIN
    assert [record.msg for record in caplog.records] == ["adapter_bug"]
    await line.rounds(5)
    assert (line.state(), line.peer.effects) == (State.DONE, {"k1": 1})


async def test_out_of_reach_is_tried_for_as_long_as_the_budget(line: Line) -> None:
    line.relay = line.make(breaker=Breaker(BreakerSettings(least=10_000)))
    line.peer.script.extend([Unavailable("refused")] * 1000)
    line.put("k1")
    begun = line.clock.us
    for _ in range(100):
        if line.state() is State.DEAD:
            break
        await line.relay.work()
        line.clock.forward(3_600.0)
    assert line.state() is State.DEAD
    assert line.clock.us - begun >= DAY_S * 1_000_000
    assert line.outbox.list_dead("bank")[0]["last_error"] == "Unavailable: refused"
    assert line.relay.counts.dead == 1


async def test_pauses_grow(line: Line) -> None:
    line.relay = line.make(breaker=Breaker(BreakerSettings(least=10_000)))
    line.peer.script.extend([Unavailable()] * 30)
    line.put("k1")
    pauses = []
    for _ in range(30):
        await line.relay.work()
        next_us = line.outbox.show("k1")["next_us"]
        pauses.append((next_us - line.clock.us) / 1e6)
        line.clock.us = next_us
    assert max(pauses[:3]) <= 1.6
    assert min(pauses) >= 0.2
    assert max(pauses) <= 300.0
    assert sum(pauses[-10:]) > 300.0


@pytest.mark.parametrize("error", [Malformed("bad field"), Poison("never")])
async def test_a_message_nobody_can_take_is_dead_at_once(
    line: Line, error: AdapterError, caplog: pytest.LogCaptureFixture
) -> None:
    line.peer.script.append(error)
    line.put("k1")
    await line.rounds(2)
    assert line.state() is State.DEAD
    assert line.peer.calls == [("execute", "k1")]
    assert [record.msg for record in caplog.records if record.levelno >= logging.ERROR] == [
        "dead_letter"
    ]


async def test_the_third_conflict_is_poison(line: Line) -> None:
    line.peer.script.extend([Conflict("version 4")] * 9)
    line.put("k1")
    await line.rounds(5)
    assert line.state() is State.DEAD
    assert len(line.peer.calls) == 3


async def test_a_dead_letter_comes_back_by_hand(line: Line) -> None:
    line.peer.script.append(Poison("never"))
    line.put("k1")
    await line.rounds(1)
    line.outbox.replay("k1", line.clock.us)
    await line.rounds(5)
    assert (line.state(), line.peer.effects) == (State.DONE, {"k1": 1})
    assert [call for call, _ in line.peer.calls] == ["execute", "query", "query", "execute"]


@pytest.mark.parametrize("error", [Unauthorized("expired"), Misconfigured("unknown client")])
async def test_bad_credentials_bury_nobody(line: Line, error: AdapterError) -> None:
    line.peer.check = CheckStatus.AUTH
    line.peer.script.extend([error] * 4)
    line.put(*(f"k{number}" for number in range(8)))
    await line.rounds(30)
    assert line.outbox.count("bank") == {"waiting": 8}
    assert line.relay.breaker.state is BreakerState.OPEN
    assert len([call for call in line.peer.calls if call[0] == "execute"]) <= 4
    line.peer.check = CheckStatus.OK
    line.peer.script.clear()
    await line.rounds(20, 31.0)
    assert line.outbox.count("bank") == {"done": 8}


async def test_the_breaker_opens_and_one_probe_closes_it(line: Line) -> None:
    line.peer.check = CheckStatus.UNREACHABLE
    line.peer.script.extend([Unavailable()] * 100)
    line.put(*(f"k{number}" for number in range(8)))
    await line.rounds(4, 2.0)
    assert line.relay.breaker.state is BreakerState.OPEN
    told = len(line.peer.calls)
    await line.rounds(5, 2.0)
    assert len(line.peer.calls) == told, "nothing is sent while it is open"
    line.clock.forward(31.0)
    await line.rounds(1)
    assert line.peer.calls[told:] == [("check", "")]
    line.peer.check = CheckStatus.OK
    line.peer.script.clear()
    line.clock.forward(31.0)
    await line.rounds(6, 300.0)
    assert line.outbox.count("bank") == {"done": 8}


async def test_refusals_never_open_the_breaker(line: Line) -> None:
    line.peer.script.extend([Rejected(Refusal.LIMIT)] * 30)
    line.put(*(f"k{number}" for number in range(30)))
    await line.rounds(10)
    assert line.relay.breaker.state is BreakerState.CLOSED
    assert line.outbox.count("bank") == {"rejected": 30}


async def test_too_many_requests_give_the_peer_a_rest(line: Line) -> None:
    line.peer.script.append(RateLimited(retry_after_s=20.0))
    line.put("k1")
    await line.rounds(1, 1.0)
    line.put("k2")
    await line.rounds(1, 18.9)
    assert line.peer.calls == [("execute", "k1")], "the others wait too"
    await line.rounds(3, 1.0)
    assert line.outbox.count("bank") == {"done": 2}
    assert line.relay.breaker.state is BreakerState.CLOSED


async def test_a_known_rate_is_kept(line: Line) -> None:
    line.adapter.info = replace(line.adapter.info, rate_limit_per_s=2.0)
    line.relay = line.make()
    line.put(*(f"k{number}" for number in range(10)))
    counts = []
    for _ in range(8):
        counts.append(await line.relay.work())
        line.clock.forward(0.25)
    assert counts == [1, 0, 1, 0, 1, 0, 1, 0]


async def test_no_more_calls_at_a_time_than_the_adapter_bears(line: Line) -> None:
    async def slow(peer: Peer, command: object) -> Outcome:
        await asyncio.sleep(0.005)
        return peer.commit(command)

    line.peer.script.extend([slow] * 20)
    line.put(*(f"k{number}" for number in range(20)))
    await run_until(line, lambda: line.outbox.count("bank") == {"done": 20})
    assert line.peer.most_running == line.adapter.info.max_in_flight == 4


async def test_a_slow_call_does_not_hold_up_the_others(line: Line) -> None:
    line.relay = line.make(settings=SETTINGS)
    line.peer.script.append(silent)
    line.put(*(f"k{number}" for number in range(12)))
    await run_until(line, lambda: line.outbox.count("bank").get("done") == 11)


async def test_woken_it_does_not_wait_for_its_turn(line: Line) -> None:
    line.relay = line.make(settings=replace(SETTINGS, poll_s=3600.0))
    task = asyncio.create_task(line.relay.run())
    await asyncio.sleep(0.05)
    line.put("k1")
    line.relay.wake()
    async with asyncio.timeout(5):
        while line.state() is not State.DONE:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await stop(task)


async def test_stopped_in_the_middle_of_a_call_it_is_left_uncertain(line: Line) -> None:
    line.relay = line.make(settings=SETTINGS)
    line.peer.script.append(held)
    line.put("k1")
    await run_until(line, lambda: line.peer.effects["k1"] == 1)
    assert line.state() is State.UNCERTAIN
    line.relay = line.make()
    await line.rounds(2)
    assert (line.state(), line.peer.effects) == (State.DONE, {"k1": 1})


async def test_stopped_it_lets_calls_end_that_are_quick(line: Line) -> None:
    async def quick(peer: Peer, command: object) -> Outcome:
        peer.commit(command)
        await asyncio.sleep(0.05)
        return peer.outcomes["k1"]

    line.relay = line.make(settings=SETTINGS)
    line.peer.script.append(quick)
    line.put("k1")
    await run_until(line, lambda: line.peer.running == 1)
    assert line.state() is State.DONE


async def test_a_database_that_fails_ends_the_relay_and_loses_nothing(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.put("k1")
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise DatabaseError(detail="disk full")

        patched.setattr(line.outbox, "finish", fail)
        with pytest.raises(DatabaseError):
            async with asyncio.timeout(5):
                await line.relay.run()
    line.clock.forward(121.0)
    line.relay = line.make()
    await line.rounds(2)
    assert (line.state(), line.peer.effects) == (State.DONE, {"k1": 1})
    assert [call for call, _ in line.peer.calls] == ["execute", "query"]


async def test_any_script_of_answers_ends_in_one_effect(line: Line) -> None:
    rng = random.Random(20261129)
    acts: list[Act | Exception] = [good, pending, lost, late, Unavailable(), Uncertain("?")]
    acts += [RateLimited(), Conflict("v"), Rejected(Refusal.DUPLICATE), ZeroDivisionError()]
    line.relay = line.make(breaker=Breaker(BreakerSettings(least=10**6)))
    line.peer.script.extend(rng.choice(acts) for _ in range(60))
    line.put(*(f"k{number}" for number in range(20)))
    for _ in range(200):
        if line.outbox.count("bank") == {"done": 20}:
            break
        await line.rounds(1, 60.0)
    assert line.outbox.count("bank") == {"done": 20}
    assert line.peer.effects == {f"k{number}": 1 for number in range(20)}


async def run_until(line: Line, seen: Callable[[], bool]) -> None:
    """Run the relay until something is seen, then stop it."""
    task = asyncio.create_task(line.relay.run())
    async with asyncio.timeout(20):
        while not seen() and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await stop(task)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
