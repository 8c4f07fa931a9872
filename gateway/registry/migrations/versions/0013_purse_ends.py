"""When purses end, so that what is left in them goes back by itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64, U64

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "wallet_purse_ends",
        sa.Column("account_id", U64, primary_key=True, autoincrement=False),
        sa.Column("purse_id", U64, primary_key=True, autoincrement=False),
        sa.Column("due_us", I64, nullable=False),
    )
    op.create_index("ix_wallet_purse_ends_due_us", "wallet_purse_ends", ["due_us"])
