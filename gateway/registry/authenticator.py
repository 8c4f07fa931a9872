"""Says who sends a request, from its headers alone: an API key, a client's token, or a session.

What the registry said about a key or client is believed for a few seconds (a setting), so that 500
requests a second ask it once: a revocation takes that long at most.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.clock import now_us
from gateway.errors import AuthError
from gateway.registry.actors import Actor, LapsedCredential
from gateway.registry.credentials import (
    PREFIX,
    CredentialKind,
    Credentials,
    Holder,
    is_right,
    is_same_secret,
    split_key,
)
from gateway.registry.scopes import Scope, parse_scopes
from gateway.registry.tokens import TokenKeys

SESSION_PREFIX = "fgs_"
CACHE_MAX = 10_000
CACHE_S = 5.0
TOKEN_MAX = 4096
"""Longer than any token that is given out."""
US = 1_000_000


class SessionBook(Protocol):
    """Where riders' sessions are looked up."""

    def authenticate(self, token: str) -> Actor:
        """Who holds a session token. Raises: AuthError."""
        ...


class Authenticator:
    """The one door: `authenticate(headers)`. Its own work takes place beside the loop."""

    def __init__(
        self,
        credentials: Credentials,
        tokens: TokenKeys,
        sessions: SessionBook | None = None,
        *,
        clock: Callable[[], int] = now_us,
        cache_s: float = CACHE_S,
    ) -> None:
        self._credentials = credentials
        self._tokens = tokens
        self._sessions = sessions
        self._clock = clock
        self._cache = _Cache(int(cache_s * US))

    async def authenticate(self, headers: Mapping[str, str]) -> Actor:
        """Who sends this.

        Args: headers: of the request, names in any case if the mapping allows it.
        Raises: AuthError AUTH_MISSING: nothing was shown. AUTH_INVALID: unknown, wrong, revoked
            or over. AUTH_EXPIRED: a token or session that was right once.
        """
        token = _bearer(headers)
        if token.startswith(PREFIX[CredentialKind.KEY]):
            return await self._by_key(token)
        if token.startswith(SESSION_PREFIX) and self._sessions is not None:
            return await asyncio.to_thread(self._sessions.authenticate, token)
        return await self._by_token(token)

    async def _by_key(self, token: str) -> Actor:
        credential_id, secret = split_key(token)
        holder = await self._find(credential_id)
        if not is_right(holder, secret, self._clock()) or holder is None:
            raise _wrong(holder, secret)
        return holder.build_actor()

    async def _by_token(self, token: str) -> Actor:
        now = self._clock()
        read = self._tokens.read(token, now_s=now // US)
        holder = await self._find(read.client_id)
        if holder is None:
            raise AuthError("AUTH_INVALID")
        if not holder.is_alive(now):
            raise LapsedCredential(holder.build_actor(frozenset()))
        return holder.build_actor(read.scopes)

    async def exchange(self, client_id: str, secret: str, scope: str = "") -> dict[str, object]:
        """OAuth2 client credentials: a short token for a client's secret (RFC 6749, 4.4).

        Args: scope: names with spaces between; none = all the client has.
        Returns: the fields of the token response.
        Raises: AuthError AUTH_INVALID, AUTH_SCOPE; RegistryError REGISTRY_SCOPE.
        """
        holder = await self._find(client_id)
        now = self._clock()
        right = is_right(holder, secret, now)
        if not right or holder is None or holder.credential.kind is not CredentialKind.CLIENT:
            raise _wrong(holder, secret)
        scopes = _choose(holder.build_actor(), scope)
        token = self._tokens.issue(
            client_id, scopes, token_id=secrets.token_hex(16), now_s=now // US
        )
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self._tokens.life_s,
            "scope": " ".join(sorted(scopes)),
        }

    async def _find(self, credential_id: str) -> Holder | None:
        """From the cache, or the registry. Unknown ids are not kept: they would push others out."""
        now = self._clock()
        held = self._cache.find(credential_id, now)
        if held is not None:
            return held
        found = await asyncio.to_thread(self._credentials.find, credential_id)
        if found is not None:
            self._cache.put(credential_id, found, now)
        return found


class _Cache:
    """The newest holders, for a short time. Bounded; used from the loop only."""

    def __init__(self, life_us: int) -> None:
        self._life_us = life_us
        self._kept: OrderedDict[str, tuple[int, Holder]] = OrderedDict()

    def find(self, credential_id: str, now: int) -> Holder | None:
        kept = self._kept.get(credential_id)
        if kept is None or not 0 <= now - kept[0] < self._life_us:
            return None
        return kept[1]

    def put(self, credential_id: str, holder: Holder, now: int) -> None:
        self._kept[credential_id] = (now, holder)
        self._kept.move_to_end(credential_id)
        if len(self._kept) > CACHE_MAX:
            self._kept.popitem(last=False)


def _wrong(holder: Holder | None, secret: str) -> AuthError:
    """What is told of a secret that opens nothing; the same words whether it did once."""
    if holder is not None and is_same_secret(holder, secret):
        return LapsedCredential(holder.build_actor(frozenset()))
    return AuthError("AUTH_INVALID")


def _bearer(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer …`. Raises: AuthError AUTH_MISSING, AUTH_INVALID."""
    said = headers.get("Authorization") or headers.get("authorization") or ""
    if not said:
        raise AuthError("AUTH_MISSING")
    scheme, _, rest = said.partition(" ")
    token = rest.strip()
    is_sound = token.isascii() and 0 < len(token) <= TOKEN_MAX  # bytes of no encoding: surrogates
    if scheme.lower() != "bearer" or not is_sound:
        raise AuthError("AUTH_INVALID")
    return token


def _choose(actor: Actor, scope: str) -> frozenset[Scope]:
    """The scopes asked for. Raises: AuthError AUTH_SCOPE: more than the client has."""
    if not scope.strip():
        return actor.scopes
    wanted = parse_scopes(scope.split())
    if beyond := sorted(wanted - actor.scopes):
        raise AuthError("AUTH_SCOPE", f"this client does not have {', '.join(beyond)}")
    return wanted
