"""What waits for a webhook is found without walking past what was delivered."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index(
        "ix_webhook_deliveries_waiting",
        "webhook_deliveries",
        ["webhook_id", "state", "delivery_id"],
    )
    op.drop_index("ix_webhook_deliveries_due", "webhook_deliveries")
