"""The one place from which changes of the registry go into the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from gateway.registry.actors import Actor
from gateway.registry.audit import AuditEvent, Outcome, append

Note = Callable[[Connection, str, str, Mapping[str, object]], None]
"""Says what was done, in the caller's transaction; who did it, it knows itself."""


def say_nothing(
    _connection: Connection, _action: str, _subject: str, _facts: Mapping[str, object]
) -> None:
    """A Note for what the gateway does by itself."""


def note_by(actor: Actor, now_us: int, operation_id: bytes = b"") -> Note:
    """A Note of what an actor does now. operation_id: of the request it follows from."""

    def note(
        connection: Connection, action: str, subject: str, facts: Mapping[str, object]
    ) -> None:
        more = {"operation_id": operation_id.hex()} if operation_id else {}
        note_change(connection, actor, action, subject, now_us, **facts, **more)

    return note


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
