"""The inbox: what peers tell us, stored before it is acknowledged, applied once and in order.

The same message id with the same body is known already; with another body somebody is wrong: it is
kept for a human and never applied. An event that is ahead of its aggregate waits (`parked`) until
the ones before it came or its time is over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum

from sqlalchemy import Connection, func, insert, select, update

from adapters.contract import AckResult, Event
from gateway.db import Database
from gateway.delivery.tables import INBOX

PARK_US = 24 * 3600 * 1_000_000

Apply = Callable[[Connection, Event], bool]
"""The business change, in the transaction that marks the event; False = not its turn yet."""


class Stored(StrEnum):
    """Where an event stands."""

    STORED = "stored"
    APPLIED = "applied"
    PARKED = "parked"
    CONFLICT = "conflict"
    EXPIRED = "expired"


class Inbox:
    """Stores and applies events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, source: str, event: Event, raw: bytes, now_us: int) -> AckResult:
        """Store an event; only then may the peer be told that we have it."""
        digest = hashlib.sha256(raw).digest()
        with self._database.transaction() as connection:
            known = connection.execute(
                select(INBOX.c.body_hash).where(
                    INBOX.c.source == source, INBOX.c.message_id == event.message_id
                )
            ).one_or_none()
            if known is not None and known.body_hash == digest:
                return AckResult.ACCEPTED
            if known is not None:
                other = f"{event.message_id}#{digest.hex()[:16]}"
                _store(connection, (source, other, digest), event, Stored.CONFLICT, now_us)
                return AckResult.REFUSED
            identity = (source, event.message_id, digest)
            _store(connection, identity, event, Stored.STORED, now_us)
        return AckResult.ACCEPTED

    def apply(self, source: str, change: Apply, now_us: int, *, limit: int = 100) -> int:
        """Apply what is stored, each event in a transaction of its own; returns how many were."""
        applied = 0
        for row_id in self._open_ids(source, limit):
            applied += self._apply_one(row_id, change, now_us)
        return applied

    def _open_ids(self, source: str, limit: int) -> list[int]:
        query = (
            select(INBOX.c.id)
            .where(INBOX.c.source == source)
            .where(INBOX.c.state.in_([str(Stored.STORED), str(Stored.PARKED)]))
            .order_by(INBOX.c.aggregate, INBOX.c.version, INBOX.c.id)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return list(connection.scalars(query))

    def _apply_one(self, row_id: int, change: Apply, now_us: int) -> bool:
        with self._database.transaction() as connection:
            row = connection.execute(select(INBOX).where(INBOX.c.id == row_id)).one()
            if row.state not in (Stored.STORED, Stored.PARKED):
                return False
            done = change(connection, Event(**json.loads(row.event)))
            state = Stored.APPLIED if done else Stored.PARKED
            if not done and now_us > row.park_until_us:
                state = Stored.EXPIRED
            connection.execute(update(INBOX).where(INBOX.c.id == row_id).values(state=str(state)))
            return done

    def count(self, source: str) -> dict[str, int]:
        """Events by state."""
        query = (
            select(INBOX.c.state, func.count())
            .where(INBOX.c.source == source)
            .group_by(INBOX.c.state)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(query).tuples().all())


def _store(
    connection: Connection,
    identity: tuple[str, str, bytes],
    event: Event,
    state: Stored,
    now_us: int,
) -> None:
    source, message_id, digest = identity
    there = select(INBOX.c.id).where(INBOX.c.source == source, INBOX.c.message_id == message_id)
    if connection.execute(there).one_or_none() is not None:
        return
    connection.execute(
        insert(INBOX).values(
            source=source,
            message_id=message_id,
            body_hash=digest,
            aggregate=event.aggregate,
            version=event.version,
            event=json.dumps(asdict(event), sort_keys=True, ensure_ascii=False),
            state=str(state),
            received_us=now_us,
            park_until_us=now_us + PARK_US,
            reason="",
            decision="",
            changed_us=now_us,
        )
    )
