"""/v1/accounts/{account_id}/media: linked, listed, reported lost, blocked, replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.errors import ApiError
from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, COMMANDS, cause_of, moved
from gateway.shapes import InstantUs, Note, says
from gateway.wallet.commands import Movement
from gateway.wallet.media import Media, Medium, MediumKind, MediumState, Named, ShownMedium

Token = Annotated[
    str, says("16 bytes that name the medium, never a card number", pattern="^[0-9a-f]{32}$")
]
MediumId = Annotated[str, says("id of a medium", pattern="^med_[0-9a-f]{1,40}$")]
Label = Annotated[str, says("how the owner calls it", maxLength=40)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMedium:
    """A medium that is to pay from the account."""

    token: Token
    kind: MediumKind = "card"
    label: Label = ""
    expires_us: InstantUs = 0
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMediumState:
    """What a medium is from now on; named by token or by id."""

    state: MediumState
    token: Token | None = None
    medium_id: MediumId | None = None
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceMedium:
    """A new medium for an old one."""

    token: Token
    old_token: Token | None = None
    old_medium_id: MediumId | None = None
    kind: MediumKind = "card"
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumLookup:
    """The medium that was shown; its token is never part of an address, so that no log has it."""

    token: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumList:
    """Media of an account."""

    data: tuple[Medium, ...]


async def _link(call: Call) -> Answer:
    body: LinkMedium = call.body
    made = await call.service(Media).link(
        call.actor,
        cause_of(call, body.note),
        call.path["account_id"],
        bytes.fromhex(body.token),
        kind=body.kind,
        label=body.label,
        expires_us=body.expires_us,
    )
    return moved(made)


async def _list(call: Call) -> MediumList:
    found = await call.service(Media).list_account(call.actor, call.path["account_id"])
    return MediumList(data=tuple(found))


async def _look_up(call: Call) -> ShownMedium:
    return await call.service(Media).find_shown(call.actor, bytes.fromhex(call.body.token))


async def _set_state(call: Call) -> Answer:
    body: SetMediumState = call.body
    made = await call.service(Media).set_state(
        call.actor,
        cause_of(call, body.note),
        call.path["account_id"],
        _named(body.token, body.medium_id, "token"),
        body.state,
    )
    return moved(made)


async def _replace(call: Call) -> Answer:
    body: ReplaceMedium = call.body
    made = await call.service(Media).replace(
        call.actor,
        cause_of(call, body.note),
        call.path["account_id"],
        _named(body.old_token, body.old_medium_id, "old_token"),
        bytes.fromhex(body.token),
        kind=body.kind,
    )
    return moved(made)


def _named(token: str | None, medium_id: str | None, member: str) -> Named:
    """One of the two. Raises: ApiError API_INVALID."""
    if (token is None) == (medium_id is None):
        fault = {
            "part": "body",
            "pointer": f"/{member}",
            "rule": "oneOf",
            "detail": "name the medium by its token or by its id, not both",
        }
        raise ApiError("API_INVALID", "which medium is meant", faults=[fault])
    return Named(bytes.fromhex(token or ""), medium_id or "")


MEDIUM = ("unknown_medium", "AUTH_STEP_UP", "REGISTRY_UNKNOWN", *ACCOUNT)

ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/media/lookup",
        handler=_look_up,
        summary="Tell which account a medium that was shown pays from",
        tag="media",
        body=MediumLookup,
        answer=ShownMedium,
        scopes=("payments:write",),
        idempotent=False,
        errors=("unknown_medium", "COMMAND_BAD_ARGUMENT", *COMMANDS),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/media",
        handler=_link,
        summary="Link a medium; a rider needs a second factor",
        tag="media",
        body=LinkMedium,
        answer=Movement,
        status=201,
        scopes=("media:write",),
        errors=("already_exists", "too_many_media", "COMMAND_BAD_ARGUMENT", *MEDIUM),
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account_id}/media",
        handler=_list,
        summary="List the media of an account whose owner is known",
        tag="media",
        answer=MediumList,
        scopes=("accounts:read",),
        errors=("unknown_account", "unknown_medium", "REGISTRY_UNKNOWN", *COMMANDS),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/media/state",
        handler=_set_state,
        summary="Report a medium lost, block it, end it, or take it back",
        tag="media",
        body=SetMediumState,
        answer=Movement,
        scopes=("media:write",),
        errors=("COMMAND_BAD_ARGUMENT", "AUTH_FORBIDDEN", *MEDIUM),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/media/replacements",
        handler=_replace,
        summary="Replace a medium by a new one",
        tag="media",
        body=ReplaceMedium,
        answer=Movement,
        status=201,
        scopes=("media:write",),
        errors=("already_exists", "too_many_media", "COMMAND_BAD_ARGUMENT", *MEDIUM),
    ),
]
