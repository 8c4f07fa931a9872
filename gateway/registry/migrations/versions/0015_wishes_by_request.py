"""Wishes on credit lines are found by their request alone."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_index("credit_wishes_request", "credit_wishes", ["request"])
