"""When a threshold rule is to be looked at although nothing happened on its account.

Rules that are in force are looked at once: they may have waited below their threshold.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("wallet_topups", sa.Column("look_us", I64, nullable=False, server_default="0"))
    op.execute("UPDATE wallet_topups SET look_us = 1 WHERE kind = 'threshold'")
