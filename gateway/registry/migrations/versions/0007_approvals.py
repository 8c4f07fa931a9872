"""Four-eyes approvals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(32), primary_key=True),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("body_digest", sa.LargeBinary, nullable=False),
        sa.Column("summary", sa.String, nullable=False),
        sa.Column("amount_minor", I64, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("proposed_by", sa.String(100), nullable=False),
        sa.Column("proposer_owner", sa.String(100), nullable=False),
        sa.Column("proposed_us", I64, nullable=False),
        sa.Column("expires_us", I64, nullable=False),
        sa.Column("decided_by", sa.String(100), nullable=False),
        sa.Column("decided_us", I64, nullable=False),
        sa.Column("why", sa.String, nullable=False),
        sa.Column("operation_id", sa.String(64), nullable=False),
    )
    op.create_index("approvals_wanted", "approvals", ["action", "subject", "state"])
