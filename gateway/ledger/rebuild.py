"""Building the ledger again from the journal, beside a running projector or without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.errors import LedgerError
from gateway.following import build_mark
from gateway.journals import open_reader
from gateway.ledger.batch import clear_ledger, find_watermark
from gateway.ledger.projector import build_projector
from gateway.observability.page import PageReader

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.db import Database

POLL_S = 0.3
PATIENCE_S = 60.0
"""A projector that does not move for so long is not working."""

Told = Callable[[int, int], None]
"""(position reached, position to reach)."""


def rebuild(config: Config, database: Database, told: Told = lambda _reached, _goal: None) -> int:
    """Empty the ledger and have it projected anew; returns the position reached.

    A projector that runs notices and begins anew; else this process projects.
    Raises: LedgerError: nothing is known to be durable, or the projector stands still.
    """
    goal = build_mark(config)()
    if goal == 0:
        hint = "start `faregate serve` once: the data plane says what is durable"
        raise LedgerError("LEDGER_ERROR", "no durable position is known", hint)
    with database.transaction() as connection:
        clear_ledger(connection)
    page = PageReader(config.ledger_page_path).read()
    if page is not None and page.writer_lives():
        return _watch(database, goal or 0, told)
    return _project(config, database, goal or 0, told)


def _watch(database: Database, goal: int, told: Told) -> int:
    reached, moved = 0, time.monotonic()
    while reached < goal or reached == 0:
        time.sleep(POLL_S)
        with database.reading() as connection:
            position = find_watermark(connection).position
        if position != reached:
            reached, moved = position, time.monotonic()
            told(reached, goal)
        if time.monotonic() - moved > PATIENCE_S:
            raise LedgerError("LEDGER_ERROR", f"the projector stands at {reached}; see its log")
    return reached


def _project(config: Config, database: Database, goal: int, told: Told) -> int:
    journal = open_reader(config)
    try:
        projector = build_projector(config, database, journal)
        projector.start()
        while projector.step():
            told(projector.mark.position, goal)
        return projector.mark.position
    finally:
        journal.close()
