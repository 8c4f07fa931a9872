"""Which settlement files were put into their folder, so that one moved away does not come back.

Those that are there count as written when they were made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("settlements", sa.Column("written_us", I64, nullable=False, server_default="0"))
    op.execute("UPDATE settlements SET written_us = made_us")
