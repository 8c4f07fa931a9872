"""Tenants (city, operators, hospitals, schools) and their merchants.

A merchant's number is what the journal names as the receiver of a payment (FACTS.merchant).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Row,
    String,
    Table,
    func,
    insert,
    select,
    update,
)

from gateway.clock import now_us
from gateway.db import I64, Database
from gateway.errors import AuthError, RegistryError
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.registry.scopes import Scope, TenantKind
from gateway.registry.store import METADATA

TENANT_ID = re.compile("[a-z0-9][a-z0-9-]{0,39}")
MERCHANT_ID_MAX = (1 << 32) - 1

TENANTS = Table(
    "tenants",
    METADATA,
    Column("tenant_id", String(40), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_us", I64, nullable=False),
    Column("changed_us", I64, nullable=False),
)

MERCHANTS = Table(
    "merchants",
    METADATA,
    Column("merchant_id", I64, primary_key=True, autoincrement=False),
    Column("tenant_id", String(40), ForeignKey("tenants.tenant_id"), nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_us", I64, nullable=False),
    Column("changed_us", I64, nullable=False),
)


class Standing(StrEnum):
    """Of a tenant or a merchant. A closed one keeps its rows: the journal names it."""

    ACTIVE = "active"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organisation. tenant_id: lower-case letters, digits and dashes, at most 40."""

    tenant_id: str
    kind: TenantKind
    name: str = ""
    state: Standing = Standing.ACTIVE
    created_us: int = 0
    changed_us: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Merchant:
    """One receiver of payments. merchant_id: 1..2^32-1."""

    merchant_id: int
    tenant_id: str
    name: str = ""
    state: Standing = Standing.ACTIVE
    created_us: int = 0
    changed_us: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        return asdict(self)


