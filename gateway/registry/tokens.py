"""Access tokens of OAuth2 clients: JWTs signed with Ed25519, at most 15 minutes old.

Algorithm, audience and issuer are pinned. Two keys may be alive: the current one signs, the one
before it is still believed until its last token is over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import AuthError
from gateway.registry.scopes import Scope

ALGORITHM = "EdDSA"
AUDIENCE = "faregate"
LIFE_MAX_S = 900
_KEY_ID_BYTES = 8
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "jti"]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token says. client_id: whose it is; whether it still lives is asked elsewhere."""

    client_id: str
    scopes: frozenset[Scope]
    expires_s: int


class TokenKeys:
    """Signs tokens and reads them."""

    def __init__(self, seeds: Sequence[bytes], *, issuer: str, life_s: int = LIFE_MAX_S) -> None:
        """Args: seeds: Ed25519, 32 bytes each, the one that signs first. life_s: seconds."""
        private = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
        self._signing = private[0]
        self._known = {_key_id(key.public_key()): key.public_key() for key in private}
        self._signing_id = _key_id(self._signing.public_key())
        self._issuer = issuer
        self.life_s = min(life_s, LIFE_MAX_S)

    def issue(self, client_id: str, scopes: frozenset[Scope], *, token_id: str, now_s: int) -> str:
        """A token for a client that has shown its secret."""
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": client_id,
            "scope": " ".join(sorted(scopes)),
            "jti": token_id,
            "iat": now_s,
            "exp": now_s + self.life_s,
        }
        return jwt.encode(
            claims, self._signing, algorithm=ALGORITHM, headers={"kid": self._signing_id}
        )

    def read(self, token: str, *, now_s: int) -> AccessToken:
        """What a token says. Raises: AuthError AUTH_INVALID, AUTH_EXPIRED."""
        try:
            key = self._known.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise AuthError("AUTH_INVALID")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise AuthError("AUTH_INVALID") from error
        return _check_times(claims, now_s)


def _check_times(claims: dict[str, object], now_s: int) -> AccessToken:
    """By the gateway's clock. A token that lives longer than any of ours is none of ours."""
    issued, expires = claims["iat"], claims["exp"]
    if not isinstance(issued, int) or not isinstance(expires, int):
        raise AuthError("AUTH_INVALID")
    if expires - issued > LIFE_MAX_S or issued > now_s + 60:
        raise AuthError("AUTH_INVALID")
    if now_s >= expires:
        raise AuthError("AUTH_EXPIRED")
    known = {str(scope): scope for scope in Scope}
    named = str(claims.get("scope", "")).split()
    scopes = frozenset(known[name] for name in named if name in known)
    return AccessToken(str(claims["sub"]), scopes, expires)


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[: 2 * _KEY_ID_BYTES]
