"""Notices are events: each belongs behind a journal record, and webhooks count them apart.

Webhooks that are there are sent the notices from now on, not all that ever were.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("notices", sa.Column("position", I64, nullable=False, server_default="0"))
    op.add_column("webhooks", sa.Column("notice_cursor", I64, nullable=False, server_default="0"))
    newest = "SELECT COALESCE(MAX(notice_id), 0) FROM notices"
    op.execute(f"UPDATE webhooks SET notice_cursor = ({newest})")
