"""`faregate serve`: runs the data plane and, beside it, HTTP, snapshotter, ledger, worker.

    start   pid lock, then http and data; snapshotter, ledger and worker once the data plane serves
    crash   the data plane comes back once (it recovers by itself), a second death in a row is the
            end; the others come back after a pause that grows
    stop    SIGTERM or SIGINT: the data plane drains first, then the others; the slow are killed
    death   every child holds one end of a pipe and drains when this process is gone

Does not import what it runs: each child is `python -P -m gateway.process`. Without -P Python looks
for its modules first where the operator happens to stand, and the children read all secrets.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import EnvironmentFault
from gateway.readiness import EXIT_REFUSED

if TYPE_CHECKING:
    from gateway.config import Config, LoadedConfig

NAMES = ("data", "http", "snapshotter", "ledger", "worker")
FOLLOWERS = ("snapshotter", "ledger", "worker")
"""They read or command what the data plane has recovered, so they begin once it serves."""
LAUNCHER = (sys.executable, "-P", "-m", "gateway.process")
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
STEADY_S = 60.0
"""A process that lived so long after being ready begins with a clean record."""

Say = Callable[[str, Mapping[str, object]], None]
"""Tells what happens: event name and fields."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds, before a process that should stop is killed."""

    drain_s: float = 30.0
    stop_s: float = 10.0


@dataclass(slots=True)
class _Child:
    """One process and its record."""

    name: str
    process: asyncio.subprocess.Process
    started: float = field(default_factory=time.monotonic)
    ready: bool = False


