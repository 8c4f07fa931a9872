"""Freezes and who placed them. Each method is one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database
from gateway.registry.audit import AuditEvent, append
from gateway.registry.notices import NewNotice, add_notice
from gateway.wallet.stores.tables import FREEZES

OPEN = ("placing", "active")


@dataclass(frozen=True, slots=True)
class FreezeRow:
    """One freeze. what: debit, credit or both. state: placing, active, lifted, expired."""

    freeze_id: str
    account_id: int
    what: str
    reason: str
    rule: str
    actor: str
    state: str
    placed_us: int
    position: int
    expires_us: int
    lifted_us: int = 0
    lifted_by: str = ""


class FreezeStore:
    """The registry's side of freezes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, row: FreezeRow) -> None:
        """Note that a freeze is about to be placed; again is nothing."""
        dialect = sqlite.insert if self._database.is_sqlite else postgresql.insert
        with self._database.transaction() as connection:
            values = {name: getattr(row, name) for name in FREEZES.c.keys()}  # noqa: SIM118
            connection.execute(dialect(FREEZES).on_conflict_do_nothing(), values)

    def settle(self, freeze_id: str, *, position: int, placed_us: int, notice: str) -> None:
        """It is in force: its record's position, and a notice to the owner, in one transaction."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(FREEZES)
                .where(FREEZES.c.freeze_id == freeze_id, FREEZES.c.state == "placing")
                .values(state="active", position=position, placed_us=placed_us)
            )
            if changed.rowcount:
                row = _get(connection, freeze_id)
                _tell(connection, row, notice, placed_us, position)
                _note(connection, row, "place", row.actor, placed_us)

    def drop(self, freeze_id: str) -> None:
        """The engine refused it."""
        with self._database.transaction() as connection:
            connection.execute(
                FREEZES.delete().where(
                    FREEZES.c.freeze_id == freeze_id, FREEZES.c.state == "placing"
                )
            )

    def end(
        self, freeze_id: str, *, state: str, by: str, now_us: int, notice: str, position: int
    ) -> None:
        """It is over: lifted or expired; the owner is told. position: of its record; 0 = none."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(FREEZES)
                .where(FREEZES.c.freeze_id == freeze_id, FREEZES.c.state == "active")
                .values(state=state, lifted_us=now_us, lifted_by=by)
            )
            if changed.rowcount:
                row = _get(connection, freeze_id)
                _tell(connection, row, notice, now_us, position)
                _note(connection, row, state, by, now_us)

    def find(self, freeze_id: str) -> FreezeRow | None:
        """One freeze."""
        query = select(FREEZES).where(FREEZES.c.freeze_id == freeze_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _freeze(row)

    def list_account(self, account_id: int) -> list[FreezeRow]:
        """All freezes of an account, also those that are over, oldest first."""
        query = select(FREEZES).where(FREEZES.c.account_id == account_id)
        query = query.order_by(FREEZES.c.placed_us, FREEZES.c.freeze_id)
        with self._database.reading() as connection:
            return [_freeze(row) for row in connection.execute(query)]

    def list_due(self, now_us: int, limit: int = 100) -> list[FreezeRow]:
        """Freezes in force whose time is over."""
        query = select(FREEZES).where(FREEZES.c.state == "active", FREEZES.c.expires_us > 0)
        query = query.where(FREEZES.c.expires_us <= now_us).order_by(FREEZES.c.expires_us)
        with self._database.reading() as connection:
            return [_freeze(row) for row in connection.execute(query.limit(limit))]

    def list_half_placed(self, before_us: int) -> list[FreezeRow]:
        """Freezes that were begun and never settled: their process died."""
        query = select(FREEZES).where(FREEZES.c.state == "placing")
        with self._database.reading() as connection:
            found = connection.execute(query.where(FREEZES.c.placed_us < before_us))
            return [_freeze(row) for row in found]


def _tell(connection: Connection, row: FreezeRow, kind: str, now_us: int, position: int) -> None:
    body = {
        "freeze_id": row.freeze_id,
        "what": row.what,
        "reason": row.reason,
        "expires_us": row.expires_us,
    }
    made = NewNotice(f"{kind}:{row.freeze_id}", row.account_id, kind, body, now_us, position)
    add_notice(connection, made)


def _note(connection: Connection, row: FreezeRow, what: str, by: str, now_us: int) -> None:
    """Into the audit trail: `freeze.place`, `freeze.lifted`, `freeze.expired`."""
    facts = {"freeze_id": row.freeze_id, "what": row.what, "reason": row.reason}
    append(
        connection,
        AuditEvent(by, f"freeze.{what}", f"account:{row.account_id}", now_us, facts=facts),
    )


def _get(connection: Connection, freeze_id: str) -> FreezeRow:
    found = connection.execute(select(FREEZES).where(FREEZES.c.freeze_id == freeze_id))
    return _freeze(found.one())


def _freeze(row: Row[Any]) -> FreezeRow:
    return FreezeRow(**dict(row._mapping))
