"""What every package's Alembic `env.py` does: run its migrations on the connection it is given."""

from __future__ import annotations

from alembic import context


def run() -> None:
    """Run inside the caller's transaction (gateway/db.py opened it)."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, render_as_batch=connection.dialect.name == "sqlite")
    with context.begin_transaction():
        context.run_migrations()
