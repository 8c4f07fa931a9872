"""API keys and OAuth2 clients: 256 random bits, stored as SHA-256, with scopes, owner and expiry.

    API key      fgk_<id>_<secret>      sent as it is, as a bearer token
    OAuth client fgc_<id>, <secret>     exchanged for a short token (gateway/registry/tokens.py)

A fast hash is enough: nobody can guess 256 bits. Whoever makes one can give away no more than they
hold themselves. Unknown, wrong, revoked and expired ones get one answer after the same work.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    LargeBinary,
    Row,
    String,
    Table,
    insert,
    select,
    update,
)

from gateway.clock import now_us
from gateway.db import I64, Database
from gateway.errors import AuthError, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.changes import note_change
from gateway.registry.scopes import CEILINGS, HOUSES, Scope, TenantKind, parse_scopes
from gateway.registry.store import METADATA
from gateway.registry.tenants import TENANTS, Standing, get_tenant

ID_BYTES = 8
SECRET_BYTES = 32
DAY_US = 86_400_000_000
LIFE_MAX_DAYS = 366
_NOBODY = hashlib.sha256(b"nobody has this secret").digest()

CREDENTIALS = Table(
    "credentials",
    METADATA,
    Column("credential_id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("tenant_id", String(40), ForeignKey("tenants.tenant_id"), nullable=False, index=True),
    Column("owner", String(100), nullable=False),
    Column("label", String, nullable=False),
    Column("scopes", String, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_by", String, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("expires_us", I64, nullable=False),
    Column("revoked_us", I64, nullable=False),
)
"""scopes: names with spaces between. revoked_us: 0 = alive."""


class CredentialKind(StrEnum):
    """How a secret is used."""

    KEY = "key"
    CLIENT = "client"


PREFIX = {CredentialKind.KEY: "fgk_", CredentialKind.CLIENT: "fgc_"}


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or client without its secret."""

    credential_id: str
    kind: CredentialKind
    tenant_id: str
    owner: str
    label: str
    scopes: frozenset[Scope]
    created_by: str
    created_us: int
    expires_us: int
    revoked_us: int = 0
    secret_hash: bytes = field(default=b"", repr=False)

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON, without the hash."""
        fields = asdict(self) | {"scopes": sorted(self.scopes)}
        del fields["secret_hash"]
        return fields


@dataclass(frozen=True, slots=True)
class NewCredential:
    """What is asked for. life_days: from now."""

    tenant_id: str
    scopes: frozenset[Scope]
    owner: str
    kind: CredentialKind = CredentialKind.KEY
    label: str = ""
    life_days: int = 90


@dataclass(frozen=True, slots=True)
class Issued:
    """A fresh credential with its secret, which is shown once and stored nowhere."""

    credential: Credential
    secret: str = field(repr=False)

    @property
    def token(self) -> str:
        """What the holder sends: the whole key, or a client's secret."""
        if self.credential.kind is CredentialKind.CLIENT:
            return self.secret
        return f"{self.credential.credential_id}_{self.secret}"


@dataclass(frozen=True, slots=True)
class Holder:
    """A credential with its tenant, as one look into the registry found them."""

    credential: Credential
    tenant_kind: TenantKind
    tenant_state: Standing

    def is_alive(self, now_us: int) -> bool:
        """Whether it may be used now."""
        found = self.credential
        return (
            not found.revoked_us
            and now_us < found.expires_us
            and self.tenant_state is Standing.ACTIVE
        )

    def build_actor(self, scopes: frozenset[Scope] | None = None) -> Actor:
        """Who uses it. Args: scopes: a narrower choice, as a token carries one."""
        found = self.credential
        is_house = self.tenant_kind in HOUSES
        held = found.scopes & CEILINGS[self.tenant_kind]
        return Actor(
            kind=ActorKind.OPERATOR if is_house else ActorKind.TENANT,
            subject=f"{found.kind}:{found.credential_id}",
            tenant_id=found.tenant_id,
            scopes=held if scopes is None else held & scopes,
            owner=found.owner,
        )


