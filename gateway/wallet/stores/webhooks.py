"""Webhooks and their deliveries. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database, list_window
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.registry.notices import NOTICES
from gateway.wallet.stores.tables import DELIVERIES, WEBHOOKS
from gateway.windows import Window

CHUNK = 500
"""Rows of one transaction of `prune`."""


@dataclass(frozen=True, slots=True)
class HookRow:
    """One webhook. sealed, old_sealed: its secrets; the old one counts until old_until_us."""

    webhook_id: str
    tenant_id: str
    url: str
    events: str
    sealed: bytes
    old_sealed: bytes
    old_until_us: int
    state: str
    reason: str
    cursor: int
    failing_since_us: int
    created_us: int
    changed_us: int
    notice_cursor: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One event for one webhook. state: waiting, done, dead."""

    delivery_id: int
    webhook_id: str
    event_id: str
    body: str
    state: str
    attempts: int
    next_us: int
    created_us: int
    status: int
    last_error: str


class WebhookStore:
    """The registry's side of webhooks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: HookRow, by: Actor) -> None:
        """Enter a webhook; again is nothing."""
        dialect = sqlite.insert if self._database.is_sqlite else postgresql.insert
        values = {column.name: getattr(row, column.name) for column in WEBHOOKS.columns}
        with self._database.transaction() as connection:
            done = connection.execute(dialect(WEBHOOKS).on_conflict_do_nothing(), values)
            if done.rowcount:
                host = urlsplit(row.url).hostname
                _note(connection, by, "add", row.webhook_id, row.created_us, host=host)

    def find(self, webhook_id: str) -> HookRow | None:
        """One webhook."""
        query = select(WEBHOOKS).where(WEBHOOKS.c.webhook_id == webhook_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _hook(row)

    def list_all(self, tenant_id: str | None = None) -> list[HookRow]:
        """All, or those of a tenant, oldest first."""
        query = select(WEBHOOKS).order_by(WEBHOOKS.c.created_us, WEBHOOKS.c.webhook_id)
        if tenant_id is not None:
            query = query.where(WEBHOOKS.c.tenant_id == tenant_id)
        with self._database.reading() as connection:
            return [_hook(row) for row in connection.execute(query)]

    def change(self, webhook_id: str, **values: Any) -> None:
        """Set columns of a webhook."""
        with self._database.transaction() as connection:
            connection.execute(
                update(WEBHOOKS).where(WEBHOOKS.c.webhook_id == webhook_id).values(**values)
            )

    def change_noted(
        self, by: Actor, action: str, webhook_id: str, now_us: int, **values: Any
    ) -> None:
        """As `change`, with a line in the audit trail."""
        with self._database.transaction() as connection:
            where = WEBHOOKS.c.webhook_id == webhook_id
            if connection.execute(update(WEBHOOKS).where(where).values(**values)).rowcount:
                _note(connection, by, action, webhook_id, now_us)

    def replace_sealed(self, row: HookRow, *, sealed: bytes, old_sealed: bytes) -> bool:
        """Other ciphertexts of the same secrets, unless they were changed meanwhile."""
        same = (WEBHOOKS.c.webhook_id == row.webhook_id) & (WEBHOOKS.c.sealed == row.sealed)
        values = {"sealed": sealed, "old_sealed": old_sealed}
        with self._database.transaction() as connection:
            return bool(connection.execute(update(WEBHOOKS).where(same).values(values)).rowcount)

    def remove(self, webhook_id: str, by: Actor, now_us: int) -> None:
        """A webhook and what waits for it."""
        with self._database.transaction() as connection:
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.webhook_id == webhook_id))
            gone = delete(WEBHOOKS).where(WEBHOOKS.c.webhook_id == webhook_id)
            if connection.execute(gone).rowcount:
                _note(connection, by, "remove", webhook_id, now_us)

    def enqueue(
        self,
        webhook_id: str,
        bodies: Sequence[tuple[str, str]],
        cursors: tuple[int, int],
        now_us: int,
    ) -> None:
        """Deliveries of some events (id, body) and how far the webhook has come, together.

        Args: cursors: the last record and the last notice.
        """
        with self._database.transaction() as connection:
            rows = [
                {
                    "webhook_id": webhook_id,
                    "event_id": event_id,
                    "body": body,
                    "state": "waiting",
                    "attempts": 0,
                    "next_us": now_us,
                    "created_us": now_us,
                    "status": 0,
                    "last_error": "",
                }
                for event_id, body in bodies
            ]
            if rows:
                connection.execute(insert(DELIVERIES), rows)
            connection.execute(
                update(WEBHOOKS)
                .where(WEBHOOKS.c.webhook_id == webhook_id)
                .values(cursor=cursors[0], notice_cursor=cursors[1])
            )

    def last_notice(self) -> int:
        """Number of the newest notice; 0 = there is none."""
        with self._database.reading() as connection:
            return int(connection.scalar(select(func.max(NOTICES.c.notice_id))) or 0)

    def list_due(self, webhook_id: str, now_us: int, limit: int) -> list[DeliveryRow]:
        """The oldest waiting deliveries, up to the first that is not due: their order is kept."""
        query = select(DELIVERIES).where(DELIVERIES.c.webhook_id == webhook_id)
        query = query.where(DELIVERIES.c.state == "waiting").order_by(DELIVERIES.c.delivery_id)
        with self._database.reading() as connection:
            rows = [_delivery(row) for row in connection.execute(query.limit(limit))]
        due: list[DeliveryRow] = []
        for row in rows:
            if row.next_us > now_us:
                break
            due.append(row)
        return due

    def list_deliveries(self, webhook_id: str, window: Window) -> list[DeliveryRow]:
        """The newest first; one more than asked for when there are more."""
        query = select(DELIVERIES).where(DELIVERIES.c.webhook_id == webhook_id)
        number = DELIVERIES.c.delivery_id
        with self._database.reading() as connection:
            rows = list_window(connection, query, number, window, newest_first=True)
            return [_delivery(row) for row in rows]

    def count_waiting(self, webhook_id: str) -> int:
        """Deliveries of a webhook that wait."""
        query = select(func.count()).where(
            DELIVERIES.c.webhook_id == webhook_id, DELIVERIES.c.state == "waiting"
        )
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def settle(self, delivery_id: int, **values: Any) -> None:
        """Note what became of an attempt."""
        with self._database.transaction() as connection:
            connection.execute(
                update(DELIVERIES).where(DELIVERIES.c.delivery_id == delivery_id).values(**values)
            )

    def prune(self, before_us: int) -> int:
        """Forget what was delivered and taken up before an instant; how many.

        From the oldest on, some at a time: others want to write too.
        """
        forgotten, last = 0, 0
        while True:
            query = select(DELIVERIES.c.delivery_id, DELIVERIES.c.created_us, DELIVERIES.c.state)
            query = query.where(DELIVERIES.c.delivery_id > last)
            with self._database.transaction() as connection:
                rows = list(
                    connection.execute(query.order_by(DELIVERIES.c.delivery_id).limit(CHUNK))
                )
                old = [row for row in rows if row.created_us < before_us]
                done = [row.delivery_id for row in old if row.state != "waiting"]
                connection.execute(delete(DELIVERIES).where(DELIVERIES.c.delivery_id.in_(done)))
            forgotten += len(done)
            if len(old) < CHUNK:
                return forgotten
            last = rows[-1].delivery_id


def _note(
    connection: Connection, by: Actor, action: str, webhook_id: str, now_us: int, **facts: object
) -> None:
    note_change(connection, by, f"webhook.{action}", f"webhook:{webhook_id}", now_us, **facts)


def _hook(row: Row[Any]) -> HookRow:
    return HookRow(**dict(row._mapping))


def _delivery(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(**dict(row._mapping))
