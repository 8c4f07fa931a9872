"""What disturbs a gateway under load, in a process of its own: `python -m benchmarks.peers_stir`.

Says "ready" on standard output, then does its thing once for each line "go SECONDS" that it reads
and answers with one line of JSON: what was really done, and when. In the generator's process it
would hold the interpreter's lock against the generator.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.peers_fleet import Crew, Yard
from fastpath.api import CompiledTariff
from gateway.bench.opening import TOKEN_BYTES
from gateway.bench.own_gateway import TARIFF_SLOT
from gateway.bench.sessions import OpenSession, allow_files, open_sessions
from gateway.bootstrap import build_control_client
from gateway.clock import now_us
from gateway.config import Config, load_config
from gateway.control.client import ControlClient
from gateway.keys import load_secrets
from gateway.link.codes import LENGTH_BYTES, TAG_BYTES
from gateway.link.frames import DenylistDelta, DenylistRequest, decode
from gateway.link.handshake import SealedLink
from gateway.observability import page
from gateway.tariffs.store import TariffStore

NICENESS = 5
"""The load generator goes first: devices would have processors of their own."""
SWITCHES = 2
"""Tariffs taken into use a run; a slot keeps eight versions."""
AHEAD_US = 300_000
LISTS = 4
"""Devices that replace their whole deny list a run, one after the other."""
CHANGE_PAUSE_S = 0.01

Stir = Callable[[float], Awaitable[dict[str, Any]]]


class Tariffs:
    """Switches the slot's tariff: compiled and kept before, loaded over the control socket, valid
    from a moment that comes while taps flow."""

    def __init__(self, config: Config, client: ControlClient) -> None:
        self._config = config
        self._client = client
        self._store = TariffStore(config.gateway.data_dir / "tariffs")
        newest = [tariff for slot, tariff in self._store.list() if slot == TARIFF_SLOT][-1]
        self._spec = newest.spec()
        self._number = 0

    def _build(self, valid_from_us: int) -> CompiledTariff:
        """A version of its own: every fare ten fen dearer than in the one before."""
        self._number += 1
        spec = replace(
            self._spec,
            version=f"{self._spec.version}.bench{self._number}",
            valid_from_us=valid_from_us,
            od_fare_minor=self._dearer(self._spec.od_fare_minor),
            od_discountable_minor=self._dearer(self._spec.od_discountable_minor),
            highest_minor=self._dearer(self._spec.highest_minor),
        )
        return CompiledTariff.build(spec)

    def _dearer(self, fares: array[int]) -> array[int]:
        more = 10 * self._number
        return array("i", [fare + more if fare > 0 else fare for fare in fares])

    async def __call__(self, seconds: float) -> dict[str, Any]:
        gap_s = seconds / (SWITCHES + 1)
        switched, load_us, began = 0, 0, time.monotonic()
        for number in range(1, SWITCHES + 1):
            due_s = began + number * gap_s
            tariff = self._build(now_us() + round((due_s - time.monotonic()) * 1e6))
            self._store.put(TARIFF_SLOT, tariff)
            await asyncio.sleep(due_s - time.monotonic() - AHEAD_US / 1e6)
            call_us = now_us()
            self._client.call("tariff_load", {"slot": TARIFF_SLOT, "digest": tariff.digest.hex()})
            load_us = max(load_us, now_us() - call_us)
            await asyncio.sleep(due_s - time.monotonic() + 1.2)  # the page is told once a second
            switched += self._key_in_force() == tariff.key
        return {"loaded": SWITCHES, "switched": switched, "load_ms": round(load_us / 1000, 1)}

    def _key_in_force(self) -> int:
        view = page.PageReader(self._config.page_path).read()
        assert view is not None
        return view[page.TARIFF_KEYS + TARIFF_SLOT] % (1 << 64)


class Denylist:
    """Devices replace their whole list, and entries change over the control socket meanwhile."""

    def __init__(self, client: ControlClient, sessions: list[OpenSession], denied: bytes) -> None:
        self._client = client
        self._sessions = sessions
        self._links = [SealedLink(session.keys, is_server=False) for session in sessions]
        for link, session in zip(self._links, sessions, strict=True):
            link.sent, link.received = session.send_counter, session.receive_counter
            session.plug.setblocking(False)
        self._denied = denied
        self._changes = 0

    async def __call__(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        before = self._changes
        changing = asyncio.create_task(self._change(until))
        sizes, spans = [], []
        for link, session in zip(self._links, self._sessions, strict=True):
            began = time.monotonic()
            sizes.append(await self._replace(link, session))
            spans.append(time.monotonic() - began)
        await changing
        return {
            "lists_replaced": len(sizes),
            "entries_each": min(sizes),
            "changes": self._changes - before,
            "list_s": round(max(spans), 2),
        }

    async def _change(self, until: float) -> None:
        """One medium off the list, another back on it, over and over."""
        loop = asyncio.get_running_loop()
        while time.monotonic() < until:
            number = self._changes // 2 % (len(self._denied) // TOKEN_BYTES)
            token = self._denied[number * TOKEN_BYTES : (number + 1) * TOKEN_BYTES]
            state = "denylisted" if self._changes % 2 else "active"
            call = {"token": token, "state": state}
            await loop.run_in_executor(None, self._client.call, "medium_state", call)
            self._changes += 1
            await asyncio.sleep(CHANGE_PAUSE_S)

    async def _replace(self, link: SealedLink, session: OpenSession) -> int:
        """Ask for everything; how many entries came. Deltas pushed before are passed over."""
        loop = asyncio.get_running_loop()
        request = DenylistRequest(link.next_counter(), 0)
        await loop.sock_sendall(session.plug, link.seal(request.encode()))
        entries, full = 0, False
        while True:
            size = int.from_bytes(await self._exactly(session, LENGTH_BYTES))
            body = await self._exactly(session, size)
            frame = decode(body[:-TAG_BYTES])
            if isinstance(frame, DenylistDelta):
                full = full or frame.full
                entries += len(frame.added) if full else 0
                if full and not frame.more:
                    return entries

    async def _exactly(self, session: OpenSession, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < size:
            part = await loop.sock_recv(session.plug, size - len(data))
            if not part:
                raise ConnectionError("the gateway closed the session")
            data += part
        return bytes(data)


async def obey(stir: Stir, ready: Callable[[], Awaitable[None]] | None = None) -> None:
    """Do it whenever standard input says so; the end of it is the end."""
    if ready is not None:
        await ready()
    loop = asyncio.get_running_loop()
    while True:
        _say("ready")
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        _say(json.dumps(await stir(float(line.split()[1]))))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def give_way(kind: str) -> None:
    """Let the load generator go first.

    A run may have real-time priority (chrt). What disturbs it has none, but for the fleet: behind
    whatever else the machine does it would come back slower than the protocol has it.
    """
    priority = os.sched_getparam(0).sched_priority
    if kind == "reconnect" and priority > 1:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority - 1))
        return
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(NICENESS)


async def _fleet(crew: Crew) -> None:
    yard = Yard(crew)
    await yard.gather()
    yard.keep()

    async def stir(_seconds: float) -> dict[str, Any]:
        found = await yard.come_back()
        yard.keep()
        return found

    await obey(stir)
    yard.close()


def main() -> None:
    """Be one of the disturbances."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers_stir", description=__doc__)
    parser.add_argument("kind", choices=("tariff", "denylist", "reconnect"))
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tokens", type=Path, help="of riders, or of the deny list")
    parser.add_argument("--stops", help="by comma")
    parser.add_argument("--devices", type=int, nargs=2, default=(1, 1), help="first, count")
    asked = parser.parse_args()
    random.seed(1)
    give_way(asked.kind)
    config = load_config(asked.config).config
    client = build_control_client(config)
    if asked.kind == "tariff":
        uvloop.run(obey(Tariffs(config, client)))
        return
    first, count = asked.devices
    devices = range(first, first + count)
    address, key = ("127.0.0.1", asked.port), load_secrets(config).master_key
    allow_files(count)
    if asked.kind == "reconnect":
        stops = tuple(int(stop) for stop in asked.stops.split(","))
        tokens = asked.tokens.read_bytes()
        crew = Crew(address=address, devices=devices, master_key=key, tokens=tokens, stops=stops)
        uvloop.run(_fleet(crew))
        return
    with open_sessions(address, devices, master_key=key, mac="blake2b") as sessions:
        uvloop.run(obey(Denylist(client, sessions, asked.tokens.read_bytes())))


if __name__ == "__main__":
    main()
