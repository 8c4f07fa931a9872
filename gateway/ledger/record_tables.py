"""What people and peers were told, in the registry's database: it cannot be projected again."""

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

from gateway.db import I64, U64

METADATA = MetaData()

CHECKPOINTS = Table(
    "audit_checkpoints",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_us", I64, nullable=False),
    Column("body", String, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
"""Signed heads of journal and audit trail, with the ledger's totals. body: JSON, sorted keys."""

SETTLEMENTS = Table(
    "settlements",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("operator", String(32), nullable=False),
    Column("service_day", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("as_of_seq", I64, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("totals", String, nullable=False),
    Column("made_us", I64, nullable=False),
    Column("written_us", I64, nullable=False),
    UniqueConstraint("operator", "service_day", "number"),
)
"""Files of an operator's service day. number 0, then 1 ... for corrected ones. as_of_seq: the
newest journal record in it. written_us: when it was put into the folder of settlements, 0 = not
yet."""

RECONCILIATIONS = Table(
    "reconciliations",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("from_day", Integer, nullable=False),
    Column("until_day", Integer, nullable=False),
    Column("as_of_seq", I64, nullable=False),
    Column("made_us", I64, nullable=False),
    Column("counts", String, nullable=False),
)
"""Runs. kind: taps or bill; name: the operator's or the peer's. counts: JSON."""

BREAKS = Table(
    "breaks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("key", String(128), nullable=False),
    Column("type", String(16), nullable=False),
    Column("service_day", Integer, nullable=False),
    Column("account_id", U64, nullable=False),
    Column("here_minor", I64, nullable=False),
    Column("there_minor", I64, nullable=False),
    Column("detail", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("note", String, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("opened_us", I64, nullable=False),
    Column("changed_us", I64, nullable=False),
    Column("run_id", Integer, nullable=False),
    UniqueConstraint("kind", "name", "key", "type"),
    Index("breaks_state", "state", "opened_us"),
)
"""One difference. key: what both sides call the payment. run_id: the newest run that saw it."""
