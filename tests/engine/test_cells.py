"""Cells of accounts through the whole gateway: transfers, caps, passes, concessions, re-rating;
over restarts, snapshots and disks that are full.
"""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastpath import _accounts_image
from fastpath.api import Book, CompiledTariff, Engine, StoreHandle
from fastpath.cells import CellType, describe_cell, type_of
from fastpath.layers import Begins, Measured, Transfer, TransferEffect
from fastpath.types import (
    CapOwner,
    EngineLimits,
    Item,
    MediumKind,
    Op,
    Reason,
    Rule,
    TapFlag,
    TapKind,
)
from gateway.bootstrap import audit_journal
from gateway.clock import new_operation_id
from gateway.errors import ConfigError, WireError
from gateway.journal.files import RealFiles
from gateway.journal.records import describe_record
from gateway.journal.segments import SegmentJournal
from tests.support.faultfs import Fault, FaultFiles
from tests.support.layered import BUS_LINE, HOUR_US, TEN, layered_spec, layered_tariff
from tests.support.plane import (
    Gate,
    load_settings,
    make_folder,
    random_token,
    records_of,
    running,
)

OPENED = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)


def tariffs(owner: CapOwner = CapOwner.ACCOUNT) -> Any:
    return [(1, layered_tariff(owner))]


async def ride(gate: Gate, token: bytes, entry: int, leave: int, **fields: Any) -> Any:
    """In and out; the answer to the check-out."""
    checked_in = await gate.tap(TapKind.CHECK_IN, token, entry, **fields)
    assert checked_in.reason == Reason.OK
    return await gate.tap(TapKind.CHECK_OUT, token, leave, **fields)


async def bus(gate: Gate, token: bytes, km: float) -> Any:
    return await gate.tap(TapKind.FLAT, token, 11, line=BUS_LINE, distance_m=int(km * 1000))


def cells_of(shown: dict[str, Any]) -> dict[str, Any]:
    return {cell["cell"]: cell for cell in shown["cells"]}


def audit_is_silent(config: Any) -> None:
    report = audit_journal(config).as_dict()
    assert report["findings"] == []
    assert report["skipped"] == {}
    assert report["records"] == len(records_of(config))


@pytest.mark.parametrize("owner", CapOwner)
async def test_transfers_and_caps_outlive_a_restart(tmp_path: Path, owner: CapOwner) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs(owner)) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        assert (await ride(gate, token, 11, 13)).fare_minor == 400
        transferred = await bus(gate, token, 4)
        assert (transferred.fare_minor, bool(transferred.rules & Rule.TRANSFER)) == (100, True)
        before = await hands.call("cells_show", account_id=account_id)
    async with running(config, tariffs=tariffs(owner)) as hands:
        assert await hands.call("cells_show", account_id=account_id) == before
        gate = await hands.gate(boot=8)
        assert (await bus(gate, token, 6)).fare_minor == 400
        capped = await bus(gate, token, 6)
        assert (capped.fare_minor, bool(capped.rules & Rule.CAP)) == (0, True)
        assert (await hands.account(account_id))["balance_minor"] == 5000 - 900
        after = cells_of(await hands.call("cells_show", account_id=account_id))
        assert after["counters"]["counters"][0]["trips"] == 4
        assert after["counters"]["owner"] == (
            int.from_bytes(token[:8], "little") if owner == CapOwner.MEDIUM else 0
        )
    audit_is_silent(config)
    acted = [describe_record(one) for one in records_of(config) if one.op == Op.FLAT]
    acts = [item["acts"] for one in acted for item in one["items"] if item["type"] == "acts"]  # type: ignore[attr-defined]
    assert acts[0] == ["leg 6", "transfer 0"]
    assert acts[2] == ["leg 6", "period 0"]
    assert [one["network"] for one in acted] == [1, 1, 1]


