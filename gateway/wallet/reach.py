"""Which ledger accounts are whose: the house's are all; a tenant's are those of its merchants, and
those that the settings give it ([ledger.tenants]).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.ledger.chart import Kind, code_of
from gateway.registry.actors import Actor, ActorKind


class MerchantsPort(Protocol):
    """Whose merchants are whose. Blocking."""

    def merchants_of(self, tenant_id: str) -> set[int]:
        """Numbers of a tenant's merchants, also of those that were closed."""


class LedgerReach:
    """Says which ledger accounts an actor sees."""

    def __init__(self, merchants: MerchantsPort, tenants: Mapping[str, str]) -> None:
        self._merchants = merchants
        self._tenants = tenants

    def codes_of(self, actor: Actor) -> frozenset[str] | None:
        """Codes of the actor's ledger accounts; None = all there are. Blocking."""
        if actor.is_house:
            return None
        if actor.kind is not ActorKind.TENANT:
            return frozenset()
        merchants = self._merchants.merchants_of(actor.tenant_id)
        named = {code for code, owner in self._tenants.items() if owner == actor.tenant_id}
        return frozenset(named | {code_of(Kind.MERCHANT, number) for number in merchants})

    def narrow(self, actor: Actor, code: str) -> frozenset[str] | None:
        """As `codes_of`, of one ledger account only; "" = of all. Blocking."""
        codes = self.codes_of(actor)
        if not code:
            return codes
        return frozenset({code}) if codes is None or code in codes else frozenset()

    def sees(self, actor: Actor, code: str) -> bool:
        """Whether a ledger account is for these eyes. Blocking."""
        codes = self.codes_of(actor)
        return codes is None or code in codes
