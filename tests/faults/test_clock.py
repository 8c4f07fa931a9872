"""The server's clock steps back an hour and forward a day while it serves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from fastpath.types import Reason, Rule, TapFlag, TapKind
from gateway.clock import OperationIds, new_operation_id
from tests.support.plane import Gate, make_folder, records_of, running

HOUR_S = 3600
OPENED = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
STEPS_S = (-HOUR_S, 0, 24 * HOUR_S, 23 * HOUR_S)
TIMED = ("gateway.clock.time", "gateway.engine.commit.time", "gateway.link.server.time")


class SteppedTime:
    """The `time` module with another wall clock; what measures durations stays."""

    def __init__(self) -> None:
        self.off_s = 0

    def time_ns(self) -> int:
        return time.time_ns() + self.off_s * 1_000_000_000

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedTime:
    stepped = SteppedTime()
    for name in TIMED:
        monkeypatch.setattr(name, stepped)
    # Ids never fall back within a process: those of another test must not be from the future.
    monkeypatch.setattr("gateway.clock._IDS", OperationIds())
    return stepped


@pytest.mark.parametrize(
    ("off_s", "flags"),
    [
        (-3 * 24 * HOUR_S, 0),
        (HOUR_S, 0),
        (HOUR_S, OPENED),
        (-60, 0),
        (-40 * 365 * 24 * HOUR_S, OPENED),
    ],
)
async def test_a_device_s_clock_beyond_its_limit_is_flagged(
    tmp_path: Path, off_s: int, flags: int
) -> None:
    """The ride is taken all the same, at the instant of receipt."""
    config = make_folder(tmp_path / "gateway")
    is_off = abs(off_s) > 300
    async with running(config) as hands:
        _, token = await hands.rider(5_000)
        gate = await hands.gate()
        now_us = time.time_ns() // 1000
        answer = await gate.tap(
            TapKind.FLAT, token, 11, device_ts_us=now_us + off_s * 1_000_000, flags=flags
        )
        assert (answer.reason, answer.fare_minor) == (Reason.OK, 150)
        assert bool(answer.rules & Rule.RECEIVED_TIME) == is_off
        wanted_us = now_us if is_off else now_us + off_s * 1_000_000
        assert 0 <= answer.fare_ts_us - wanted_us < 60_000_000
    assert records_of(config)[-1].device_ts_us == now_us + off_s * 1_000_000


async def test_steps_change_no_answer_and_lose_nothing(tmp_path: Path, clock: SteppedTime) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, token = await hands.rider(50_000)
        gate = await hands.gate()
        told = []
        for off_s in STEPS_S:
            clock.off_s = off_s
            now_us = clock.time_ns() // 1000
            event = gate.event(TapKind.FLAT, token, 11, device_ts_us=now_us)
            told.append((event, await gate.session.tap(event)))
            for earlier, answer in told:
                assert await gate.session.tap(earlier) == answer
        assert [answer.reason for _, answer in told].count(Reason.OK) >= 2
        shown = await hands.account(account_id)
    clock.off_s = 0
    async with running(config) as hands:
        gate = Gate((await hands.gate()).session, 7, len(STEPS_S) + 1)
        for earlier, answer in told:
            assert await gate.session.tap(earlier) == answer
        assert await hands.account(account_id) == shown
    seqs = [record.seq for record in records_of(config)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_an_operation_from_the_future_is_refused_and_done_when_its_time_has_come(
    tmp_path: Path, clock: SteppedTime
) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        account_id, _ = await hands.rider(0)
        args = {"account_id": account_id, "amount_minor": 700, "operation_id": new_operation_id()}
        clock.off_s = -HOUR_S
        early = await hands.exchange("credit", **args)
        assert (early.ok, early.code) == (False, "bad_time")
        clock.off_s = 24 * HOUR_S
        assert (await hands.exchange("credit", **args)).ok
        assert (await hands.exchange("credit", **args)).result["repeated"]
        assert (await hands.account(account_id))["balance_minor"] == 700
