"""/v1/oauth/token: OAuth2 client credentials (RFC 6749, 4.4)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import unquote

from gateway.errors import AuthError
from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.registry.authenticator import Authenticator
from gateway.shapes import PLAIN, says


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A client shows its secret, here or by HTTP Basic."""

    grant_type: Literal["client_credentials"]
    scope: Annotated[str, says("scopes with spaces between; none = all", maxLength=1000)] = ""
    client_id: Annotated[str, says("fgc_…", maxLength=64, pattern=PLAIN)] = ""
    client_secret: Annotated[str, says("shown when the client was made", maxLength=128)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A short token."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, says("seconds", minimum=1, maximum=900)]
    scope: str


async def _token(call: Call) -> Answer:
    body: TokenRequest = call.body
    client_id, secret = body.client_id, body.client_secret
    if "Authorization" in call.headers:
        if client_id or secret:
            raise AuthError("AUTH_INVALID", "show the secret once: by Basic, or in the body")
        client_id, secret = _basic(call.headers["Authorization"])
    made = await call.service(Authenticator).exchange(client_id, secret, body.scope)
    return Answer(value=made, headers={"Cache-Control": "no-store"})


def _basic(header: str) -> tuple[str, str]:
    """Client id and secret of HTTP Basic (each form-encoded). Raises: AuthError."""
    scheme, _, text = header.partition(" ")
    try:
        plain = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise AuthError("AUTH_INVALID") from error
    client_id, colon, secret = plain.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise AuthError("AUTH_INVALID")
    return unquote(client_id), unquote(secret)


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/oauth/token",
        handler=_token,
        summary="Exchange a client's secret for a token of at most 15 minutes",
        tag="oauth",
        body=TokenRequest,
        is_form=True,
        answer=AccessToken,
        public=True,
        idempotent=False,
        errors=("AUTH_INVALID", "AUTH_SCOPE", "REGISTRY_SCOPE"),
    ),
]
