"""The audit trail of what is not in the journal: every change of the registry and every refusal.

Each event carries the hash of the one before, so no event can be changed, taken out or put in
without all behind it changing too; signed checkpoints (gateway/ledger/checkpoints.py) hold the
chain's head against somebody who computes all of it anew. Facts hold no personal data and no
secrets: an event is never erased.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Column, Connection, Index, Integer, LargeBinary, String, Table, select

from gateway.db import I64, list_window
from gateway.errors import FareGatewayError
from gateway.registry.store import METADATA
from gateway.windows import Window

AUDIT_EVENTS = Table(
    "audit_events",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_us", I64, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("tenant_id", String(40), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("facts", String, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("audit_events_subject", "subject", "seq"),
)
"""Numbered 1, 2, 3 ... facts: JSON, keys sorted. hash: SHA-256 of previous_hash and the rest."""

NO_HASH = bytes(32)
LOCK = 0x6661_7265_6175
"""PostgreSQL: one transaction at a time appends."""
PAGE = 1_000


class Outcome(StrEnum):
    """What became of it."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who did what to what, when, and what became of it.

    actor: as Actor.subject. action: `tenant.add`, `key.revoke`. facts: why, and the new values.
    """

    actor: str
    action: str
    subject: str
    at_us: int
    outcome: Outcome = Outcome.DONE
    tenant_id: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Where the trail ends; seq 0 = there is nothing yet."""

    seq: int = 0
    hash: bytes = NO_HASH


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One event as it is stored."""

    seq: int
    at_us: int
    actor: str
    tenant_id: str
    action: str
    subject: str
    outcome: str
    facts: str
    previous_hash: bytes
    hash: bytes

    def digest(self) -> bytes:
        """What `hash` has to be."""
        said = [self.seq, self.at_us, self.actor, self.tenant_id, self.action, self.subject]
        said += [self.outcome, self.facts]
        text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(self.previous_hash + text.encode()).digest()

    def as_dict(self) -> dict[str, object]:
        """As it goes into JSON."""
        return {
            "seq": self.seq,
            "at_us": self.at_us,
            "actor": self.actor,
            "tenant_id": self.tenant_id,
            "action": self.action,
            "subject": self.subject,
            "outcome": self.outcome,
            "facts": json.loads(self.facts),
            "hash": self.hash.hex(),
        }


def append(connection: Connection, event: AuditEvent) -> AuditHead:
    """Add an event inside the caller's transaction, best as its last statement.

    Returns: the new head. With PostgreSQL the trail is locked until the transaction ends.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    head = find_head(connection)
    facts = json.dumps(event.facts, ensure_ascii=False, sort_keys=True, default=str)
    row = AuditRow(
        head.seq + 1,
        event.at_us,
        event.actor,
        event.tenant_id,
        event.action,
        event.subject,
        str(event.outcome),
        facts,
        head.hash,
        b"",
    )
    digest = row.digest()
    values = {name: getattr(row, name) for name in AuditRow.__dataclass_fields__}
    connection.execute(AUDIT_EVENTS.insert().values(values | {"hash": digest}))
    return AuditHead(row.seq, digest)


def refusal(
    error: FareGatewayError, actor: str, action: str, subject: str, at_us: int
) -> AuditEvent:
    """The event of a request that was refused."""
    facts = {"code": error.code, "detail": error.detail}
    return AuditEvent(actor, action, subject, at_us, Outcome.REFUSED, facts=facts)


def find_head(connection: Connection) -> AuditHead:
    """The newest event's number and hash."""
    newest = select(AUDIT_EVENTS.c.seq, AUDIT_EVENTS.c.hash)
    row = connection.execute(newest.order_by(AUDIT_EVENTS.c.seq.desc()).limit(1)).one_or_none()
    return AuditHead(row.seq, bytes(row.hash)) if row is not None else AuditHead()


def iter_events(
    connection: Connection, after: int = 0, *, subject: str | None = None
) -> Iterator[AuditRow]:
    """Events behind a number, oldest first, some at a time."""
    while True:
        query = select(AUDIT_EVENTS).where(AUDIT_EVENTS.c.seq > after)
        if subject is not None:
            query = query.where(AUDIT_EVENTS.c.subject == subject)
        rows = connection.execute(query.order_by(AUDIT_EVENTS.c.seq).limit(PAGE)).all()
        for row in rows:
            yield AuditRow(*tuple(row))
        if len(rows) < PAGE:
            return
        after = rows[-1].seq


def list_events(
    connection: Connection, window: Window, *, subject: str | None = None
) -> list[AuditRow]:
    """A page of events, the newest first; one more than asked for when there are more."""
    query = select(AUDIT_EVENTS)
    if subject is not None:
        query = query.where(AUDIT_EVENTS.c.subject == subject)
    rows = list_window(connection, query, AUDIT_EVENTS.c.seq, window, newest_first=True)
    return [AuditRow(*tuple(row)) for row in rows]


def was_done(connection: Connection, subject: str, operation_id: bytes) -> bool:
    """Whether a change of this subject follows from this request (Note of `note_by`)."""
    wanted = operation_id.hex()
    events = iter_events(connection, subject=subject)
    return any(json.loads(one.facts).get("operation_id") == wanted for one in events)


def check_trail(rows: Iterator[AuditRow], head: AuditHead | None = None) -> Iterator[str]:
    """What is wrong with a trail; each fault names its event.

    Args: head: what the first row has to follow; None = it is the first event there is.
    """
    head = head or AuditHead()
    for row in rows:
        if row.seq != head.seq + 1:
            yield f"audit event {head.seq + 1} is missing: {row.seq} follows {head.seq}"
        elif row.previous_hash != head.hash:
            said = f"audit event {row.seq} does not follow event {head.seq}"
            yield f"{said}: its previous hash differs"
        if row.digest() != row.hash:
            yield f"audit event {row.seq} is not what was written: its hash differs"
        head = AuditHead(row.seq, row.hash)
