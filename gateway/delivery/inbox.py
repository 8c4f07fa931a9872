"""The inbox: what peers tell us, stored before it is acknowledged, applied once and in order.

    stored ──▶ applied
      │ ├────▶ parked     ahead of its aggregate: tried again until its time is over (expired)
      │ └────▶ held       a human has to decide, and then it is stored again with the decision
      └─────▶  conflict   the same message id with another content: somebody is wrong, never applied

An event is applied in two steps: `perform` does everything outside of this database under ids that
are derived from the event, and may run again after a crash; `record` writes its rows in the
transaction that marks the event. Thread: any; one at a time for each source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import Connection, func, select, update

from adapters.contract import AckResult, Event
from adapters.errors import AdapterError
from gateway.db import Database
from gateway.delivery.codec import decode_event, encode_event
from gateway.delivery.once import insert_once
from gateway.delivery.tables import INBOX
from gateway.errors import DeliveryError
from gateway.registry.changes import Note, say_nothing

PARK_US = 24 * 3600 * 1_000_000
ID_LENGTH = 180
"""Longer message ids are known by their digest."""


_DECIDED_BY = ("amount_minor", "currency", "booked", "reference", "reverses")
"""What of an event's payload an operator sees."""


class Stored(StrEnum):
    """Where an event stands."""

    STORED = "stored"
    APPLIED = "applied"
    PARKED = "parked"
    HELD = "held"
    CONFLICT = "conflict"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of an event. reason: for an operator, without personal data."""

    state: Stored = Stored.APPLIED
    reason: str = ""
    result: Mapping[str, Any] | None = None
    """What `record` needs."""


class Handler(Protocol):
    """What a kind of event does here."""

    def perform(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
        """Everything outside of this database; may run again. decision: an operator's, or empty.

        Raises: AdapterError: the event is held. Anything else ends the round, and it is tried
        again.
        """

    def record(self, connection: Connection, event: Event, verdict: Verdict) -> None:
        """Rows that belong to an applied event, in the transaction that marks it."""


class Inbox:
    """Stores and applies events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, source: str, event: Event, now_us: int) -> AckResult:
        """Store an event; only then may the peer be told that we have it."""
        with self._database.transaction() as connection:
            return store(connection, source, event, now_us)

    def apply(self, source: str, handler: Handler, now_us: int) -> int:
        """Apply what is stored or parked, by aggregate and version; returns how many were."""
        return sum(self._apply_one(row_id, handler, now_us) for row_id in self._open_ids(source))

    def _open_ids(self, source: str) -> list[int]:
        query = (
            select(INBOX.c.id)
            .where(INBOX.c.source == source)
            .where(INBOX.c.state.in_([str(Stored.STORED), str(Stored.PARKED)]))
            .order_by(INBOX.c.aggregate, INBOX.c.version, INBOX.c.id)
        )
        with self._database.reading() as connection:
            return list(connection.scalars(query))

    def _apply_one(self, row_id: int, handler: Handler, now_us: int) -> bool:
        with self._database.reading() as connection:
            row = connection.execute(select(INBOX).where(INBOX.c.id == row_id)).one()
        if row.state not in (Stored.STORED, Stored.PARKED):
            return False
        event = decode_event(row.event)
        verdict = _perform(handler, event, json.loads(row.decision or "{}"))
        if verdict.state is Stored.PARKED and now_us > row.park_until_us:
            verdict = Verdict(Stored.EXPIRED, verdict.reason)
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(INBOX)
                .where(INBOX.c.id == row_id, INBOX.c.state == row.state)
                .values(state=str(verdict.state), reason=verdict.reason, changed_us=now_us)
            ).rowcount
            if changed and verdict.state is Stored.APPLIED:
                handler.record(connection, event, verdict)
        return bool(changed) and verdict.state is Stored.APPLIED

    def decide(
        self,
        source: str,
        message_id: str,
        decision: Mapping[str, Any],
        now_us: int,
        note: Note = say_nothing,
    ) -> None:
        """Give a held, expired or parked event back to its handler with an operator's decision,
        on top of earlier ones; `tries` counts them. note: tells the audit trail.

        Raises: DeliveryError DELIVERY_NOT_HELD.
        """
        open_states = [str(one) for one in (Stored.HELD, Stored.EXPIRED, Stored.PARKED)]
        mine = (INBOX.c.source == source, INBOX.c.message_id == _short(message_id))
        with self._database.transaction() as connection:
            earlier = connection.scalar(
                select(INBOX.c.decision).where(*mine, INBOX.c.state.in_(open_states))
            )
            if earlier is None:
                raise DeliveryError("DELIVERY_NOT_HELD", f"{source} holds no event {message_id}")
            before = json.loads(earlier or "{}")
            decided = before | dict(decision) | {"tries": int(before.get("tries", 0)) + 1}
            connection.execute(
                update(INBOX)
                .where(*mine)
                .values(
                    state=str(Stored.STORED),
                    decision=json.dumps(decided, sort_keys=True),
                    park_until_us=now_us + PARK_US,
                    changed_us=now_us,
                )
            )
            note(connection, "inbox.decide", f"event:{source}:{message_id}"[:200], decision)

    def list_events(self, source: str, *states: Stored) -> list[dict[str, Any]]:
        """Events of these states, the oldest first, with what an operator needs to decide."""
        shown = ("message_id", "aggregate", "version", "state", "reason", "received_us")
        query = (
            select(*(INBOX.c[name] for name in shown), INBOX.c.event)
            .where(INBOX.c.source == source, INBOX.c.state.in_([str(one) for one in states]))
            .order_by(INBOX.c.id)
        )
        with self._database.reading() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            event = decode_event(row.pop("event"))
            row["kind"] = event.kind
            row |= {name: event.payload[name] for name in _DECIDED_BY if name in event.payload}
        return rows

    def count(self, source: str) -> dict[str, int]:
        """Events by state."""
        query = (
            select(INBOX.c.state, func.count())
            .where(INBOX.c.source == source)
            .group_by(INBOX.c.state)
        )
        with self._database.reading() as connection:
            return {str(state): int(count) for state, count in connection.execute(query)}


