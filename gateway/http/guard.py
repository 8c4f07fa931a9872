"""Who is asking, may they, and how often: the checks before a handler.

The login itself is behind a port (Authenticator); gateway/registry has what stands behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from gateway.config import ApiConfig
from gateway.errors import ApiError, AuthError, FareGatewayError, Retry
from gateway.http.endpoint import Endpoint
from gateway.http.rates import RateLimiter
from gateway.registry.actors import LapsedCredential

if TYPE_CHECKING:
    from gateway.registry.actors import Actor


class Authenticator(Protocol):
    """Tells who sent these headers."""

    async def authenticate(self, headers: Mapping[str, str]) -> Actor:
        """Raises: AuthError: nobody, or not any more."""


class Refusals(Protocol):
    """Where refusals are written down."""

    def note(self, actor: Actor, action: str, subject: str, error: FareGatewayError) -> None:
        """Somebody known was refused something; it says itself what is worth writing down."""


class Guard:
    """Login, scopes and rates of all endpoints."""

    def __init__(
        self,
        authenticator: Authenticator,
        config: ApiConfig,
        nobody: Actor,
        refusals: Refusals | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._refusals = refusals
        self._nobody = nobody
        self._callers = RateLimiter(config.rate_per_s, config.rate_burst)
        self._addresses = RateLimiter(config.rate_anonymous_per_s, config.rate_anonymous_per_s * 2)

    async def admit(self, endpoint: Endpoint, headers: Mapping[str, str], remote: str) -> Actor:
        """The caller, when it may call this now. Raises: AuthError, ApiError API_RATE_LIMITED."""
        if endpoint.public:
            _limited(self._addresses.take(f"{endpoint.tag} {remote}"))
            return self._nobody
        try:
            actor = await self._authenticator.authenticate(headers)
        except AuthError as error:
            self.note_refused(self._nobody, endpoint, endpoint.path, error)
            # Guessing is slow; it takes nothing from those at the same address who sign in.
            _limited(self._addresses.take(f"refused {remote}"))
            raise
        _limited(self._callers.take(caller_of(actor)))
        missing = [scope for scope in endpoint.scopes if scope not in actor.scopes]
        if missing:
            refused = AuthError("AUTH_SCOPE", f"this needs {', '.join(missing)}")
            self.note_refused(actor, endpoint, endpoint.path, refused)
            raise refused
        return actor

    def note_refused(
        self, actor: Actor, endpoint: Endpoint, path: str, error: FareGatewayError
    ) -> None:
        """For the audit trail; nobody is not somebody, but who shows a key of yesterday is."""
        who = error.actor if isinstance(error, LapsedCredential) else actor
        if self._refusals is not None and who is not self._nobody:
            self._refusals.note(who, endpoint.name, path, error)


def caller_of(actor: Actor) -> str:
    """One name for rates and idempotency keys: a tenant's keys are shared, a rider has its own."""
    if actor.kind == "rider":
        return f"{actor.tenant_id}/{actor.subject}"
    return str(actor.tenant_id or actor.subject)


def _limited(wait_s: int) -> None:
    if wait_s:
        raise ApiError(
            "API_RATE_LIMITED", f"wait {wait_s} s", retry=Retry.SAFE, retry_after_s=wait_s
        )
