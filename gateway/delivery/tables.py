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
    Column("failures", Integer, nullable=False),
    Column("outcome", String, nullable=False),
    Column("changed_us", I64, nullable=False),
    Index("outbox_due", "state", "next_us"),
    Index("outbox_order", "aggregate", "id"),
)
"""One row a command. body: the command as JSON. attempts: times it was sent. failures: calls in a
row that brought nothing. lease_us: whoever claimed it may be taken for dead after this instant, and
whoever comes back later finds another lease. outcome: JSON, empty until there is one."""

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
    Column("reason", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("changed_us", I64, nullable=False),
    UniqueConstraint("source", "message_id"),
    Index("inbox_state", "state", "id"),
)
"""One row an event. The same id with another body is kept as state `conflict` under another id.
reason: why it waits or was not applied. decision: JSON of the operator who decided it, or empty."""

CURSORS = Table(
    "cursors",
    METADATA,
    Column("adapter", String(64), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("cursor", String, nullable=False),
    Column("changed_us", I64, nullable=False),
)
"""How far a stream has been read; stored with the rows it brought."""

CLEARING_FILES = Table(
    "clearing_files",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("adapter", String(64), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(128), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("business_day", String(10), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("total_minor", I64, nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", String(32), nullable=False),
    Column("detail", String, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("changed_us", I64, nullable=False),
    UniqueConstraint("adapter", "direction", "name", "digest"),
    Index("clearing_files_order", "adapter", "direction", "kind", "sequence"),
)
"""One row a file that was made or came in, with its bytes as they were. direction: `out`, `in`."""

CLEARING_ROWS = Table(
    "clearing_rows",
    METADATA,
    Column("adapter", String(64), primary_key=True),
    Column("row_id", String(64), primary_key=True),
    Column("file_id", Integer, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("body", String, nullable=False),
    Column("changed_us", I64, nullable=False),
    Index("clearing_rows_file", "file_id"),
    Index("clearing_rows_state", "adapter", "state"),
)
"""One row a fare given to a clearing house: the file it is in now, and what became of it."""
