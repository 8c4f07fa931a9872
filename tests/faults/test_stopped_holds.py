"""A process that is stopped while holds expire (fault case A 6): on waking it releases each once,
captures of them are refused from then on, and the journal says the same.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

from benchmarks.crash_process import Process
from fastpath.types import Op
from gateway.control.client import ControlClient
from tests.support.plane import make_folder, records_of

HOLDS = 5
BALANCE_MINOR = 10_000
HELD_MINOR = 700
LIFE_S = 2.0
STOPPED_S = 3.0


class Hands:
    """The control socket of a process of its own."""

    def __init__(self, socket: Path) -> None:
        self._client = ControlClient(socket, timeout_s=20.0)

    async def exchange(self, op: str, **args: Any) -> Any:
        return await asyncio.to_thread(self._client.exchange, op, args)

    async def call(self, op: str, **args: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._client.call, op, args)

    async def place(self, account_id: int, key: int, *, life_s: float) -> None:
        expires_us = int((time.time() + life_s) * 1e6)
        named = {"account_id": account_id, "key": key, "purpose": "meal"}
        await self.call("hold_place", amount_minor=HELD_MINOR, expires_us=expires_us, **named)

    async def held(self, account_id: int, amount_minor: int, *, within_s: float) -> None:
        """Wait until no more than this is held."""
        end = time.monotonic() + within_s
        for _ in range(10_000):
            shown = await self.call("account_show", account_id=account_id)
            if shown["held_minor"] == amount_minor:
                return
            assert time.monotonic() < end, shown
            await asyncio.sleep(0.05)


async def stop_while_they_expire(process: Process) -> None:
    process.send(signal.SIGSTOP)
    await asyncio.sleep(STOPPED_S)
    process.send(signal.SIGCONT)


async def test_holds_that_expire_while_the_process_is_stopped(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    process = Process("data", tmp_path / "gateway" / "gateway.toml", {})
    await process.start()
    await process.ready()
    hands = Hands(config.control.socket)
    try:
        await hands.call("account_open", account_id=7)
        await hands.call("credit", account_id=7, amount_minor=BALANCE_MINOR)
        for key in range(1, HOLDS + 1):
            await hands.place(7, key, life_s=LIFE_S)
        await hands.place(7, HOLDS + 1, life_s=600)
        await stop_while_they_expire(process)
        late = await hands.exchange("hold_capture", account_id=7, key=1, amount_minor=1)
        assert late.result["reason"] in {"hold_expired", "unknown_hold"}, "whichever came first"
        await hands.held(7, HELD_MINOR, within_s=20)
        kept = await hands.call(
            "hold_capture", account_id=7, key=HOLDS + 1, amount_minor=HELD_MINOR
        )
        assert kept["balance_minor"] == BALANCE_MINOR - HELD_MINOR
    finally:
        process.send(signal.SIGCONT)
        process.send(signal.SIGTERM)
        assert await process.ended() == 0
    released = [r for r in records_of(config) if r.op == Op.HOLD_EXPIRE]
    assert len(released) == HOLDS, "each once"
