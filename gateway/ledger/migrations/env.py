"""Alembic's entry: gateway/db.py calls it inside a transaction."""

from gateway.migrations import run

run()
