"""What of the stream of events is a tenant's. Blocking."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.registry.scopes import HOUSES
from gateway.registry.tenants import Standing, Tenants
from gateway.wallet.stores.accounts import AccountStore


class Ownerships:
    """Accounts and merchants of tenants."""

    def __init__(self, store: AccountStore, tenants: Tenants) -> None:
        self._store = store
        self._tenants = tenants

    def own_among(self, account_ids: Iterable[int], tenant_id: str) -> set[int]:
        """Those of these accounts that a tenant owns or was granted."""
        return self._store.own_among(account_ids, tenant_id)

    def merchants_of(self, tenant_id: str) -> set[int]:
        """Numbers of a tenant's merchants."""
        return {one.merchant_id for one in self._tenants.list_merchants(tenant_id)}

    def is_open(self, tenant_id: str) -> bool:
        """Whether a tenant is not closed. Raises: RegistryError: there is no such tenant."""
        return self._tenants.get(tenant_id).state is Standing.ACTIVE

    def is_house(self, tenant_id: str) -> bool:
        """Whether a tenant sees everything. Raises: RegistryError: there is no such tenant."""
        return self._tenants.get(tenant_id).kind in HOUSES
