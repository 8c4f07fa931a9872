"""Which accounts and media belong to whom, and who may therefore touch an account."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import AuthError, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.changes import note_change
from gateway.registry.consents import is_given
from gateway.registry.person_tables import ACCOUNTS, MEDIA
from gateway.registry.persons import PersonState, check_may_change, check_may_see, get_row, open_key
from gateway.registry.scopes import Scope
from gateway.registry.vault import BlindIndex, KeyRing

TOKEN_FIELD = "token"
MINUTE_S = 60
IDS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class PersonMedium:
    """A medium of a person; the text form hides the token."""

    medium_id: str
    person_id: str
    account_id: int
    kind: str
    label: str
    linked_us: int
    token: bytes = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON, without the token."""
        fields = asdict(self)
        del fields["token"]
        return fields


IsHeld = Callable[[Connection, int, str], bool]
"""Whether an account was opened for a tenant."""


def held_by_nobody(_connection: Connection, _account_id: int, _tenant_id: str) -> bool:
    """Where it is not written which tenant an account was opened for: for none."""
    return False


class Links:
    """The services on links. Each method is one transaction.

    Args: is_held: whether an account was opened for a tenant.
    """

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        index: BlindIndex,
        *,
        is_held: IsHeld = held_by_nobody,
        step_up_s: float = 5 * MINUTE_S,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._database = database
        self._is_held = is_held
        self._ring = ring
        self._index = index
        self._step_up_s = step_up_s
        self._clock = clock

    def link_account(self, actor: Actor, person_id: str, account_id: int) -> None:
        """Give an account its owner; twice the same is fine. A tenant: one opened for it.

        Raises: AuthError; RegistryError REGISTRY_TAKEN: it has another owner, REGISTRY_UNKNOWN.
        """
        actor.require(Scope.PERSONS_WRITE)
        now = self._clock()
        with self._database.transaction() as connection:
            row = get_row(connection, person_id)
            check_may_change(actor, row)
            if not actor.is_house and not self._is_held(connection, account_id, actor.tenant_id):
                raise RegistryError("REGISTRY_UNKNOWN", f"there is no account {account_id}")
            open_key(self._ring, row)
            owner = find_owner(connection, account_id)
            if owner == person_id:
                return
            if owner is not None:
                raise RegistryError("REGISTRY_TAKEN", f"account {account_id} has an owner")
            connection.execute(
                insert(ACCOUNTS).values(account_id=account_id, person_id=person_id, linked_us=now)
            )
            subject = f"person:{person_id}"
            note_change(connection, actor, "account.link", subject, now, account_id=account_id)

    def unlink_account(self, actor: Actor, person_id: str, account_id: int) -> bool:
        """Take an account and its media from a person, as the house only. False = not theirs.

        Raises: AuthError; RegistryError REGISTRY_UNKNOWN: there is no such person.
        """
        actor.require(Scope.PERSONS_WRITE)
        if not actor.is_house:
            raise AuthError("AUTH_FORBIDDEN", "the house takes an account from its owner")
        now = self._clock()
        with self._database.transaction() as connection:
            get_row(connection, person_id)
            if find_owner(connection, account_id) != person_id:
                return False
            for table in (MEDIA, ACCOUNTS):
                connection.execute(delete(table).where(table.c.account_id == account_id))
            subject = f"person:{person_id}"
            note_change(connection, actor, "account.unlink", subject, now, account_id=account_id)
        return True

    def list_accounts(self, person_id: str) -> list[int]:
        """Accounts of a person, also of an erased one, ascending."""
        wanted = select(ACCOUNTS.c.account_id).where(ACCOUNTS.c.person_id == person_id)
        with self._database.reading() as connection:
            return sorted(connection.scalars(wanted))

    def find_owner(self, account_id: int) -> str | None:
        """The person an account belongs to."""
        with self._database.reading() as connection:
            return find_owner(connection, account_id)

    def link_medium(
        self, actor: Actor, account_id: int, token: bytes, *, kind: str, label: str = ""
    ) -> PersonMedium:
        """Remember whose medium this is, under the key of the account's owner.

        Args: token: 16 bytes. A rider needs a fresh second factor.
        Raises: AuthError AUTH_STEP_UP …; RegistryError REGISTRY_TAKEN: somebody else's.
        """
        actor.require(Scope.MEDIA_WRITE)
        now = self._clock()
        actor.require_step_up(now, self._step_up_s)
        blind = self._index.digest(TOKEN_FIELD, token.hex())
        with self._database.transaction() as connection:
            check_account(connection, actor, account_id, Scope.MEDIA_WRITE)
            person_id = find_owner(connection, account_id)
            if person_id is None:
                raise RegistryError("REGISTRY_UNKNOWN", f"account {account_id} has no owner")
            if connection.scalar(select(MEDIA.c.medium_id).where(MEDIA.c.blind == blind)):
                raise RegistryError("REGISTRY_TAKEN", "this medium belongs to somebody")
            medium = PersonMedium(_new_id(), person_id, account_id, kind, label, now, token)
            self._insert(connection, actor, medium, blind)
        return medium

    def adopt_medium(self, account_id: int, token: bytes, *, kind: str) -> bool:
        """Keep a medium that pays from an account under the key of the account's owner, when that
        was not done as it was linked: there was no owner, it was imported, or it was somebody
        else's and moved. False = nothing to do.

        The caller has seen that the account is the medium's. Raises: RegistryError REGISTRY_KEY.
        """
        blind = self._index.digest(TOKEN_FIELD, token.hex())
        actor, now = Actor.system("media"), self._clock()
        with self._database.transaction() as connection:
            person_id = find_owner(connection, account_id)
            kept = connection.execute(select(MEDIA).where(MEDIA.c.blind == blind)).first()
            if person_id is None or (kept is not None and kept.person_id == person_id):
                return False
            if get_row(connection, person_id).state == PersonState.ERASED:
                return False
            if kept is not None:
                connection.execute(delete(MEDIA).where(MEDIA.c.medium_id == kept.medium_id))
            medium = PersonMedium(_new_id(), person_id, account_id, kind, "", now, token)
            self._insert(connection, actor, medium, blind)
        return True

    def _insert(
        self, connection: Connection, actor: Actor, medium: PersonMedium, blind: bytes
    ) -> None:
        key = open_key(self._ring, get_row(connection, medium.person_id))
        connection.execute(
            insert(MEDIA).values(
                medium_id=medium.medium_id,
                person_id=medium.person_id,
                account_id=medium.account_id,
                sealed=key.seal(_field(medium.medium_id), _encode(medium)),
                blind=blind,
                linked_us=medium.linked_us,
            )
        )
        subject, medium_id = f"person:{medium.person_id}", medium.medium_id
        note_change(connection, actor, "medium.link", subject, medium.linked_us, medium=medium_id)

    def unlink_medium(self, actor: Actor, token: bytes) -> bool:
        """Forget whose medium it was. False = nobody's. Raises: AuthError."""
        actor.require(Scope.MEDIA_WRITE)
        now = self._clock()
        blind = self._index.digest(TOKEN_FIELD, token.hex())
        with self._database.transaction() as connection:
            row = connection.execute(select(MEDIA).where(MEDIA.c.blind == blind)).first()
            if row is None:
                return False
            check_account(connection, actor, row.account_id, Scope.MEDIA_WRITE)
            connection.execute(delete(MEDIA).where(MEDIA.c.medium_id == row.medium_id))
            subject = f"person:{row.person_id}"
            note_change(connection, actor, "medium.unlink", subject, now, medium=row.medium_id)
        return True

    def list_media(self, actor: Actor, person_id: str) -> list[PersonMedium]:
        """Media of a person with their tokens. Raises: AuthError, RegistryError."""
        actor.require(Scope.PERSONS_READ)
        with self._database.reading() as connection:
            row = get_row(connection, person_id)
            check_may_see(connection, actor, row)
            media = connection.execute(
                select(MEDIA).where(MEDIA.c.person_id == person_id).order_by(MEDIA.c.linked_us)
            ).all()
            if not media:
                return []
            key = open_key(self._ring, row)
            return [_decode(one, key.open(_field(one.medium_id), one.sealed)) for one in media]

    def check_account(self, actor: Actor, account_id: int, scope: Scope) -> None:
        """Whether an actor may do something on an account. Raises: AuthError."""
        with self._database.reading() as connection:
            check_account(connection, actor, account_id, scope)


