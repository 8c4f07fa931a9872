"""/v1/merges: one account goes into another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import COMMANDS, cause_of
from gateway.http.routes.media import Token
from gateway.shapes import AccountId, Note, says
from gateway.wallet.merges import Merge, MergeOrder, Merges


@dataclass(frozen=True, slots=True, kw_only=True)
class StartMerge:
    """Which account goes into which other, with which of its media."""

    from_account_id: AccountId
    to_account_id: AccountId
    tokens: Annotated[
        tuple[Token, ...], says("media that are to move", maxItems=32, uniqueItems=True)
    ] = ()
    note: Note = ""


async def _start(call: Call) -> Answer:
    body: StartMerge = call.body
    tokens = [bytes.fromhex(token) for token in body.tokens]
    order = MergeOrder(body.from_account_id, body.to_account_id, tokens)
    made = await call.service(Merges).start(call.actor, cause_of(call, body.note), order)
    return Answer(value=made)


async def _get(call: Call) -> Merge:
    return await call.service(Merges).get(call.actor, call.path["merge_id"])


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/merges",
        handler=_start,
        summary="Move media and money of one account to another and close it",
        tag="accounts",
        body=StartMerge,
        answer=Merge,
        status=201,
        scopes=("accounts:write",),
        errors=("unknown_account", "currency_mismatch", "COMMAND_NOT_MERGED", *COMMANDS),
    ),
    Endpoint(
        method="GET",
        path="/v1/merges/{merge_id}",
        handler=_get,
        summary="Tell how far a merge has come",
        tag="accounts",
        answer=Merge,
        scopes=("accounts:read",),
    ),
]
