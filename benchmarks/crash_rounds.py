"""Rounds against the real gateway: load, a fault at a random moment, a restart on the same folder,
and what clients were told held against what is there.

The gateway is `python -m gateway.process data`, as `faregate serve` starts it, with segments of one
MiB; its snapshotter runs beside it. What is killed is only what was started here.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crash_fleet import CLIENT, Fleet, Operator, Validator, exchange
from benchmarks.crash_recount import BrokenLawError, Recount, Told
from gateway.bootstrap import build_devices
from gateway.clock import new_operation_id
from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from gateway.control import frames as control
from gateway.errors import EnvironmentFault
from gateway.keys import load_secrets
from gateway.link.client import DeviceIdentity
from gateway.link.handshake import derive_device_key
from gateway.registry.devices import Device

VALIDATORS = 6
ACCOUNTS = 8
ACKED_A_ROUND = 500
ROUNDS_A_FOLDER = 20
START_TIMEOUT_S = 120.0
SETTLE_TIMEOUT_S = 60.0
UNDER_WAY_TIMEOUT_S = 5.0
PAUSE_S = 0.7
"""How long SIGSTOP lasts; longer than any time-out of a validator's decision (0.3 s)."""
FLAGS = {
    "link.port": "0",
    "journal.segment_mib": "1",
    "engine.group_bytes_max": "460000",
    "snapshots.every_s": "1",
    "tariffs.slots.1": "beijing-subway",
    "log.level": "error",
}


