"""The way to the data plane for handlers: a refusal is a value, what is only for now is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from fastpath.types import ACCEPTED
from gateway.control.frames import Reply
from gateway.errors import CommandError, Retry


class Commands(Protocol):
    """What gateway/control/client.py offers."""

    def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> Reply:
        """One command and its reply; a refusal is a value. Raises: CommandError, Uncertain."""


def ask(
    commands: Commands,
    op: str,
    args: dict[str, Any],
    *,
    operation_id: bytes | None = None,
) -> Reply:
    """A final reply, good or not.

    Raises: CommandError: not sent, or refused only for now (busy, no room on the disk): the same
    command under the same id is right later. Uncertain.
    """
    reply = commands.exchange(op, args, operation_id=operation_id)
    if not reply.ok and reply.retry == Retry.SAFE:
        raise CommandError(reply.code, reply.detail, reply.hint, Retry.SAFE)
    return reply


def find_done(commands: Commands, operation_id: bytes) -> Reply | None:
    """What became of a command that may have been sent: its reply, None = it was not carried out.

    Whoever sends a command whose arguments can change meanwhile (a version) asks first: with
    others, what was done under its id would be a conflict. Raises: CommandError, Uncertain.
    """
    reply = ask(commands, "operation_show", {"id": operation_id.hex()})
    if not reply.ok:
        return None
    reason = str(reply.result["reason"])
    return replace(reply, ok=reason in ACCEPTED, code=reason)
