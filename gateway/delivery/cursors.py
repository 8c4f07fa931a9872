"""Streams from a peer: all pages first, applied only when they are complete, with the cursor.

The cursor is stored in the transaction of the rows it stands for, so a crash reads them again or
not at all. Thread: the writes are any thread's; one pull at a time for an adapter and kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from adapters.contract import Adapter
from adapters.errors import Malformed
from gateway.db import Database
from gateway.delivery.tables import CURSORS

Records = Sequence[Mapping[str, Any]]
ApplyRecords = Callable[[Connection, Records], None]
"""Writes the records of a complete stream; must bear seeing one again."""
Guard = Callable[[Connection, Records], str]
"""Looks at what is there and at what came; a text = why it must not be applied."""
RECORDS_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class Stream:
    """What is read from where. full: from the beginning, whatever the cursor says."""

    adapter: str
    kind: str
    full: bool = False


def get_cursor(connection: Connection, adapter: str, kind: str) -> str:
    """How far a stream has been read; empty = not at all."""
    found = connection.scalar(
        select(CURSORS.c.cursor).where(CURSORS.c.adapter == adapter, CURSORS.c.kind == kind)
    )
    return str(found or "")


def set_cursor(connection: Connection, adapter: str, kind: str, cursor: str, now_us: int) -> None:
    """Move a cursor, inside the caller's transaction."""
    connection.execute(delete(CURSORS).where(CURSORS.c.adapter == adapter, CURSORS.c.kind == kind))
    row = {"adapter": adapter, "kind": kind, "cursor": cursor, "changed_us": now_us}
    connection.execute(insert(CURSORS).values(**row))


async def pull(
    adapter: Adapter[Any],
    database: Database,
    stream: Stream,
    now_us: int,
    *,
    apply: ApplyRecords,
    guard: Guard | None = None,
) -> int:
    """Read a stream to its end and apply it as a whole; the number of records.

    Raises: Malformed: it ended early, held another number of records than it said, or the guard
    refused it; nothing was applied then. AdapterError: of the adapter.
    """

    def read_cursor() -> str:
        with database.transaction() as connection:
            return get_cursor(connection, stream.adapter, stream.kind)

    records, cursor = await _read_all(adapter, stream, await asyncio.to_thread(read_cursor))

    def write() -> None:
        with database.transaction() as connection:
            if guard is not None and (why := guard(connection, records)):
                raise Malformed(f"{stream.kind} of {stream.adapter}: {why}")
            apply(connection, records)
            set_cursor(connection, stream.adapter, stream.kind, cursor, now_us)

    await asyncio.to_thread(write)
    return len(records)


async def _read_all(
    adapter: Adapter[Any], stream: Stream, cursor: str
) -> tuple[list[Mapping[str, Any]], str]:
    records: list[Mapping[str, Any]] = []
    said: int | None = None
    complete = False
    start = "" if stream.full else cursor
    async for page in adapter.stream(stream.kind, start, full=stream.full):
        records.extend(page.records)
        cursor, complete = page.next_cursor, page.complete
        said = page.source_count if page.source_count is not None else said
        if len(records) > RECORDS_MAX:
            raise Malformed(f"{stream.kind} of {stream.adapter}: over {RECORDS_MAX} records")
    if not complete:
        raise Malformed(f"{stream.kind} of {stream.adapter} ended before its last page")
    if said is not None and said != len(records):
        raise Malformed(f"{stream.kind} of {stream.adapter}: {len(records)} of {said} records came")
    return records, cursor
