"""When purses end, as the ledger says. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database
from gateway.wallet.stores.tables import CURSORS, PURSE_ENDS


@dataclass(frozen=True, slots=True)
class PurseEnd:
    """One purse. due_us: when it is looked at next; 0 = never."""

    account_id: int
    purse_id: int
    due_us: int


class PurseEndStore:
    """The registry's side of purses that end. cursor: name of how far the ledger was read."""

    def __init__(self, database: Database, cursor: str) -> None:
        self._database = database
        self._cursor = cursor

    def position(self) -> int:
        """Number of the last record that was read."""
        query = select(CURSORS.c.seq).where(CURSORS.c.name == self._cursor)
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def note(self, ends: Sequence[PurseEnd], seq: int) -> None:
        """What became of purses, each named once, and how far the ledger was read; what was known
        of them before is over. Again is nothing.
        """
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        rows = [
            {"account_id": one.account_id, "purse_id": one.purse_id, "due_us": one.due_us}
            for one in ends
            if one.due_us
        ]
        mark = insert(CURSORS).values(name=self._cursor, seq=seq)
        with self._database.transaction() as connection:
            for one in ends:
                if not one.due_us:
                    connection.execute(delete(PURSE_ENDS).where(_is(one)))
            if rows:
                entry = insert(PURSE_ENDS)
                connection.execute(
                    entry.on_conflict_do_update(
                        index_elements=[PURSE_ENDS.c.account_id, PURSE_ENDS.c.purse_id],
                        set_={"due_us": entry.excluded.due_us, "look_us": 0},
                    ),
                    rows,
                )
            connection.execute(
                mark.on_conflict_do_update(index_elements=[CURSORS.c.name], set_={"seq": seq})
            )

    def list_due(self, now_us: int, limit: int = 100) -> list[PurseEnd]:
        """Those whose time has come, the oldest first."""
        query = select(PURSE_ENDS).where(PURSE_ENDS.c.due_us <= now_us)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(PURSE_ENDS.c.due_us).limit(limit))
            return [PurseEnd(row.account_id, row.purse_id, row.due_us) for row in rows]

    def list_ending(self, now_us: int, until_us: int, limit: int = 100) -> list[PurseEnd]:
        """Those that end in (now_us, until_us] and are to be looked at, the first to end first."""
        due_us = PURSE_ENDS.c.due_us
        query = select(PURSE_ENDS).where(due_us > now_us, due_us <= until_us)
        query = query.where(PURSE_ENDS.c.look_us <= now_us).order_by(due_us)
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(limit))
            return [PurseEnd(row.account_id, row.purse_id, row.due_us) for row in rows]

    def look_again(self, one: PurseEnd, look_us: int) -> None:
        """`list_ending` names it again from this instant on."""
        with self._database.transaction() as connection:
            connection.execute(update(PURSE_ENDS).where(_is(one)).values(look_us=look_us))

    def drop(self, one: PurseEnd) -> None:
        """It is gone."""
        with self._database.transaction() as connection:
            connection.execute(delete(PURSE_ENDS).where(_is(one)))

    def put_off(self, one: PurseEnd, due_us: int) -> None:
        """Look at it later: it has ended all the same, so nobody is told that it will."""
        later = {"due_us": due_us, "look_us": due_us}
        with self._database.transaction() as connection:
            connection.execute(update(PURSE_ENDS).where(_is(one)).values(later))


def _is(one: PurseEnd) -> ColumnElement[bool]:
    return and_(PURSE_ENDS.c.account_id == one.account_id, PURSE_ENDS.c.purse_id == one.purse_id)
