"""Persons: their data sealed under a key of their own, found by exact values, erased for good.

Erasing destroys the key and everything sealed under it. What stays: that there was somebody, and
the numbers of their accounts, so that totals and chains still verify. Backups made before still
hold the wrapped key: docs/security.md says how those end.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import AuthError, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.changes import note_change
from gateway.registry.consents import is_given
from gateway.registry.person_tables import CONSENTS, FIELDS, OWNED, PERSONS
from gateway.registry.scopes import Scope
from gateway.registry.vault import BlindIndex, KeyRing, PersonKey, Wrapped

ID_BYTES = 12
VALUE_MAX = 500
ROTATE_BATCH = 200
FIELD_NAMES = frozenset(
    {
        "name",
        "phone",
        "email",
        "id_number",
        "student_number",
        "patient_number",
        "staff_number",
        "birth_date",
        "address",
        "note",
    }
)
FINDABLE = frozenset(
    {"phone", "email", "id_number", "student_number", "patient_number", "staff_number"}
)
"""Fields a person is found by, each by its exact value."""


class PersonState(StrEnum):
    """An erased person never comes back."""

    ACTIVE = "active"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Person:
    """A person with what is known of them; the text form hides it."""

    person_id: str
    tenant_id: str = ""
    state: PersonState = PersonState.ACTIVE
    created_us: int = 0
    changed_us: int = 0
    erased_us: int = 0
    data: Mapping[str, str] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON, with the personal data."""
        return asdict(self) | {"data": dict(self.data)}


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far new wrapping came."""

    wrapped: int
    left: int


class Persons:
    """The services on persons. Each method is one transaction, `rotate` one a batch."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        index: BlindIndex,
        *,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._database = database
        self._ring = ring
        self._index = index
        self._clock = clock

    def add(self, actor: Actor, data: Mapping[str, str], *, cause: bytes = b"") -> Person:
        """Enter a person. Raises: AuthError, RegistryError: a field nobody knows, or too long.

        Args: cause: the request's operation id; the same one enters one person.
        """
        actor.require(Scope.PERSONS_WRITE)
        _check_data(data)
        now = self._clock()
        person = Person(
            person_id=_new_id(actor, cause),
            tenant_id=actor.tenant_id,
            created_us=now,
            changed_us=now,
            data=dict(data),
        )
        key, wrapped = self._ring.make(person.person_id)
        with self._database.transaction() as connection:
            if cause and (row := _find_row(connection, person.person_id)):
                return self._read(connection, row)
            connection.execute(insert(PERSONS).values(_row(person, wrapped)))
            self._put_fields(connection, key, person.person_id, data)
            _note(connection, actor, "person.add", person.person_id, now, fields=sorted(data))
        return person

    def get(self, actor: Actor, person_id: str) -> Person:
        """A person with their data. Raises: AuthError; RegistryError REGISTRY_UNKNOWN."""
        actor.require(Scope.PERSONS_READ)
        with self._database.reading() as connection:
            row = get_row(connection, person_id)
            check_may_see(connection, actor, row)
            return self._read(connection, row)

    def change(self, actor: Actor, person_id: str, data: Mapping[str, str]) -> Person:
        """Set some fields; an empty value takes one away. Raises: AuthError, RegistryError."""
        actor.require(Scope.PERSONS_WRITE)
        _check_data(data)
        now = self._clock()
        with self._database.transaction() as connection:
            row = get_row(connection, person_id)
            check_may_change(actor, row)
            key = open_key(self._ring, row)
            of_person = FIELDS.c.person_id == person_id
            connection.execute(delete(FIELDS).where(of_person, FIELDS.c.name.in_(list(data))))
            kept = {name: value for name, value in data.items() if value}
            self._put_fields(connection, key, person_id, kept)
            connection.execute(
                update(PERSONS).where(PERSONS.c.person_id == person_id).values(changed_us=now)
            )
            _note(connection, actor, "person.change", person_id, now, fields=sorted(data))
            return self._read(connection, get_row(connection, person_id))

    def find(self, actor: Actor, name: str, value: str) -> list[Person]:
        """Who has exactly this value. Raises: AuthError; RegistryError: not a field to find by.

        Those the actor may not see are left out, without a word.
        """
        actor.require(Scope.PERSONS_READ)
        if name not in FINDABLE:
            raise RegistryError("REGISTRY_FIELD", f"find by one of {', '.join(sorted(FINDABLE))}")
        wanted = (
            select(PERSONS)
            .join(FIELDS, FIELDS.c.person_id == PERSONS.c.person_id)
            .where(FIELDS.c.name == name, FIELDS.c.blind == self._index.digest(name, value))
            .order_by(PERSONS.c.created_us, PERSONS.c.person_id)
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
            seen = [row for row in rows if may_see(connection, actor, row)]
            return [self._read(connection, row) for row in seen]

    def erase(self, actor: Actor, person_id: str) -> Person:
        """Destroy a person's key and all that lies under it. Raises: AuthError, RegistryError."""
        actor.require(Scope.PERSONS_ERASE)
        now = self._clock()
        with self._database.transaction() as connection:
            row = get_row(connection, person_id)
            if row.state == PersonState.ERASED:
                return _person(row, {})
            for table in OWNED:
                connection.execute(delete(table).where(table.c.person_id == person_id))
            connection.execute(
                update(CONSENTS).where(CONSENTS.c.person_id == person_id).values(evidence=b"")
            )
            connection.execute(
                update(PERSONS)
                .where(PERSONS.c.person_id == person_id)
                .values(
                    state=PersonState.ERASED,
                    key_id="",
                    wrapped_key=b"",
                    changed_us=now,
                    erased_us=now,
                )
            )
            _note(connection, actor, "person.erase", person_id, now)
            erased = _person(get_row(connection, person_id), {})
        self._database.forget_deleted()
        return erased

    def rotate(self, actor: Actor, *, batch: int = ROTATE_BATCH) -> Rotation:
        """Wrap every key under the current registry key; broken off, the next call goes on.

        Raises: AuthError; RegistryError REGISTRY_KEY: a key that opens some is missing.
        """
        actor.require(Scope.KEYS_WRITE)
        done = 0
        while True:
            with self._database.transaction() as connection:
                rows = self._wrapped_otherwise(connection, batch)
                for row in rows:
                    wrapped = self._ring.wrap_again(
                        row.person_id, Wrapped(row.key_id, row.wrapped_key)
                    )
                    connection.execute(
                        update(PERSONS)
                        .where(PERSONS.c.person_id == row.person_id)
                        .values(key_id=wrapped.key_id, wrapped_key=wrapped.data)
                    )
                if rows:
                    now = self._clock()
                    key_id = self._ring.current_id
                    note_change(
                        connection, actor, "keys.rotate", f"registry_key:{key_id}", now,
                        persons=len(rows),
                    )  # fmt: skip
            done += len(rows)
            if not rows:
                return Rotation(done, self.count_wrapped_otherwise())

    def count_wrapped_otherwise(self) -> int:
        """Persons whose key lies under an older registry key."""
        wanted = select(func.count()).select_from(PERSONS).where(*self._otherwise())
        with self._database.reading() as connection:
            return int(connection.scalar(wanted) or 0)

    def count(self) -> int:
        """Persons that are not erased."""
        return count_persons(self._database)

    def _wrapped_otherwise(self, connection: Connection, batch: int) -> list[Row[Any]]:
        wanted = select(PERSONS).where(*self._otherwise()).limit(batch).with_for_update()
        return list(connection.execute(wanted))

    def _otherwise(self) -> tuple[Any, ...]:
        return (
            PERSONS.c.state == PersonState.ACTIVE,
            PERSONS.c.key_id != self._ring.current_id,
        )

    def _put_fields(
        self, connection: Connection, key: PersonKey, person_id: str, data: Mapping[str, str]
    ) -> None:
        rows = [
            {
                "person_id": person_id,
                "name": name,
                "sealed": key.seal(name, value.encode()),
                "blind": self._index.digest(name, value) if name in FINDABLE else None,
            }
            for name, value in data.items()
        ]
        if rows:
            connection.execute(insert(FIELDS), rows)

    def _read(self, connection: Connection, row: Row[Any]) -> Person:
        if row.state == PersonState.ERASED:
            return _person(row, {})
        key = open_key(self._ring, row)
        fields = connection.execute(select(FIELDS).where(FIELDS.c.person_id == row.person_id))
        return _person(row, {one.name: key.open(one.name, one.sealed).decode() for one in fields})


def count_persons(database: Database) -> int:
    """Persons that are not erased: those that need the registry's keys."""
    wanted = select(func.count()).select_from(PERSONS)
    with database.reading() as connection:
        return int(connection.scalar(wanted.where(PERSONS.c.state == PersonState.ACTIVE)) or 0)


def _new_id(actor: Actor, cause: bytes) -> str:
    said = hashlib.sha256(actor.tenant_id.encode() + b"|" + cause).digest()
    return f"per_{(said if cause else secrets.token_bytes(32))[:ID_BYTES].hex()}"


def _find_row(connection: Connection, person_id: str) -> Row[Any] | None:
    wanted = select(PERSONS).where(PERSONS.c.person_id == person_id).with_for_update()
    return connection.execute(wanted).first()


def get_row(connection: Connection, person_id: str) -> Row[Any]:
    """A person's row, erased or not. Raises: RegistryError REGISTRY_UNKNOWN."""
    row = _find_row(connection, person_id)
    if row is None:
        raise RegistryError("REGISTRY_UNKNOWN", f"there is no person {person_id}")
    return row


def open_key(ring: KeyRing, row: Row[Any]) -> PersonKey:
    """The key of a person. Raises: RegistryError REGISTRY_ERASED, REGISTRY_KEY."""
    if row.state == PersonState.ERASED:
        raise RegistryError("REGISTRY_ERASED", f"{row.person_id} was erased")
    return ring.open(row.person_id, Wrapped(row.key_id, row.wrapped_key))


def may_see(connection: Connection, actor: Actor, row: Row[Any]) -> bool:
    """The house sees all, a rider themselves, a tenant its own and those who consented."""
    if actor.is_house:
        return True
    if actor.kind is ActorKind.RIDER:
        return actor.person_id == str(row.person_id)
    if row.tenant_id == actor.tenant_id:
        return True
    return is_given(connection, row.person_id, actor.tenant_id, Scope.PERSONS_READ)


def check_may_see(connection: Connection, actor: Actor, row: Row[Any]) -> None:
    """Raises: AuthError AUTH_FORBIDDEN."""
    if not may_see(connection, actor, row):
        raise AuthError("AUTH_FORBIDDEN", "this person has not consented to it")


def check_may_change(actor: Actor, row: Row[Any]) -> None:
    """The house, or the tenant that entered the person; a consent opens reading only.

    Raises: AuthError AUTH_FORBIDDEN.
    """
    is_entered = actor.kind is ActorKind.TENANT and row.tenant_id == actor.tenant_id != ""
    if not actor.is_house and not is_entered:
        raise AuthError("AUTH_FORBIDDEN", "whoever entered this person changes them")


def _check_data(data: Mapping[str, str]) -> None:
    if unknown := sorted(set(data) - FIELD_NAMES):
        raise RegistryError("REGISTRY_FIELD", f"no such field: {', '.join(unknown)}")
    if long := sorted(name for name, value in data.items() if len(value) > VALUE_MAX):
        raise RegistryError("REGISTRY_FIELD", f"longer than {VALUE_MAX}: {', '.join(long)}")


def _note(
    connection: Connection, actor: Actor, action: str, person_id: str, now: int, **facts: object
) -> None:
    note_change(connection, actor, action, f"person:{person_id}", now, **facts)


def _row(person: Person, wrapped: Wrapped) -> dict[str, Any]:
    fields = asdict(person)
    del fields["data"]
    return fields | {"key_id": wrapped.key_id, "wrapped_key": wrapped.data}


def _person(row: Row[Any], data: Mapping[str, str]) -> Person:
    return Person(
        person_id=row.person_id,
        tenant_id=row.tenant_id,
        state=PersonState(row.state),
        created_us=row.created_us,
        changed_us=row.changed_us,
        erased_us=row.erased_us,
        data=data,
    )
