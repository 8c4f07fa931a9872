"""Tables of the wallet in the registry's database. Instants are UTC microseconds, amounts int minor
units; an id is an operation id's text. Migrations: gateway/registry/migrations.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table

from gateway.db import I64, U64

METADATA = MetaData()

REQUESTS = Table(
    "requests",
    METADATA,
    Column("caller", String(100), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("operation_id", String(36), nullable=False),
    Column("endpoint", String(80), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_us", I64, nullable=False, index=True),
    Column("status", Integer, nullable=False),
    Column("account_id", I64, nullable=False),
    Column("settled_us", I64, nullable=False),
    Column("answer", LargeBinary, nullable=True),
)
"""Idempotency keys. status: HTTP status of the last answer, 0 = none yet. answer: the first one,
sealed, where no journal record tells it.
"""

ACCOUNTS = Table(
    "wallet_accounts",
    METADATA,
    Column("account_id", I64, primary_key=True, autoincrement=False),
    Column("tenant_id", String(40), nullable=False, index=True),
    Column("reference", String(64), nullable=False),
    Column("operation_id", String(36), nullable=False, unique=True),
    Column("opened_us", I64, nullable=False),
)
"""For which tenant an account was opened. Without a row: for the house. Persons: registry."""

GRANTS = Table(
    "wallet_grants",
    METADATA,
    Column("account_id", I64, primary_key=True, autoincrement=False),
    Column("tenant_id", String(40), primary_key=True),
    Column("granted_us", I64, nullable=False),
)
"""Tenants that may also see and charge an account."""

INFLOWS = Table(
    "wallet_inflows",
    METADATA,
    Column("tenant_id", String(40), primary_key=True),
    Column("source", String(64), primary_key=True),
    Column("reference", String(64), primary_key=True),
    Column("account_id", I64, nullable=False, index=True),
    Column("purse_id", I64, nullable=False),
    Column("merchant_id", I64, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("operation_id", String(36), nullable=False, index=True),
    Column("created_us", I64, nullable=False),
    Index("ix_wallet_inflows_lately", "tenant_id", "created_us"),
)
"""Value from outside by its reference: each is put in once."""

FREEZES = Table(
    "wallet_freezes",
    METADATA,
    Column("freeze_id", String(36), primary_key=True),
    Column("account_id", I64, nullable=False, index=True),
    Column("what", String(8), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("placed_us", I64, nullable=False),
    Column("position", I64, nullable=False),
    Column("expires_us", I64, nullable=False),
    Column("lifted_us", I64, nullable=False),
    Column("lifted_by", String(100), nullable=False),
)
"""state: placing, active, lifted, expired. expires_us: 0 = until lifted."""

SAGAS = Table(
    "wallet_sagas",
    METADATA,
    Column("saga_id", String(36), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("tenant_id", String(40), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("step", Integer, nullable=False),
    Column("body", String, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("changed_us", I64, nullable=False),
    Column("next_us", I64, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", String, nullable=False),
)
"""What takes several commands. state: running, done, failed. step: how many are done."""

TOPUPS = Table(
    "wallet_topups",
    METADATA,
    Column("rule_id", String(36), primary_key=True),
    Column("account_id", I64, nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("threshold_minor", I64, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("target_minor", I64, nullable=False),
    Column("every_s", I64, nullable=False),
    Column("next_us", I64, nullable=False),
    Column("daily_cap_minor", I64, nullable=False),
    Column("source", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("created_us", I64, nullable=False),
    Column("day", Integer, nullable=False),
    Column("day_minor", I64, nullable=False),
    Column("runs", I64, nullable=False),
    Column("due_minor", I64, nullable=False),
    Column("last_error", String, nullable=False),
    Column("tenant_id", String(40), nullable=False, server_default=""),
    Column("look_us", I64, nullable=False, server_default="0"),
)
"""Automatic top-ups. runs: how many were decided; due_minor: of the one under way, 0 = none.
tenant_id: whose key made the rule. look_us: when a threshold is looked at without a record, 0 =
never."""

BUDGETS = Table(
    "wallet_budgets",
    METADATA,
    Column("account_id", I64, primary_key=True, autoincrement=False),
    Column("purpose", Integer, primary_key=True, autoincrement=False),
    Column("month_minor", I64, nullable=False),
    Column("warn_percent", Integer, nullable=False),
    Column("warned_month", Integer, nullable=False),
    Column("changed_us", I64, nullable=False),
)
"""What the owner means to spend in a month. purpose: -1 = all. warned_month: year * 12 + month."""

WEBHOOKS = Table(
    "webhooks",
    METADATA,
    Column("webhook_id", String(36), primary_key=True),
    Column("tenant_id", String(40), nullable=False, index=True),
    Column("url", String(500), nullable=False),
    Column("events", String(500), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("old_sealed", LargeBinary, nullable=False),
    Column("old_until_us", I64, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("cursor", I64, nullable=False),
    Column("failing_since_us", I64, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("changed_us", I64, nullable=False),
    Column("notice_cursor", I64, nullable=False, server_default="0"),
)
"""Where events are sent. cursor, notice_cursor: last record and last notice taken up.

state: active, disabled.
"""

DELIVERIES = Table(
    "webhook_deliveries",
    METADATA,
    Column("delivery_id", Integer, primary_key=True),
    Column("webhook_id", String(36), nullable=False, index=True),
    Column("event_id", String(64), nullable=False),
    Column("body", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_us", I64, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("status", Integer, nullable=False),
    Column("last_error", String(200), nullable=False),
    Index("ix_webhook_deliveries_waiting", "webhook_id", "state", "delivery_id"),
)
"""One event for one webhook. state: waiting, done, dead."""

PURSE_ENDS = Table(
    "wallet_purse_ends",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("purse_id", U64, primary_key=True, autoincrement=False),
    Column("due_us", I64, nullable=False, index=True),
    Column("look_us", I64, nullable=False, server_default="0"),
)
"""Purses that end, and when each is swept; read from the ledger. look_us: when it is looked at next
whether the owner is to be told."""

CURSORS = Table(
    "wallet_cursors",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("seq", I64, nullable=False),
)
"""How far each job has read the ledger."""