async def test_a_full_disk_leaves_cells_as_they_were(tmp_path: Path) -> None:
    """What was undone: changes of counter and chain, and the cells of somebody's first ride."""
    files = FaultFiles(RealFiles())
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs(), files=files) as hands:
        account_id, token = await hands.rider()
        other_id, other = await hands.rider()
        gate = await hands.gate()
        await ride(gate, token, 11, 13)
        before = await hands.call("cells_show", account_id=account_id)
        events = [
            gate.event(TapKind.FLAT, one, 11, line=BUS_LINE, distance_m=3000)
            for one in (token, other)
        ]
        files.faults.append(Fault("pwrite", errno.ENOSPC))
        for _ in range(2):
            taps = [gate.session.tap(event) for event in events]
            refused = await asyncio.gather(*taps, return_exceptions=True)
            assert {type(one) for one in refused} == {WireError}
        files.faults.clear()
        assert await hands.call("cells_show", account_id=account_id) == before
        assert (await hands.call("cells_show", account_id=other_id))["cells"] == []
        fares = [(await gate.session.tap(event)).fare_minor for event in events]
        assert fares == [100, 200]
    audit_is_silent(config)


def of_the_card() -> Any:
    """The cap counts rides of the card; bus after bus is free within an hour of the first."""
    spec = layered_spec()
    layers = spec.layers
    assert layers is not None
    again = Transfer(
        *(2, 2, TransferEffect.FIRST_AND_TRANSFER),
        window_us=HOUR_US,
        measured=Measured.ARRIVAL_TO_DEPARTURE,
        begins=Begins.RUN,
    )
    changed = replace(
        layers,
        counters=(replace(layers.counters[0], media=1 << MediumKind.CARD),),
        transfers=(*layers.transfers, again),
    )
    return [(1, CompiledTariff.build(replace(spec, layers=changed)))]


async def test_a_ride_is_undone_on_counters_of_its_medium_and_first_legs(tmp_path: Path) -> None:
    """The record of a tap has no kind of medium: the reversal asks for it."""
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=of_the_card()) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        assert [(await bus(gate, token, 3)).fare_minor for _ in range(2)] == [200, 0]
        before = cells_of(await hands.call("cells_show", account_id=account_id))
        assert before["counters"]["counters"][0]["trips"] == 2
        assert before["span"]["run_arr_us"] == before["span"]["first_arr_us"] > 0
        event = gate.event(TapKind.FLAT, token, 11, line=BUS_LINE, distance_m=3000)
        assert (await gate.session.tap(event)).fare_minor == 0
        assert (await gate.not_passed(event)).reason == Reason.OK
        undone = cells_of(await hands.call("cells_show", account_id=account_id))
        assert undone["counters"] == before["counters"]
        names = ("first_arr_us", "run_dep_us", "run_arr_us")
        assert [undone["span"][name] for name in names] == [before["span"][name] for name in names]
    audit_is_silent(config)


async def test_the_last_ride_is_undone_with_its_cells(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs()) as hands:
        account_id, token = await hands.rider()
        await hands.call("pass_add", account_id=account_id, pass_id=TEN, rides=2, amount_minor=2000)
        gate = await hands.gate()
        await gate.tap(TapKind.CHECK_IN, token, 11)
        inside = cells_of(await hands.call("cells_show", account_id=account_id))
        out = gate.event(TapKind.CHECK_OUT, token, 13)
        covered = await gate.session.tap(out)
        assert (covered.fare_minor, bool(covered.rules & Rule.PASS)) == (0, True)
        used = cells_of(await hands.call("cells_show", account_id=account_id))
        assert used["pass"]["rides_left"] == 1
        assert (await gate.not_passed(out)).reason == Reason.OK
        undone = cells_of(await hands.call("cells_show", account_id=account_id))
        assert (undone["pass"]["rides_left"], undone["pass"]["last_used_us"]) == (2, 0)
        assert undone["pass"]["until_us"] == used["pass"]["until_us"] > 0
        assert undone["chain"] == inside["chain"]
        assert undone["counters"]["counters"][0]["trips"] == 0
        event = gate.event(TapKind.FLAT, token, 11, line=BUS_LINE, distance_m=9000)
        assert (await gate.session.tap(event)).fare_minor == 400
        settled = await gate.session.tap(replace(event, flags=int(TapFlag.OFFLINE)))
        assert (settled.kind, settled.fare_minor) == (Op.SETTLEMENT, -400)
        final = cells_of(await hands.call("cells_show", account_id=account_id))
        assert final["chain"] == undone["chain"]
        assert final["counters"]["counters"][0]["paid_minor"] == 0
        assert (await hands.account(account_id))["balance_minor"] == 3000
    audit_is_silent(config)


