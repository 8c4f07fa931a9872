"""Whose an account is, and which tenants may see it besides. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database, list_window
from gateway.errors import RegistryError
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.registry.tenants import get_tenant
from gateway.wallet.stores.tables import ACCOUNTS, GRANTS
from gateway.windows import Window, within

TAKEN_HINT = "was the journal restored? `faregate registry fit` takes out what it does not know"


@dataclass(frozen=True, slots=True)
class Ownership:
    """The registry's side of an account. tenant_id "" = the house's."""

    account_id: int
    tenant_id: str = ""
    reference: str = ""
    operation_id: str = ""
    opened_us: int = 0
    granted: frozenset[str] = frozenset()
    """Other tenants that may see and charge it."""


class AccountStore:
    """Owners of accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, owned: Ownership) -> None:
        """Enter an account; again is nothing.

        Raises: RegistryError REGISTRY_TAKEN: the number was another's, whose row outlived it.
        """
        self.add_all([owned])

    def add_all(self, owned: Sequence[Ownership]) -> None:
        """Enter some hundred accounts, all or none; again is nothing. Raises: as `add`."""
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        rows = [
            {
                "account_id": one.account_id,
                "tenant_id": one.tenant_id,
                "reference": one.reference,
                "operation_id": one.operation_id,
                "opened_us": one.opened_us,
            }
            for one in owned
        ]
        named = select(ACCOUNTS.c.account_id, ACCOUNTS.c.operation_id)
        named = named.where(ACCOUNTS.c.account_id.in_([one.account_id for one in owned]))
        with self._database.transaction() as connection:
            connection.execute(insert(ACCOUNTS).on_conflict_do_nothing(), rows)
            by = {row.account_id: row.operation_id for row in connection.execute(named)}
            for one in owned:
                if by.get(one.account_id) != one.operation_id:
                    said = f"account {one.account_id} stands in the registry as opened by another"
                    raise RegistryError("REGISTRY_TAKEN", said, hint=TAKEN_HINT)

    def find(self, account_id: int) -> Ownership | None:
        """Whose it is; None = nobody entered it."""
        query = select(ACCOUNTS).where(ACCOUNTS.c.account_id == account_id)
        grants = select(GRANTS.c.tenant_id).where(GRANTS.c.account_id == account_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
            granted = frozenset(connection.scalars(grants))
        if row is None:
            return Ownership(account_id, granted=granted) if granted else None
        return _ownership(row, granted)

    def grant(self, actor: Actor, account_id: int, tenant_id: str, now_us: int) -> None:
        """Let another tenant see and charge an account; again is nothing."""
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        row = {"account_id": account_id, "tenant_id": tenant_id, "granted_us": now_us}
        with self._database.transaction() as connection:
            made = connection.execute(insert(GRANTS).on_conflict_do_nothing(), row)
            if made.rowcount:
                about = {"tenant_id": tenant_id}
                note_change(
                    connection, actor, "account.grant", f"account:{account_id}", now_us, **about
                )

    def take_back(self, actor: Actor, account_id: int, tenant_id: str, now_us: int) -> bool:
        """End a grant. Returns whether there was one."""
        mine = (GRANTS.c.account_id == account_id) & (GRANTS.c.tenant_id == tenant_id)
        with self._database.transaction() as connection:
            if not connection.execute(delete(GRANTS).where(mine)).rowcount:
                return False
            subject, about = f"account:{account_id}", {"tenant_id": tenant_id}
            note_change(connection, actor, "account.take_back", subject, now_us, **about)
        return True

    def check_tenant(self, tenant_id: str) -> None:
        """Raises: RegistryError REGISTRY_UNKNOWN: there is no such tenant, yet."""
        with self._database.reading() as connection:
            get_tenant(connection, tenant_id)

    def list(
        self, window: Window, *, tenant_id: str | None, among: Sequence[int] | None
    ) -> list[Ownership]:
        """Accounts by number; one more than asked for when there are more.

        Args: tenant_id: None = any. among: only these, rising; None = any.
        """
        if among is not None:
            return [self._one(number) for number in within(among, window)]
        query = select(ACCOUNTS)
        if tenant_id is not None:
            granted = select(GRANTS.c.account_id).where(GRANTS.c.tenant_id == tenant_id)
            query = query.where(
                or_(ACCOUNTS.c.tenant_id == tenant_id, ACCOUNTS.c.account_id.in_(granted))
            )
        with self._database.reading() as connection:
            rows = list_window(connection, query, ACCOUNTS.c.account_id, window)
            return [_ownership(row, frozenset()) for row in rows]

    def own_among(self, account_ids: Iterable[int], tenant_id: str) -> set[int]:
        """Those of these accounts that a tenant owns or was granted."""
        wanted = sorted(set(account_ids))
        own = select(ACCOUNTS.c.account_id).where(
            ACCOUNTS.c.account_id.in_(wanted), ACCOUNTS.c.tenant_id == tenant_id
        )
        granted = select(GRANTS.c.account_id).where(
            GRANTS.c.account_id.in_(wanted), GRANTS.c.tenant_id == tenant_id
        )
        with self._database.reading() as connection:
            return {*connection.scalars(own), *connection.scalars(granted)}

    def _one(self, account_id: int) -> Ownership:
        return self.find(account_id) or Ownership(account_id)


def is_opened_for(connection: Connection, account_id: int, tenant_id: str) -> bool:
    """Whether an account was opened for a tenant; a grant is less than that."""
    wanted = select(ACCOUNTS.c.tenant_id).where(ACCOUNTS.c.account_id == account_id)
    return bool(tenant_id) and connection.scalar(wanted) == tenant_id


def _ownership(row: Row[Any], granted: frozenset[str]) -> Ownership:
    return Ownership(
        account_id=row.account_id,
        tenant_id=row.tenant_id,
        reference=row.reference,
        operation_id=row.operation_id,
        opened_us=row.opened_us,
        granted=granted,
    )
