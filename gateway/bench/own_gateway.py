"""A gateway of the benchmark's own: a fresh data folder, its devices and accounts, the data plane.

Only the data plane runs: the HTTP face and the snapshotter would share its core here.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.bench.fsync import MEMORY_FILESYSTEMS, find_filesystem
from gateway.bench.options import BenchOptions
from gateway.bootstrap import build_devices
from gateway.config import Config, LoadedConfig, load_config
from gateway.config_file import make_data_dir
from gateway.errors import EnvironmentFault
from gateway.registry.devices import Device

START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0
TARIFF_SLOT = 1


@dataclass(frozen=True, slots=True)
class GatewayFolder:
    """A data folder with its settings, and those that are not in its file."""

    loaded: LoadedConfig
    flags: dict[str, str]

    @property
    def config(self) -> Config:
        return self.loaded.config


@contextmanager
def data_folder(options: BenchOptions) -> Iterator[GatewayFolder]:
    """A new gateway's folder with its settings, removed at the end unless it is to be kept.

    Raises: EnvironmentFault: it would lie in memory, where durable means nothing.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    if (kind := find_filesystem(options.folder)) in MEMORY_FILESYSTEMS:
        raise EnvironmentFault(
            detail=f"{options.folder} is on {kind}: name a folder on a disk with --dir"
        )
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder)).resolve()
    flags = {
        "link.port": "0",
        f"tariffs.slots.{TARIFF_SLOT}": options.tariff,
        "link.sessions_max": str(options.connections + 16),
        "log.level": "warning",
        **dict(options.settings),
    }
    try:
        yield GatewayFolder(load_config(make_data_dir(folder), flags=flags), flags)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


def add_devices(config: Config, count: int) -> range:
    """Enter validators 1 to count, mobile, all on the tariff's slot."""
    build_devices(config).add_many(
        Device(device_id=number, label=f"bench {number}", tariff_slot=TARIFF_SLOT)
        for number in range(1, count + 1)
    )
    return range(1, count + 1)


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A data plane in a process of its own."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]

    def stop(self) -> int:
        """Drain as on SIGTERM; the exit status. Raises: EnvironmentFault: it had to be killed."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise EnvironmentFault(detail="the gateway did not stop and was killed") from None


@contextmanager
def start_gateway(folder: GatewayFolder, core: int | None) -> Iterator[RunningGateway]:
    """The data plane of a folder, on a core of its own; killed at the end if it still runs.

    Raises: EnvironmentFault: it did not come up; its own error is on standard error.
    """
    ready_read, ready_write = os.pipe()
    life_read, life_write = os.pipe()
    command = [sys.executable, "-m", "gateway.process", "data", "--config", str(folder.loaded.path)]
    command += [f"--set={name}={value}" for name, value in folder.flags.items()]
    command += ["--ready-fd", str(ready_write), "--life-fd", str(life_read)]
    process = subprocess.Popen(command, pass_fds=(ready_write, life_read), stdin=subprocess.DEVNULL)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    os.close(ready_write)
    os.close(life_read)
    try:
        yield RunningGateway(process, _await_ready(ready_read, process))
    finally:
        os.close(ready_read)
        os.close(life_write)
        if process.poll() is None:
            process.kill()
            process.wait()


def _await_ready(ready_fd: int, process: subprocess.Popen[bytes]) -> tuple[str, int]:
    until = time.monotonic() + START_TIMEOUT_S
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([ready_fd], [], [], max(until - time.monotonic(), 0))[0]:
            raise EnvironmentFault(detail=f"the gateway did not start in {START_TIMEOUT_S:.0f} s")
        part = os.read(ready_fd, 65536)
        if not part:
            raise EnvironmentFault(detail=f"the gateway ended with status {process.wait()}")
        line += part
    said = json.loads(line)
    if "error" in said:
        raise EnvironmentFault(detail=f"the gateway refused to start: {said['error']}")
    host, _, port = str(said["ready"]["link"]).rpartition(":")
    return host, int(port)
