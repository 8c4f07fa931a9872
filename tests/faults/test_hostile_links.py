"""Peers that misbehave in every way at once, beside validators that work (fault case G 54)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastpath.types import TapKind
from gateway.observability import page as slots
from tests.support.plane import Gate, Running, make_folder, records_of, running

HOSTILE_EACH = 12
DEVICES = 4
TAPS_EACH = 300
RESET = struct.pack("ii", 1, 0)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def silent(streams: Streams, _: random.Random) -> None:
    """Connects and says nothing."""
    await streams[0].read()


async def slow_loris(streams: Streams, rng: random.Random) -> None:
    """A frame that begins and comes a byte at a time, never whole."""
    for byte in b"\x00\x00\x40\x00" + rng.randbytes(4000):
        streams[1].write(bytes([byte]))
        await streams[1].drain()
        await asyncio.sleep(0.02)


async def oversized(streams: Streams, rng: random.Random) -> None:
    """A length beyond every limit, and bytes to go with it."""
    streams[1].write(b"\xff\xff\xff\xff" + rng.randbytes(100_000))
    await streams[1].drain()
    await streams[0].read()


async def garbage(streams: Streams, rng: random.Random) -> None:
    """Whole frames of noise."""
    for _ in range(50):
        body = rng.randbytes(rng.randint(1, 400))
        streams[1].write(len(body).to_bytes(4, "big") + body)
        await streams[1].drain()
    await streams[0].read()


async def reset(streams: Streams, rng: random.Random) -> None:
    """Half a frame, then RST."""
    streams[1].write(b"\x00\x00\x00\x40" + rng.randbytes(20))
    await streams[1].drain()
    plug: socket.socket = streams[1].get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    streams[1].transport.abort()


async def deaf(streams: Streams, rng: random.Random) -> None:
    """Asks and asks and never reads an answer."""
    streams[0]._transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(200):
        streams[1].write(b"\x00\x00\x00\x08" + rng.randbytes(8))
    await asyncio.sleep(3)


KINDS: tuple[Callable[[Streams, random.Random], Awaitable[None]], ...] = (
    *(silent, slow_loris, oversized, garbage, reset, deaf),
)


async def misbehave(hands: Running, kind: Callable[..., Awaitable[None]], seed: int) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        streams = await asyncio.open_connection("127.0.0.1", hands.port)
        try:
            await asyncio.wait_for(kind(streams, random.Random(seed)), 8)
        finally:
            streams[1].transport.abort()


async def work(gate: Gate, token: bytes) -> list[int]:
    """Taps of a validator that does nothing wrong; the records they were given."""
    answers = [
        await gate.tap((TapKind.CHECK_IN, TapKind.CHECK_OUT)[number % 2], token, 11 + number % 2)
        for number in range(TAPS_EACH)
    ]
    return [answer.position for answer in answers]


async def beat_until(done: asyncio.Future[list[None]], gates: list[Gate]) -> None:
    """Validators with nothing to do show that they are there."""
    while not done.done():
        for gate in gates:
            assert (await gate.session.heartbeat(1, queue_depth=0, mode=1)).device_time_us == 1
        await asyncio.sleep(0.1)
    await done


async def test_those_who_work_are_served_beside_those_who_do_not(tmp_path: Path) -> None:
    config = make_folder(
        tmp_path / "gateway",
        link__half_frame_timeout_s="0.5",
        link__heartbeat_s="1",
        link__idle_timeout_s="2",
    )
    async with running(config) as hands:
        tokens = [(await hands.rider(100_000))[1] for _ in range(DEVICES)]
        gates = [await hands.gate(number) for number in range(1, DEVICES + 1)]
        others = [
            asyncio.ensure_future(misbehave(hands, kind, seed))
            for seed, kind in enumerate(KINDS * HOSTILE_EACH)
        ]
        told = await asyncio.gather(*map(work, gates, tokens))
        await beat_until(asyncio.gather(*others), gates)
        assert hands.plane.page[slots.SESSIONS] == DEVICES
        assert len(os.listdir("/proc/self/fd")) < 200
    taken = {record.position for record in records_of(config) if record.op < 5}
    positions = [position for one in told for position in one]
    assert len(set(positions)) == DEVICES * TAPS_EACH
    assert taken == set(positions)
