"""First answers of requests that leave no record in the journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("requests", sa.Column("answer", sa.LargeBinary, nullable=True))
