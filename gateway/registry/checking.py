"""Whether the keys at hand still open what lies under them: one row of every version of a key."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from gateway.db import Database
from gateway.errors import RegistryError
from gateway.registry.person_tables import FIELDS, PERSONS
from gateway.registry.persons import PersonState, open_key
from gateway.registry.vault import KeyRing


@dataclass(frozen=True, slots=True)
class Opened:
    """What was tried. versions: registry keys that persons' keys lie under; faults: texts."""

    versions: int
    faults: tuple[str, ...]


def open_one_each(database: Database, ring: KeyRing) -> Opened:
    """Open a person's key and a field of theirs for every registry key. Raises: DatabaseError."""
    living = PERSONS.c.state == PersonState.ACTIVE
    with database.reading() as connection:
        versions = list(connection.scalars(select(PERSONS.c.key_id).where(living).distinct()))
        rows = [_pick(connection, version) for version in versions]
        faults = [fault for row in rows if (fault := _try(connection, ring, row))]
    return Opened(len(versions), tuple(faults))


def _pick(connection: Connection, key_id: str) -> Row[tuple[object, ...]]:
    """A person under a key, best one of whom something is known."""
    query = (
        select(PERSONS)
        .outerjoin(FIELDS, FIELDS.c.person_id == PERSONS.c.person_id)
        .where(PERSONS.c.key_id == key_id, PERSONS.c.state == PersonState.ACTIVE)
        .order_by(FIELDS.c.name.is_(None))
        .limit(1)
    )
    return connection.execute(query).one()


def _try(connection: Connection, ring: KeyRing, row: Row[tuple[object, ...]]) -> str:
    """Why it cannot be opened; empty = it can."""
    try:
        key = open_key(ring, row)
        fields = select(FIELDS).where(FIELDS.c.person_id == row.person_id).limit(1)
        for field in connection.execute(fields):
            key.open(field.name, field.sealed)
    except RegistryError as error:
        return f"persons under registry key {row.key_id} cannot be opened: {error.detail}"
    return ""
