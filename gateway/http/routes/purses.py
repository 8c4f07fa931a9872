"""/v1/accounts/{account_id}/purses, tier, write-offs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, VERSION, cause_of, moved
from gateway.http.routes.money import MerchantId, Purpose
from gateway.shapes import AmountMinor, InstantUs, Note, says
from gateway.wallet.commands import Movement
from gateway.wallet.purses import OpenedPurse, PurseOrder, Purses


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPurse:
    """A purse for some purposes."""

    purposes: Annotated[
        tuple[Purpose, ...], says("what it pays", minItems=1, maxItems=32, uniqueItems=True)
    ]
    priority: Annotated[int, says("lower ones pay first", minimum=0, maximum=255)] = 10
    expires_us: InstantUs = 0
    merchant_id: Annotated[MerchantId, says("its sponsor; 0 = the house")] = 0
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPurse:
    """Why."""

    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTier:
    """The identity tier."""

    tier: Annotated[int, says("0 to 15", minimum=0, maximum=15)]
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOff:
    """A debt that is given up; If-Match says of which account."""

    amount_minor: AmountMinor
    note: Annotated[Note, says("why, for the audit", minLength=1)]


async def _open(call: Call) -> Answer:
    body: OpenPurse = call.body
    order = PurseOrder(body.purposes, body.priority, body.expires_us, body.merchant_id)
    made, again = await call.service(Purses).open(
        call.actor, cause_of(call, body.note), call.path["account_id"], order
    )
    return Answer(value=made, replayed=again)


async def _close(call: Call) -> Answer:
    made = await call.service(Purses).close(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["purse_id"],
    )
    return moved(made)


async def _sweep(call: Call) -> Answer:
    made = await call.service(Purses).sweep(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["purse_id"],
    )
    return moved(made)


async def _set_tier(call: Call) -> Answer:
    made = await call.service(Purses).set_tier(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.body.tier,
        expected_version=call.if_match,
    )
    return moved(made)


async def _write_off(call: Call) -> Answer:
    made = await call.service(Purses).write_off(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.body.amount_minor,
        expected_version=call.if_match,
    )
    return moved(made)


SCOPES = ("accounts:write",)
PURSE = ("unknown_purse", "COMMAND_BAD_ARGUMENT", *ACCOUNT)
PATH = "/v1/accounts/{account_id}/purses"

ENDPOINTS = [
    Endpoint(
        method="POST",
        path=PATH,
        handler=_open,
        summary="Open a purse",
        tag="accounts",
        body=OpenPurse,
        answer=OpenedPurse,
        status=201,
        scopes=SCOPES,
        errors=("already_exists", "too_many_cells", "bad_request", "bad_time", *PURSE),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/{purse_id}/close",
        handler=_close,
        summary="Close an empty purse",
        tag="accounts",
        body=EndPurse,
        answer=Movement,
        scopes=SCOPES,
        errors=("balance_not_zero", *PURSE),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/{purse_id}/sweep",
        handler=_sweep,
        summary="Take what is left in an expired purse back to its sponsor",
        tag="accounts",
        body=EndPurse,
        answer=Movement,
        scopes=SCOPES,
        errors=("not_expired", "amount_invalid", *PURSE),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/tier",
        handler=_set_tier,
        summary="Set the identity tier",
        tag="accounts",
        body=SetTier,
        answer=Movement,
        if_match="optional",
        scopes=SCOPES,
        errors=(*ACCOUNT, *VERSION),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/write-offs",
        handler=_write_off,
        summary="Give a debt up; needs a second pair of eyes",
        tag="credit",
        body=WriteOff,
        answer=Movement,
        status=201,
        if_match="required",
        scopes=("lending:write",),
        errors=("APPROVAL_NEEDED", "COMMAND_CEILING", "amount_invalid", *ACCOUNT, *VERSION),
    ),
]
