"""Webhooks and their deliveries. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database
from gateway.wallet.stores.tables import DELIVERIES, WEBHOOKS


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

    def add(self, row: HookRow) -> None:
        """Enter a webhook; again is nothing."""
        dialect = sqlite.insert if self._database.is_sqlite else postgresql.insert
        values = {column.name: getattr(row, column.name) for column in WEBHOOKS.columns}
        with self._database.transaction() as connection:
            connection.execute(dialect(WEBHOOKS).on_conflict_do_nothing(), values)

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

    def replace_sealed(self, row: HookRow, *, sealed: bytes, old_sealed: bytes) -> bool:
        """Other ciphertexts of the same secrets, unless they were changed meanwhile."""
        same = (WEBHOOKS.c.webhook_id == row.webhook_id) & (WEBHOOKS.c.sealed == row.sealed)
        values = {"sealed": sealed, "old_sealed": old_sealed}
        with self._database.transaction() as connection:
            return bool(connection.execute(update(WEBHOOKS).where(same).values(values)).rowcount)

    def remove(self, webhook_id: str) -> None:
        """A webhook and what waits for it."""
        with self._database.transaction() as connection:
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.webhook_id == webhook_id))
            connection.execute(delete(WEBHOOKS).where(WEBHOOKS.c.webhook_id == webhook_id))

    def enqueue(
        self, webhook_id: str, bodies: Sequence[tuple[str, str]], cursor: int, now_us: int
    ) -> None:
        """Deliveries of some events (id, body) and how far the webhook has come, together."""
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
                update(WEBHOOKS).where(WEBHOOKS.c.webhook_id == webhook_id).values(cursor=cursor)
            )

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

    def list_deliveries(self, webhook_id: str, *, before: int, limit: int) -> list[DeliveryRow]:
        """The newest first."""
        query = select(DELIVERIES).where(DELIVERIES.c.webhook_id == webhook_id)
        if before:
            query = query.where(DELIVERIES.c.delivery_id < before)
        query = query.order_by(DELIVERIES.c.delivery_id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_delivery(row) for row in connection.execute(query)]

    def count_waiting(self) -> int:
        """Deliveries that wait."""
        query = select(func.count()).where(DELIVERIES.c.state == "waiting")
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def settle(self, delivery_id: int, **values: Any) -> None:
        """Note what became of an attempt."""
        with self._database.transaction() as connection:
            connection.execute(
                update(DELIVERIES).where(DELIVERIES.c.delivery_id == delivery_id).values(**values)
            )

    def prune(self, before_us: int) -> None:
        """Forget what was delivered before an instant."""
        with self._database.transaction() as connection:
            connection.execute(
                delete(DELIVERIES).where(
                    DELIVERIES.c.state == "done", DELIVERIES.c.created_us < before_us
                )
            )


def _hook(row: Row[Any]) -> HookRow:
    return HookRow(**dict(row._mapping))


def _delivery(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(**dict(row._mapping))
