"""/v1/accounts/{account_id}/holds and refunds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, COMMANDS, cause_of
from gateway.http.routes.money import AMOUNT, DRAW, MediumToken, MerchantId, Purpose
from gateway.shapes import INT_MAX, PLAIN, AmountMinor, Note, OperationId, Reference, says
from gateway.wallet.holds import API_CLIENT, Hold, HoldMovement, HoldOrder, Holds, Refund

Later = Annotated[int, says("microseconds UTC", minimum=1, maximum=INT_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    """What is to be held, and until when."""

    amount_minor: AmountMinor
    expires_us: Later
    purpose: Purpose
    merchant_id: MerchantId = 0
    reference: Reference | None = None
    note: Note = ""
    medium_token: MediumToken = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureHold:
    """What is taken of it; the last capture gives the rest back."""

    amount_minor: AmountMinor
    final: bool = False
    reference: Reference | None = None
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold:
    """Why it is given back."""

    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendHold:
    """Until when it is kept."""

    expires_us: Later
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """What is given back, of which payment or capture."""

    charge_id: OperationId
    amount_minor: AmountMinor
    charge_client: Annotated[
        str, says("whose operation it was", minLength=1, maxLength=32, pattern=PLAIN)
    ] = API_CLIENT
    reference: Reference | None = None
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldList:
    """Holds of an account that are not over."""

    data: tuple[Hold, ...]


async def _place(call: Call) -> Answer:
    body: PlaceHold = call.body
    token = bytes.fromhex(body.medium_token or "")
    order = HoldOrder(body.amount_minor, body.expires_us, body.purpose, body.merchant_id, token)
    cause = cause_of(call, body.note, body.reference or "")
    made, again = await call.service(Holds).place(call.actor, cause, call.path["account_id"], order)
    return Answer(value=made, replayed=again)


async def _list(call: Call) -> HoldList:
    found = await call.service(Holds).list_open(call.actor, call.path["account_id"])
    return HoldList(data=tuple(found))


async def _capture(call: Call) -> Answer:
    body: CaptureHold = call.body
    made, again = await call.service(Holds).capture(
        call.actor,
        cause_of(call, body.note, body.reference or ""),
        call.path["account_id"],
        call.path["hold_id"],
        body.amount_minor,
        is_final=body.final,
    )
    return Answer(value=made, replayed=again)


async def _release(call: Call) -> Answer:
    made, again = await call.service(Holds).release(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["hold_id"],
    )
    return Answer(value=made, replayed=again)


async def _extend(call: Call) -> Answer:
    made, again = await call.service(Holds).extend(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["hold_id"],
        call.body.expires_us,
    )
    return Answer(value=made, replayed=again)


async def _refund(call: Call) -> Answer:
    body: RefundOrder = call.body
    made, again = await call.service(Holds).refund(
        call.actor,
        cause_of(call, body.note, body.reference or ""),
        call.path["account_id"],
        body.charge_id,
        body.amount_minor,
        charge_client=body.charge_client,
    )
    return Answer(value=made, replayed=again)


SCOPES = ("payments:write",)
HOLD = ("unknown_hold", "hold_expired", "bad_time", "AUTH_FORBIDDEN")
PATH = "/v1/accounts/{account_id}/holds"

ENDPOINTS = [
    Endpoint(
        method="POST",
        path=PATH,
        handler=_place,
        summary="Hold an amount until an instant",
        tag="holds",
        body=PlaceHold,
        answer=HoldMovement,
        status=201,
        scopes=SCOPES,
        errors=(
            "AUTH_FORBIDDEN",
            "unknown_medium",
            "already_exists",
            "bad_time",
            "bad_request",
            *DRAW,
        ),
    ),
    Endpoint(
        method="GET",
        path=PATH,
        handler=_list,
        summary="List the holds that are not over",
        tag="holds",
        answer=HoldList,
        scopes=("accounts:read",),
        errors=("unknown_account", *COMMANDS),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/{hold_id}/capture",
        handler=_capture,
        summary="Take a part of a hold, or all of it",
        tag="holds",
        body=CaptureHold,
        answer=HoldMovement,
        scopes=SCOPES,
        errors=("over_capture", "insufficient_balance", "limit_exceeded", *HOLD, *AMOUNT),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/{hold_id}/release",
        handler=_release,
        summary="Give the rest of a hold back",
        tag="holds",
        body=ReleaseHold,
        answer=HoldMovement,
        scopes=SCOPES,
        errors=(*HOLD, *ACCOUNT),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/{hold_id}/extend",
        handler=_extend,
        summary="Keep a hold longer",
        tag="holds",
        body=ExtendHold,
        answer=HoldMovement,
        scopes=SCOPES,
        errors=("account_frozen", *HOLD, *ACCOUNT),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/refunds",
        handler=_refund,
        summary="Give back of a payment or a capture",
        tag="money",
        body=RefundOrder,
        answer=Refund,
        status=201,
        scopes=("refunds:write",),
        errors=(
            "AUTH_FORBIDDEN",
            "unknown_charge",
            "over_refund",
            "balance_limit",
            "too_many_cells",
            "bad_request",
            "COMMAND_BAD_ARGUMENT",
            *AMOUNT,
        ),
    ),
]