class Tenants:
    """The services on tenants and merchants. Each method is one transaction."""

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock

    def add(self, actor: Actor, tenant: Tenant) -> Tenant:
        """Enter a tenant; the very same one again is fine.

        Raises: AuthError, RegistryError: taken by another, or not a proper id.
        """
        _require_house(actor)
        if not TENANT_ID.fullmatch(tenant.tenant_id):
            raise RegistryError(
                "REGISTRY_INVALID", f"tenant {tenant.tenant_id!r}: a-z, 0-9 and -, at most 40"
            )
        now = self._clock()
        fresh = replace(tenant, created_us=now, changed_us=now)
        with self._database.transaction() as connection:
            known = find_tenant(connection, tenant.tenant_id)
            if known is not None and (known.kind, known.name) == (tenant.kind, tenant.name):
                return known
            if known is not None:
                raise RegistryError("REGISTRY_TAKEN", f"there is a tenant {tenant.tenant_id}")
            connection.execute(insert(TENANTS).values(asdict(fresh)))
            note_change(connection, actor, "tenant.add", f"tenant:{fresh.tenant_id}", now)
        return fresh

    def get(self, tenant_id: str) -> Tenant:
        """Raises: RegistryError REGISTRY_UNKNOWN."""
        with self._database.transaction() as connection:
            return get_tenant(connection, tenant_id)

    def list_all(self) -> list[Tenant]:
        """All tenants by id."""
        with self._database.transaction() as connection:
            rows = connection.execute(select(TENANTS).order_by(TENANTS.c.tenant_id))
            return [_tenant(row) for row in rows]

    def close(self, actor: Actor, tenant_id: str) -> Tenant:
        """From now on its keys and clients are refused. Raises: AuthError, RegistryError."""
        _require_house(actor)
        now = self._clock()
        with self._database.transaction() as connection:
            tenant = get_tenant(connection, tenant_id)
            closed = replace(tenant, state=Standing.CLOSED, changed_us=now)
            connection.execute(
                update(TENANTS)
                .where(TENANTS.c.tenant_id == tenant_id)
                .values(state=closed.state, changed_us=now)
            )
            note_change(connection, actor, "tenant.close", f"tenant:{tenant_id}", now)
        return closed

    def add_merchant(self, actor: Actor, merchant: Merchant) -> Merchant:
        """Enter a merchant; number 0 takes the next free one, the very same again is fine.

        Raises: AuthError: a tenant enters its own only. RegistryError.
        """
        actor.require(Scope.TENANTS_WRITE)
        actor.require_tenant(merchant.tenant_id)
        if not 0 <= merchant.merchant_id <= MERCHANT_ID_MAX:
            raise RegistryError("REGISTRY_INVALID", f"merchant_id is not in 1..{MERCHANT_ID_MAX}")
        now = self._clock()
        with self._database.transaction() as connection:
            get_tenant(connection, merchant.tenant_id)
            number = merchant.merchant_id or _next_merchant(connection)
            known = find_merchant(connection, number)
            same = (merchant.tenant_id, merchant.name)
            if known is not None and (known.tenant_id, known.name) == same:
                return known
            if known is not None:
                raise RegistryError("REGISTRY_TAKEN", f"there is a merchant {number}")
            fresh = replace(merchant, merchant_id=number, created_us=now, changed_us=now)
            connection.execute(insert(MERCHANTS).values(asdict(fresh)))
            note_change(connection, actor, "merchant.add", f"merchant:{number}", now)
        return fresh

    def list_merchants(self, tenant_id: str | None = None) -> list[Merchant]:
        """All merchants, or those of one tenant, by number."""
        wanted = select(MERCHANTS).order_by(MERCHANTS.c.merchant_id)
        if tenant_id is not None:
            wanted = wanted.where(MERCHANTS.c.tenant_id == tenant_id)
        with self._database.transaction() as connection:
            return [_merchant(row) for row in connection.execute(wanted)]

    def close_merchant(self, actor: Actor, merchant_id: int) -> Merchant:
        """From now on nothing is paid to it. Raises: AuthError, RegistryError."""
        actor.require(Scope.TENANTS_WRITE)
        now = self._clock()
        with self._database.transaction() as connection:
            merchant = find_merchant(connection, merchant_id)
            if merchant is None or not actor.may_touch(merchant.tenant_id):
                raise RegistryError("REGISTRY_UNKNOWN", f"there is no merchant {merchant_id}")
            connection.execute(
                update(MERCHANTS)
                .where(MERCHANTS.c.merchant_id == merchant_id)
                .values(state=Standing.CLOSED, changed_us=now)
            )
            note_change(connection, actor, "merchant.close", f"merchant:{merchant_id}", now)
        return replace(merchant, state=Standing.CLOSED, changed_us=now)

    def check_merchant(self, actor: Actor, merchant_id: int) -> Merchant:
        """A merchant this actor may charge for.

        Raises: AuthError AUTH_FORBIDDEN: unknown, closed, or another tenant's: one answer for all.
        """
        with self._database.transaction() as connection:
            merchant = find_merchant(connection, merchant_id)
        if merchant is None or merchant.state is not Standing.ACTIVE:
            raise AuthError("AUTH_FORBIDDEN", f"merchant {merchant_id} cannot be charged for")
        if not actor.is_house and merchant.tenant_id != actor.tenant_id:
            raise AuthError("AUTH_FORBIDDEN", f"merchant {merchant_id} cannot be charged for")
        return merchant


def _require_house(actor: Actor) -> None:
    """Raises: AuthError: tenants are the house's to enter and to close."""
    actor.require(Scope.TENANTS_WRITE)
    if not actor.is_house:
        raise AuthError("AUTH_FORBIDDEN", "tenants are the house's to enter and to close")


def find_tenant(connection: Connection, tenant_id: str) -> Tenant | None:
    """A tenant, in the caller's transaction."""
    row = connection.execute(select(TENANTS).where(TENANTS.c.tenant_id == tenant_id)).first()
    return _tenant(row) if row else None


def get_tenant(connection: Connection, tenant_id: str) -> Tenant:
    """Raises: RegistryError REGISTRY_UNKNOWN."""
    tenant = find_tenant(connection, tenant_id)
    if tenant is None:
        raise RegistryError("REGISTRY_UNKNOWN", f"there is no tenant {tenant_id}")
    return tenant


def find_merchant(connection: Connection, merchant_id: int) -> Merchant | None:
    """A merchant, in the caller's transaction."""
    row = connection.execute(select(MERCHANTS).where(MERCHANTS.c.merchant_id == merchant_id))
    found = row.first()
    return _merchant(found) if found else None


def _next_merchant(connection: Connection) -> int:
    return int(connection.scalar(select(func.max(MERCHANTS.c.merchant_id))) or 0) + 1


def _tenant(row: Row[Any]) -> Tenant:
    values = dict(row._mapping)
    kind, state = TenantKind(values["kind"]), Standing(values["state"])
    return Tenant(**values | {"kind": kind, "state": state})


def _merchant(row: Row[Any]) -> Merchant:
    values = dict(row._mapping)
    return Merchant(**values | {"state": Standing(values["state"])})
