"""The processes under test: one by itself, or all of `faregate serve` under its supervisor.

What is killed is only what was started here, by its pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.errors import EnvironmentFault
from gateway.observability.page import LINK_PORT, PID, STATE, PageReader, PlaneState

START_TIMEOUT_S = 120.0
FLAGS = {
    "link.port": "0",
    "http.port": "0",
    "journal.segment_mib": "2",
    "engine.group_bytes_max": "1640000",
    "snapshots.every_s": "1",
    "tariffs.slots.1": "beijing-subway",
    "log.level": "error",
}


def as_options(flags: Mapping[str, str]) -> list[str]:
    """Settings as a command takes them."""
    return [f"--set={key}={value}" for key, value in flags.items()]


async def until(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Look again and again, as often as the clients leave time for; whether it came true."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.001)
    return True


class Process:
    """One process of the gateway under test."""

    def __init__(self, name: str, config_path: Path, flags: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "gateway.process", name]
        self._command += ["--config", str(config_path), *as_options(flags)]
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


class Served:
    """`faregate serve`: the supervisor and the three processes it keeps."""

    def __init__(self, config: Config, config_path: Path, flags: Mapping[str, str]) -> None:
        self._config = config
        self._command = [sys.executable, "-m", "gateway.cli", "serve", "--json"]
        self._command += ["--config", str(config_path), *as_options(flags)]
        self._log = config.gateway.data_dir / "serve.log"
        self._page = PageReader(config.page_path)
        self._process: subprocess.Popen[bytes] | None = None
        self._seen = 0

    def start(self) -> None:
        """Start it; `ready` waits for it to serve."""
        with self._log.open("ab") as log:
            self._seen = log.tell()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def events(self) -> Iterator[dict[str, Any]]:
        """What the supervisor has said since it was started."""
        for line in self._log.read_bytes()[self._seen :].splitlines():
            with suppress(json.JSONDecodeError):  # the last one may be half written
                said = json.loads(line)
                if "event" in said:
                    yield said

    @property
    def pids(self) -> dict[str, int]:
        """Of the processes it keeps now; none once they are known to be gone."""
        if self._process is None:
            return {}
        return {one["process"]: one["pid"] for one in self.events() if one["event"] == "started"}

    async def ready(self, *, not_pid: int = 0) -> tuple[str, int]:
        """Where the link of another data plane than `not_pid` listens. Raises: EnvironmentFault."""
        found: list[int] = []

        def serves() -> bool:
            view = self._page.read()
            if view is None or view[STATE] != PlaneState.READY or view[PID] == not_pid:
                return self.has_ended
            if view[PID] == self.pids.get("data"):
                found.append(view[LINK_PORT])
            return bool(found)

        if not await until(serves, within_s=START_TIMEOUT_S) or not found:
            raise EnvironmentFault(detail=f"serve did not come up: {list(self.events())[-3:]}")
        return self._config.link.host, found[-1]

    @property
    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def send(self, name: str, number: int) -> None:
        """A signal to one of the processes it keeps."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[name], number)

    async def kill_supervisor(self) -> None:
        """SIGKILL of the supervisor alone."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def kill_all(self) -> None:
        """SIGKILL of the whole group, the supervisor first: it may start nothing again."""
        pids = self.pids
        await self.kill_supervisor()
        for pid in pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not await self.gone(pids):
            raise EnvironmentFault(detail=f"still there after SIGKILL: {pids}")

    async def gone(self, pids: Mapping[str, int]) -> bool:
        """Wait until none of these processes is left; they are nobody's children any more."""
        if not await until(lambda: not any(map(_lives, pids.values())), within_s=START_TIMEOUT_S):
            return False
        self._process = None  # their numbers may be somebody else's from now on
        return True


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
