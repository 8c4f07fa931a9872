"""When it is looked at next whether the owner of a purse is to be told of its end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    look = sa.Column("look_us", I64, nullable=False, server_default="0")
    op.add_column("wallet_purse_ends", look)
