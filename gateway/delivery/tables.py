"""Tables of the delivery, in the registry's database: written in one transaction with the business
change that causes them.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from gateway.db import I64

METADATA = MetaData()

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("adapter", String(64), nullable=False),
    Column("aggregate", String(128), nullable=False),
    Column("key", String(200), nullable=False, unique=True),
    Column("capability", String(32), nullable=False),
    Column("body", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_found", Integer, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("next_us", I64, nullable=False),
    Column("until_us", I64, nullable=False),
    Column("lease_us", I64, nullable=False),
    Column("last_error", String, nullable=False),
    Column("same_errors", Integer, nullable=False),
    Column("outcome", String, nullable=False),
    Index("outbox_due", "state", "next_us"),
    Index("outbox_order", "aggregate", "id"),
)
"""One row a command. body: the command as JSON. lease_us: whoever claimed it may be taken for dead
after this instant. outcome: JSON, empty until there is one."""

INBOX = Table(
    "inbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("source", String(64), nullable=False),
    Column("message_id", String(200), nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("aggregate", String(128), nullable=False),
    Column("version", I64, nullable=False),
    Column("event", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("received_us", I64, nullable=False),
    Column("park_until_us", I64, nullable=False),
    UniqueConstraint("source", "message_id"),
    Index("inbox_state", "state", "id"),
)
"""One row an event. The same id with another body is kept as state `conflict` under another id."""

CURSORS = Table(
    "cursors",
    METADATA,
    Column("adapter", String(64), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("cursor", String, nullable=False),
    Column("changed_us", I64, nullable=False),
)
"""How far a stream has been read; stored with the rows it brought."""
