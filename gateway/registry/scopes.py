"""Scopes: what an actor may do, and who may hold which. docs/security.md has them as a table."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from gateway.errors import RegistryError


class Scope(StrEnum):
    """One permission. Its value is what keys and tokens carry; never change one."""

    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    PAYMENTS_WRITE = "payments:write"
    REFUNDS_WRITE = "refunds:write"
    CREDITS_WRITE = "credits:write"
    MEDIA_WRITE = "media:write"
    LIMITS_WRITE = "limits:write"
    FREEZES_WRITE = "freezes:write"
    LENDING_WRITE = "lending:write"
    ADJUSTMENTS_WRITE = "adjustments:write"
    PAYOUTS_WRITE = "payouts:write"
    STATEMENTS_READ = "statements:read"
    SETTLEMENTS_READ = "settlements:read"
    EVENTS_READ = "events:read"
    WEBHOOKS_WRITE = "webhooks:write"
    PERSONS_READ = "persons:read"
    PERSONS_WRITE = "persons:write"
    PERSONS_ERASE = "persons:erase"
    CONSENTS_WRITE = "consents:write"
    KEYS_WRITE = "keys:write"
    TENANTS_WRITE = "tenants:write"
    APPROVALS_READ = "approvals:read"
    APPROVALS_DECIDE = "approvals:decide"
    AUDIT_READ = "audit:read"
    DELIVERY_WRITE = "delivery:write"


class TenantKind(StrEnum):
    """What a tenant is."""

    CITY = "city"
    OPERATOR = "operator"
    HOSPITAL = "hospital"
    SCHOOL = "school"


MEANING: dict[Scope, str] = {
    Scope.ACCOUNTS_READ: "accounts, purses, holds and media of an account",
    Scope.ACCOUNTS_WRITE: "open and close accounts and purses, set the identity tier",
    Scope.PAYMENTS_WRITE: "debit, place, capture, release and extend holds",
    Scope.REFUNDS_WRITE: "give back what was paid, whole or in parts",
    Scope.CREDITS_WRITE: "put value in: transfers, subsidies, top-up rules",
    Scope.MEDIA_WRITE: "link, block, replace media, report one lost",
    Scope.LIMITS_WRITE: "nothing yet: kept for limits of one's own within the tier",
    Scope.FREEZES_WRITE: "freeze accounts, and propose to unfreeze them",
    Scope.LENDING_WRITE: "credit lines, instalments, and propose write-offs",
    Scope.ADJUSTMENTS_WRITE: "propose corrections of a balance",
    Scope.PAYOUTS_WRITE: "propose payouts to a bank account, and look at them",
    Scope.STATEMENTS_READ: "statements and budgets",
    Scope.SETTLEMENTS_READ: "settlements and breaks of one's own ledger accounts",
    Scope.EVENTS_READ: "the event feed",
    Scope.WEBHOOKS_WRITE: "where events are sent",
    Scope.PERSONS_READ: "personal data",
    Scope.PERSONS_WRITE: "add and change persons, link them with accounts and media",
    Scope.PERSONS_ERASE: "destroy a person's key",
    Scope.CONSENTS_WRITE: "give and withdraw consents",
    Scope.KEYS_WRITE: "make and revoke keys and clients, never with more than one's own scopes",
    Scope.TENANTS_WRITE: "tenants and merchants",
    Scope.APPROVALS_READ: "what waits for a second pair of eyes",
    Scope.APPROVALS_DECIDE: "be that second pair of eyes",
    Scope.AUDIT_READ: "the audit trail",
    Scope.DELIVERY_WRITE: "dead letters: look, replay",
}

ALL = frozenset(Scope)
HOUSE_ONLY = frozenset(
    {
        Scope.ACCOUNTS_WRITE,
        Scope.FREEZES_WRITE,
        Scope.LENDING_WRITE,
        Scope.ADJUSTMENTS_WRITE,
        Scope.PAYOUTS_WRITE,
        Scope.PERSONS_ERASE,
        Scope.TENANTS_WRITE,
        Scope.APPROVALS_READ,
        Scope.APPROVALS_DECIDE,
        Scope.AUDIT_READ,
        Scope.DELIVERY_WRITE,
    }
)
"""Of the city; an operator holds tenants:write for merchants of its own."""
HOUSES = frozenset({TenantKind.CITY})
"""Kinds that run the gateway and see everything. Operators are several in one city, each apart."""
CEILINGS: dict[TenantKind, frozenset[Scope]] = {
    TenantKind.CITY: ALL,
    TenantKind.OPERATOR: ALL - HOUSE_ONLY | {Scope.TENANTS_WRITE},
    TenantKind.HOSPITAL: ALL - HOUSE_ONLY,
    TenantKind.SCHOOL: ALL - HOUSE_ONLY,
}
"""The most a key or client of a tenant may hold."""
RIDER = frozenset(
    {
        Scope.ACCOUNTS_READ,
        Scope.MEDIA_WRITE,
        Scope.STATEMENTS_READ,
        Scope.PERSONS_READ,
        Scope.CONSENTS_WRITE,
    }
)
"""What a signed-in rider holds, for the accounts of that person only. None of it moves money."""


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Scopes from their names. Raises: RegistryError naming the unknown ones."""
    known = {str(scope) for scope in Scope}
    wanted = set(names)
    if unknown := sorted(wanted - known):
        raise RegistryError("REGISTRY_SCOPE", f"no such scope: {', '.join(unknown)}")
    return frozenset(Scope(name) for name in wanted)
