"""A clearing house's deny list becomes the state of media, each change once.

Only a medium that is active is put on the list, and only one that this list put there is taken off:
what an owner reported lost stays lost. Ids of operations are derived from the file and the token;
their instant is where the file's business day begins, since a file may come from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from adapters.transit.clearing.files import Denial
from adapters.transit.clearing.lines import Label
from gateway.clock import derived_operation_id
from gateway.db import Database
from gateway.delivery.clearing.days import BusinessDays
from gateway.delivery.commands import Commands, ask, find_done
from gateway.delivery.cursors import set_cursor
from gateway.delivery.tables import CURSORS
from gateway.errors import CommandError, Retry

Record = Callable[[Connection, int], None]


class Denials:
    """Changes media of one clearing house. Thread: any; one at a time."""

    def __init__(
        self, adapter: str, days: BusinessDays, commands: Commands, database: Database
    ) -> None:
        self._adapter = adapter
        self._days = days
        self._commands = commands
        self._database = database

    def perform(self, label: Label, changes: Sequence[Denial]) -> tuple[dict[str, int], Record]:
        """Send what has to change; may run again. Returns counts, and what to write with them.

        Raises: CommandError: not sent, or refused only for now. Uncertain: it is tried again under
        the same ids.
        """
        counts: Counter[str] = Counter()
        added: list[bytes] = []
        removed: list[bytes] = []
        for one in changes:
            said = self._add(label, one) if one.added else self._remove(label, one)
            counts[said] += 1
            if said == "denied":
                added.append(one.token)
            elif said == "lifted":
                removed.append(one.token)

        def record(connection: Connection, now_us: int) -> None:
            for token in added:
                set_cursor(connection, self._adapter, _mark(token), str(label.sequence), now_us)
            for token in removed:
                connection.execute(delete(CURSORS).where(*self._marked(token)))

        return dict(counts), record

    def _add(self, label: Label, change: Denial) -> str:
        state = self._state(change.token)
        if state not in ("active", "denylisted"):
            return "not_ours" if state is None else "other_state"
        if state == "denylisted" and not self._was_ours(label, change):
            return "denied_before"
        return self._send(label, change, "denylisted", "denied")

    def _remove(self, label: Label, change: Denial) -> str:
        state = self._state(change.token)
        if state is None:
            return "not_ours"
        with self._database.reading() as connection:
            marked = connection.execute(select(CURSORS).where(*self._marked(change.token))).first()
        if marked is None or state not in ("denylisted", "active"):
            return "other_state"
        return self._send(label, change, "active", "lifted")

    def _was_ours(self, label: Label, change: Denial) -> bool:
        """Whether this very change made it so, before a crash."""
        reply = find_done(self._commands, self._id(label, change))
        return reply is not None and reply.ok

    def _send(self, label: Label, change: Denial, state: str, said: str) -> str:
        args = {"token": change.token, "state": state, "reference": label.name[:64]}
        reply = ask(self._commands, "medium_state", args, operation_id=self._id(label, change))
        if reply.code == "bad_time":  # our clock is behind: the file is right later
            raise CommandError(reply.code, reply.detail, retry=Retry.SAFE)
        return said if reply.ok else "refused"

    def _state(self, token: bytes) -> str | None:
        reply = ask(self._commands, "medium_show", {"token": token})
        return str(reply.result["state"]) if reply.ok else None

    def _id(self, label: Label, change: Denial) -> bytes:
        what = "add" if change.added else "drop"
        parts = ("clearing", self._adapter, label.name, what, change.token.hex())
        return derived_operation_id(self._days.start_us(label.day), *parts)

    def _marked(self, token: bytes) -> tuple[Any, Any]:
        return CURSORS.c.adapter == self._adapter, CURSORS.c.kind == _mark(token)


def _mark(token: bytes) -> str:
    return f"deny:{token.hex()}"