class Supervisor:
    """Runs the chosen processes of one data folder until told to stop, or there is no way on."""

    def __init__(
        self,
        loaded: LoadedConfig,
        say: Say,
        *,
        flags: Mapping[str, str],
        names: Sequence[str] = NAMES,
        patience: Patience | None = None,
        launcher: Sequence[str] = LAUNCHER,
    ) -> None:
        self._loaded = loaded
        self._say = say
        self._flags = flags
        self._names = tuple(names)
        self._patience = patience or Patience()
        self._launcher = tuple(launcher)
        self._children: dict[str, _Child] = {}
        self._stopping = asyncio.Event()
        self._serving = {name: asyncio.Event() for name in names}
        self._where: dict[str, object] = {}
        self._status = 0
        self._life_read, self._life_write = os.pipe()

    async def run(self) -> int:
        """Until everything has stopped; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        tasks = [asyncio.create_task(self._keep(name), name=name) for name in self._names]
        for task in tasks:
            task.add_done_callback(self._kept)
        announcer = asyncio.create_task(self._announce())
        await self._stopping.wait()
        announcer.cancel()
        await self._stop_all()
        for task in tasks:
            task.cancel()
        await asyncio.gather(announcer, *tasks, return_exceptions=True)
        self._say("stopped", {"status": self._status})
        return self._status

    async def _keep(self, name: str) -> None:
        """One process, started again and again as its rule says."""
        failures = tries = 0
        while not self._stopping.is_set():
            if name in FOLLOWERS and "data" in self._names:
                await self._serving["data"].wait()
            try:
                child = await self._start(name)
            except OSError as error:  # no memory, processes or files: for a moment, mostly
                tries += 1
                self._say("not_started", {"process": name, "error": str(error)})
                await self._pause(_pause_s(tries), name)
                continue
            tries = 0
            status = await child.process.wait()
            if self._stopping.is_set():
                return
            failures = 1 if _was_steady(child) else failures + 1
            self._say("exited", {"process": name, "status": status, "failures": failures})
            if self._is_the_end(name, child, status, failures):
                self._finish(status)
                return
            # Of the data plane every moment counts; it is started again only once.
            await self._pause(0.0 if name == "data" else _pause_s(failures), name)

    def _kept(self, task: asyncio.Task[None]) -> None:
        """A process that nobody keeps any more is no reason to go on as if somebody did."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._say("failed", {"process": task.get_name(), "error": repr(error)})
            self._finish(1)

    def _is_the_end(self, name: str, child: _Child, status: int, failures: int) -> bool:
        """Whether the gateway stops because of this exit."""
        if name != "data" and len(self._names) > 1:
            # Refused at the first start: a port in use, a bad file. Say so instead of retrying.
            return status == EXIT_REFUSED and failures == 1 and not child.ready
        return status in (0, EXIT_REFUSED) or failures >= 2

    def _finish(self, status: int) -> None:
        self._status = EXIT_REFUSED if status == EXIT_REFUSED else int(status != 0)
        self._stopping.set()

    async def _pause(self, seconds: float, name: str) -> None:
        self._say("restarting", {"process": name, "in_s": seconds})
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _start(self, name: str) -> _Child:
        ready_read, ready_write = os.pipe()
        command = [*self._launcher, name]
        command += ["--config", str(self._loaded.path)]
        command += [f"--set={key}={value}" for key, value in self._flags.items()]
        command += ["--ready-fd", str(ready_write), "--life-fd", str(self._life_read)]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(ready_write, self._life_read),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which asks in order
            )
        except OSError:
            os.close(ready_read)
            raise
        finally:
            os.close(ready_write)
        child = self._children[name] = _Child(name, process)
        self._say("started", {"process": name, "pid": process.pid})
        self._listen_to(child, ready_read)
        return child

    def _listen_to(self, child: _Child, fd: int) -> None:
        """Take the line of `tell_ready` or `tell_failure` when it comes."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            line = os.read(fd, 65_536)
            loop.remove_reader(fd)
            os.close(fd)
            if line:
                self._heard(child, json.loads(line))

        loop.add_reader(fd, readable)

    def _heard(self, child: _Child, said: Mapping[str, Mapping[str, object]]) -> None:
        if "error" in said:
            self._say("refused", {"process": child.name} | dict(said["error"]))
            return
        child.ready = True
        where = dict(said.get("ready", {}))
        self._where |= where
        self._say("ready", {"process": child.name} | where)
        self._serving[child.name].set()

    async def _announce(self) -> None:
        """Say once that all of them serve, and where."""
        for serving in self._serving.values():
            await serving.wait()
        self._say("serving", self._where)

    async def _stop_all(self) -> None:
        """The data plane first: as long as it drains, the others show how it goes."""
        self._say("stopping", {})
        if "data" in self._children:
            await self._stop(self._children["data"], self._patience.drain_s)
        others = [child for name, child in self._children.items() if name != "data"]
        await asyncio.gather(*(self._stop(child, self._patience.stop_s) for child in others))

    async def _stop(self, child: _Child, patience_s: float) -> None:
        if child.process.returncode is not None:
            return
        child.process.terminate()
        try:
            status = await asyncio.wait_for(child.process.wait(), patience_s)
        except TimeoutError:
            self._say("killed", {"process": child.name, "after_s": patience_s})
            child.process.kill()
            await child.process.wait()
            self._status = self._status or 1
            return
        if status != 0 and (child.ready or status != -signal.SIGTERM):
            self._status = self._status or 1
        self._say("exited", {"process": child.name, "status": status})


def _pause_s(failures: int) -> float:
    return min(BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 16), BACKOFF_MAX_S)


def _was_steady(child: _Child) -> bool:
    return child.ready and time.monotonic() - child.started > STEADY_S


def hold_pid_file(config: Config, names: Sequence[str]) -> int:
    """Lock this data folder's pid file for this supervisor; returns the open descriptor.

    Raises: EnvironmentFault: another one runs.
    """
    config.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = pid_path(config, names)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(fd, 32).decode().strip()
        os.close(fd)
        raise EnvironmentFault("ENV_RUNNING", f"process {pid} serves {path.parent}") from None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def pid_path(config: Config, names: Sequence[str] = NAMES) -> Path:
    """faregate.pid, or one file for each choice of processes."""
    part = "" if tuple(names) == NAMES else "-" + "-".join(names)
    return config.run_dir / f"faregate{part}.pid"


def serve(
    loaded: LoadedConfig, say: Say, *, flags: Mapping[str, str], names: Sequence[str] = NAMES
) -> int:
    """Run the supervisor in this process; the exit status."""
    lock = hold_pid_file(loaded.config, names)
    try:
        return asyncio.run(_run(loaded, say, flags, names))
    finally:
        pid_path(loaded.config, names).unlink(missing_ok=True)
        os.close(lock)


async def _run(
    loaded: LoadedConfig, say: Say, flags: Mapping[str, str], names: Sequence[str]
) -> int:
    return await Supervisor(loaded, say, flags=flags, names=names).run()
