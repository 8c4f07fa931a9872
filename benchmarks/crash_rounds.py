"""Rounds against the real gateway: load, a fault at a random moment, a restart on the same folder,
and what clients were told held against what is there.

The gateway is `python -m gateway.process data`, as `faregate serve` starts it, with segments of two
MiB, its snapshotter beside it; in a share of the rounds it is `faregate serve` itself.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crash_bench import Bench, RoundsReport, Scenario
from benchmarks.crash_process import Process, Served, until
from benchmarks.crash_tariffs import IN_ROUNDS
from benchmarks.crash_valkey import ValkeyBench
from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from gateway.errors import EnvironmentFault

ROUNDS_A_FOLDER = 20
ACKED_BETWEEN = 100
"""Under the supervisor, between the death of its data plane and that of all."""
PAUSE_S = 0.7
"""How long SIGSTOP lasts; longer than any time-out of a validator's decision (0.3 s)."""
LONG_PAUSE_S = 35.0
"""Longer than the heartbeat (30 s); not among what is drawn."""


@dataclass(frozen=True, slots=True)
class RoundsPlan:
    """What is to be run."""

    rounds: int
    seed: int
    folder: Path
    seconds: float = math.inf
    journal: str = "segments"
    served: float = 0.0
    """Share of the rounds against `faregate serve`."""
    only: str | None = None
    """One scenario instead of drawing."""
    tariff: str | None = None
    """One of IN_ROUNDS instead of one after the other, a data folder each."""


class FileBench(Bench):
    """One data folder with its processes and clients."""

    def __init__(
        self, folder: Path, report: RoundsReport, seed: int, tariff: str, *, served: float
    ) -> None:
        super().__init__(report, seed, tariff)
        path = make_data_dir(folder)
        self.config: Config = load_config(path, flags=self.flags).config
        self.served = served
        self.data = Process("data", path, self.flags)
        self.snapshotter = Process("snapshotter", path, self.flags)
        self.serving = Served(self.config, path, self.flags)

    def segment(self, base: int) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self.config.journal.dir / f"{base:020d}.seg").read_bytes()
        return None

    def scenarios(self) -> Mapping[str, Scenario]:
        return self._served() if self.rng.random() < self.served else self._bare()

    def all_scenarios(self) -> Mapping[str, Scenario]:
        return {**self._bare(), **self._served(), "pause_long": self.pause_long}

    def _bare(self) -> Mapping[str, Scenario]:
        return {
            "kill": self.kill_once,
            "kill_while_starting": self.kill_while_starting,
            "kill_twice": self.kill_twice,
            "kill_while_rolling": self.kill_while_rolling,
            "kill_while_snapshotting": self.kill_while_snapshotting,
            "pause": self.pause,
            "drain": self.drain,
        }

    def _served(self) -> Mapping[str, Scenario]:
        return {
            "serve_kill_data_then_all": self.serve_kill_data_then_all,
            "serve_kill_all": self.serve_kill_all,
            "serve_kill_supervisor": self.serve_kill_supervisor,
        }

    async def open(self) -> None:
        """Devices, accounts, processes, clients."""
        self.register(self.config)
        await self.start()
        await self.snapshotter.start()
        await self.open_clients()

    async def start(self) -> None:
        """The data plane, until it serves."""
        began = time.monotonic()
        await self.data.start()
        self.fleet.address = await self.data.ready()
        self.note_start(began)

    def note_start(self, began: float) -> None:
        self.report.restart_ms.append(int((time.monotonic() - began) * 1000))
        self.report.restarts += 1

    async def close(self) -> None:
        await self.close_clients()
        for process in (self.data, self.snapshotter):
            await process.kill()
        await self.serving.kill_all()

    async def before_settling(self) -> None:
        if not self.snapshotter.lives:
            await self.snapshotter.ended()
            await self.snapshotter.start()

    async def finish(self) -> None:
        """At the end of a folder: drain, and read the whole journal again from its first byte."""
        self.data.send(signal.SIGTERM)
        status = await self.data.ended()
        if status != 0:
            self.report.findings.append(f"the drain ended with status {status}")
        self.check_again()

    # --- the faults -----------------------------------------------------------------------------

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

    async def pause(self, seconds: float = PAUSE_S) -> None:
        """SIGSTOP, a while of nothing, SIGCONT; then SIGKILL."""
        self.data.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.data.send(signal.SIGCONT)
        await asyncio.sleep(self.rng.random() * 0.05)
        await self.kill_once()

    async def pause_long(self) -> None:
        """The same for longer than the heartbeat; what was in flight is answered when it wakes."""
        self.data.send(signal.SIGSTOP)
        await asyncio.sleep(LONG_PAUSE_S)
        self.data.send(signal.SIGCONT)
        await self.until_acked(ACKED_BETWEEN)
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

    # --- under `faregate serve` -----------------------------------------------------------------

    async def serve(self) -> None:
        """The bare processes are killed, the supervisor starts its own on the same folder."""
        await self.kill_data()
        await self.snapshotter.kill()
        began = time.monotonic()
        self.serving.start()
        self.fleet.address = await self.serving.ready()
        self.note_start(began)
        await self.until_acked(ACKED_BETWEEN)

    async def kill_everything(self) -> None:
        """SIGKILL of supervisor, data plane, HTTP and snapshotter at once, then the bare ones."""
        await self.note_kill()
        self.fleet.address = None
        await self.serving.kill_all()
        await self.start()

    async def serve_kill_data_then_all(self) -> None:
        """Its data plane is killed; the supervisor brings it back; then everything is killed."""
        await self.serve()
        await self.note_kill()
        began, pid = time.monotonic(), self.serving.pids["data"]
        self.serving.send("data", signal.SIGKILL)
        self.fleet.address = None
        self.fleet.address = await self.serving.ready(not_pid=pid)
        self.note_start(began)
        await self.until_acked(ACKED_BETWEEN)
        await self.kill_everything()

    async def serve_kill_all(self) -> None:
        """Everything at once."""
        await self.serve()
        await self.kill_everything()

    async def serve_kill_supervisor(self) -> None:
        """The supervisor alone is killed: what it kept drains and ends by itself."""
        await self.serve()
        await self.note_kill()
        pids = self.serving.pids
        await self.serving.kill_supervisor()
        if not await self.serving.gone(pids):
            self.report.findings.append(f"outlived their supervisor: {pids}")
        self.fleet.address = None
        await self.start()


async def run_rounds(
    plan: RoundsPlan, progress: Callable[[RoundsReport], None] = lambda _: None
) -> RoundsReport:
    """So many rounds, twenty to a data folder; no new one is begun after `seconds`."""
    report = RoundsReport()
    began = time.monotonic()
    while report.rounds < plan.rounds and time.monotonic() - began < plan.seconds:
        here = Path(tempfile.mkdtemp(prefix="crash-", dir=plan.folder))
        bench = _build(plan, here, report)
        try:
            await bench.open()
            for _ in range(min(ROUNDS_A_FOLDER, plan.rounds - report.rounds)):
                await bench.round(plan.only)
                report.seconds = time.monotonic() - began
                progress(report)
                if report.seconds > plan.seconds:
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


def _build(plan: RoundsPlan, here: Path, report: RoundsReport) -> FileBench | ValkeyBench:
    seed = plan.seed + report.rounds
    tariff = plan.tariff or list(IN_ROUNDS)[seed // ROUNDS_A_FOLDER % len(IN_ROUNDS)]
    if plan.journal == "valkey":
        return ValkeyBench(here, report, seed, tariff)
    return FileBench(here / "data", report, seed, tariff, served=plan.served)
