"""Tenants, merchants, API keys and OAuth2 clients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )
    op.create_table(
        "merchants",
        sa.Column("merchant_id", I64, primary_key=True, autoincrement=False),
        sa.Column("tenant_id", sa.String(40), sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )
    op.create_index("ix_merchants_tenant_id", "merchants", ["tenant_id"])
    op.create_table(
        "credentials",
        sa.Column("credential_id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("tenant_id", sa.String(40), sa.ForeignKey("tenants.tenant_id"), nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("scopes", sa.String, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("expires_us", I64, nullable=False),
        sa.Column("revoked_us", I64, nullable=False),
    )
    op.create_index("ix_credentials_tenant_id", "credentials", ["tenant_id"])
