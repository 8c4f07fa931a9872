"""Streams: whole or not at all, and the cursor goes with the rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from adapters.contract import Page
from adapters.errors import AdapterError, Malformed, Unavailable
from gateway.db import Database
from gateway.delivery.cursors import Stream, get_cursor, pull, set_cursor
from tests.support.peer import Peer, PeerAdapter

NOW = 1_700_000_000_000_000
ROSTER = Stream("school", "roster")


class Pages(PeerAdapter):
    """Streams the pages it is given, or fails behind them."""

    def __init__(self, *pages: Page, error: AdapterError | None = None) -> None:
        super().__init__(Peer())
        self.pages = pages
        self.error = error
        self.asked: list[tuple[str, str, bool]] = []

    async def stream(self, kind: str, cursor: str, *, full: bool) -> AsyncIterator[Page]:  # type: ignore[override]
        self.asked.append((kind, cursor, full))
        for page in self.pages:
            yield page
        if self.error is not None:
            raise self.error


def page(*ids: int, cursor: str, complete: bool = False, count: int | None = None) -> Page:
    return Page(tuple({"id": one} for one in ids), cursor, complete, count)


class Rows:
    """What was applied; fails when told."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.fails = False

    def apply(self, _: Connection, records: Sequence[Mapping[str, Any]]) -> None:
        if self.fails:
            raise ZeroDivisionError
        self.ids += [record["id"] for record in records]


@pytest.fixture
def rows() -> Rows:
    return Rows()


def cursor_of(database: Database) -> str:
    with database.transaction() as connection:
        return get_cursor(connection, "school", "roster")


WHOLE = (page(1, 2, cursor="c1"), page(3, cursor="c2", complete=True, count=3))


async def test_a_whole_stream_is_applied_with_its_cursor(database: Database, rows: Rows) -> None:
    adapter = Pages(*WHOLE)
    assert await pull(adapter, database, ROSTER, NOW, apply=rows.apply) == 3
    assert (rows.ids, cursor_of(database)) == ([1, 2, 3], "c2")
    adapter = Pages(page(cursor="c2", complete=True))
    assert await pull(adapter, database, ROSTER, NOW, apply=rows.apply) == 0
    assert adapter.asked == [("roster", "c2", False)]


async def test_a_full_read_begins_at_the_beginning(database: Database, rows: Rows) -> None:
    with database.transaction() as connection:
        set_cursor(connection, "school", "roster", "c9", NOW)
    adapter = Pages(*WHOLE)
    await pull(adapter, database, Stream("school", "roster", full=True), NOW, apply=rows.apply)
    assert adapter.asked == [("roster", "", True)]
    assert cursor_of(database) == "c2"


BAD = {
    "cut": (Pages(WHOLE[0]), Malformed),
    "nothing": (Pages(), Malformed),
    "count": (Pages(page(1, cursor="c1", complete=True, count=2)), Malformed),
    "reset": (Pages(*WHOLE, error=Unavailable("reset")), Unavailable),
}


@pytest.mark.parametrize("name", BAD)
async def test_half_a_stream_changes_nothing(database: Database, rows: Rows, name: str) -> None:
    adapter, error = BAD[name]
    with pytest.raises(error):
        await pull(adapter, database, ROSTER, NOW, apply=rows.apply)
    assert (rows.ids, cursor_of(database)) == ([], "")


async def test_the_guard_may_refuse_it(database: Database, rows: Rows) -> None:
    def guard(_: Connection, records: Sequence[object]) -> str:
        return "90 % of all pupils would go" if len(records) < 10 else ""

    with pytest.raises(Malformed, match="90 %"):
        await pull(Pages(*WHOLE), database, ROSTER, NOW, apply=rows.apply, guard=guard)
    assert (rows.ids, cursor_of(database)) == ([], "")


async def test_rows_that_fail_leave_the_cursor(database: Database, rows: Rows) -> None:
    rows.fails = True
    with pytest.raises(ZeroDivisionError):
        await pull(Pages(*WHOLE), database, ROSTER, NOW, apply=rows.apply)
    assert cursor_of(database) == ""
