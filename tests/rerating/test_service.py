"""Re-rating through a data plane: real records, real commands, real files."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from fastpath.types import CapOwner, Op, Reason, Rule, TapFlag, TapKind
from gateway.config import Config
from gateway.control.client import ControlClient
from gateway.engine.audit import audit
from gateway.errors import RerateError, Uncertain
from gateway.journals import open_reader
from gateway.rerating.books import Books
from gateway.rerating.complete import Completer, CompletionRules
from gateway.rerating.follow import Waiting, follow, load_waiting, save_waiting
from gateway.rerating.history import JournalHistory
from gateway.rerating.jobs import RerateJob
from gateway.rerating.plan import say_why
from gateway.rerating.service import Rerater
from tests.support.layered import layered_tariff
from tests.support.plane import Running, make_folder, records_of, running

OPENED = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
TARIFF = layered_tariff(CapOwner.ACCOUNT)


def midday_us(back: int = 1) -> int:
    """Noon UTC some days ago: the whole day of taps lies within one service day."""
    return (time.time_ns() // 1000 // DAY_US - back) * DAY_US + DAY_US // 2


class Desk:
    """A gateway, and re-rating beside it."""

    def __init__(self, config: Config, hands: Running) -> None:
        self.config = config
        self.hands = hands
        commands = ControlClient(config.control.socket, client="worker")
        self.rerater = Rerater(
            commands,
            JournalHistory(lambda: open_reader(config)),
            lambda: Books([(1, TARIFF)]),
            cells_max=config.engine_limits().cells_per_account_max,
        )

    async def run(self, account_id: int, **how: Any) -> Any:
        return await asyncio.to_thread(lambda: self.rerater.run(account_id, **how))

    async def taps(self, token: bytes, *made: tuple[int, int, int]) -> list[int]:
        """Taps that were let through offline, in the order they arrive; what each charged."""
        gate = await self.hands.gate(boot=int(time.monotonic_ns() % 2**60))
        fares = []
        for kind, stop, at_us in made:
            answer = await gate.tap(kind, token, stop, device_ts_us=at_us, flags=OPENED)
            assert Reason(answer.reason).accepted, Reason(answer.reason)
            fares.append(answer.fare_minor)
        return fares


def open_desk(tmp_path: Path) -> Config:
    return make_folder(tmp_path / "gateway")


def ride(at_us: int, origin: int = 11, destination: int = 14) -> tuple[tuple[int, int, int], ...]:
    return (
        (TapKind.CHECK_IN, origin, at_us),
        (TapKind.CHECK_OUT, destination, at_us + 20 * MINUTE_US),
    )


def audit_is_silent(config: Config) -> None:
    from fastpath.api import Book, StoreHandle

    book = Book()
    book.put(1, TARIFF)
    limits = config.engine_limits()
    memory = StoreHandle(boots_max=limits.boots_per_device_max, op_horizon_us=limits.op_horizon_us)
    journal = open_reader(config)
    try:
        report = audit(journal, book, memory)
    finally:
        journal.close()
    assert report.is_sound, report.findings
    assert not report.skipped


async def test_a_ride_that_arrives_the_wrong_way_round(tmp_path: Path) -> None:
    """The check-out comes first: the highest fare goes back, the ride is charged."""
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        entry, leave = ride(at_us, destination=12)
        assert await desk.taps(token, leave, entry) == [400, 0]
        result = await desk.run(account_id)
        assert (result.outcome, result.plan.amount_minor) == ("rerated", -100)
        assert (await hands.account(account_id))["balance_minor"] == 5000 - 300
        again = await desk.run(account_id)
        assert again.outcome == "unchanged"
    record = records_of(config)[-1]
    assert (record.op, record.fare_minor, record.fare_ts_us) == (Op.RERATE, -100, at_us)
    notes = {i.line: i.image.rstrip(b"\0").decode() for i in record.items if i.type == 4}
    assert notes[2] == say_why(result.plan)
    assert notes[2].endswith("400>300")
    audit_is_silent(config)


async def test_a_late_ride_uses_up_the_cap(tmp_path: Path) -> None:
    """Three rides of a day at 5.00 under 9.00; the first arrives last, and the account goes on."""
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        later = ride(at_us + 60 * MINUTE_US), ride(at_us + 120 * MINUTE_US)
        assert sum(await desk.taps(token, *later[0], *later[1])) == 900
        late = await desk.taps(token, *ride(at_us))
        assert sum(late) > 0
        await desk.run(account_id)
        assert (await hands.account(account_id))["balance_minor"] == 5000 - 900
        assert sum(await desk.taps(token, *ride(at_us + 180 * MINUTE_US))) == 0
    audit_is_silent(config)


async def test_what_changed_meanwhile_is_read_again(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        entry, leave = ride(at_us, destination=12)
        await desk.taps(token, leave, entry)
        send = desk.rerater._send
        tries = []

        def disturb(plan: Any) -> Any:
            tries.append(plan.version)
            if len(tries) == 1:
                args = {"account_id": account_id, "amount_minor": 7}
                ControlClient(config.control.socket).call("credit", args)
            return send(plan)

        desk.rerater._send = disturb  # type: ignore[method-assign]
        assert (await desk.run(account_id)).outcome == "rerated"
        assert len(tries) == 2
        assert tries[1] == tries[0] + 1
        assert (await hands.account(account_id))["balance_minor"] == 5007 - 300


async def test_an_answer_that_was_lost_doubles_nothing(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        entry, leave = ride(at_us, destination=12)
        await desk.taps(token, leave, entry)
        send = desk.rerater._send

        def lose(plan: Any) -> Any:
            send(plan)
            desk.rerater._send = send  # type: ignore[method-assign]
            raise Uncertain("UNCERTAIN_OUTCOME", "cut", operation_id="x")

        desk.rerater._send = lose  # type: ignore[method-assign]
        assert (await desk.run(account_id)).outcome == "unchanged"
        plan = desk.rerater.plan
        assert not (await asyncio.to_thread(plan, account_id)).is_needed
    assert sum(one.op == Op.RERATE for one in records_of(config)) == 1


async def test_the_same_plan_sent_twice_is_one_operation(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        entry, leave = ride(at_us, destination=12)
        await desk.taps(token, leave, entry)
        plan = await asyncio.to_thread(desk.rerater.plan, account_id)
        first = await asyncio.to_thread(desk.rerater._send, plan)
        second = await asyncio.to_thread(desk.rerater._send, plan)
        assert (first["repeated"], second["repeated"]) == (False, True)
        assert first["position"] == second["position"]


# --- incomplete journeys


def completer(desk: Desk, **rules: Any) -> Completer:
    return Completer(desk.rerater, CompletionRules(**rules))


async def left_open(desk: Desk, token: bytes, at_us: int) -> None:
    """In at 11 and never out; the next check-in is five hours later and closes it."""
    made = ((TapKind.CHECK_IN, 11, at_us), *ride(at_us + 300 * MINUTE_US, 12, 13))
    assert await desk.taps(token, *made) == [0, 500, 300]


async def test_a_journey_is_completed_once(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        await left_open(desk, token, at_us)
        service = completer(desk)
        (one,) = await asyncio.to_thread(service.list_incomplete, account_id)
        assert (one.missing, one.stop, one.charged_minor) == (TapKind.CHECK_OUT, 11, 500)
        result = await asyncio.to_thread(service.complete, account_id, one.position, 12)
        assert (result.outcome, result.plan.amount_minor) == ("rerated", -200)
        assert (await hands.account(account_id))["balance_minor"] == 5000 - 300 - 300
        assert await asyncio.to_thread(service.list_incomplete, account_id) == []
        with pytest.raises(RerateError, match="RERATE_NOTHING_INCOMPLETE"):
            await asyncio.to_thread(service.complete, account_id, one.position, 13)
        # A tap that comes later still is priced with what was said.
        late = await desk.taps(token, *ride(at_us - 60 * MINUTE_US, 11, 12))
        await desk.run(account_id)
        assert (await hands.account(account_id))["balance_minor"] == 5000 - 900
        assert sum(late) > 0
    record = next(one for one in records_of(config) if one.op == Op.RERATE)
    assert (record.other_stop, record.period_paid_minor) == (12, TapKind.CHECK_OUT)
    audit_is_silent(config)


async def test_where_it_began_can_be_said_too(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        assert await desk.taps(token, (TapKind.CHECK_OUT, 11, at_us)) == [500]
        service = completer(desk)
        (one,) = await asyncio.to_thread(service.list_incomplete, account_id)
        assert one.missing == TapKind.CHECK_IN
        result = await asyncio.to_thread(service.complete, account_id, one.position, 13)
        assert result.plan.amount_minor == -100
        assert [Rule(x.made.rules) & Rule.MISSING_CHECK_IN for x in result.plan.taps] == [0, 0]


async def test_what_is_said_has_bounds(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        await left_open(desk, token, at_us)
        (one,) = await asyncio.to_thread(completer(desk).list_incomplete, account_id)

        def refused(stop: int, code: str, at: int | None = None, **rules: Any) -> None:
            with pytest.raises(RerateError, match=code):
                completer(desk, **rules).complete(account_id, one.position, stop, at_us=at)

        await asyncio.to_thread(refused, 99, "RERATE_BAD_CLAIM")
        await asyncio.to_thread(refused, 12, "RERATE_BAD_CLAIM", at_us - 1)
        await asyncio.to_thread(refused, 12, "RERATE_BAD_CLAIM", at_us + 301 * MINUTE_US)
        await asyncio.to_thread(refused, 12, "RERATE_TOO_LATE", days=0)
        await asyncio.to_thread(refused, 12, "RERATE_TOO_OFTEN", per_month=0)
        never = completer(desk, per_month=0)
        at_desk = await asyncio.to_thread(
            lambda: never.complete(account_id, one.position, 12, by_desk=True)
        )
        assert at_desk.outcome == "rerated"


# --- following


async def test_the_job_finds_who_has_to_be_priced_again(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        (wrong, token), (right, other) = await hands.rider(5000), await hands.rider(5000)
        entry, leave = ride(at_us, destination=12)
        await desk.taps(token, leave, entry)
        await desk.taps(other, entry, leave)
        job = RerateJob(
            lambda: desk.rerater,
            config.rerating,
            open_journal=lambda: open_reader(config),
            durable=lambda: None,
            path=tmp_path / "rerating.json",
            now_us=lambda: time.time_ns() // 1000 + DAY_US,
        )
        await asyncio.to_thread(job.step)
        report = job.report()
        assert (report["rerated"], report["unchanged"], report["pending"]) == (1, 1, 0)
        assert (await hands.account(wrong))["balance_minor"] == 5000 - 300
        assert (await hands.account(right))["balance_minor"] == 5000 - 300
    kept = load_waiting(tmp_path / "rerating.json")
    assert kept.cursor > 0
    assert not kept.failed


async def test_following_goes_on_where_it_stopped(tmp_path: Path) -> None:
    config, at_us = open_desk(tmp_path), midday_us()
    waiting, path = Waiting(), tmp_path / "waiting.json"
    async with running(config, tariffs=[(1, TARIFF)]) as hands:
        desk = Desk(config, hands)
        account_id, token = await hands.rider(5000)
        await desk.taps(token, *ride(at_us))
        journal = open_reader(config)
        follow(journal, waiting, None)
        assert list(waiting.pending) == [account_id]
        save_waiting(path, waiting)
        again = load_waiting(path)
        again.pending.clear()
        follow(journal, again, None)
        assert again.pending == {}
        await desk.taps(token, *ride(at_us + DAY_US // 24))
        follow(journal, again, again.cursor)
        assert again.pending == {}
        follow(journal, again, None)
        assert list(again.pending) == [account_id]
        journal.close()
    path.write_text("{", encoding="utf-8")
    assert load_waiting(path) == Waiting()