def store(connection: Connection, source: str, event: Event, now_us: int) -> AckResult:
    """Store an event in the caller's transaction: accepted (perhaps known already), or refused as
    another one under the same id, which is kept apart.
    """
    digest = hashlib.sha256(encode_event(event).encode()).digest()
    message_id = _short(event.message_id)
    if _insert(connection, (source, message_id, digest), event, Stored.STORED, now_us):
        return AckResult.ACCEPTED
    known = connection.scalar(
        select(INBOX.c.body_hash).where(INBOX.c.source == source, INBOX.c.message_id == message_id)
    )
    if known == digest:
        return AckResult.ACCEPTED
    other = f"{message_id}#{digest.hex()[:16]}"
    _insert(connection, (source, other, digest), event, Stored.CONFLICT, now_us)
    return AckResult.REFUSED


def _perform(handler: Handler, event: Event, decision: Mapping[str, Any]) -> Verdict:
    try:
        return handler.perform(event, decision)
    except AdapterError as error:
        return Verdict(Stored.HELD, f"{type(error).__name__}: {error.detail}")


def _short(message_id: str) -> str:
    if len(message_id) <= ID_LENGTH:
        return message_id
    return f"sha256:{hashlib.sha256(message_id.encode()).hexdigest()}"


def _insert(
    connection: Connection,
    identity: tuple[str, str, bytes],
    event: Event,
    state: Stored,
    now_us: int,
) -> bool:
    source, message_id, digest = identity
    return insert_once(
        connection,
        INBOX,
        source=source,
        message_id=message_id,
        body_hash=digest,
        aggregate=event.aggregate,
        version=event.version,
        event=encode_event(event),
        state=str(state),
        received_us=now_us,
        park_until_us=now_us + PARK_US,
        reason="" if state is Stored.STORED else "the same message id with another content",
        decision="",
        changed_us=now_us,
    )
