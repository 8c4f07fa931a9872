"""Following the journal beside the data plane: from when, and how far.

What follows takes nothing behind the durable position of the shared page. Used by the snapshotter
and by the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import JournalError
from gateway.journals import open_reader
from gateway.observability.page import JOURNAL_POSITION, PageReader

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.journals import ReadableJournal

POLL_S = 0.5


@dataclass(slots=True)
class DurableMark:
    """Up to where the data plane says the journal is durable; 0 while it says nothing.

    After a failed sync the page cache still holds the group, and a later sync of the same file
    succeeds without it: what can be read, even synced, may be gone after a power cut. Only the
    writer's own sync says that it is there.
    """

    page: PageReader

    def __call__(self) -> int:
        view = self.page.read()
        return view[JOURNAL_POSITION] if view is not None else 0


def build_mark(config: Config) -> Callable[[], int | None]:
    """For files what the page says; a reader of Valkey asks the replicas itself."""
    if config.journal.kind == "valkey":
        return lambda: None
    return DurableMark(PageReader(config.page_path))


def open_journal(config: Config, stop: threading.Event) -> ReadableJournal | None:
    """The journal, to be read; waits for the data plane to make it. None = stopped before."""
    while not stop.is_set():
        try:
            return open_reader(config)
        except JournalError as error:
            if error.code != "JOURNAL_NOT_FOUND":
                raise
            stop.wait(POLL_S)
    return None