async def test_a_ride_at_the_operators_risk_is_taken_back_once(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs()) as hands:
        gate = await hands.gate()
        event = gate.event(TapKind.FLAT, random_token(), 11, flags=OPENED, line=BUS_LINE)
        ridden = await gate.session.tap(event)
        assert (ridden.reason, ridden.fare_minor) == (Reason.OK_RISK, 200)
        undone = await gate.not_passed(event)
        assert (undone.reason, undone.fare_minor) == (Reason.OK_RISK, -200)
        assert (await gate.not_passed(event)).reason == Reason.NOTHING_TO_REVERSE
    async with running(config, tariffs=tariffs()) as hands:
        gate = await hands.gate(boot=7)
        late = Gate(gate.session, 7, first_seq=50)
        assert (await late.not_passed(event)).reason == Reason.NOTHING_TO_REVERSE
    audit_is_silent(config)
    taken = [one for one in records_of(config) if one.fare_minor]
    assert [(one.account_id, one.fare_minor) for one in taken] == [(0, 200), (0, -200)]


async def test_passes_and_concessions_are_commands(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    now_us = time.time_ns() // 1000
    async with running(config, tariffs=tariffs()) as hands:
        account_id, token = await hands.rider(3000)
        sold = {"account_id": account_id, "pass_id": TEN, "rides": 10, "amount_minor": 2000}
        op_id = new_operation_id()
        first = await hands.exchange("pass_add", operation_id=op_id, **sold)
        again = await hands.exchange("pass_add", operation_id=op_id, **sold)
        assert (first.ok, again.ok, again.result["repeated"]) == (True, True, True)
        assert (first.result["fare_minor"], first.result["balance_minor"]) == (2000, 1000)
        for other in ({"rides": 9}, {"from_us": 5}, {"pass_id": 6}, {"until_us": now_us}):
            changed = await hands.exchange("pass_add", operation_id=op_id, **sold | other)
            assert changed.code == "op_conflict"
        dear = await hands.exchange("pass_add", **sold)
        assert (dear.code, dear.hint) == (
            "insufficient_balance",
            "credit the account, or sell it with --price 0",
        )
        missing = await hands.exchange("pass_remove", account_id=account_id, pass_id=1)
        assert missing.code == "nothing_to_reverse"
        assert "faregate pass show" in missing.hint
        given = {"account_id": account_id, "rider_category": 1, "until_us": now_us + 10**10}
        assert (await hands.exchange("concession_set", **given)).ok
        gate = await hands.gate()
        ridden = await ride(gate, token, 11, 12)
        assert ridden.rules & Rule.CONCESSION
        refund = {"account_id": account_id, "pass_id": TEN, "amount_minor": 500}
        assert (await hands.call("pass_remove", **refund))["fare_minor"] == -500
        off = {"account_id": account_id, "rider_category": 1}
        assert (await hands.exchange("concession_remove", **off)).ok
        assert (await hands.exchange("concession_remove", **off)).code == "nothing_to_reverse"
        left = cells_of(await hands.call("cells_show", account_id=account_id))
        assert set(left) == {"counters", "chain", "chain_before"}
        cells = hands.plane.engine.memory.cell_count
        assert (await hands.call("pass_add", **sold | {"amount_minor": 0}))["fare_minor"] == 0
        assert hands.plane.engine.memory.cell_count == cells
    audit_is_silent(config)


def test_the_smallest_group_that_may_be_set_holds_two_batches(tmp_path: Path) -> None:
    least = 1_192_064
    Engine(StoreHandle(), Book(), EngineLimits(group_bytes_max=least))
    with pytest.raises(ValueError, match="two full batches"):
        Engine(StoreHandle(), Book(), EngineLimits(group_bytes_max=least - 1))
    make_folder(tmp_path / "gateway", engine__group_bytes_max=str(least))
    with pytest.raises(ConfigError):
        load_settings(tmp_path / "gateway", engine__group_bytes_max=str(least - 1))


async def test_sixteen_cells_are_enough(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs()) as hands:
        account_id, token = await hands.rider()
        for _ in range(16):
            assert (await hands.exchange("pass_add", account_id=account_id, pass_id=TEN)).ok
        full = await hands.exchange("pass_add", account_id=account_id, pass_id=TEN)
        assert full.code == "too_many_cells"
        gate = await hands.gate()
        tapped = await gate.tap(TapKind.CHECK_IN, token, 11)
        assert tapped.reason == Reason.TOO_MANY_CELLS


async def test_a_rerating_replaces_totals_at_once(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs()) as hands:
        account_id, token = await hands.rider()
        await hands.call("pass_add", account_id=account_id, pass_id=5)
        gate = await hands.gate()
        await ride(gate, token, 11, 14)
        shown = await hands.call("cells_show", account_id=account_id)
        lines = [shown["account"][64:128], shown["account"][128:192]]
        counters = next(c for c in shown["images"] if type_of(c) == CellType.COUNTERS)
        paid = (150).to_bytes(8, "little")
        cheaper = counters[:32] + paid + counters[40:]
        order = {
            "account_id": account_id,
            "amount_minor": -350,
            "expected_version": shown["version"],
            "lines": lines,
            "cells": [cheaper],
        }
        op_id = new_operation_id()
        stale = await hands.exchange("rerate", **order | {"expected_version": 1})
        assert (stale.code, "price it again" in stale.hint) == ("version_conflict", True)
        done = await hands.exchange("rerate", operation_id=op_id, **order)
        assert (done.ok, done.result["fare_minor"]) == (True, -350)
        repeated = await hands.exchange("rerate", operation_id=op_id, **order)
        assert repeated.result["repeated"]
        other = await hands.exchange("rerate", operation_id=op_id, **order | {"cells": []})
        assert other.code == "op_conflict"
        after = cells_of(await hands.call("cells_show", account_id=account_id))
        assert set(after) == {"counters", "pass"}
        assert after["counters"]["counters"][0]["paid_minor"] == 150
        assert (await hands.account(account_id))["balance_minor"] == 4850
        assert (await bus(gate, token, 3)).fare_minor == 200
    async with running(config, tariffs=tariffs()) as hands:
        kept = cells_of(await hands.call("cells_show", account_id=account_id))
        assert kept["counters"]["counters"][0]["paid_minor"] == 350
    audit_is_silent(config)


async def test_an_image_keeps_the_cells(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs()) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        await ride(gate, token, 11, 14)
        await bus(gate, token, 9)
    memory, loaded = StoreHandle(), StoreHandle()
    for group in SegmentJournal.open(config.journal.dir, read_only=True).read(0):
        assert memory.apply_group(group) == 0
    image = bytearray()
    _accounts_image.dump(memory, image.extend)
    at = 0

    def read_into(buffer: memoryview) -> None:
        nonlocal at
        size = buffer.nbytes
        buffer.cast("B")[:] = image[at : at + size]
        at += size

    _accounts_image.load(loaded, read_into, len(image))
    cells = [memory.cell(index) for index in range(1, memory.cell_count + 1)]
    assert [loaded.cell(index) for index in range(1, loaded.cell_count + 1)] == cells
    assert {describe_cell(cell or b"")["cell"] for cell in cells} == {
        *("counters", "chain", "chain_before"),
    }


async def test_a_distance_is_a_fact_of_a_tap_it_priced(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs()) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        event = gate.event(TapKind.FLAT, token, 11, line=BUS_LINE, distance_m=4000)
        first = await gate.session.tap(event)
        assert first.rules & Rule.GIVEN_DISTANCE
        assert await gate.session.tap(event) == first
        assert await gate.session.tap(replace(event, line=9)) == first
        other = await gate.session.tap(replace(event, distance_m=6000))
        assert other.reason == Reason.OP_CONFLICT
        metro = gate.event(TapKind.CHECK_IN, token, 11, distance_m=4000)
        entered = await gate.session.tap(metro)
        assert await gate.session.tap(replace(metro, distance_m=6000)) == entered
    assert [one.distance_m for one in records_of(config) if one.op == Op.FLAT] == [4000]
    audit_is_silent(config)


async def test_what_was_refused_can_be_decided_again(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config, tariffs=tariffs()) as hands:
        _, token = await hands.rider(300)
        gate = await hands.gate()
        assert (await bus(gate, token, 6)).reason == Reason.INSUFFICIENT_BALANCE
        assert (await bus(gate, token, 4)).reason == Reason.OK
    audit_is_silent(config)
    refused = next(one for one in records_of(config) if one.reason >= Reason.BUSY)
    assert (refused.distance_m, refused.flags >> 8 & 0xFF) == (6000, 1)
    assert not any(item.type == Item.CELL for item in refused.items)
