"""Devices and their counter of changes; outbox, inbox and cursors of the delivery.

A file from before there were migrations has the first two already and keeps its rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64, U64
from gateway.errors import RegistryError

revision = "0001"
down_revision = None
NEW_SCHEMA = 2
"""So that versions without migrations refuse the file."""


def upgrade() -> None:
    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    connection = op.get_bind()
    if sa.inspect(connection).has_table("meta"):
        found = connection.scalar(sa.select(meta.c.value).where(meta.c.name == "schema"))
        if found != 1:
            raise RegistryError("REGISTRY_VERSION", f"schema {found} has no migration")
        op.execute(meta.update().where(meta.c.name == "schema").values(value=NEW_SCHEMA))
    else:
        _create_devices()
        rows = [{"name": "schema", "value": NEW_SCHEMA}, {"name": "changes", "value": 0}]
        op.bulk_insert(meta, rows)
    _create_delivery()
    _create_clearing()


def _create_devices() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", I64, nullable=False),
    )
    op.create_table(
        "devices",
        sa.Column("device_id", U64, primary_key=True, autoincrement=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("operator", sa.String, nullable=False),
        sa.Column("tariff_slot", sa.Integer, nullable=False),
        sa.Column("stop_id", I64, nullable=False),
        sa.Column("key_version", sa.Integer, nullable=False),
        sa.Column("previous_key_version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
        sa.Column("change", I64, nullable=False),
    )
    op.create_index("ix_devices_change", "devices", ["change"])


def _create_delivery() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("aggregate", sa.String(128), nullable=False),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("capability", sa.String(32), nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_found", sa.Integer, nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("next_us", I64, nullable=False),
        sa.Column("until_us", I64, nullable=False),
        sa.Column("lease_us", I64, nullable=False),
        sa.Column("last_error", sa.String, nullable=False),
        sa.Column("same_errors", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )
    op.create_index("outbox_due", "outbox", ["state", "next_us"])
    op.create_index("outbox_order", "outbox", ["aggregate", "id"])
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("message_id", sa.String(200), nullable=False),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("aggregate", sa.String(128), nullable=False),
        sa.Column("version", I64, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received_us", I64, nullable=False),
        sa.Column("park_until_us", I64, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("decision", sa.String, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
        sa.UniqueConstraint("source", "message_id"),
    )
    op.create_index("inbox_state", "inbox", ["state", "id"])
    op.create_table(
        "cursors",
        sa.Column("adapter", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(64), primary_key=True),
        sa.Column("cursor", sa.String, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )


def _create_clearing() -> None:
    op.create_table(
        "clearing_files",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("business_day", sa.String(10), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("row_count", sa.Integer, nullable=False),
        sa.Column("total_minor", I64, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
        sa.UniqueConstraint("adapter", "direction", "name", "digest"),
    )
    order = ["adapter", "direction", "kind", "sequence"]
    op.create_index("clearing_files_order", "clearing_files", order)
    op.create_table(
        "clearing_rows",
        sa.Column("adapter", sa.String(64), primary_key=True),
        sa.Column("row_id", sa.String(64), primary_key=True),
        sa.Column("file_id", sa.Integer, nullable=False),
        sa.Column("amount_minor", I64, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )
    op.create_index("clearing_rows_file", "clearing_rows", ["file_id"])
    op.create_index("clearing_rows_state", "clearing_rows", ["adapter", "state"])
