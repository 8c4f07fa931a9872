"""Commands to peers for whoever looks after them: a page at a time, without what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from gateway.db import Database, list_window
from gateway.delivery.outbox import SHOWN
from gateway.delivery.tables import OUTBOX
from gateway.windows import Window


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which commands; empty = of any adapter, in any state."""

    adapter: str = ""
    state: str = ""


def list_commands(
    database: Database, wanted: Wanted, window: Window
) -> list[tuple[int, dict[str, Any]]]:
    """Commands with their places, the oldest first; one more than asked for when there are more."""
    query = select(OUTBOX.c.id, *SHOWN, OUTBOX.c.outcome)
    if wanted.adapter:
        query = query.where(OUTBOX.c.adapter == wanted.adapter)
    if wanted.state:
        query = query.where(OUTBOX.c.state == wanted.state)
    with database.reading() as connection:
        rows = [row._asdict() for row in list_window(connection, query, OUTBOX.c.id, window)]
    return [(row.pop("id"), row) for row in rows]