class AccountOwners:
    """Whose accounts are, for who needs no key. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_owner(self, account_id: int) -> str | None:
        """The person an account belongs to."""
        with self._database.reading() as connection:
            return find_owner(connection, account_id)

    def owned(self, account_ids: Collection[int]) -> set[int]:
        """Those of them that belong to a person."""
        found: set[int] = set()
        ids = sorted(account_ids)
        if not ids:
            return found
        with self._database.reading() as connection:
            for at in range(0, len(ids), IDS_A_QUERY):
                some = ACCOUNTS.c.account_id.in_(ids[at : at + IDS_A_QUERY])
                found.update(connection.scalars(select(ACCOUNTS.c.account_id).where(some)))
        return found


def find_owner(connection: Connection, account_id: int) -> str | None:
    """The person an account belongs to, in the caller's transaction."""
    wanted = select(ACCOUNTS.c.person_id).where(ACCOUNTS.c.account_id == account_id)
    return connection.scalar(wanted)


def check_account(connection: Connection, actor: Actor, account_id: int, scope: Scope) -> None:
    """The one rule of who may touch an account.

    The house: any. A rider: their own. A tenant: what the account's owner consented to. What was
    opened for a tenant or granted to it is known elsewhere (gateway/wallet/access.py).
    Raises: AuthError AUTH_SCOPE, AUTH_FORBIDDEN.
    """
    actor.require(scope)
    if actor.is_house:
        return
    owner = find_owner(connection, account_id)
    if owner is None:
        allowed = False
    elif actor.kind is ActorKind.RIDER:
        allowed = owner == actor.person_id
    else:
        allowed = is_given(connection, owner, actor.tenant_id, scope)
    if not allowed:
        raise AuthError("AUTH_FORBIDDEN", f"account {account_id} is not yours to touch")


def _field(medium_id: str) -> str:
    return f"medium:{medium_id}"


def _new_id() -> str:
    return f"med_{secrets.token_hex(12)}"


def _encode(medium: PersonMedium) -> bytes:
    said = {"token": medium.token.hex(), "kind": medium.kind, "label": medium.label}
    return json.dumps(said, ensure_ascii=False).encode()


def _decode(row: Any, plain: bytes) -> PersonMedium:
    said = json.loads(plain)
    return PersonMedium(
        row.medium_id,
        row.person_id,
        row.account_id,
        said["kind"],
        said["label"],
        row.linked_us,
        bytes.fromhex(said["token"]),
    )
