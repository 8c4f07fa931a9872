"""The way to Valkey servers: pinned connections that never retry, and what a server must be set to.

A library that sends again by itself would write money twice, so everything here says exactly what
is known after a failure. Must not import the journal.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis.exceptions
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.errors import ConfigError, EnvironmentFault, JournalUnavailable

T = TypeVar("T")

GROUP_BYTES_MAX = 4 << 20
PORT = 6379
LOST = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
"""The connection is gone: what was sent may or may not have had its effect."""
ErrorReply = redis.exceptions.ResponseError
"""The server answered with an error: the command had no effect."""

_CHECKED = (
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyOptions:
    """Where the journal lies and what makes a group durable."""

    servers: tuple[str, ...] = (f"127.0.0.1:{PORT}",)
    """All servers that may be primary, `host:port`; the primary among them is found by asking."""
    name: str = "main"
    """Of the shard; the hash tag of its keys."""
    replicas: int = 1
    """How many must have a group before anybody is told."""
    timeout_s: float = 2.0
    """For connecting and for one reply."""
    resolve_s: float = 30.0
    """How long an unknown outcome is asked about before the process gives up."""
    leader_ttl_s: float = 1.0
    """Age of the leader's last sign of life from which a standby may take over."""
    group_bytes_max: int = GROUP_BYTES_MAX
    user: str | None = None
    password: str | None = None
    tls_ca_file: Path | None = None

    def check(self) -> None:
        """Raises ConfigError."""
        if not self.servers:
            raise ConfigError(detail="valkey.servers: name at least one")
        if not self.name or any(char in self.name for char in "{} \n"):
            raise ConfigError(detail="valkey.name: letters and digits, no braces or spaces")
        for server in self.servers:
            parse_server(server)

    def key(self, what: str) -> str:
        """All keys of a shard share a hash tag, so they lie on one server of a cluster."""
        return f"faregate:{{{self.name}}}:{what}"


def parse_server(text: str) -> tuple[str, int]:
    """`host:port`, `host` or `[v6]:port`. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    if not host or not port.isdigit():
        raise ConfigError(detail=f"valkey.servers: {text!r} is not host:port")
    return host.strip("[]"), int(port)


class PrivateLoop:
    """Runs coroutines to their end for callers in any thread, also inside a running loop.

    One at a time. A caller inside a running loop waits in it, as for a disk.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._aside = ThreadPoolExecutor(1, thread_name_prefix=name)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run(work)
        return self.submit(work).result()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it in a thread of this loop's own, one after the other."""
        return self._aside.submit(self._run, work)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            return self._loop.run_until_complete(work)

    def close(self) -> None:
        self._aside.shutdown(wait=True)
        with self._lock:
            self._loop.close()


class Wire:
    """One connection; replies are read in the order of what was sent. Made by `connect`."""

    def __init__(self, connection: Connection, address: str) -> None:
        self.address = address
        self._connection = connection
        # redis before 8.0 has it under the longer name only
        self._can_read = getattr(connection, "can_read", None) or connection.can_read_destructive

    async def ask(self, *command: Any) -> Any:
        """Send one command and wait for its reply. Raises: LOST, ErrorReply."""
        reply = (await self.exchange(command))[0]
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    async def exchange(self, *commands: Iterable[Any]) -> list[Any]:
        """Send commands in one go and wait for all replies; error replies are values.

        Raises: LOST: any of them may have been executed, or be executed later.
        """
        # One await: either the bytes lie in the socket, or LOST.
        await self._connection.send_packed_command(self._connection.pack_commands(commands), False)
        # From here on the server may have acted, whatever happens to us.
        return [await self._reply() for _ in commands]

    async def is_broken(self) -> bool:
        """Whether the server has closed it by now: found out before sending, it is no unknown."""
        for _ in range(2):  # the loop has slept since the last reply: let it look, then read
            await asyncio.sleep(0)
        try:
            return bool(await self._can_read())
        except LOST:
            return True

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response()
        except ErrorReply as error:
            return error

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)
        await asyncio.sleep(0)  # a turn for the loop to let go of the socket: it may be the last


async def connect(options: ValkeyOptions, address: str, *, reply_s: float | None = None) -> Wire:
    """Raises: LOST, ErrorReply (refused password): nothing was sent that matters."""
    host, port = parse_server(address)
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "username": options.user,
        "password": options.password,
        "socket_connect_timeout": options.timeout_s,
        "socket_timeout": reply_s or options.timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "client_name": f"faregate-{options.name}",
    }
    if options.tls_ca_file is None:
        connection = Connection(**settings)
    else:
        connection = SSLConnection(ssl_ca_certs=str(options.tls_ca_file), **settings)
    await connection.connect()  # type: ignore[no-untyped-call]
    return Wire(connection, address)


async def connect_primary(options: ValkeyOptions) -> Wire:
    """A connection to the server that says it is primary.

    Two may say so after a careless failover; the one without its replicas cannot acknowledge.
    Raises: JournalUnavailable, with what each server said.
    """
    said = []
    for address in options.servers:
        try:
            wire = await connect(options, address)
        except (*LOST, ErrorReply) as error:
            said.append(f"{address}: {error}")
            continue
        role = await _find_role(wire)
        if role == "master":
            return wire
        said.append(f"{address}: {role}")
        await wire.close()
    raise JournalUnavailable(detail="no primary among the Valkey servers: " + "; ".join(said))


async def _find_role(wire: Wire) -> str:
    """What the server is, or why it does not say so."""
    try:
        role: bytes = (await wire.ask("ROLE"))[0]
    except (*LOST, ErrorReply) as error:
        return str(error)
    return role.decode()


async def check_server(wire: Wire, options: ValkeyOptions) -> list[str]:
    """Refuse a server whose settings break the promise; returns warnings about the rest.

    Raises: EnvironmentFault ENV_VALKEY_UNSAFE, LOST.
    """
    settings: dict[str, str] = {}
    for name in _CHECKED:
        try:
            found = await wire.ask("CONFIG", "GET", name)
        except ErrorReply as error:
            said = f"{wire.address}: CONFIG GET is refused, so nothing is known: {error}"
            raise EnvironmentFault("ENV_VALKEY_UNSAFE", said) from error
        if found:
            settings[name] = found[1].decode()
    if faults := list(_find_faults(settings)):
        raise EnvironmentFault("ENV_VALKEY_UNSAFE", f"{wire.address}: {', '.join(faults)}")
    return list(_find_weaknesses(settings, options))


def _find_faults(settings: dict[str, str]) -> Iterable[str]:
    """Settings with which an acknowledged group can be lost while every server lives."""
    wanted = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
    for name, value in wanted.items():
        if settings.get(name) != value:
            yield f"{name} is {settings.get(name)!r} and must be {value!r}"
    if settings.get("maxmemory-policy") != "noeviction" and settings.get("maxmemory") != "0":
        yield "maxmemory-policy must be 'noeviction': the server would throw the journal away"


def _find_weaknesses(settings: dict[str, str], options: ValkeyOptions) -> Iterable[str]:
    if settings.get("maxmemory") == "0":
        yield "maxmemory is 0: without it the machine, not the server, says when memory is used up"
    if int(settings.get("min-replicas-to-write", "0")) < options.replicas:
        yield (
            f"min-replicas-to-write is below {options.replicas}: a primary without its replicas "
            "takes groups that are never acknowledged"
        )
    if options.replicas == 0:
        yield "replicas = 0: what only the primary holds is lost with it"
