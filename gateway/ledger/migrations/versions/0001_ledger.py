"""The ledger's first schema.

A projection needs no step from one schema to the next: a later revision may drop everything and
leave it to the projector to build it again.
"""

from alembic import op

from gateway.ledger.tables import METADATA

revision = "0001_ledger"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
