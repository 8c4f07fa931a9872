"""A gateway started for a demonstration: `faregate serve` as a child, told by its JSON events."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway.config import SOCKET_PATH_BYTES_MAX, LoadedConfig, load_config
from gateway.config_file import make_data_dir
from gateway.errors import EnvironmentFault

START_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 40.0
LOG_NAME = "serve.log"


def find_free_port() -> int:
    """A loopback port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_folder(parent: Path, *, flags: Mapping[str, str]) -> tuple[LoadedConfig, dict[str, str]]:
    """A new data folder, as `faregate init` makes it, and settings for ports of its own.

    Returns: the settings, and those of them that are not in the file.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=parent)).resolve()
    chosen = {
        "link.port": str(find_free_port()),
        "http.port": str(find_free_port()),
        "log.level": "warning",
        **flags,
    }
    if len(os.fsencode(folder / "run/control.sock")) > SOCKET_PATH_BYTES_MAX:
        chosen["control.socket"] = str(Path(tempfile.mkdtemp(prefix="faregate-")) / "control.sock")
    return load_config(make_data_dir(folder / "data"), flags=chosen), chosen


class ServedGateway:
    """One `faregate serve` with all its processes; `stop` or `kill_all` ends them."""

    def __init__(self, loaded: LoadedConfig, flags: Mapping[str, str]) -> None:
        self.loaded = loaded
        self.events: list[dict[str, object]] = []
        self.pids: dict[str, int] = {}
        """Newest process of each name."""
        self._flags = flags
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ready: dict[str, int] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where validators connect."""
        return self.loaded.config.link.host, self.loaded.config.link.port

    @property
    def log_path(self) -> Path:
        """What the processes log."""
        return self.loaded.config.gateway.data_dir / LOG_NAME

    def ready_count(self, name: str) -> int:
        """How often a process of this name became ready."""
        return self._ready.get(name, 0)

    async def start(self) -> None:
        """Start and wait until the data plane serves. Raises: EnvironmentFault."""
        command = [sys.executable, "-P", "-m", "gateway.cli", "serve", "--json"]
        command += ["--config", str(self.loaded.path)]
        for name, value in self._flags.items():
            command += ["--set", f"{name}={value}"]
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the demonstration, which then ends it
            )
        self._listener = asyncio.create_task(self._listen())
        await self.wait_ready("data", 1, START_TIMEOUT_S)

    async def _listen(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        async for line in process.stdout:
            event = json.loads(line)
            self.events.append(event)
            name = str(event.get("process", ""))
            if event.get("event") == "started":
                self.pids[name] = int(event["pid"])
            elif event.get("event") == "ready":
                self._ready[name] = self._ready.get(name, 0) + 1
            self._changed.set()
        self._changed.set()

    async def wait_ready(self, name: str, times: int, timeout_s: float) -> None:
        """Wait until a process of this name has become ready so often. Raises: EnvironmentFault."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.ready_count(name) < times:
                    self._fail_if_ended()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise EnvironmentFault(
                "ENV_TIMEOUT", f"{name} was not ready after {timeout_s:g} s: {self.log_path}"
            ) from error

    def _fail_if_ended(self) -> None:
        if self._listener is not None and self._listener.done():
            refused = [event for event in self.events if event.get("event") == "refused"]
            detail = refused[-1].get("detail", "") if refused else self._last_log()
            raise EnvironmentFault("ENV_TIMEOUT", f"the gateway ended: {detail}")

    def _last_log(self) -> str:
        lines = self.log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {self.log_path}"

    def kill_data_plane(self) -> int:
        """SIGKILL, without a warning; returns the pid that is gone."""
        pid = self.pids["data"]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def stop(self) -> int:
        """Drain as on SIGTERM; the exit status. Raises: EnvironmentFault: it had to be killed."""
        if self._process is None:
            return 0
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            status = await asyncio.wait_for(self._process.wait(), DRAIN_TIMEOUT_S)
        except TimeoutError as error:
            await self.kill_all()
            raise EnvironmentFault("ENV_TIMEOUT", "the gateway did not stop") from error
        await self._end_listener()
        return status

    async def kill_all(self) -> None:
        """End everything at once: for errors and Ctrl-C."""
        if self._process is None:
            return
        running = self._process.returncode is None
        if running:
            for pid in (self._process.pid, *self.pids.values()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await self._process.wait()
        await self._end_listener()

    async def _end_listener(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
