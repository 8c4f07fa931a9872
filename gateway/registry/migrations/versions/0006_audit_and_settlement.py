"""The audit trail, its checkpoints; settlement files; reconciliations and their breaks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64, U64

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _create_audit()
    _create_settlement()
    _create_breaks()


def _create_audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_us", I64, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("facts", sa.String, nullable=False),
        sa.Column("previous_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("audit_events_subject", "audit_events", ["subject", "seq"])
    op.create_table(
        "audit_checkpoints",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_us", I64, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )


def _create_settlement() -> None:
    op.create_table(
        "settlements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("operator", sa.String(32), nullable=False),
        sa.Column("service_day", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("as_of_seq", I64, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("totals", sa.String, nullable=False),
        sa.Column("made_us", I64, nullable=False),
        sa.UniqueConstraint("operator", "service_day", "number"),
    )


def _create_breaks() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("from_day", sa.Integer, nullable=False),
        sa.Column("until_day", sa.Integer, nullable=False),
        sa.Column("as_of_seq", I64, nullable=False),
        sa.Column("made_us", I64, nullable=False),
        sa.Column("counts", sa.String, nullable=False),
    )
    op.create_table(
        "breaks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("service_day", sa.Integer, nullable=False),
        sa.Column("account_id", U64, nullable=False),
        sa.Column("here_minor", I64, nullable=False),
        sa.Column("there_minor", I64, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("opened_us", I64, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.UniqueConstraint("kind", "name", "key", "type"),
    )
    op.create_index("breaks_state", "breaks", ["state", "opened_us"])
