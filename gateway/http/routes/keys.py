"""/v1/keys: API keys and OAuth2 clients, made by those who hold keys:write."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.registry.credentials import Credential, CredentialKind, Credentials, NewCredential
from gateway.registry.scopes import Scope
from gateway.shapes import PLAIN, InstantUs, Name, says


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key or client that is wanted: never with more scopes than one's own."""

    scopes: Annotated[tuple[Scope, ...], says("what it may do", minItems=1, maxItems=64)]
    owner: Annotated[Name, says("the person or program responsible for it")]
    tenant_id: Annotated[
        str, says("whose it is; empty = one's own tenant", maxLength=40, pattern=PLAIN)
    ] = ""
    kind: CredentialKind = CredentialKind.KEY
    label: Annotated[str, says("text for people", maxLength=100, pattern=PLAIN)] = ""
    life_days: Annotated[int, says("how long it is good", minimum=1, maximum=366)] = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShown:
    """A key or client without its secret; revoked_us 0 = not revoked."""

    credential_id: str
    kind: CredentialKind
    tenant_id: str
    owner: str
    label: str
    scopes: tuple[Scope, ...]
    created_by: str
    created_us: InstantUs
    expires_us: InstantUs
    revoked_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMade:
    """A fresh key or client."""

    key: KeyShown
    secret: Annotated[str, says("shown this once and stored nowhere", minLength=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyList:
    """The oldest first."""

    data: tuple[KeyShown, ...]


async def _create(call: Call) -> Answer:
    body: NewKey = call.body
    wanted = NewCredential(
        tenant_id=body.tenant_id or call.actor.tenant_id,
        scopes=frozenset(body.scopes),
        owner=body.owner,
        kind=body.kind,
        label=body.label,
        life_days=body.life_days,
    )
    credentials, cause = call.service(Credentials), call.operation_id
    made = await asyncio.to_thread(lambda: credentials.create(call.actor, wanted, cause=cause))
    return Answer(value=KeyMade(key=_shown(made.credential), secret=made.token))


async def _list(call: Call) -> KeyList:
    found = await asyncio.to_thread(call.service(Credentials).list_all, call.actor)
    return KeyList(data=tuple(_shown(one) for one in found))


async def _revoke(call: Call) -> KeyShown:
    credentials, key = call.service(Credentials), call.path["credential_id"]
    return _shown(await asyncio.to_thread(credentials.revoke, call.actor, key))


def _shown(found: Credential) -> KeyShown:
    return KeyShown(**found.as_dict() | {"scopes": tuple(sorted(found.scopes))})


SCOPES = ("keys:write",)

ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/keys",
        handler=_create,
        summary="Make an API key or an OAuth2 client; its secret is in this answer only",
        is_secret=True,
        tag="keys",
        body=NewKey,
        answer=KeyMade,
        status=201,
        scopes=SCOPES,
        errors=("AUTH_FORBIDDEN", "REGISTRY_UNKNOWN", "REGISTRY_TAKEN"),
    ),
    Endpoint(
        method="GET",
        path="/v1/keys",
        handler=_list,
        summary="List keys and clients, without secrets",
        tag="keys",
        answer=KeyList,
        scopes=SCOPES,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/keys/{credential_id}",
        handler=_revoke,
        summary="End a key or client, for good; felt within five seconds",
        tag="keys",
        answer=KeyShown,
        scopes=SCOPES,
        errors=("AUTH_FORBIDDEN", "REGISTRY_UNKNOWN"),
    ),
]
