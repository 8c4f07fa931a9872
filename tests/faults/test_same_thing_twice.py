"""The same thing arrives twice: at once, on two connections, after a restart, with other contents,
as a whole buffer, from whole fleets that come back together.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from pathlib import Path

from fastpath.types import TapFlag, TapKind
from gateway.clock import new_operation_id
from gateway.errors import WireError
from gateway.link.client import LinkSession, open_session
from gateway.link.devices import DeviceEntry
from tests.support.plane import Gate, Running, make_folder, records_of, running

STORM = 150
KEPT = 3 * 256
RESET = struct.pack("ii", 1, 0)


async def test_one_tap_on_two_connections_in_the_same_moment(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        _, token = await hands.rider()
        gate, other = await hands.gate(), await hands.gate()
        events = [gate.event(TapKind.CHECK_OUT, token, 12) for _ in range(50)]
        pairs = [(gate.session.tap(event), other.session.tap(event)) for event in events]
        for one, two in pairs:
            assert await one == await two
    seqs = [record.id_c for record in records_of(config) if record.op == TapKind.CHECK_OUT]
    assert sorted(seqs) == [event.seq for event in events]


async def test_one_command_asked_by_many_at_once_happens_once(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, _ = await hands.rider(0)
        same = {"account_id": account_id, "amount_minor": 700, "operation_id": new_operation_id()}
        replies = await asyncio.gather(*(hands.exchange("credit", **same) for _ in range(8)))
        assert {(reply.ok, reply.result["position"]) for reply in replies} == {
            (True, replies[0].result["position"])
        }
        assert sum(not reply.result["repeated"] for reply in replies) == 1
        other = await hands.exchange("credit", **(same | {"amount_minor": 701}))
        assert (other.ok, other.code) == (False, "op_conflict")
        assert (await hands.account(account_id))["balance_minor"] == 700


async def upload(gate: Gate, events: list) -> list:
    """A device's whole buffer in batches, one at a time."""
    answers = []
    for at in range(0, len(events), 256):
        answers += await gate.session.tap_batch(events[at : at + 256])
    return answers


async def test_a_whole_buffer_again_in_another_order_and_after_a_restart(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    flags = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
    async with running(config) as hands:
        account_id, token = await hands.rider(100_000)
        gate = await hands.gate()
        kinds = (TapKind.CHECK_IN, TapKind.CHECK_OUT)
        events = [
            gate.event(kinds[number % 2], token, 11 + number % 2, flags=flags)
            for number in range(KEPT)
        ]
        first = {(one.boot, one.seq): one for one in await upload(gate, events)}
        random.Random(7).shuffle(events)
        assert all(one == first[one.boot, one.seq] for one in await upload(gate, events))
        shown = await hands.account(account_id)
    async with running(config) as hands:
        gate = await hands.gate()
        assert all(one == first[one.boot, one.seq] for one in await upload(gate, events))
        assert await hands.account(account_id) == shown
    seqs = Counter(record.id_c for record in records_of(config) if record.op < 5)
    assert seqs == Counter(range(1, KEPT + 1))


async def test_a_connection_reset_in_the_middle_of_a_frame_harms_nobody(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        for cut in (3, 20, 60):
            broken = await hands.gate()
            event = gate.event(TapKind.CHECK_OUT, token, 12)
            transport = broken.session._transport
            assert transport is not None
            sealed: list[bytes] = []
            transport.write, write = sealed.append, transport.write  # type: ignore[method-assign]
            future = broken.session.tap(event)
            write(sealed[0][:cut])
            plug: socket.socket = transport.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            transport.abort()
            await asyncio.wait([future])
            assert future.exception() is not None
            assert (await gate.session.tap(event)).position > 0
    seqs = [record.id_c for record in records_of(config) if record.op == TapKind.CHECK_OUT]
    assert sorted(seqs) == [1, 2, 3]


async def upload_patiently(session: LinkSession, events: list) -> list:
    """A batch; told busy, the same again a little later."""
    while True:
        try:
            return list(await session.tap_batch(events))
        except WireError as error:
            if error.code != "WIRE_BUSY":
                raise
            await asyncio.sleep(0.05)


async def test_a_fleet_that_comes_back_at_once_is_served_whole(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")

    async def come_back(hands: Running, device_id: int) -> list:
        identity = hands.identity(device_id)
        session, _ = await open_session("127.0.0.1", hands.port, identity, timeout_s=60)
        opened: LinkSession = session
        hands.sessions.append(opened)
        gate = Gate(opened, identity.boot_epoch)
        flags = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
        events = [gate.event(TapKind.FLAT, bytes(15) + b"?", 11, flags=flags) for _ in range(20)]
        return await upload_patiently(opened, events)

    async with running(config) as hands:
        numbers = range(1000, 1000 + STORM)
        for number in numbers:
            hands.plane.devices.put(DeviceEntry(number, 1, 0, (1,), True))
        batches = await asyncio.gather(*(come_back(hands, number) for number in numbers))
        assert all(answer.position for batch in batches for answer in batch)
    assert len(records_of(config)) == 20 * STORM
