"""A restored registry is fitted to the journal beside it, which is read as a start would, and put
where the settings want it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpath.records import view_group
from gateway.control.client import ControlClient
from gateway.engine.recovery import build_memory, recover
from gateway.errors import CommandError, EnvironmentFault
from gateway.journals import open_reader
from gateway.registry.copying import TableSum, copy_registry
from gateway.registry.opening import open_configured
from gateway.registry.store import open_registry
from gateway.wallet.stores.fitting import Fitted, JournalEnd, fit_registry

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config
    from gateway.db import Database
    from gateway.journal.port import Head
    from gateway.journals import ReadableJournal


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
    )


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
