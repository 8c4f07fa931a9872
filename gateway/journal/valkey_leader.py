"""Who leads, and where: one key that is only a hint.

It tells clients where the leader listens, keeps a second gateway from starting by mistake, and lets
a standby notice a death. Nothing about money depends on it: the stream decides who may append.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal.valkey_wire import LOST, ErrorReply, ValkeyOptions, Wire, connect_primary

log = logging.getLogger(__name__)

BEATS = 4
"""Signs of life while the key lives."""
MEMORY_EVERY = 8

# The key of a later term is left alone and returned: this writer has been deposed.
_BEAT = """
local held = redis.call('GET', KEYS[1])
if held and tonumber(string.match(held, '^%d+')) > tonumber(ARGV[1]) then return held end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false
"""
_LEAVE = """
local held = redis.call('GET', KEYS[1])
if held and string.find(held, ARGV[1], 1, true) then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Leader(NamedTuple):
    """What the key says."""

    term: int
    writer: str
    where: str
    """`host:port` of the validator link; empty before it listens."""


def parse_leader(value: bytes | None) -> Leader | None:
    if value is None:
        return None
    term, _, rest = value.decode().partition(" ")
    writer, _, where = rest.partition(" ")
    return Leader(int(term), writer, where)


class LeaderSign:
    """Gives signs of life from a thread of its own, over a connection of its own."""

    def __init__(
        self,
        options: ValkeyOptions,
        writer: str,
        term: Callable[[], int],
        deposed: threading.Event,
    ) -> None:
        self.where = ""
        self.used_percent = 0
        """Of the server's maxmemory."""
        self._options = options
        self._writer = writer
        self._term = term
        self._deposed = deposed
        self._key = options.key("leader")
        self._stop = threading.Event()
        self._early = threading.Event()
        self._thread = threading.Thread(target=self._live, name="leader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def say(self, where: str) -> None:
        """Tell soon where the leader listens."""
        self.where = where
        self._early.set()

    def close(self) -> None:
        """Take the key away, so that a standby need not wait for its end."""
        self._stop.set()
        self._early.set()
        self._thread.join()

    def _live(self) -> None:
        asyncio.run(self._beat_on())

    async def _beat_on(self) -> None:
        wire: Wire | None = None
        round_number = 0
        while not self._stop.is_set():
            try:
                wire = wire or await connect_primary(self._options)
                await self.beat(wire)
                if round_number % MEMORY_EVERY == 0:
                    self.used_percent = await _used_percent(wire)
            except (*LOST, ErrorReply, JournalError) as error:
                log.info("leader_sign_failed", extra={"detail": str(error)})
                if wire is not None:
                    await wire.close()
                wire = None
            round_number += 1
            await self._pause()
        if wire is not None:
            await self._leave(wire)

    async def _pause(self) -> None:
        """The thread sleeps, not the loop: there is nothing else in it."""
        self._early.wait(self._options.leader_ttl_s / BEATS)
        if not self._stop.is_set():
            self._early.clear()

    async def beat(self, wire: Wire) -> None:
        """One sign of life. Raises: LOST, ErrorReply."""
        term = self._term()
        value = f"{term} {self._writer} {self.where}"
        ttl_ms = int(self._options.leader_ttl_s * 1000)
        held = await wire.ask("EVAL", _BEAT, 1, self._key, term, value, ttl_ms)
        if held is not None:
            self._deposed.set()

    async def _leave(self, wire: Wire) -> None:
        try:
            await wire.ask("EVAL", _LEAVE, 1, self._key, self._writer)
        except (*LOST, ErrorReply) as error:
            log.info("leader_sign_failed", extra={"detail": str(error)})
        await wire.close()


async def _used_percent(wire: Wire) -> int:
    info = (await wire.ask("INFO", "memory")).decode()
    values = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    limit = int(values.get("maxmemory", "0"))
    return int(values.get("used_memory", "0")) * 100 // limit if limit else 0


async def wait_until_free(wire: Wire, options: ValkeyOptions) -> Leader | None:
    """Wait until the key has had time to end; the leader that is still alive then, or None."""
    found: Leader | None = None
    for _ in range(BEATS + 2):
        found = parse_leader(await wire.ask("GET", options.key("leader")))
        if found is None:
            return None
        await asyncio.sleep(options.leader_ttl_s / BEATS)
    return found
