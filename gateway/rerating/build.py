"""Putting re-rating together from settings. Only this module knows where records are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.following import build_mark
from gateway.journals import open_reader
from gateway.keys import read_password
from gateway.ledger.history import History as Ledger
from gateway.ledger.store import open_ledger
from gateway.rerating.books import Books
from gateway.rerating.complete import Completer, CompletionRules
from gateway.rerating.history import History, JournalHistory, LedgerHistory
from gateway.rerating.service import Rerater
from gateway.tariffs.store import TariffStore

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.control.client import ControlClient


def build_rerater(config: Config, commands: ControlClient) -> Rerater:
    """The service of these settings. Raises: DatabaseError: the ledger is not there."""
    limits = config.engine_limits()
    return Rerater(
        commands,
        build_history(config),
        lambda: Books(TariffStore(config.gateway.data_dir / "tariffs").list()),
        cells_max=limits.cells_per_account_max,
    )


def build_completer(config: Config, commands: ControlClient) -> Completer:
    """Completion of journeys by these settings. Raises: as build_rerater."""
    chosen = config.rerating
    rules = CompletionRules(chosen.complete_days, chosen.complete_per_month, config.ledger.zone)
    return Completer(build_rerater(config, commands), rules)


def build_history(config: Config) -> History:
    """The ledger, or the journal when the settings say so."""
    if config.rerating.history == "journal":
        return JournalHistory(lambda: open_reader(config), build_mark(config))
    chosen = config.ledger
    if chosen.url is None:
        return LedgerHistory(Ledger(open_ledger(chosen.file)))
    file = chosen.password_file
    password = read_password(file) if file is not None else None
    return LedgerHistory(
        Ledger(open_ledger(chosen.url, password=password, timeout_s=chosen.timeout_s))
    )
