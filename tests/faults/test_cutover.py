"""The business day, and with it the month, changes while gates are busy (fault case C 26)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from fastpath.reference import SpecBook
from fastpath.types import Reason, TapKind
from gateway.clock import OperationIds
from gateway.link.frames import Answer, TapEvent
from gateway.simulate.replay import ReferenceReplay
from tests.support.plane import Gate, Running, make_folder, records_of, running
from tests.support.tariff import DAY_US, FIRST_DAY, small_spec, small_tariff

TIMED = ("gateway.clock.time", "gateway.engine.commit.time", "gateway.link.server.time")
DEVICES = 6
IN_FLIGHT = 4
HOUR_US = 3_600_000_000
BEFORE_US = 400_000
AFTER_US = 400_000
PASSBACK_US = 0


class MovedTime:
    """The `time` module with another wall clock; what measures durations stays."""

    def __init__(self, cutover_us: int) -> None:
        self.cutover_us = cutover_us
        self.set_before(HOUR_US)

    def set_before(self, span_us: int) -> None:
        """So long before midnight it is now."""
        self._off_us = self.cutover_us - span_us - time.time_ns() // 1000

    def time_ns(self) -> int:
        return time.time_ns() + 1000 * self._off_us

    def now_us(self) -> int:
        return self.time_ns() // 1000

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def next_month_us() -> int:
    """Midnight of a day on which the small tariff's month begins."""
    today = time.time_ns() // 1000 // DAY_US
    return (FIRST_DAY + ((today - FIRST_DAY) // 30 + 1) * 30) * DAY_US


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedTime:
    """An hour before midnight, and later so near that it comes while the test runs."""
    moved = MovedTime(next_month_us())
    for name in TIMED:
        monkeypatch.setattr(name, moved)
    monkeypatch.setattr("gateway.clock._IDS", OperationIds())
    return moved


Told = dict[tuple[int, int], tuple[TapEvent, Answer]]


async def ride(clock: MovedTime, gate: Gate, device: int, token: bytes) -> Told:
    """In and out without a pause until the day has long changed."""
    told: Told = {}

    async def one() -> None:
        while clock.now_us() < clock.cutover_us + AFTER_US:
            event = gate.event(TapKind.FLAT, token, 11, device_ts_us=clock.now_us())
            told[device, event.seq] = event, await gate.session.tap(event)

    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return told


async def rich_rider(hands: Running) -> bytes:
    account_id, token = await hands.rider(100_000)
    for _ in range(9):
        await hands.call("credit", account_id=account_id, amount_minor=100_000)
    return token


async def test_the_day_changes_under_load(tmp_path: Path, clock: MovedTime) -> None:
    config = make_folder(tmp_path / "gateway")
    told: Told = {}
    tariffs = [(1, small_tariff(passback_us=PASSBACK_US))]
    async with running(config, tariffs=tariffs) as hands:
        riders = [await rich_rider(hands) for _ in range(DEVICES)]
        gates = [await hands.gate(number) for number in range(1, DEVICES + 1)]
        clock.set_before(BEFORE_US)
        loads = [
            ride(clock, gate, number, token)
            for number, (gate, token) in enumerate(zip(gates, riders, strict=True), start=1)
        ]
        for part in await asyncio.gather(*loads):
            told |= part
    records = {(r.id_a, r.id_c): r for r in records_of(config) if r.op == TapKind.FLAT}
    assert set(records) == set(told)
    sides = {record.fare_ts_us < clock.cutover_us for record in records.values()}
    assert sides == {True, False}, "the load did not reach over midnight"
    check_months(list(records.values()), clock.cutover_us)
    check_reference(config)
    await check_again(config, told, tariffs)


def check_months(records: list[Any], cutover_us: int) -> None:
    """What a rider has paid in the month begins at nothing behind midnight."""
    for account in {record.account_id for record in records}:
        mine = sorted((r for r in records if r.account_id == account), key=lambda r: r.seq)
        paid = {True: 0, False: 0}
        for record in mine:
            assert record.reason == Reason.OK
            before = record.fare_ts_us < cutover_us
            paid[before] += record.fare_minor
            assert record.period_paid_minor == paid[before]


def check_reference(config: Any) -> None:
    book = SpecBook()
    spec = small_spec(passback_us=PASSBACK_US)
    book.put(1, small_tariff(passback_us=PASSBACK_US).key, spec)
    replay = ReferenceReplay(book)
    for record in records_of(config):
        assert not replay.apply(record)


async def check_again(config: Any, told: Told, tariffs: Any) -> None:
    """After a restart on the new day every answer is the one given then."""
    async with running(config, tariffs=tariffs) as hands:
        for number in range(1, DEVICES + 1):
            gate = await hands.gate(number)
            mine = [pair for key, pair in told.items() if key[0] == number]
            for event, answer in mine[:: max(1, len(mine) // 20)]:
                assert await gate.session.tap(event) == answer
