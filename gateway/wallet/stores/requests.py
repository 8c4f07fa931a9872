"""The book of idempotency keys: (caller, key) → operation id, durable before the command is sent.

One thread writes; all that came while it wrote share the next transaction, so that a key costs a
part of a sync. Thread: `begin` and `settle` from the loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from gateway.clock import format_operation_id, new_operation_id, now_us, parse_operation_id
from gateway.db import Database
from gateway.errors import DatabaseError, FareGatewayError
from gateway.wallet.book import BookEntry
from gateway.wallet.stores.tables import REQUESTS

log = logging.getLogger(__name__)

SETTLE_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class _Wanted:
    row: dict[str, Any]
    answer: asyncio.Future[BookEntry]


class Requests:
    """The book over SQL. One process writes with one of these; several processes may share it."""

    def __init__(self, database: Database, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="requests")
        self._wanted: list[_Wanted] = []
        self._settled: list[dict[str, Any]] = []
        self._writing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None

    async def begin(self, caller: str, key: str, endpoint: str, digest: bytes) -> BookEntry:
        """The entry of this key, made now if there is none; durable when this returns.

        Raises: DatabaseError.
        """
        row = {
            "caller": caller,
            "key": key,
            "operation_id": format_operation_id(new_operation_id()),
            "endpoint": endpoint,
            "digest": digest.hex(),
            "created_us": self._clock(),
            "status": 0,
            "account_id": 0,
            "settled_us": 0,
        }
        wanted = _Wanted(row, asyncio.get_running_loop().create_future())
        self._wanted.append(wanted)
        self._wake()
        return await wanted.answer

    def settle(self, caller: str, key: str, status: int, *, account_id: int = 0) -> None:
        """Note how a request was answered, some time soon. Nothing depends on it."""
        done = {
            "of_caller": caller,
            "of_key": key,
            "status": status,
            "account_id": account_id,
            "settled_us": self._clock(),
        }
        self._settled.append(done)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SETTLE_EVERY_S, self._wake)

    async def find(self, caller: str, key: str) -> BookEntry | None:
        """The entry of this key. Raises: DatabaseError."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._find, caller, key
        )

    async def close(self) -> None:
        """Write down what is left."""
        if self._timer is not None:
            self._timer.cancel()
        self._wake()
        if self._writing is not None:
            await self._writing
        await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
        self._thread.shutdown()

    def _wake(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._wanted or self._settled:
            wanted, self._wanted = self._wanted, []
            settled, self._settled = self._settled, []
            self._timer = None
            try:
                entries = await loop.run_in_executor(
                    self._thread, self._write, [one.row for one in wanted], settled
                )
            except FareGatewayError as error:
                log.warning("requests_not_written", extra=error.as_dict())
                for one in wanted:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            for one, entry in zip(wanted, entries, strict=True):
                if not one.answer.done():
                    one.answer.set_result(entry)

    def _write(
        self, rows: Sequence[dict[str, Any]], settled: Sequence[dict[str, Any]]
    ) -> list[BookEntry]:
        with self._transaction() as connection:
            kept = _keep(connection, rows, is_sqlite=self._database.is_sqlite) if rows else {}
            if settled:
                _settle(connection, settled)
        return [_entry(kept[row["caller"], row["key"]], made=row["operation_id"]) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """On a connection that stays open: opening one costs more than what is written on it.

        Only in the writer's thread. Raises: DatabaseError; the next one is a new connection.
        """
        try:
            if self._connection is None:
                self._connection = self._database.engine.connect()
            with self._connection.begin():
                yield self._connection
        except DBAPIError as error:
            self._let_go()
            detail = f"{self._database.name}: {error.orig}"
            raise DatabaseError("DATABASE_ERROR", detail) from error

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _find(self, caller: str, key: str) -> BookEntry | None:
        query = select(REQUESTS).where(REQUESTS.c.caller == caller, REQUESTS.c.key == key)
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _entry(row, made="")


def prune_requests(database: Database, before_us: int) -> int:
    """Forget keys of before an instant. Returns how many. Blocking."""
    with database.transaction() as connection:
        gone = connection.execute(delete(REQUESTS).where(REQUESTS.c.created_us < before_us))
    return int(gone.rowcount)


def _keep(
    connection: Connection, rows: Sequence[dict[str, Any]], *, is_sqlite: bool
) -> dict[tuple[str, str], Row[Any]]:
    """Add the rows whose key is not there; what is there now for each key."""
    insert = sqlite.insert if is_sqlite else postgresql.insert
    connection.execute(insert(REQUESTS).on_conflict_do_nothing(), list(rows))
    keys = [(row["caller"], row["key"]) for row in rows]
    found = connection.execute(
        select(REQUESTS).where(tuple_(REQUESTS.c.caller, REQUESTS.c.key).in_(keys))
    )
    return {(row.caller, row.key): row for row in found}


def _settle(connection: Connection, settled: Sequence[dict[str, Any]]) -> None:
    connection.execute(
        update(REQUESTS).where(
            REQUESTS.c.caller == bindparam("of_caller"), REQUESTS.c.key == bindparam("of_key")
        ),
        list(settled),
    )


def _entry(row: Row[Any], *, made: str) -> BookEntry:
    return BookEntry(
        operation_id=parse_operation_id(row.operation_id),
        endpoint=row.endpoint,
        digest=bytes.fromhex(row.digest),
        is_new=row.operation_id == made,
        created_us=row.created_us,
        status=row.status,
        account_id=row.account_id,
    )
