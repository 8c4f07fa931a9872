"""What was exchanged, for people: files, rows, totals; and rejected rows given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update

from gateway.db import Database
from gateway.delivery.tables import CLEARING_FILES, CLEARING_ROWS
from gateway.errors import DeliveryError
from gateway.registry.changes import Note, say_nothing


class ClearingBook:
    """Reads what a clearing house was told and answered. Thread: any."""

    def __init__(self, adapter: str, database: Database) -> None:
        self._adapter = adapter
        self._database = database

    def list_files(self) -> list[dict[str, Any]]:
        """Every file, out and in, the oldest first; without its bytes."""
        shown = [
            CLEARING_FILES.c[name]
            for name in (
                "direction",
                "name",
                "business_day",
                "state",
                "code",
                "row_count",
                "total_minor",
                "detail",
                "digest",
            )
        ]
        query = select(*shown).where(CLEARING_FILES.c.adapter == self._adapter)
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(CLEARING_FILES.c.id)).mappings()
            return [dict(row) for row in found]

    def find_content(self, name: str) -> list[tuple[str, bytes]]:
        """State and bytes of every file of a name: more than one when others came under it."""
        files = CLEARING_FILES.c
        query = select(files.state, files.content).where(
            files.adapter == self._adapter, files.name == name
        )
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(files.id)).all()
            return [(str(state), bytes(content)) for state, content in found]

    def list_rows(self, state: str, limit: int = 1000) -> list[dict[str, Any]]:
        """Rows of a state: sent, accepted, rejected, open."""
        rows, files = CLEARING_ROWS.c, CLEARING_FILES.c
        query = (
            select(rows.row_id, rows.amount_minor, rows.state, rows.reason, files.name)
            .join(CLEARING_FILES, files.id == rows.file_id)
            .where(rows.adapter == self._adapter, rows.state == state)
            .order_by(rows.changed_us, rows.row_id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def totals(self) -> dict[str, dict[str, int]]:
        """Rows and sums by state; together they are every fare that was ever given."""
        rows = CLEARING_ROWS.c
        query = (
            select(rows.state, func.count(), func.sum(rows.amount_minor))
            .where(rows.adapter == self._adapter)
            .group_by(rows.state)
        )
        with self._database.reading() as connection:
            return {
                str(state): {"rows": int(count), "total_minor": int(total or 0)}
                for state, count, total in connection.execute(query)
            }

    def retry(self, row_ids: Sequence[str], now_us: int, note: Note = say_nothing) -> int:
        """Give rejected rows back: they are in the next file. All of them, or none. note: tells
        the audit trail.

        Raises: DeliveryError CLEARING_ROW: one of them is not rejected.
        """
        with self._database.transaction() as connection:
            for row_id in row_ids:
                changed = connection.execute(
                    update(CLEARING_ROWS)
                    .where(CLEARING_ROWS.c.adapter == self._adapter)
                    .where(CLEARING_ROWS.c.row_id == row_id, CLEARING_ROWS.c.state == "rejected")
                    .values(state="open", changed_us=now_us)
                ).rowcount
                if not changed:
                    raise DeliveryError("CLEARING_ROW", f"row {row_id} is not rejected")
            facts = {"rows": list(row_ids)}
            note(connection, "clearing.retry", f"clearing:{self._adapter}", facts)
        return len(row_ids)
