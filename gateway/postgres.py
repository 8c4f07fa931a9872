"""The way to a PostgreSQL server: encrypted as the URL says, and with an end to every waiting.

The URL takes `sslmode` and `sslrootcert` as libpq does. Without time-outs a thread would wait for a
server that has vanished until the kernel gives up, which takes hours.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import NoSuchModuleError

from gateway.errors import DatabaseError

CONNECT_S = 5.0
MARGIN_S = 5.0
"""The server breaks a statement off and says so; after so much longer nobody believes in it."""
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
POOL_SIZE = 4
DEFAULT_PORT = 5432

Tls = ssl.SSLContext | bool | None
"""What the driver takes: False = none, None = if the server has it, unverified."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a server. name: what errors call it. timeout_s: None = as long as it takes."""

    name: str
    tls: Tls
    timeout_s: float | None

    def engine(self, url: URL) -> Engine:
        """Its pool of connections. Raises: DatabaseError: there is no driver."""
        try:
            engine = create_engine(url, pool_size=POOL_SIZE, pool_pre_ping=True)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            hint = "pip install 'faregate[postgres]'"
            raise DatabaseError("DATABASE_ERROR", "no driver for PostgreSQL", hint=hint) from error
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "handle_error", self._translate)
        _forgive_pings(engine.dialect)
        return engine

    def _connect(
        self,
        dialect: Any,
        _record: object,
        words: Sequence[Any],
        options: Mapping[str, Any],
    ) -> Any:
        """A connection of the driver, over a socket that has the time-outs. Raises: DatabaseError,
        what the driver raises.
        """
        rest = dict(options)
        file = rest.pop("unix_sock", None)
        try:
            plug = _plug(file, rest.get("host", "localhost"), rest.get("port", DEFAULT_PORT))
        except OSError as error:
            raise self._error(error) from error
        try:
            plug.settimeout(None if self.timeout_s is None else self.timeout_s + MARGIN_S)
            tls = self.tls if file is None else False
            make = dialect.loaded_dbapi.Connection  # its `connect` takes no socket
            made: Any = make(*words, **rest, sock=plug, ssl_context=tls)
            if self.timeout_s is not None:
                made.cursor().execute(f"SET statement_timeout = {int(self.timeout_s * 1000)}")
                made.commit()
        except OSError as error:
            plug.close()
            raise self._error(error) from error
        except BaseException:
            plug.close()
            raise
        return made

    def _translate(self, context: ExceptionContext) -> None:
        """The driver lets errors of its socket through as they are."""
        error = context.original_exception
        if isinstance(error, OSError):
            context.is_disconnect = True
            raise self._error(error) from error

    def _error(self, error: OSError) -> DatabaseError:
        return DatabaseError("DATABASE_ERROR", f"{self.name}: {error or type(error).__name__}")


def read_tls(url: URL) -> tuple[URL, Tls]:
    """A URL without what it says of TLS, and what it says. Raises: DatabaseError."""
    mode = _text(url, "sslmode") or "prefer"
    authority = _text(url, "sslrootcert")
    plain = url.difference_update_query(["sslmode", "sslrootcert"])
    if authority and not Path(authority).is_absolute():
        raise _bad("sslrootcert has to be an absolute path")
    if mode in ("verify-ca", "verify-full"):
        try:
            context = ssl.create_default_context(cafile=authority or None)
        except OSError as error:
            raise _bad(f"sslrootcert: {authority}: {error}") from error
        context.check_hostname = mode == "verify-full"
        return plain, context
    if authority:
        raise _bad("sslrootcert needs sslmode=verify-full or verify-ca: else nobody looks at it")
    if mode == "require":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return plain, context
    if mode not in ("prefer", "disable"):
        raise _bad(f"sslmode={mode}: disable, prefer, require, verify-ca or verify-full")
    return plain, False if mode == "disable" else None


def _text(url: URL, name: str) -> str:
    value = url.query.get(name, "")
    if not isinstance(value, str):
        raise _bad(f"{name} stands twice in the URL")
    return value


def _bad(detail: str) -> DatabaseError:
    return DatabaseError("DATABASE_ERROR", detail, hint="")


def _plug(file: str | None, host: str, port: int) -> socket.socket:
    if file is not None:
        plug = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            plug.settimeout(CONNECT_S)
            plug.connect(file)
        except OSError:
            plug.close()
            raise
        return plug
    plug = socket.create_connection((host, port), CONNECT_S)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        plug.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return plug


def _forgive_pings(dialect: Any) -> None:
    """A connection whose ping fails in the socket is as gone as one whose server says so."""
    ping = dialect.do_ping

    def forgiving(connection: Any) -> bool:
        try:
            return bool(ping(connection))
        except OSError:
            return False

    dialect.do_ping = forgiving
