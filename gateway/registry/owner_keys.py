"""Keys derived from a person's own, for what is written outside of a person's tables: it can be
opened for as long as the person was not erased.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from gateway.db import Database
from gateway.registry.links import find_owner
from gateway.registry.person_tables import PERSONS
from gateway.registry.persons import PersonState, open_key
from gateway.registry.vault import KeyRing


class OwnerKeys:
    """Finds keys by account and by person. Each method is one read. Thread: any."""

    def __init__(self, database: Database, registry_keys: Sequence[bytes]) -> None:
        """Args: registry_keys: 32 bytes each, the current one first."""
        self._database = database
        self._ring = KeyRing(registry_keys)

    def find_of_account(self, account_id: int, label: bytes) -> tuple[str, bytes] | None:
        """Who owns an account, and a key of theirs; None = nobody is known, or they were erased.

        Raises: DatabaseError; RegistryError REGISTRY_KEY.
        """
        with self._database.reading() as connection:
            person_id = find_owner(connection, account_id)
        if person_id is None:
            return None
        key = self.find_of_person(person_id, label)
        return None if key is None else (person_id, key)

    def find_of_person(self, person_id: str, label: bytes) -> bytes | None:
        """A key of a person; None = they were erased. Raises: DatabaseError; RegistryError."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(PERSONS).where(PERSONS.c.person_id == person_id)
            ).one_or_none()
        if row is None or row.state == PersonState.ERASED:
            return None
        return open_key(self._ring, row).derive(label)
