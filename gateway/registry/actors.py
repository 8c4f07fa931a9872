"""Who asks: every service takes an Actor first and refuses by itself; HTTP only says who it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import AuthError
from gateway.registry.scopes import ALL, Scope


class ActorKind(StrEnum):
    """What stands behind a request."""

    OPERATOR = "operator"
    """A key or client of the city, which runs the gateway."""
    TENANT = "tenant"
    """A key or client of a transport operator, a hospital or a school."""
    RIDER = "rider"
    """A person with a session."""
    SYSTEM = "system"
    """The gateway itself: its command line, its jobs."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One requester, authenticated.

    subject: what the audit trail names (`key:…`, `client:…`, `person:…`, `cli:root`).
    owner: the human or program responsible for it; two keys of one owner are one pair of eyes.
    step_up_us: instant of the last proof by a second factor, 0 = none.
    """

    kind: ActorKind
    subject: str
    tenant_id: str = ""
    scopes: frozenset[Scope] = frozenset()
    owner: str = ""
    person_id: str = ""
    step_up_us: int = 0

    @classmethod
    def system(cls, subject: str) -> Actor:
        """The gateway itself, with every scope."""
        return cls(ActorKind.SYSTEM, subject, scopes=ALL, owner=subject)

    @property
    def is_house(self) -> bool:
        """Whether it works for whoever runs the gateway: sees all tenants and all accounts."""
        return self.kind in (ActorKind.OPERATOR, ActorKind.SYSTEM)

    def may(self, scope: Scope) -> bool:
        """Whether it holds a scope."""
        return scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises: AuthError AUTH_SCOPE: it does not hold the scope."""
        if scope not in self.scopes:
            raise AuthError("AUTH_SCOPE", f"{scope} is needed")

    def may_touch(self, tenant_id: str) -> bool:
        """Whether a thing of this tenant is within reach: the house's all are."""
        return self.is_house or self.tenant_id == tenant_id

    def require_tenant(self, tenant_id: str) -> None:
        """Raises: AuthError AUTH_FORBIDDEN: the thing belongs to another tenant."""
        if not self.may_touch(tenant_id):
            raise AuthError("AUTH_FORBIDDEN", "it belongs to another tenant")

    def require_step_up(self, now_us: int, within_s: float) -> None:
        """A rider must have shown a second factor lately; others have no factor to show.

        Raises: AuthError AUTH_STEP_UP.
        """
        if self.kind is not ActorKind.RIDER:
            return
        if not self.step_up_us or now_us - self.step_up_us > within_s * 1_000_000:
            raise AuthError("AUTH_STEP_UP", "a second factor has to be shown first")


class LapsedCredential(AuthError):
    """A key or client with its right secret that is revoked, over, or of a closed tenant: told like
    any that is wrong, and for the audit trail it is known whose it was.
    """

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        super().__init__("AUTH_INVALID")
