"""Sagas: what takes several commands, and how far each has come. Each method is one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, Row, cast, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database
from gateway.registry.audit import AuditEvent, append
from gateway.wallet.stores.tables import SAGAS


@dataclass(frozen=True, slots=True)
class SagaRow:
    """One saga. state: running, done, failed. step: how many are done. body: what it is about."""

    saga_id: str
    kind: str
    tenant_id: str
    actor: str
    state: str
    step: int
    body: Mapping[str, Any]
    created_us: int
    changed_us: int
    next_us: int
    attempts: int = 0
    last_error: str = ""


class SagaStore:
    """The registry's side of sagas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: SagaRow) -> None:
        """Enter a saga; again is nothing."""
        dialect = sqlite.insert if self._database.is_sqlite else postgresql.insert
        values = {column.name: getattr(row, column.name) for column in SAGAS.columns}
        values["body"] = json.dumps(row.body)
        with self._database.transaction() as connection:
            made = connection.execute(dialect(SAGAS).on_conflict_do_nothing(), values)
            if made.rowcount:
                _note(connection, row, "start", row.created_us)

    def find(self, saga_id: str) -> SagaRow | None:
        """One saga."""
        query = select(SAGAS).where(SAGAS.c.saga_id == saga_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _saga(row)

    def list_due(
        self, now_us: int, kind: str, limit: int = 50, *, bank: str | None = None
    ) -> list[SagaRow]:
        """Running ones of a kind whose time has come, the one that waits longest first.

        bank: only those whose body names it, so that no other's fill the list.
        """
        query = select(SAGAS).where(
            SAGAS.c.state == "running", SAGAS.c.kind == kind, SAGAS.c.next_us <= now_us
        )
        if bank is not None:
            body = SAGAS.c.body
            said = type_coerce(body, JSON) if self._database.is_sqlite else cast(body, JSON)
            query = query.where(said["bank"].as_string() == bank)
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(SAGAS.c.next_us).limit(limit))
            return [_saga(row) for row in found]

    def list_running(self) -> list[SagaRow]:
        """All that are not over, oldest first."""
        query = select(SAGAS).where(SAGAS.c.state == "running").order_by(SAGAS.c.created_us)
        with self._database.reading() as connection:
            return [_saga(row) for row in connection.execute(query)]

    def replace_body(self, row: SagaRow, body: Mapping[str, Any]) -> bool:
        """Another way to write the same, unless the saga went on meanwhile."""
        same = (SAGAS.c.saga_id == row.saga_id) & (SAGAS.c.body == json.dumps(row.body))
        with self._database.transaction() as connection:
            return bool(
                connection.execute(update(SAGAS).where(same).values(body=json.dumps(body))).rowcount
            )

    def change(
        self, saga_id: str, *, step: int | None, body: Mapping[str, Any], now_us: int, **more: Any
    ) -> None:
        """It has come so far (None: no further). A saga that is over stays as it is, none goes
        back, and what somebody else wrote into its body meanwhile stays.
        """
        with self._database.transaction() as connection:
            found = _running(connection, saga_id)
            if found is None or (step is not None and step < found.step):
                return
            kept = json.dumps(json.loads(found.body) | dict(body))
            values = {"step": found.step if step is None else step, "body": kept}
            connection.execute(
                update(SAGAS)
                .where(SAGAS.c.saga_id == saga_id)
                .values(**values, changed_us=now_us, **more)
            )
            if "state" in more:
                _note(connection, _saga(found), str(more["state"]), now_us)

    def note(self, saga_id: str, name: str, value: int) -> int:
        """Write something into the body, once; what stands there then. A saga that is over stays
        as it is: 0 when it was never written there.
        """
        same = SAGAS.c.saga_id == saga_id
        with self._database.transaction() as connection:
            found = connection.execute(select(SAGAS).where(same).with_for_update()).one_or_none()
            body = json.loads(found.body) if found is not None else {}
            if found is not None and found.state == "running" and name not in body:
                body[name] = value
                connection.execute(update(SAGAS).where(same).values(body=json.dumps(body)))
        return int(body.get(name, 0))


def _running(connection: Connection, saga_id: str) -> Row[Any] | None:
    """Nobody else changes it until the transaction ends."""
    query = select(SAGAS).where(SAGAS.c.saga_id == saga_id, SAGAS.c.state == "running")
    return connection.execute(query.with_for_update()).one_or_none()


def _note(connection: Connection, row: SagaRow, what: str, now_us: int) -> None:
    """Into the audit trail: `merge.start`, `merge.done`, `merge.failed`."""
    event = AuditEvent(
        row.actor,
        f"{row.kind}.{what}",
        f"{row.kind}:{row.saga_id}",
        now_us,
        tenant_id=row.tenant_id,
    )
    append(connection, event)


def _saga(row: Row[Any]) -> SagaRow:
    return SagaRow(**dict(row._mapping) | {"body": json.loads(row.body)})
