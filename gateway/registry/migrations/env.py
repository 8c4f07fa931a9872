"""Alembic's entry for the registry."""

from gateway.migrations import run

run()