class Credentials:
    """The services on keys and clients. Each method is one transaction."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock

    def create(self, actor: Actor, wanted: NewCredential, *, cause: bytes = b"") -> Issued:
        """Make a key or client.

        Args: cause: the request's operation id; the same one makes one key, and since its secret
            is shown once, the second time is REGISTRY_TAKEN.
        Raises: AuthError: more than the actor holds; RegistryError.
        """
        actor.require(Scope.KEYS_WRITE)
        actor.require_tenant(wanted.tenant_id)
        _check(actor, wanted)
        now = self._clock()
        secret = secrets.token_urlsafe(SECRET_BYTES)
        made = Credential(
            credential_id=_new_id(actor, wanted.kind, cause),
            kind=wanted.kind,
            tenant_id=wanted.tenant_id,
            owner=wanted.owner,
            label=wanted.label,
            scopes=wanted.scopes,
            created_by=actor.subject,
            created_us=now,
            expires_us=now + wanted.life_days * DAY_US,
            secret_hash=hash_secret(secret),
        )
        with self._database.transaction() as connection:
            kind = get_tenant(connection, wanted.tenant_id).kind
            if beyond := sorted(wanted.scopes - CEILINGS[kind]):
                raise AuthError("AUTH_SCOPE", f"never for a {kind}: {', '.join(beyond)}")
            if cause and find_holder(connection, made.credential_id):
                said = "was made by the first of these requests, which showed its secret"
                raise RegistryError("REGISTRY_TAKEN", f"{made.credential_id} {said}")
            connection.execute(insert(CREDENTIALS).values(_row(made)))
            note_change(
                connection,
                actor,
                f"{made.kind}.create",
                f"{made.kind}:{made.credential_id}",
                now,
                tenant_id=made.tenant_id,
                scopes=sorted(made.scopes),
            )
        return Issued(made, secret)

    def revoke(self, actor: Actor, credential_id: str) -> Credential:
        """End a key or client, for good. Raises: AuthError, RegistryError REGISTRY_UNKNOWN."""
        actor.require(Scope.KEYS_WRITE)
        now = self._clock()
        with self._database.transaction() as connection:
            holder = find_holder(connection, credential_id)
            if holder is None:
                raise RegistryError("REGISTRY_UNKNOWN", f"there is no key {credential_id}")
            actor.require_tenant(holder.credential.tenant_id)
            if holder.credential.revoked_us:
                return holder.credential
            row = CREDENTIALS.c.credential_id == credential_id
            connection.execute(update(CREDENTIALS).where(row).values(revoked_us=now))
            kind = holder.credential.kind
            note_change(connection, actor, f"{kind}.revoke", f"{kind}:{credential_id}", now)
        return replace(holder.credential, revoked_us=now)

    def list_all(self, actor: Actor) -> list[Credential]:
        """All keys and clients the actor may know of, the oldest first. Raises: AuthError."""
        actor.require(Scope.KEYS_WRITE)
        wanted = select(CREDENTIALS).order_by(CREDENTIALS.c.created_us, CREDENTIALS.c.credential_id)
        if not actor.is_house:
            wanted = wanted.where(CREDENTIALS.c.tenant_id == actor.tenant_id)
        with self._database.transaction() as connection:
            return [_credential(row) for row in connection.execute(wanted)]

    def find(self, credential_id: str) -> Holder | None:
        """What a key's id names. For the authenticator; says nothing about the secret."""
        with self._database.reading() as connection:
            return find_holder(connection, credential_id)


def is_right(holder: Holder | None, secret: str, now_us: int) -> bool:
    """Whether a secret is that of a living credential; the same work whatever is wrong."""
    same = is_same_secret(holder, secret)
    return same and holder is not None and holder.is_alive(now_us)


def is_same_secret(holder: Holder | None, secret: str) -> bool:
    """Whether a secret is that of a credential, living or not."""
    stored = holder.credential.secret_hash if holder is not None else _NOBODY
    return hmac.compare_digest(hash_secret(secret), stored)


def split_key(token: str) -> tuple[str, str]:
    """Id and secret of an API key. Raises: AuthError AUTH_INVALID: it is none."""
    prefix, _, rest = token.partition("_")
    name, _, secret = rest.partition("_")
    if f"{prefix}_" != PREFIX[CredentialKind.KEY] or not name or not secret:
        raise AuthError("AUTH_INVALID")
    return f"{prefix}_{name}", secret


def hash_secret(secret: str) -> bytes:
    """As it is stored."""
    return hashlib.sha256(secret.encode()).digest()


def find_holder(connection: Connection, credential_id: str) -> Holder | None:
    """A credential with its tenant, in the caller's transaction."""
    wanted = (
        select(CREDENTIALS, TENANTS.c.kind.label("tenant_kind"), TENANTS.c.state)
        .join(TENANTS, TENANTS.c.tenant_id == CREDENTIALS.c.tenant_id)
        .where(CREDENTIALS.c.credential_id == credential_id)
    )
    row = connection.execute(wanted).first()
    if row is None:
        return None
    return Holder(_credential(row), TenantKind(row.tenant_kind), Standing(row.state))


def _new_id(actor: Actor, kind: CredentialKind, cause: bytes) -> str:
    said = hashlib.sha256(f"{actor.tenant_id}|{kind}|".encode() + cause).digest()
    return PREFIX[kind] + (said if cause else secrets.token_bytes(32))[:ID_BYTES].hex()


def _check(actor: Actor, wanted: NewCredential) -> None:
    if not wanted.scopes or not wanted.owner:
        raise RegistryError("REGISTRY_INVALID", "a key needs scopes and an owner")
    if not 1 <= wanted.life_days <= LIFE_MAX_DAYS:
        raise RegistryError("REGISTRY_INVALID", f"life_days is not in 1..{LIFE_MAX_DAYS}")
    if beyond := sorted(wanted.scopes - actor.scopes):
        raise AuthError("AUTH_SCOPE", f"not yours to give: {', '.join(beyond)}")


def _row(made: Credential) -> dict[str, Any]:
    return asdict(made) | {"scopes": " ".join(sorted(made.scopes))}


def _credential(row: Row[Any]) -> Credential:
    values = {column.name: row._mapping[column.name] for column in CREDENTIALS.columns}
    values["kind"] = CredentialKind(values["kind"])
    values["scopes"] = parse_scopes(values["scopes"].split())
    return Credential(**values)
