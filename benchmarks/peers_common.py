"""What every peer of the comparison has in common: cores, folders, processes, one measurement."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

START_S = 30.0


class Skip(Exception):
    """A peer that cannot be measured here, and why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one case."""

    per_s: float
    p50_us: float
    p99_us: float
    client_cpu: float = 0.0
    """Share of a core the load generator used; near 1.0 it measures itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How large a run is."""

    accounts: int
    seconds: float
    warmup_s: float
    connections: int = 50
    batch: int = 32
    folder: Path = Path("var")
    client_core: int | None = None
    server_core: int | None = None


class Peer(Protocol):
    """Something that serves, and is asked the same question in each round."""

    @property
    def name(self) -> str: ...

    @property
    def cases(self) -> Sequence[str]: ...

    def measure(self, case: str) -> Sample:
        """Load one case for the scope's seconds."""

    def about(self) -> Mapping[str, object]:
        """Version and effective settings."""


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as plug:
        port: int = plug.getsockname()[1]
        return port


def find_program(name: str, *folders: str) -> str:
    """Where a program is, in these folders or on PATH. Raises: Skip: it is not installed."""
    path = shutil.which(name, path=os.pathsep.join(folders)) or shutil.which(name)
    if path is None:
        raise Skip(f"no {name} on PATH")
    return path


@contextmanager
def scratch(scope: Scope, name: str) -> Iterator[Path]:
    """A folder on the filesystem of all peers, removed at the end."""
    scope.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"peer-{name}-", dir=scope.folder)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server(
    command: Sequence[str],
    *,
    core: int | None,
    log: Path,
    user: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server on its core, ended at the end. What it says goes to the log file."""
    pinned = [*(["taskset", "-c", str(core)] if core is not None else []), *command]
    with log.open("wb") as said:
        process = subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            user=user,
            cwd=log.parent,
            env={**os.environ, **env} if env else None,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until somebody listens. Raises: Skip: the server ended or never did."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Skip(f"ended at start: {log.read_text(errors='replace')[-300:].strip()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise Skip(f"did not listen within {START_S:.0f} s")


def run_client(command: Sequence[str], scope: Scope, *, cwd: Path | None = None,
               timeout_s: float = 600) -> tuple[str, float]:  # fmt: skip
    """Run a load generator on the client's core; what it printed, its share of that core."""
    core = scope.client_core
    pinned = [*(["taskset", "-c", str(core)] if core is not None else []), *command]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        pinned, capture_output=True, text=True, timeout=timeout_s, cwd=cwd, check=False
    )
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Skip(f"{command[0]} failed: {(done.stderr or done.stdout)[-300:].strip()}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, round(spent / wall_s, 3)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This process on a core for a while."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def percentile(sorted_values: Sequence[float], per_mille: int) -> float:
    """The value at a rank; 0 when there is none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) * per_mille // 1000, len(sorted_values) - 1)]
