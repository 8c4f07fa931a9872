"""The one place from which changes of the registry go into the audit trail."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.registry.actors import Actor
from gateway.registry.audit import AuditEvent, Outcome, append


def note_change(
    connection: Connection, actor: Actor, action: str, subject: str, now_us: int, **facts: object
) -> None:
    """Say who changed what, in the transaction of the change itself.

    Args: action: `tenant.add`. subject: the thing, as `tenant:metro`. facts: no personal data, no
        secrets.
    """
    append(
        connection,
        AuditEvent(actor.subject, action, subject, now_us, tenant_id=actor.tenant_id, facts=facts),
    )


def note_refusal(
    connection: Connection, actor: Actor, action: str, subject: str, now_us: int, **facts: object
) -> None:
    """Say who was refused what."""
    append(
        connection,
        AuditEvent(actor.subject, action, subject, now_us, Outcome.REFUSED, facts=facts),
    )
