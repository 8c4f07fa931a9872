"""A restored registry is fitted to the journal beside it, which is read as a start would, and put
where the settings want it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpath.records import iter_records, view_group
from fastpath.types import Item
from gateway.control.arguments import client_number
from gateway.control.client import ControlClient
from gateway.control.pipe import CLIENT
from gateway.engine.recovery import build_memory, recover
from gateway.errors import CommandError, EnvironmentFault
from gateway.journals import open_reader
from gateway.registry.copying import TableSum, copy_registry
from gateway.registry.opening import open_configured
from gateway.registry.store import open_registry
from gateway.wallet.stores.fitting import Fitted, JournalEnd, fit_registry
from gateway.wallet.stores.rebuilding import Keyed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import Config
    from gateway.db import Database
    from gateway.journal.port import Head
    from gateway.journals import ReadableJournal

STEP_BYTES = 64 << 20
COMMANDS_FROM = 16
"""Records below are of taps."""
API = client_number(CLIENT)


def fit_restored(config: Config, database: Database, actor: str) -> Fitted:
    """Fit a registry to the journal of these settings, which nobody serves.

    Raises: EnvironmentFault: the gateway is running. DatabaseError; and as a start would.
    """
    _check_nobody_serves(config)
    return fit_registry(database, read_end(config), actor)


def load_registry(config: Config, file: Path) -> dict[str, TableSum]:
    """Copy a registry's file into the empty PostgreSQL database of these settings, which nobody
    serves.

    Returns: what each table holds there now, compared with the file.
    Raises: EnvironmentFault: the gateway is running, or the database is not empty. RegistryError
        REGISTRY_COPY; DatabaseError. Then nothing was copied.
    """
    _check_nobody_serves(config)
    source = open_registry(file)
    try:
        target = open_configured(config, create=True)
        try:
            return copy_registry(source, target)
        finally:
            target.close()
    finally:
        source.close()


def read_end(config: Config) -> JournalEnd:
    """What the journal knows. Raises: as a start would."""
    memory = build_memory(config.engine_limits())
    found = recover(memory, config.snapshots.dir, lambda *_: open_reader(config))
    found.journal.close()
    journal = open_reader(config)
    try:
        head = journal.head()
        last_us = _last_us(journal, head)
    finally:
        journal.close()
    return JournalEnd(
        lambda number: memory.account(number) is not None,
        last_seq=head.next_seq - 1,
        last_us=last_us,
        position=head.position,
        keyed=lambda since_us: list_keyed(config, since_us),
    )


def list_keyed(config: Config, since_us: int) -> Iterator[Keyed]:
    """The requests of the API that records are of, from an instant on. Raises: JournalError."""
    journal = open_reader(config)
    try:
        for group in journal.read(_start_of(journal, since_us)):
            if view_group(group).ts_us >= since_us:
                yield from _keyed(group)
    finally:
        journal.close()


def _start_of(journal: ReadableJournal, since_us: int) -> int:
    """Where to begin reading for all that is not older: further back in growing steps."""
    end, first, back = journal.head().position, journal.start_before(0), STEP_BYTES
    while (start := journal.start_before(max(end - back, 0))) > first:
        group = next(iter(journal.read(start)), None)
        if group is not None and view_group(group).ts_us < since_us:
            return start
        back *= 2
    return first


def _keyed(group: memoryview) -> Iterator[Keyed]:
    for record in iter_records(group):
        if not record.op >= COMMANDS_FROM or record.id_a != API:
            continue
        notes = {one.line: one.image for one in record.items if one.type == Item.NOTE}
        who, key = (notes.get(line, b"").rstrip(b"\0").decode() for line in (0, 3))
        actor = who.partition(f"/{CLIENT}:")[2]
        if actor and key:
            yield Keyed(actor, key, record.id_b.to_bytes(8) + record.id_c.to_bytes(8))


def _check_nobody_serves(config: Config) -> None:
    try:
        ControlClient(config.control.socket).call("status")
    except CommandError as error:
        if error.code == "COMMAND_NOT_SENT":
            return
    raise EnvironmentFault(
        "ENV_RUNNING", "the gateway is running: stop it before its registry is touched"
    )


def _last_us(journal: ReadableJournal, head: Head) -> int:
    """When the last group was made: it lies in the last segment, or in the one before."""
    for start in (journal.start_before(head.position), journal.start_before(0)):
        last_us = max((view_group(group).ts_us for group in journal.read(start)), default=0)
        if last_us:
            return last_us
    return 0
