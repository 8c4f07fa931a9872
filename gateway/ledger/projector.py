"""The projector: a process that follows the journal and writes the ledger, batch by batch.

Each batch is one transaction with its watermark, so a projector that dies anywhere goes on where
the last whole batch ended. It takes only what the data plane says is durable. A fault of the
ledger stops it, never the gates; the supervisor starts it again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.clock import monotonic_us, now_us
from gateway.errors import LedgerError
from gateway.following import build_mark, open_journal
from gateway.ledger.batch import BatchWriter, Watermark, find_watermark
from gateway.ledger.days import Calendar
from gateway.ledger.mark import MarkFile, write_mark
from gateway.ledger.records import GroupFacts, read_group_head
from gateway.observability import ledger_page as slots
from gateway.observability.page import Page
from gateway.readiness import NO_PIPE, tell_ready

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config
    from gateway.db import Database
    from gateway.journals import ReadableJournal

log = logging.getLogger(__name__)

POLL_S = 0.2
NICENESS = 10
"""The data plane goes first where they share a core."""
BATCH_BYTES_MAX = 64 << 20

Groups = list[tuple[GroupFacts, bytes]]


@dataclass(slots=True)
class Projector:
    """Brings one ledger up to one journal. Thread: one.

    durable: up to where the journal is known to be durable; None = as far as it can be read.
    """

    database: Database
    journal: ReadableJournal
    writer: BatchWriter
    batch_records: int = 20_000
    durable: Callable[[], int | None] = lambda: None
    mark_path: Path | None = None
    mark: Watermark = field(default_factory=Watermark)

    def start(self) -> None:
        """Take up the watermark and see that the journal is the one it was taken from.

        Raises: LedgerError LEDGER_TAIL_LOST; Corrupt; DatabaseError.
        """
        self._load()
        check_witness(self.journal, self.mark)

    def _load(self) -> None:
        with self.database.transaction() as connection:
            self.mark = find_watermark(connection)
            self.writer.load(connection)

    def step(self) -> int:
        """Project one batch; how many records it had, 0 = nothing durable is left.

        Raises: LedgerError, DatabaseError, Corrupt; nothing of the batch is stored then.
        """
        groups = self._collect()
        if not groups:
            return self.step() if self._was_emptied() else 0
        try:
            with self.database.transaction() as connection:
                behind = self.writer.write(connection, groups, self.mark)
        except LedgerError as error:
            if error.code == "LEDGER_MOVED" and self._was_emptied():
                return self.step()
            raise
        self.mark = behind
        if self.mark_path is not None:
            write_mark(self.mark_path, MarkFile(behind.position, behind.chain_hash))
        return sum(facts.record_count for facts, _ in groups)

    def _was_emptied(self) -> bool:
        """Whether somebody asked to have it built again; then begin from the beginning."""
        if self.mark.position == 0:
            return False
        with self.database.reading() as connection:
            if find_watermark(connection).position:
                return False
        self._load()
        return True

    def _collect(self) -> Groups:
        groups: Groups = []
        records = size = 0
        for group in self._read():
            facts = read_group_head(group)
            groups.append((facts, bytes(group)))
            records += facts.record_count
            size += len(group)
            if records >= self.batch_records or size >= BATCH_BYTES_MAX:
                break
        return groups

    def _read(self) -> Iterator[memoryview]:
        until, mark = self.durable(), self.mark
        if until is not None and mark.position >= until:
            return
        previous = mark.chain_hash if mark.position else None
        for group in self.journal.read(mark.position, previous_hash=previous):
            if until is not None and read_group_head(group).position >= until:
                return
            yield group


def check_witness(journal: ReadableJournal, mark: Watermark) -> None:
    """Raises: LedgerError LEDGER_TAIL_LOST: the journal ends before the watermark, or another
    group stands there.
    """
    if mark.position == 0:
        return
    begin = journal.start_before(mark.position - 1)
    if begin >= mark.position:
        return  # past retention: the next group's previous hash is the check
    for group in journal.read(begin):
        facts = read_group_head(group)
        if facts.end < mark.position:
            continue
        if facts.end == mark.position and _hash(group) == mark.chain_hash:
            return
        said = f"another group stands at {facts.position}, before {mark.position}"
        raise LedgerError("LEDGER_TAIL_LOST", said)
    said = f"the journal ends before {mark.position}, the ledger has seen it up to there"
    raise LedgerError("LEDGER_TAIL_LOST", said)


def _hash(group: memoryview) -> bytes:
    return hashlib.sha256(group).digest()


@dataclass(slots=True)
class Teller:
    """Tells the page what the projector does."""

    page: Page

    def __post_init__(self) -> None:
        self.page.slots[slots.STARTED_US] = now_us()

    def tell(self, mark: Watermark, records: int, took_us: int) -> None:
        """After each look at the journal."""
        page = self.page.slots
        page[slots.HEARTBEAT_US] = now_us()
        page[slots.POSITION] = mark.position
        page[slots.SEQ] = mark.next_seq - 1
        page[slots.GROUP_US] = mark.ts_us
        if records:
            page[slots.BATCHES] += 1
            page[slots.RECORDS] += records
            page[slots.BATCH_US] = took_us
        else:
            page[slots.CAUGHT_UP_US] = now_us()


def run(projector: Projector, stop: threading.Event, teller: Teller | None = None) -> None:
    """Until `stop` is set. Raises: what a step may raise."""
    while not stop.is_set():
        began = monotonic_us()
        records = projector.step()
        if teller is not None:
            teller.tell(projector.mark, records, monotonic_us() - began)
        if records < projector.batch_records:
            stop.wait(POLL_S)


def build_calendar(config: Config) -> Calendar:
    """Service dates of this data folder."""
    tariffs = config.gateway.data_dir / "tariffs"
    return Calendar(tariffs, config.ledger.zone, config.ledger.currency)


def build_projector(config: Config, database: Database, journal: ReadableJournal) -> Projector:
    """The projector of these settings, not started."""
    return Projector(
        database,
        journal,
        BatchWriter(build_calendar(config)),
        config.ledger.batch_records,
        build_mark(config),
        config.ledger_mark_path,
    )


def main(config: Config, database: Database, ready_fd: int = NO_PIPE) -> int:
    """The process, until SIGTERM or SIGINT; its exit status.

    Raises: LedgerError: the journal does not fit the ledger, or breaks the law of value.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.nice(NICENESS)
    page = Page.create(config.ledger_page_path)
    tell_ready(ready_fd, {})
    journal = open_journal(config, stop)
    if journal is not None:
        try:
            projector = build_projector(config, database, journal)
            projector.start()
            run(projector, stop, Teller(page))
        finally:
            journal.close()
    database.close()
    return 0
