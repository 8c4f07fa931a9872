"""Riders' logins, sessions and second factors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64

revision = "0008"
down_revision = "0007"
PERSON = "persons.person_id"


def upgrade() -> None:
    op.create_table(
        "logins",
        sa.Column("person_id", sa.String(32), sa.ForeignKey(PERSON), primary_key=True),
        sa.Column("login_blind", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("password_hash", sa.String, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("session_hash", sa.LargeBinary, primary_key=True),
        sa.Column("person_id", sa.String(32), sa.ForeignKey(PERSON), nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("seen_us", I64, nullable=False),
        sa.Column("expires_us", I64, nullable=False),
        sa.Column("step_up_us", I64, nullable=False),
        sa.Column("challenge", sa.LargeBinary, nullable=False),
        sa.Column("challenge_us", I64, nullable=False),
    )
    op.create_index("ix_sessions_person_id", "sessions", ["person_id"])
    op.create_index("ix_sessions_expires_us", "sessions", ["expires_us"])
    op.create_table(
        "factors",
        sa.Column("factor_id", sa.String(32), primary_key=True),
        sa.Column("person_id", sa.String(32), sa.ForeignKey(PERSON), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("counter", I64, nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("confirmed_us", I64, nullable=False),
        sa.Column("used_us", I64, nullable=False),
    )
    op.create_index("ix_factors_person_id", "factors", ["person_id"])
