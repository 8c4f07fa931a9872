"""The drill: back up a gateway that runs, restore it, and see that everything is there.

Journal, registry and ledger together: the backup is checked and laid out as a new data folder
(taken back to an instant, if one is named), memory is recovered from it as a start would, the
ledger is built from nothing, and both are compared account by account; what the registry says of
accounts, keys and orders has to fit both (one in PostgreSQL is restored as a file). The gateway in
service is only read.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastpath.cells import CellType, type_of
from fastpath.reference_cells import Cell, Purse
from gateway.backup import check_backup, make_backup, restore_backup
from gateway.config import Config, LoadedConfig, load_config
from gateway.control.views import ACCOUNT, ACCOUNT_FIELDS, list_cells
from gateway.drill_registry import check_registry
from gateway.engine.recovery import build_memory, recover
from gateway.errors import EnvironmentFault
from gateway.journals import open_reader
from gateway.ledger.balances import control_totals, iter_accounts
from gateway.ledger.projector import build_projector
from gateway.ledger.state import AccountState
from gateway.ledger.store import open_ledger

if TYPE_CHECKING:
    from fastpath.api import StoreHandle

BREAKS_MAX = 100
COPIES = 3
"""The backup, what is restored from it, and the ledger."""
BLOCK_BYTES = 512
MIB = 1 << 20
Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(slots=True)
class DrillReport:
    """What was found. seconds: how long each step took; breaks: what does not fit together."""

    seconds: dict[str, float] = field(default_factory=dict)
    backup_bytes: int = 0
    journal_position: int = 0
    records: int = 0
    accounts: int = 0
    media: int = 0
    totals_minor: dict[int, int] = field(default_factory=dict)
    taken_back: dict[str, Any] | None = None
    registry: dict[str, Any] | None = None
    """What is in it and what was taken out of it; None = there is none."""
    breaks: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ok": not self.breaks,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "backup_bytes": self.backup_bytes,
            "journal_position": self.journal_position,
            "records": self.records,
            "accounts": self.accounts,
            "media": self.media,
            "totals_minor": {str(key): value for key, value in self.totals_minor.items()},
            "taken_back": self.taken_back,
            "registry": self.registry,
            "breaks": self.breaks,
        }


class Drill:
    """One drill in an empty folder."""

    def __init__(self, loaded: LoadedConfig, folder: Path, say: Say) -> None:
        self._loaded = loaded
        self._folder = folder
        self._say = say
        self.report = DrillReport()

    def run(self, until_us: int | None = None) -> DrillReport:
        """All steps. Raises: what a backup, a restore or a start may raise."""
        check_room(self._loaded.config, self._folder)
        backup, there = self._folder / "backup", self._folder / "restored"
        secrets = self._loaded.config.security.master_key_file.parent
        manifest = self._step("back up", lambda: make_backup(self._loaded, backup))
        self.report.backup_bytes = manifest.summary()["bytes"]
        self._step("check", lambda: check_backup(backup))
        done = self._step(
            "restore", lambda: restore_backup(backup, there, secrets=secrets, until_us=until_us)
        )
        if done.point is not None:
            self.report.taken_back = done.point.as_dict()
        config = load_config(there / "gateway.toml", env={}).config
        memory, position = self._step("recover", lambda: _recover(config))
        self._step("ledger", lambda: self._project(config, position))
        self._step("compare", lambda: self._compare(config, memory))
        if done.fitted is not None:
            fitted = {"taken_out": done.fitted.as_dict()}
            self.report.registry = fitted | self._step(
                "registry", lambda: self._check_registry(config, memory)
            )
        self.report.journal_position = position
        return self.report

    def _step(self, name: str, work: Callable[[], Result]) -> Result:
        self._say(name)
        began = time.monotonic()
        result = work()
        self.report.seconds[name] = time.monotonic() - began
        return result

    def _project(self, config: Config, position: int) -> None:
        """The ledger from nothing."""
        database, journal = open_ledger(config.ledger.file, create=True), open_reader(config)
        try:
            projector = build_projector(config, database, journal)
            projector.durable = lambda: None  # nobody writes: what can be read is what there is
            projector.start()
            while count := projector.step():
                self.report.records += count
            if projector.mark.position != position:
                said = f"the ledger ends at {projector.mark.position}, memory at {position}"
                self.report.breaks.append(said)
        finally:
            journal.close()
            database.close()

    def _compare(self, config: Config, memory: StoreHandle) -> None:
        """Every account in memory and in the ledger, and the sums of both."""
        database = open_ledger(config.ledger.file)
        try:
            totals: dict[int, int] = {}
            for state in iter_accounts(database):
                self.report.accounts += 1
                totals.setdefault(state.currency, 0)
                totals[state.currency] += _worth(state)
                for said in _differences(memory, state):
                    self._break(said)
            if self.report.accounts != memory.account_count:
                self._break(f"{memory.account_count} accounts in memory")
            if {key: value for key, value in control_totals(database).items() if value} != {
                key: value for key, value in totals.items() if value
            }:
                self._break("postings and balances of riders differ in sum")
        finally:
            database.close()
        self.report.media, self.report.totals_minor = memory.medium_count, totals

    def _check_registry(self, config: Config, memory: StoreHandle) -> dict[str, int]:
        """What the registry says, beside memory, ledger and secrets."""
        database = open_ledger(config.ledger.file)
        try:
            found = check_registry(
                config, lambda number: memory.account(number) is not None, database
            )
        finally:
            database.close()
        for said in found.breaks:
            self._break(said)
        return found.counts

    def _break(self, said: str) -> None:
        if len(self.report.breaks) < BREAKS_MAX:
            self.report.breaks.append(said)


def check_room(config: Config, folder: Path) -> None:
    """Raises: EnvironmentFault: a backup and what is restored from it would not find room."""
    used = sum(
        path.stat().st_blocks * BLOCK_BYTES
        for part in (config.journal.dir, config.snapshots.dir, config.registry_path)
        for path in ([part] if part.is_file() else part.glob("*"))
    )
    free = shutil.disk_usage(folder).free
    if free < COPIES * used:
        wanted = COPIES * used // MIB
        said = f"{folder} has {free // MIB} MiB free, and a drill wants {wanted}"
        raise EnvironmentFault(detail=said, hint="name another folder with --dir")


def _recover(config: Config) -> tuple[StoreHandle, int]:
    """Memory as a start would have it, and where the journal ends."""
    memory = build_memory(config.engine_limits())
    found = recover(memory, config.snapshots.dir, lambda *_: open_reader(config))
    try:
        return memory, found.journal.head().position
    finally:
        found.journal.close()


def _worth(state: AccountState) -> int:
    return (
        state.main_minor + state.subsidy_minor + sum(p.balance_minor for p in state.purses.values())
    )


def _differences(memory: StoreHandle, state: AccountState) -> Iterator[str]:
    """What the ledger says of an account that memory does not."""
    data = memory.account(state.account_id)
    if data is None:
        yield f"account {state.account_id} is in the ledger only"
        return
    there = dict(zip(ACCOUNT_FIELDS, ACCOUNT.unpack(data), strict=True))
    pairs = {
        "balance_minor": state.main_minor,
        "subsidy_minor": state.subsidy_minor,
        "held_minor": state.held_minor,
        "credit_limit_minor": state.credit_limit_minor,
        "version": state.version,
        "status": state.status,
        "currency": state.currency,
    }
    for name, value in pairs.items():
        if there[name] != value:
            both = f"{there[name]} in memory, {value} in the ledger"
            yield f"account {state.account_id}: {name} {both}"
    purses = {n: p.balance_minor for n, p in state.purses.items() if p.balance_minor}
    if (found := _purses(memory, data)) != purses:
        yield f"account {state.account_id}: purses {found} in memory, {purses} in the ledger"


def _purses(memory: StoreHandle, account: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    for image in list_cells(memory, account):
        if type_of(image) == CellType.PURSE:
            cell = Cell.unpack(image)
            if isinstance(cell.payload, Purse) and cell.payload.balance_minor:
                found[cell.key] = cell.payload.balance_minor
    return found
