"""The book of idempotency keys: (caller, key) → operation id, durable before the command is sent.

First answers are kept with it where the journal cannot tell them, sealed: an answer may show what
nobody else is to see.

One thread writes; all that came while it wrote share the next transaction, so that a key costs a
part of a sync. Thread: `begin` and `settle` from the loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.clock import format_operation_id, now_us, parse_operation_id
from gateway.db import Database
from gateway.errors import ConfigError, FareGatewayError
from gateway.wallet.book import KEY_BYTES, BookEntry, note_of, request_id
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.tables import REQUESTS
from gateway.wallet.stores.writer import Writer

log = logging.getLogger(__name__)

SETTLE_EVERY_S = 0.2
ANSWER_BYTES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class _Wanted:
    row: dict[str, Any]
    answer: asyncio.Future[BookEntry]


@dataclass(frozen=True, slots=True)
class _Kept:
    row: dict[str, Any]
    done: asyncio.Future[None]


class Requests:
    """The book over SQL. One process writes with one of these; several processes may share it."""

    def __init__(
        self, database: Database, clock: Callable[[], int] = now_us, sealer: Sealer | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._sealer = sealer
        self._kept: list[_Kept] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="requests")
        self._wanted: list[_Wanted] = []
        self._settled: list[dict[str, Any]] = []
        self._writing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writer = Writer(database)

    async def begin(self, caller: str, key: str, endpoint: str, digest: bytes) -> BookEntry:
        """The entry of this key, made now if there is none; durable when this returns.

        Raises: DatabaseError.
        """
        now_us = self._clock()
        row = {
            "caller": caller,
            "key": key,
            "operation_id": format_operation_id(request_id(now_us, caller, key)),
            "endpoint": endpoint,
            "digest": digest.hex(),
            "created_us": now_us,
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

    async def keep(
        self, caller: str, key: str, status: int, answer: bytes, *, account_id: int = 0
    ) -> None:
        """As `settle`, with the answer, durable when this returns; a very long one is not kept.

        A book that cannot be written keeps no answer: what was done is done.
        """
        if self._sealer is None or len(answer) > ANSWER_BYTES_MAX:
            self.settle(caller, key, status, account_id=account_id)
            return
        row = {
            "of_caller": caller,
            "of_key": key,
            "status": status,
            "account_id": account_id,
            "settled_us": self._clock(),
            "answer": self._sealer.seal(name_of_answer(caller, key), answer),
        }
        kept = _Kept(row, asyncio.get_running_loop().create_future())
        self._kept.append(kept)
        self._wake()
        await kept.done

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
        await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.close)
        self._thread.shutdown()

    def _wake(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._wanted or self._settled or self._kept:
            wanted, self._wanted = self._wanted, []
            settled, self._settled = self._settled, []
            kept, self._kept = self._kept, []
            answers = [one.row for one in kept]
            self._timer = None
            try:
                entries = await loop.run_in_executor(
                    self._thread, self._write, [one.row for one in wanted], settled, answers
                )
            except FareGatewayError as error:
                log.warning("requests_not_written", extra=error.as_dict())
                for one in wanted:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            finally:
                for done in (one.done for one in kept):
                    if not done.done():
                        done.set_result(None)
            for one, entry in zip(wanted, entries, strict=True):
                if not one.answer.done():
                    one.answer.set_result(entry)

    def _write(
        self,
        rows: Sequence[dict[str, Any]],
        settled: Sequence[dict[str, Any]],
        answers: Sequence[dict[str, Any]],
    ) -> list[BookEntry]:
        with self._writer.transaction() as connection:
            kept = _keep(connection, rows) if rows else {}
            for some in (settled, answers):
                if some:
                    _settle(connection, some)
        return [
            self._entry(kept[row["caller"], row["key"]], made=row["operation_id"])
            if kept
            else _new_entry(row)
            for row in rows
        ]

    def _find(self, caller: str, key: str) -> BookEntry | None:
        query = select(REQUESTS).where(REQUESTS.c.caller == caller, REQUESTS.c.key == key)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else self._entry(row, made="")

    def _entry(self, row: Row[Any], *, made: str) -> BookEntry:
        return BookEntry(
            operation_id=parse_operation_id(row.operation_id),
            endpoint=row.endpoint,
            digest=bytes.fromhex(row.digest),
            is_new=row.operation_id == made,
            created_us=row.created_us,
            status=row.status,
            account_id=row.account_id,
            answer=self._open(row),
        )

    def _open(self, row: Row[Any]) -> bytes:
        if not row.answer or self._sealer is None:
            return b""
        try:
            return self._sealer.open(name_of_answer(row.caller, row.key), row.answer)
        except ConfigError:
            return b""  # its key is gone: the request is answered from what there is


def prune_requests(database: Database, before_us: int) -> int:
    """Forget keys of before an instant. Returns how many. Blocking."""
    with database.transaction() as connection:
        gone = connection.execute(delete(REQUESTS).where(REQUESTS.c.created_us < before_us))
    return int(gone.rowcount)


def list_answers(
    database: Database, after: tuple[str, str], limit: int
) -> list[tuple[str, str, bytes]]:
    """Caller, key and answer, sealed, of those that have one, in order behind a pair. Blocking."""
    table = REQUESTS.c
    pair = tuple_(table.caller, table.key)
    query = (
        select(table.caller, table.key, table.answer)
        .where(table.answer.is_not(None), pair > after)
        .order_by(table.caller, table.key)
        .limit(limit)
    )
    with database.reading() as connection:
        found = connection.execute(query).all()
    return [(row.caller, row.key, row.answer) for row in found if row.answer]


def replace_answers(database: Database, found: Sequence[tuple[str, str, bytes, bytes]]) -> int:
    """Caller, key, the answer as it was read and the one in its place; how many were still so.
    Blocking.
    """
    table, done = REQUESTS.c, 0
    with database.transaction() as connection:
        for caller, key, old, new in found:
            same = (table.caller == caller) & (table.key == key) & (table.answer == old)
            done += connection.execute(update(REQUESTS).where(same).values(answer=new)).rowcount
    return done


def keep_rows(connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Add the rows whose key is not there; how many were not."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    wanted = insert(REQUESTS).values(list(rows)).on_conflict_do_nothing()
    return connection.execute(wanted).rowcount


def _keep(
    connection: Connection, rows: Sequence[dict[str, Any]]
) -> dict[tuple[str, str], Row[Any]]:
    """Add the rows whose key is not there; what is there now for each key, {} = just these rows."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    _adopt(connection, rows)
    added = connection.execute(insert(REQUESTS).on_conflict_do_nothing(), list(rows))
    if added.rowcount == len(rows):
        return {}
    keys = [(row["caller"], row["key"]) for row in rows]
    found = connection.execute(
        select(REQUESTS).where(tuple_(REQUESTS.c.caller, REQUESTS.c.key).in_(keys))
    )
    return {(row.caller, row.key): row for row in found}


def _new_entry(row: dict[str, Any]) -> BookEntry:
    return BookEntry(
        operation_id=parse_operation_id(row["operation_id"]),
        endpoint=row["endpoint"],
        digest=bytes.fromhex(row["digest"]),
        is_new=True,
        created_us=row["created_us"],
    )


def _adopt(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """A row that was built again has the digest of a long key: its operation is that key's."""
    long = {
        (row["caller"], note_of(row["key"])): row for row in rows if len(row["key"]) > KEY_BYTES
    }
    if not long:
        return
    is_built = (REQUESTS.c.endpoint == "") & tuple_(REQUESTS.c.caller, REQUESTS.c.key).in_(long)
    for found in connection.execute(select(REQUESTS).where(is_built)):
        long[found.caller, found.key]["operation_id"] = found.operation_id


def _settle(connection: Connection, settled: Sequence[dict[str, Any]]) -> None:
    connection.execute(
        update(REQUESTS).where(
            REQUESTS.c.caller == bindparam("of_caller"), REQUESTS.c.key == bindparam("of_key")
        ),
        list(settled),
    )


def name_of_answer(caller: str, key: str) -> str:
    """What an answer is sealed under."""
    return f"answer {caller} {key}"
