"""Who asked for what of a credit line; fees of late statements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64, U64

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "credit_wishes",
        sa.Column("account_id", U64, primary_key=True, autoincrement=False),
        sa.Column("request", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at_us", I64, nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("amount_minor", I64, nullable=False),
        sa.Column("number", I64, nullable=False),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("score", sa.Integer, nullable=False),
        sa.Column("tier", sa.Integer, nullable=False),
        sa.Column("version", I64, nullable=False),
        sa.Column("is_done", sa.Integer, nullable=False),
    )
    op.create_index("credit_wishes_at", "credit_wishes", ["account_id", "kind", "at_us"])
    # Statements from before there were fees stay without one.
    for name, kind, old in (("fee_us", I64, "1"), ("is_fee_done", sa.Integer, "1")):
        column = sa.Column(name, kind, nullable=False, server_default=old)
        op.add_column("credit_statements", column)
