"""/v1/accounts/{account_id}/freezes and notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, COMMANDS, cause_of
from gateway.shapes import PLAIN, InstantUs, Note, says
from gateway.wallet.freezes import Freeze, FreezeOrder, Freezes, What


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceFreeze:
    """What is to be frozen, and why."""

    reason: Annotated[str, says("told to the owner", minLength=1, maxLength=200, pattern=PLAIN)]
    what: What = "debit"
    rule: Annotated[str, says("the rule behind it", maxLength=64, pattern=PLAIN)] = ""
    expires_us: InstantUs = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftFreeze:
    """Why it is lifted."""

    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeList:
    """Freezes of an account, also those that are over."""

    data: tuple[Freeze, ...]


async def _place(call: Call) -> Answer:
    body: PlaceFreeze = call.body
    order = FreezeOrder(body.what, body.reason, body.rule, body.expires_us)
    account_id = call.path["account_id"]
    made = await call.service(Freezes).place(call.actor, cause_of(call), account_id, order)
    return Answer(value=made)


async def _list(call: Call) -> FreezeList:
    found = await call.service(Freezes).list(call.actor, call.path["account_id"])
    return FreezeList(data=tuple(found))


async def _lift(call: Call) -> Answer:
    made = await call.service(Freezes).lift(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["freeze_id"],
    )
    return Answer(value=made)


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/freezes",
        handler=_place,
        summary="Freeze an account: no new authorisation succeeds behind its position",
        tag="freezes",
        body=PlaceFreeze,
        answer=Freeze,
        status=201,
        scopes=("freezes:write",),
        errors=ACCOUNT,
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account_id}/freezes",
        handler=_list,
        summary="List the freezes of an account",
        tag="freezes",
        answer=FreezeList,
        scopes=("accounts:read",),
        errors=("unknown_account", *COMMANDS),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/freezes/{freeze_id}/lift",
        handler=_lift,
        summary="Lift a freeze; needs a second pair of eyes",
        tag="freezes",
        body=LiftFreeze,
        answer=Freeze,
        scopes=("freezes:write",),
        errors=("APPROVAL_NEEDED", *ACCOUNT),
    ),
]
