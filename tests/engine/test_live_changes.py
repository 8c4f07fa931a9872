"""What can change while the gateway serves: tariffs, modes, deny lists, places of vehicles."""

from __future__ import annotations

import asyncio
import time
from array import array
from dataclasses import replace
from pathlib import Path

from fastpath.api import CompiledTariff
from fastpath.types import Reason, TapKind
from gateway.link import frames
from gateway.link.client import open_session
from gateway.link.codes import DeviceMode
from gateway.tariffs.store import TariffStore
from tests.support.plane import Running, make_folder, running
from tests.support.tariff import small_spec


async def listener(hands: Running, device_id: int) -> tuple[asyncio.Queue[frames.Frame], object]:
    """A validator that keeps what it is sent unasked."""
    pushed: asyncio.Queue[frames.Frame] = asyncio.Queue()
    session, _ = await open_session(
        "127.0.0.1", hands.port, hands.identity(device_id), on_push=pushed.put_nowait
    )
    hands.sessions.append(session)
    return pushed, session


async def test_a_new_tariff_prices_new_journeys_and_open_ones_keep_theirs(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    base = small_spec(flat_minor=777)
    doubled = array("i", [2 * fare for fare in base.od_fare_minor])
    dearest = array("i", [2 * fare for fare in base.highest_minor])
    spec = replace(base, version="2", od_fare_minor=doubled, od_discountable_minor=doubled)
    async with running(config) as hands:
        _, first = await hands.rider()
        _, second = await hands.rider()
        gate = await hands.gate()
        await gate.tap(TapKind.CHECK_IN, first, 11)
        now_us = time.time_ns() // 1000
        dearer = CompiledTariff.build(replace(spec, highest_minor=dearest, valid_from_us=now_us))
        TariffStore(config.gateway.data_dir / "tariffs").put(1, dearer)
        loaded = await hands.call("tariff_load", slot=1, digest=dearer.digest.hex())
        assert loaded["key"] == f"{dearer.key:016x}"
        assert (await gate.tap(TapKind.FLAT, second, 11)).fare_minor == 777
        assert (await gate.tap(TapKind.CHECK_OUT, first, 13)).fare_minor == 400
        await gate.tap(TapKind.CHECK_IN, second, 11)
        assert (await gate.tap(TapKind.CHECK_OUT, second, 13)).fare_minor == 800
        blob, signature = await gate.session.fetch_tariff(1, dearer.key)
        assert (blob, len(signature)) == (dearer.blob, 64)
    async with running(config) as hands:
        gate = await hands.gate(boot=8)
        assert (await gate.tap(TapKind.FLAT, second, 12)).fare_minor == 777


async def test_an_unknown_digest_is_refused(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        refused = await hands.exchange("tariff_load", slot=1, digest="00" * 32)
        assert (refused.ok, refused.code) == (False, "TARIFF_NOT_FOUND")


async def test_modes_are_ordered_of_all_and_told_to_those_who_come_later(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        pushed, _ = await listener(hands, 1)
        assert (await hands.call("mode_set", mode="emergency_release"))["told"] == 1
        order = await asyncio.wait_for(pushed.get(), 20)
        assert isinstance(order, frames.ModeChange)
        assert order.mode == DeviceMode.EMERGENCY_RELEASE
        _, welcome = await open_session("127.0.0.1", hands.port, hands.identity(2))
        assert welcome.mode == DeviceMode.EMERGENCY_RELEASE
        hands.sessions.append(_)


async def test_a_closed_device_refuses_until_it_is_back(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        await gate.session.mode_change(DeviceMode.CLOSED, since_us=1, cause="night")
        assert (await gate.tap(TapKind.CHECK_IN, token, 11)).reason == Reason.OUT_OF_SERVICE
        await gate.session.mode_change(DeviceMode.NORMAL, since_us=2, cause="day")
        assert (await gate.tap(TapKind.CHECK_IN, token, 11)).reason == Reason.OK


async def test_a_lost_medium_is_refused_at_once_and_reaches_the_lists(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        _, token = await hands.rider()
        pushed, session = await listener(hands, 1)
        await hands.call("medium_state", token=token, state="lost")
        gate = await hands.gate(2)
        assert (await gate.tap(TapKind.CHECK_IN, token, 11)).reason == Reason.MEDIUM_LOST
        delta = await asyncio.wait_for(pushed.get(), 20)
        assert isinstance(delta, frames.DenylistDelta)
        assert (delta.to_version, delta.added) == (1, (token,))
        await hands.call("medium_state", token=token, state="active")
        delta = await asyncio.wait_for(pushed.get(), 20)
        assert (delta.from_version, delta.to_version, delta.removed) == (1, 2, (token,))
        session.ask_denylist(0)
        full = await asyncio.wait_for(pushed.get(), 20)
        assert (full.full, full.to_version, full.added) == (True, 2, ())


async def test_a_vehicle_that_moves_taps_where_it_is(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway")) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        places = {"vehicle": "bus 7", "line": 1, "device_ts_us": 1}
        assert (await gate.session.context_change(1, stop=11, **places)).applied
        await gate.tap(TapKind.CHECK_IN, token, 0)
        assert (await gate.session.context_change(2, stop=13, **places)).applied
        assert not (await gate.session.context_change(1, stop=12, **places)).applied
        assert (await gate.tap(TapKind.CHECK_OUT, token, 0)).fare_minor == 400
