"""All that lies under the registry's keys, brought under the current one and counted.

Persons' keys, webhooks' secrets, commands in the outbox, what running merges and payouts carry, and
the answers that requests were given: an old key may be destroyed when nothing of that is left under
it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gateway.clock import now_us
from gateway.delivery.resealing import count_commands_otherwise, reseal_commands
from gateway.delivery.sealed import CommandSealer
from gateway.keys import load_control_secrets
from gateway.registry.changes import note_change
from gateway.wallet.resealing import (
    count_answers_otherwise,
    count_sagas_otherwise,
    count_webhooks_otherwise,
    reseal_answers,
    reseal_sagas,
    reseal_webhooks,
)
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.sagas import SagaStore
from gateway.wallet.stores.webhooks import WebhookStore

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.registry.access import Access
    from gateway.registry.actors import Actor


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each kind. sagas: merges and payouts that are under way. answers: kept
    for repeats.
    """

    persons: int = 0
    webhooks: int = 0
    commands: int = 0
    sagas: int = 0
    answers: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.as_dict().values())

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


class KeyRotation:
    """Every place where something lies under a registry key."""

    def __init__(self, config: Config, access: Access) -> None:
        """Raises: ConfigError: a key that is named is missing or bad."""
        keys = load_control_secrets(config).registry_keys
        self._access = access
        self._sealer = Sealer(keys)
        self._commands = CommandSealer(keys)
        self._hooks = WebhookStore(access.database)
        self._sagas = SagaStore(access.database)

    def rotate(self, actor: Actor) -> Counts:
        """Bring all of it under the current key; how much was. Broken off, the next call goes on.

        The audit trail has who began it, and what lay under other keys then.
        Raises: RegistryError REGISTRY_KEY: a key that opens some is missing. DatabaseError.
        """
        left = self.count_left().as_dict()
        with self._access.database.transaction() as connection:
            note_change(connection, actor, "keys.rotate", "registry", now_us(), left=left)
        return Counts(
            persons=self._access.persons.rotate(actor).wrapped,
            webhooks=reseal_webhooks(self._hooks, self._sealer),
            commands=reseal_commands(self._access.database, self._commands),
            sagas=reseal_sagas(self._sagas, self._sealer),
            answers=reseal_answers(self._access.database, self._sealer),
        )

    def count_left(self) -> Counts:
        """What still lies under an older key, or under one that is not there."""
        return Counts(
            persons=self._access.persons.count_wrapped_otherwise(),
            webhooks=count_webhooks_otherwise(self._hooks, self._sealer),
            commands=count_commands_otherwise(self._access.database, self._commands),
            sagas=count_sagas_otherwise(self._sagas, self._sealer),
            answers=count_answers_otherwise(self._access.database, self._sealer),
        )
