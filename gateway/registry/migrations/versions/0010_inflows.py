"""References of value that came from outside; the tenant a top-up rule is of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "wallet_inflows",
        sa.Column("tenant_id", sa.String(40), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("reference", sa.String(64), primary_key=True),
        sa.Column("account_id", I64, nullable=False, index=True),
        sa.Column("purse_id", I64, nullable=False),
        sa.Column("merchant_id", I64, nullable=False),
        sa.Column("amount_minor", I64, nullable=False),
        sa.Column("operation_id", sa.String(36), nullable=False, index=True),
        sa.Column("created_us", I64, nullable=False),
    )
    op.create_index("ix_wallet_inflows_lately", "wallet_inflows", ["tenant_id", "created_us"])
    op.add_column(
        "wallet_topups",
        sa.Column("tenant_id", sa.String(40), nullable=False, server_default=""),
    )
