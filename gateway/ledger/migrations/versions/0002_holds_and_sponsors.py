"""Holds as a memo, sponsors of purses. Everything is dropped and projected again."""

from alembic import op

from gateway.ledger.tables import METADATA

revision = "0002_holds_and_sponsors"
down_revision = "0001_ledger"


def upgrade() -> None:
    METADATA.drop_all(op.get_bind())
    METADATA.create_all(op.get_bind())
