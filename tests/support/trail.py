"""The audit trail, written by hand."""

from __future__ import annotations

from gateway.db import Database
from gateway.registry.audit import AuditEvent, AuditHead, append


def append_alone(database: Database, event: AuditEvent) -> AuditHead:
    """Add an event in a transaction of its own."""
    with database.transaction() as connection:
        return append(connection, event)
