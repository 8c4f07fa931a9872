"""Consents: what a person allows a tenant, since when, until when, and what shows it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import RegistryError
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.registry.person_tables import CONSENTS, PERSONS
from gateway.registry.scopes import Scope
from gateway.registry.tenants import get_tenant
from gateway.registry.vault import KeyRing, Wrapped

CONSENTABLE = frozenset({Scope.ACCOUNTS_READ, Scope.STATEMENTS_READ, Scope.PERSONS_READ})
"""What a person may open to a tenant that does not have it by itself."""


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent. withdrawn_us: 0 = in force."""

    consent_id: str
    person_id: str
    tenant_id: str
    scope: Scope
    given_us: int
    withdrawn_us: int = 0
    evidence: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        return asdict(self)


class Consents:
    """The services on consents. Each method is one transaction."""

    def __init__(
        self, database: Database, ring: KeyRing, *, clock: Callable[[], int] = now_us
    ) -> None:
        self._database = database
        self._ring = ring
        self._clock = clock

    def give(
        self, actor: Actor, person_id: str, tenant_id: str, scope: Scope, *, evidence: str
    ) -> Consent:
        """Write a consent down; one already in force is given back.

        Args: evidence: where and how it was given (form 12, signed 2026-11-01).
        Raises: AuthError; RegistryError: unknown person or tenant, nothing to consent to.
        """
        _check(actor, person_id, scope)
        now = self._clock()
        with self._database.transaction() as connection:
            get_tenant(connection, tenant_id)
            key = self._open(connection, person_id)
            if found := _find(connection, person_id, tenant_id, scope):
                return found
            made = Consent(_new_id(), person_id, tenant_id, scope, now, evidence=evidence)
            sealed = key.seal(f"consent:{made.consent_id}", evidence.encode())
            connection.execute(insert(CONSENTS).values(asdict(made) | {"evidence": sealed}))
            _note(connection, actor, "consent.give", made, now)
        return made

    def withdraw(self, actor: Actor, person_id: str, tenant_id: str, scope: Scope) -> Consent:
        """End a consent; it holds from this instant on. Raises: AuthError, RegistryError."""
        _check(actor, person_id, scope)
        now = self._clock()
        with self._database.transaction() as connection:
            found = _find(connection, person_id, tenant_id, scope)
            if found is None:
                raise RegistryError("REGISTRY_UNKNOWN", f"no consent to {scope} is in force")
            connection.execute(
                update(CONSENTS)
                .where(CONSENTS.c.consent_id == found.consent_id)
                .values(withdrawn_us=now)
            )
            _note(connection, actor, "consent.withdraw", found, now)
        return Consent(**asdict(found) | {"withdrawn_us": now})

    def list_all(self, actor: Actor, person_id: str) -> list[Consent]:
        """All consents of a person with their evidence, also those withdrawn. Raises: AuthError."""
        actor.require(Scope.PERSONS_READ)
        _check_own(actor, person_id)
        with self._database.reading() as connection:
            rows = connection.execute(
                select(CONSENTS)
                .where(CONSENTS.c.person_id == person_id)
                .order_by(CONSENTS.c.given_us, CONSENTS.c.consent_id)
            ).all()
            if not any(row.evidence for row in rows):
                return [_consent(row, "") for row in rows]
            key = self._open(connection, person_id)
            return [
                _consent(row, key.open(f"consent:{row.consent_id}", row.evidence).decode())
                for row in rows
            ]

    def _open(self, connection: Connection, person_id: str) -> Any:
        row = connection.execute(select(PERSONS).where(PERSONS.c.person_id == person_id)).first()
        if row is None or not row.wrapped_key:
            raise RegistryError("REGISTRY_UNKNOWN", f"there is no person {person_id}")
        return self._ring.open(person_id, Wrapped(row.key_id, row.wrapped_key))


def is_given(connection: Connection, person_id: str, tenant_id: str, scope: Scope) -> bool:
    """Whether a consent is in force, in the caller's transaction."""
    return _find(connection, person_id, tenant_id, scope) is not None


def _find(connection: Connection, person_id: str, tenant_id: str, scope: Scope) -> Consent | None:
    row = connection.execute(
        select(CONSENTS).where(
            CONSENTS.c.person_id == person_id,
            CONSENTS.c.tenant_id == tenant_id,
            CONSENTS.c.scope == scope,
            CONSENTS.c.withdrawn_us == 0,
        )
    ).first()
    return _consent(row, "") if row else None


def _check(actor: Actor, person_id: str, scope: Scope) -> None:
    """A person consents for themselves, the house writes down what was signed; no tenant may."""
    actor.require(Scope.CONSENTS_WRITE)
    _check_own(actor, person_id)
    if scope not in CONSENTABLE:
        raise RegistryError("REGISTRY_SCOPE", f"{scope} is not for a person to give")


def _check_own(actor: Actor, person_id: str) -> None:
    if not actor.is_house and actor.person_id != person_id:
        raise RegistryError("REGISTRY_UNKNOWN", f"there is no person {person_id}")


def _note(connection: Connection, actor: Actor, action: str, consent: Consent, now: int) -> None:
    note_change(
        connection,
        actor,
        action,
        f"person:{consent.person_id}",
        now,
        tenant_id=consent.tenant_id,
        scope=str(consent.scope),
    )


def _new_id() -> str:
    return f"con_{secrets.token_hex(12)}"


def _consent(row: Any, evidence: str) -> Consent:
    values = dict(row._mapping)
    return Consent(**values | {"scope": Scope(values["scope"]), "evidence": evidence})