@dataclass(slots=True)
class RoundsReport:
    """What the rounds came to. `lost`, `doubled` and `altered` have to be 0."""

    rounds: int = 0
    acked: int = 0
    kills: int = 0
    in_flight_at_kill: int = 0
    """Kills with at least one operation in flight."""
    operations_in_flight: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    records: int = 0
    restarts: int = 0
    restart_ms: list[int] = field(default_factory=list)
    scenarios: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.altered or self.findings)

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        restarts = sorted(self.restart_ms) or [0]
        return {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("restart_ms", "scenarios")
        } | {
            "restart_ms_p50": restarts[len(restarts) // 2],
            "restart_ms_max": restarts[-1],
            "scenarios": dict(self.scenarios),
        }


class Process:
    """One process of the gateway under test."""

    def __init__(self, name: str, config_path: Path) -> None:
        self._command = [sys.executable, "-m", "gateway.process", name]
        self._command += ["--config", str(config_path)]
        self._command += [f"--set={key}={value}" for key, value in FLAGS.items()]
        self._process: asyncio.subprocess.Process | None = None
        self._ready_fd = -1

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; `ready` waits for it to serve."""
        self._ready_fd, theirs = os.pipe()
        os.set_blocking(self._ready_fd, False)
        command = [*self._command, "--ready-fd", str(theirs)]
        self._process = await asyncio.create_subprocess_exec(
            *command, pass_fds=(theirs,), stdin=asyncio.subprocess.DEVNULL
        )
        os.close(theirs)

    async def ready(self) -> tuple[str, int]:
        """Where its link listens. Raises: EnvironmentFault: it did not come up."""
        loop = asyncio.get_running_loop()
        said, readable = b"", asyncio.Event()
        loop.add_reader(self._ready_fd, readable.set)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not said.endswith(b"\n"):
                    await readable.wait()
                    readable.clear()
                    with suppress(BlockingIOError):
                        part = os.read(self._ready_fd, 65536)
                        if not part:
                            raise EnvironmentFault(detail="the gateway ended while it started")
                        said += part
        finally:
            self._close_pipe()
        answer = json.loads(said)
        if "error" in answer:
            raise EnvironmentFault(detail=f"refused to start: {answer['error']}")
        host, _, port = str(answer["ready"].get("link", ":0")).rpartition(":")
        return host, int(port)

    def _close_pipe(self) -> None:
        if self._ready_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._ready_fd)
            os.close(self._ready_fd)
            self._ready_fd = -1

    def send(self, number: int) -> None:
        """A signal, if it lives."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit status, when it has one."""
        if self._process is None:
            return 0
        self._close_pipe()
        return await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL and reap."""
        self.send(signal.SIGKILL)
        await self.ended()


class Bench:
    """One data folder with its processes and clients."""

    def __init__(self, folder: Path, report: RoundsReport, seed: int) -> None:
        path = make_data_dir(folder)
        self.config: Config = load_config(path, flags=FLAGS).config
        self.report = report
        self.rng = random.Random(seed)
        self.told = Told()
        self.fleet = Fleet(self.told, self.rng)
        self.data = Process("data", path)
        self.snapshotter = Process("snapshotter", path)
        self.recount = Recount(self._segment)
        self._tasks: list[asyncio.Task[None]] = []
        self._boot = self.rng.getrandbits(62) | 1

    def _segment(self, base: int) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self.config.journal.dir / f"{base:020d}.seg").read_bytes()
        return None

    async def open(self) -> None:
        """Devices, accounts, processes, clients."""
        build_devices(self.config).add_many(
            Device(device_id=number, label="crash", tariff_slot=1)
            for number in range(1, VALIDATORS + 1)
        )
        await self.start()
        await self.snapshotter.start()
        tokens = [bytes([100 + number]) * 16 for number in range(ACCOUNTS)]
        for number, token in enumerate(tokens, start=1):
            await self._order("account_open", account_id=number)
            await self._order("credit", account_id=number, amount_minor=100_000)
            await self._order("medium_link", account_id=number, token=token)
        master = load_secrets(self.config).master_key
        for number in range(1, VALIDATORS + 1):
            key = derive_device_key(master, number, 1)
            identity = DeviceIdentity(number, key, self._boot)
            self.fleet.validators.append(Validator(self.fleet, identity, tokens))
        self.fleet.operator = Operator(self.fleet, self.config.control.socket, ACCOUNTS)
        runs = [*(one.run() for one in self.fleet.validators), self.fleet.operator.run()]
        self._tasks = [asyncio.create_task(run) for run in runs]

    async def _order(self, op: str, **args: Any) -> dict[str, Any]:
        request = control.Request(op, new_operation_id(), CLIENT, args)
        reply = await exchange(self.config.control.socket, request)
        if not reply.ok:
            raise EnvironmentFault(detail=f"{op}: {reply.code} {reply.detail}")
        return reply.result

    async def start(self) -> None:
        """The data plane, until it serves."""
        began = time.monotonic()
        await self.data.start()
        self.fleet.address = await self.data.ready()
        self.report.restart_ms.append(int((time.monotonic() - began) * 1000))
        self.report.restarts += 1

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in (self.data, self.snapshotter):
            await process.kill()

    # --- one round ------------------------------------------------------------------------------

    async def round(self) -> None:
        """Load, a fault, a restart, everybody answered, the comparison."""
        before = self.fleet.acked
        self.fleet.making = True
        await until(lambda: self.fleet.acked - before >= ACKED_A_ROUND, within_s=SETTLE_TIMEOUT_S)
        await asyncio.sleep(self.rng.random() * 0.2)
        name = self.rng.choice(list(SCENARIOS))
        self.report.scenarios[name] += 1
        await SCENARIOS[name](self)
        await self.settle()
        await self.compare()
        self.report.rounds += 1
        self.report.acked += self.fleet.acked - before

    async def settle(self) -> None:
        """No new operations; everything unanswered gets its answer."""
        self.fleet.making = False
        if not self.snapshotter.lives:
            await self.snapshotter.ended()
            await self.snapshotter.start()
        if not await until(lambda: not self.fleet.unanswered, within_s=SETTLE_TIMEOUT_S):
            raise EnvironmentFault(detail=f"{self.fleet.unanswered} operations unanswered")

    async def compare(self) -> None:
        """Recount, then hold it against what clients were told, and the gateway's own balances."""
        report = self.report
        self.count()
        for account in range(1, ACCOUNTS + 1):
            shown = await self._order("account_show", account_id=account)
            line = self.recount.money[account]
            if (shown["balance_minor"], shown["version"]) != (line.stored, line.version):
                report.altered += 1
                report.findings.append(f"account {account} shows {shown}, the journal {line}")

    def count(self) -> None:
        """The journal and what clients were told; needs no gateway."""
        report = self.report
        try:
            self.recount.advance()
            self.recount.check_totals()
        except BrokenLawError as error:
            report.findings.append(str(error))
        verdict = self.told.compare(self.recount)
        report.lost += len(verdict.lost)
        report.doubled += len(verdict.doubled)
        report.altered += len(verdict.altered)
        report.findings += self.fleet.faults
        self.fleet.faults = []
        self.recount.doubled.clear()
        self.told.taps.clear()
        self.told.commands.clear()

    async def finish(self) -> None:
        """At the end of a folder: drain, and read the whole journal again from its first byte."""
        self.data.send(signal.SIGTERM)
        status = await self.data.ended()
        if status != 0:
            self.report.findings.append(f"the drain ended with status {status}")
        again = Recount(self._segment, sound=self.recount.sound)
        try:
            again.advance()
        except BrokenLawError as error:
            self.report.findings.append(str(error))
        self.report.records += len(again.records)
        self.report.doubled += len(again.doubled)
        if again.records != self.recount.records:
            self.report.altered += 1
            self.report.findings.append("the journal is not what it was after its rounds")

    # --- the faults -----------------------------------------------------------------------------

    async def note_kill(self) -> None:
        """To be called right before it: somebody has something under way at that moment."""
        await self.until_in_flight()
        self.report.kills += 1
        self.report.in_flight_at_kill += bool(self.fleet.in_flight)
        self.report.operations_in_flight += self.fleet.in_flight

    async def kill_data(self) -> None:
        await self.note_kill()
        self.data.send(signal.SIGKILL)
        self.fleet.address = None
        await self.data.ended()

    async def kill_once(self) -> None:
        """SIGKILL under load."""
        await self.kill_data()
        await self.start()

    async def kill_while_starting(self) -> None:
        """SIGKILL, then again at a random moment of the start, before it serves."""
        await self.kill_data()
        usual = self.report.restart_ms[-1] / 1000
        await self.data.start()
        await asyncio.sleep(self.rng.random() * usual)
        await self.data.kill()
        await self.start()

    async def kill_twice(self) -> None:
        """SIGKILL, and again as soon as clients are back."""
        await self.kill_data()
        await self.start()
        await self.kill_data()
        await self.start()

    async def until_in_flight(self) -> None:
        """Wait until somebody has something under way."""
        await until(lambda: self.fleet.in_flight > 0, within_s=UNDER_WAY_TIMEOUT_S)

    async def kill_while_rolling(self) -> None:
        """SIGKILL when the next segment has just been begun, prepared or sealed."""
        names = set(os.listdir(self.config.journal.dir))
        await until(lambda: set(os.listdir(self.config.journal.dir)) != names, within_s=5)
        await self.kill_once()

    async def kill_while_snapshotting(self) -> None:
        """SIGKILL of both while a snapshot is half written."""
        folder = self.config.snapshots.dir
        await until(lambda: bool(list(folder.glob(".*.tmp"))), within_s=2)
        await self.snapshotter.kill()
        await self.kill_once()

    async def pause(self) -> None:
        """SIGSTOP, a while of nothing, SIGCONT; then SIGKILL."""
        self.data.send(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_S)
        self.data.send(signal.SIGCONT)
        await asyncio.sleep(self.rng.random() * 0.05)
        await self.kill_once()

    async def drain(self) -> None:
        """SIGTERM under load: it ends by itself, with status 0."""
        await self.note_kill()
        self.data.send(signal.SIGTERM)
        status = await self.data.ended()
        self.fleet.address = None
        if status != 0:
            self.report.findings.append(f"SIGTERM ended with status {status}")
        await self.start()


async def until(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Look again and again, as often as the clients leave time for; whether it came true."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.001)
    return True


SCENARIOS: dict[str, Callable[[Bench], Any]] = {
    "kill": Bench.kill_once,
    "kill_while_starting": Bench.kill_while_starting,
    "kill_twice": Bench.kill_twice,
    "kill_while_rolling": Bench.kill_while_rolling,
    "kill_while_snapshotting": Bench.kill_while_snapshotting,
    "pause": Bench.pause,
    "drain": Bench.drain,
}


async def run_rounds(
    rounds: int,
    seed: int,
    *,
    folder: Path,
    seconds: float = math.inf,
    progress: Callable[[RoundsReport], None] = lambda _: None,
) -> RoundsReport:
    """So many rounds, twenty to a data folder; no new one is begun after `seconds`."""
    report = RoundsReport()
    began = time.monotonic()
    while report.rounds < rounds and time.monotonic() - began < seconds:
        here = Path(tempfile.mkdtemp(prefix="crash-", dir=folder))
        bench = Bench(here / "data", report, seed + report.rounds)
        try:
            await bench.open()
            for _ in range(min(ROUNDS_A_FOLDER, rounds - report.rounds)):
                await bench.round()
                report.seconds = time.monotonic() - began
                progress(report)
                if report.seconds > seconds:
                    break
            await bench.finish()
        except EnvironmentFault as error:
            # It does not come back: that is a finding, and what lies there is counted all the same.
            report.findings.append(str(error))
            bench.count()
            break
        finally:
            await bench.close()
            shutil.rmtree(here, ignore_errors=not report.ok)
    report.seconds = time.monotonic() - began
    return report
