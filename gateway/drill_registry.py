"""The drill's look into a restored registry: what it says of accounts, keys and orders to banks has
to be borne out by the journal beside it and by the secrets that were restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.delivery.checking import find_unfounded
from gateway.delivery.sealed import CommandSealer
from gateway.keys import load_control_secrets
from gateway.ledger.history import History
from gateway.registry.checking import open_one_each
from gateway.registry.owner_keys import OwnerKeys
from gateway.registry.persons import count_persons
from gateway.registry.store import check_file, open_registry
from gateway.registry.vault import KeyRing
from gateway.wallet.stores.fitting import count_accounts, list_unknown

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.db import Database


@dataclass(frozen=True, slots=True)
class RegistryFindings:
    """What is in it, and what does not fit."""

    counts: dict[str, int]
    breaks: tuple[str, ...]


def check_registry(
    config: Config, has_account: Callable[[int], bool], ledger: Database
) -> RegistryFindings:
    """Look at owners, grants, credit lines, keys and orders. Raises: DatabaseError, RegistryError:
    the file is damaged. ConfigError: a secret is missing or bad.
    """
    check_file(config.registry_path)
    keys = load_control_secrets(config).registry_keys
    database = open_registry(config.registry_path)
    try:
        opened = open_one_each(database, KeyRing(keys))
        unknown = list_unknown(database, has_account)
        counts = {
            "persons": count_persons(database),
            "key_versions": opened.versions,
            "accounts": count_accounts(database),
        }
        breaks = [f"account {number} is in the registry only" for number in unknown]
        breaks += [*opened.faults, *_find_unfounded(database, keys, ledger)]
    finally:
        database.close()
    return RegistryFindings(counts, tuple(breaks))


def _find_unfounded(database: Database, keys: tuple[bytes, ...], ledger: Database) -> Iterator[str]:
    history = History(ledger)
    sealer = CommandSealer(keys, OwnerKeys(database, keys))

    def has_operation(operation_id: bytes) -> bool:
        high, low = int.from_bytes(operation_id[:8]), int.from_bytes(operation_id[8:])
        return history.has_operation(high, low)

    return find_unfounded(database, sealer, has_operation, history.first_us())
