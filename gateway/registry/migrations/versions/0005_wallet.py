"""The wallet: idempotency keys, owners, freezes, media, sagas, rules, webhooks, notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _create_accounts()
    _create_rules()
    _create_events()


def _create_accounts() -> None:
    op.create_table(
        "requests",
        sa.Column("caller", sa.String(100), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("operation_id", sa.String(36), nullable=False),
        sa.Column("endpoint", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("account_id", I64, nullable=False),
        sa.Column("settled_us", I64, nullable=False),
    )
    op.create_index("ix_requests_created_us", "requests", ["created_us"])
    op.create_table(
        "wallet_accounts",
        sa.Column("account_id", I64, primary_key=True, autoincrement=False),
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("operation_id", sa.String(36), nullable=False, unique=True),
        sa.Column("opened_us", I64, nullable=False),
    )
    op.create_index("ix_wallet_accounts_tenant_id", "wallet_accounts", ["tenant_id"])
    op.create_table(
        "wallet_grants",
        sa.Column("account_id", I64, primary_key=True, autoincrement=False),
        sa.Column("tenant_id", sa.String(40), primary_key=True),
        sa.Column("granted_us", I64, nullable=False),
    )
    op.create_table(
        "wallet_freezes",
        sa.Column("freeze_id", sa.String(36), primary_key=True),
        sa.Column("account_id", I64, nullable=False),
        sa.Column("what", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("placed_us", I64, nullable=False),
        sa.Column("position", I64, nullable=False),
        sa.Column("expires_us", I64, nullable=False),
        sa.Column("lifted_us", I64, nullable=False),
        sa.Column("lifted_by", sa.String(100), nullable=False),
    )
    op.create_index("ix_wallet_freezes_account_id", "wallet_freezes", ["account_id"])
    op.create_index("ix_wallet_freezes_state", "wallet_freezes", ["state"])


def _create_rules() -> None:
    op.create_table(
        "wallet_sagas",
        sa.Column("saga_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
        sa.Column("next_us", I64, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.String, nullable=False),
    )
    op.create_index("ix_wallet_sagas_state", "wallet_sagas", ["state"])
    op.create_table(
        "wallet_topups",
        sa.Column("rule_id", sa.String(36), primary_key=True),
        sa.Column("account_id", I64, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("threshold_minor", I64, nullable=False),
        sa.Column("amount_minor", I64, nullable=False),
        sa.Column("target_minor", I64, nullable=False),
        sa.Column("every_s", I64, nullable=False),
        sa.Column("next_us", I64, nullable=False),
        sa.Column("daily_cap_minor", I64, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("day_minor", I64, nullable=False),
        sa.Column("runs", I64, nullable=False),
        sa.Column("due_minor", I64, nullable=False),
        sa.Column("last_error", sa.String, nullable=False),
    )
    op.create_index("ix_wallet_topups_account_id", "wallet_topups", ["account_id"])
    op.create_index("ix_wallet_topups_state", "wallet_topups", ["state"])
    op.create_table(
        "wallet_budgets",
        sa.Column("account_id", I64, primary_key=True, autoincrement=False),
        sa.Column("purpose", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("month_minor", I64, nullable=False),
        sa.Column("warn_percent", sa.Integer, nullable=False),
        sa.Column("warned_month", sa.Integer, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )
    op.create_table(
        "wallet_cursors",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("seq", I64, nullable=False),
    )


def _create_events() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.String(36), primary_key=True),
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("events", sa.String(500), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("old_sealed", sa.LargeBinary, nullable=False),
        sa.Column("old_until_us", I64, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("cursor", I64, nullable=False),
        sa.Column("failing_since_us", I64, nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )
    op.create_index("ix_webhooks_tenant_id", "webhooks", ["tenant_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.Integer, primary_key=True),
        sa.Column("webhook_id", sa.String(36), nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_us", I64, nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("last_error", sa.String(200), nullable=False),
    )
    op.create_index("ix_webhook_deliveries_webhook_id", "webhook_deliveries", ["webhook_id"])
    op.create_index("ix_webhook_deliveries_due", "webhook_deliveries", ["state", "next_us"])
    op.create_index(
        "ix_webhook_deliveries_once", "webhook_deliveries", ["webhook_id", "event_id"], unique=True
    )
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(100), nullable=False, unique=True),
        sa.Column("account_id", I64, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("created_us", I64, nullable=False),
    )
    op.create_index("ix_notices_account_id", "notices", ["account_id"])
