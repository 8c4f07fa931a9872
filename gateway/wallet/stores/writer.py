"""A connection for one thread that writes all the time, small things that somebody waits for.

It stays open: opening one costs more than what is written on it. And it leaves to another thread
what SQLite would do in every thousandth page's commit: carry the log over into the file, some ten
milliseconds with two syncs. The other thread carries over what the log holds by then; what came
meanwhile, little, is carried over between two transactions, so that the log begins anew and does
not grow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway.db import Database
from gateway.errors import DatabaseError

log = logging.getLogger(__name__)

CARRY_EVERY_S = 0.5
LOG_PAGES = 1000
"""A log of less is left as it is. Of 4 KiB."""


class Writer:
    """Thread: all of it belongs to one, but the carrying over."""

    def __init__(
        self,
        database: Database,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        beside: Executor | None = None,
    ) -> None:
        self._database = database
        self._monotonic = monotonic
        self._connection: Connection | None = None
        self._beside = beside or ThreadPoolExecutor(1, thread_name_prefix="carry")
        self._carried: Future[int] | None = None
        self._due_s = 0.0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction. Raises: DatabaseError; the next one is on a new connection."""
        try:
            connection = self._connected()
            self._carry()
            with connection.begin():
                yield connection
        except DBAPIError as error:
            self._let_go()
            detail = f"{self._database.name}: {error.orig}"
            raise DatabaseError("DATABASE_ERROR", detail) from error

    def close(self) -> None:
        """End the connection."""
        self._beside.shutdown()
        self._let_go()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.engine.connect()
            if self._database.is_sqlite:
                _driver_of(self._connection).execute("PRAGMA wal_autocheckpoint=0")
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _carry(self) -> None:
        """Have it begun beside now and then; once it is through, end it here."""
        if not self._database.is_sqlite or self._connection is None:
            return
        if self._carried is None:
            if self._monotonic() >= self._due_s:
                self._carried = self._beside.submit(_carry_beside, self._database)
        elif self._carried.done():
            if self._carried.result() >= LOG_PAGES:
                _carry_over(_driver_of(self._connection))
            self._carried = None
            self._due_s = self._monotonic() + CARRY_EVERY_S


def _carry_beside(database: Database) -> int:
    """On a connection of its own; pages in the log, 0 = it could not be done now."""
    try:
        with closing(database.engine.raw_connection()) as connection:
            return _carry_over(connection.driver_connection)
    except DBAPIError as error:
        log.warning("log_not_carried_over", extra={"detail": str(error.orig)})
        return 0


def _carry_over(driver: Any) -> int:
    """Without waiting for anybody, and nobody waits for it; pages in the log."""
    _, pages, _ = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)


def _driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection
