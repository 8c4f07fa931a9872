"""Persons, their sealed data, their accounts and media, their consents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64, U64

revision = "0004"
down_revision = "0003"
PERSON = "persons.person_id"


def upgrade() -> None:
    op.create_table(
        "persons",
        sa.Column("person_id", sa.String(32), primary_key=True),
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("created_us", I64, nullable=False),
        sa.Column("changed_us", I64, nullable=False),
        sa.Column("erased_us", I64, nullable=False),
    )
    op.create_index("ix_persons_tenant_id", "persons", ["tenant_id"])
    op.create_index("ix_persons_key_id", "persons", ["key_id"])
    op.create_table(
        "person_fields",
        sa.Column("person_id", sa.String(32), sa.ForeignKey(PERSON), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("blind", sa.LargeBinary, nullable=True),
    )
    op.create_index("person_fields_blind", "person_fields", ["name", "blind"])
    op.create_table(
        "person_accounts",
        sa.Column("account_id", U64, primary_key=True, autoincrement=False),
        sa.Column("person_id", sa.String(32), sa.ForeignKey(PERSON), nullable=False),
        sa.Column("linked_us", I64, nullable=False),
    )
    op.create_index("ix_person_accounts_person_id", "person_accounts", ["person_id"])
    op.create_table(
        "person_media",
        sa.Column("medium_id", sa.String(32), primary_key=True),
        sa.Column("person_id", sa.String(32), sa.ForeignKey(PERSON), nullable=False),
        sa.Column("account_id", U64, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("blind", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("linked_us", I64, nullable=False),
    )
    op.create_index("ix_person_media_person_id", "person_media", ["person_id"])
    op.create_table(
        "consents",
        sa.Column("consent_id", sa.String(32), primary_key=True),
        sa.Column("person_id", sa.String(32), sa.ForeignKey(PERSON), nullable=False),
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("given_us", I64, nullable=False),
        sa.Column("withdrawn_us", I64, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_consents_person_id", "consents", ["person_id"])
