"""/v1/accounts/{account_id}/credits, payments, adjustments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, VERSION, cause_of, moved
from gateway.shapes import INT_MAX, PLAIN, AmountMinor, Note, Reference, SignedMinor, says
from gateway.wallet.commands import Movement
from gateway.wallet.money import CreditOrder as Order
from gateway.wallet.money import Money

Purpose = Annotated[
    int,
    says(
        "0 transit, 1 meal, 2 medical, 3 library, 4 tuition, 5 shopping, 6 housing, 7 venue",
        minimum=0,
        maximum=31,
    ),
]
PurseId = Annotated[
    int,
    says(
        "0 = the main purse, for payments: by the funding order; 1 = transit subsidy",
        minimum=0,
        maximum=INT_MAX,
    ),
]
MediumToken = Annotated[
    str | None,
    says(
        "16 bytes of the medium that was shown, for accounts one has no other right to",
        pattern="^[0-9a-f]{32}$",
    ),
]
MerchantId = Annotated[int, says("who is paid; 0 = the house", minimum=0, maximum=(1 << 32) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditOrder:
    """Value that came from outside. The same reference again is the same value, once."""

    amount_minor: AmountMinor
    reference: Reference
    source: Annotated[
        str, says("which of one's books the reference is from", maxLength=64, pattern=PLAIN)
    ] = ""
    merchant_id: Annotated[MerchantId, says("whose till took it; 0 = the house's")] = 0
    purse_id: PurseId = 0
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOrder:
    """A payment to a merchant."""

    amount_minor: AmountMinor
    purpose: Purpose
    merchant_id: MerchantId = 0
    purse_id: PurseId = 0
    reference: Reference | None = None
    note: Note = ""
    medium_token: MediumToken = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentOrder:
    """A correction by an operator; If-Match says what it corrects."""

    amount_minor: SignedMinor
    note: Annotated[Note, says("why, for the audit", minLength=1)]
    purse_id: PurseId = 0
    reference: Reference | None = None


async def _credit(call: Call) -> Answer:
    body: CreditOrder = call.body
    cause = cause_of(call, body.note, body.reference)
    order = Order(body.amount_minor, body.purse_id, body.merchant_id, body.source)
    made = await call.service(Money).credit(call.actor, cause, call.path["account_id"], order)
    return moved(made)


async def _pay(call: Call) -> Answer:
    body: PaymentOrder = call.body
    made = await call.service(Money).pay(
        call.actor,
        cause_of(call, body.note, body.reference or ""),
        call.path["account_id"],
        body.amount_minor,
        purpose=body.purpose,
        merchant_id=body.merchant_id,
        purse_id=body.purse_id,
        token=bytes.fromhex(body.medium_token or ""),
    )
    return moved(made)


async def _adjust(call: Call) -> Answer:
    body: AdjustmentOrder = call.body
    made = await call.service(Money).adjust(
        call.actor,
        cause_of(call, body.note, body.reference or ""),
        call.path["account_id"],
        body.amount_minor,
        expected_version=call.if_match,
        purse_id=body.purse_id,
    )
    return moved(made)


AMOUNT = ("amount_invalid", "amount_overflow", "COMMAND_CEILING", "account_frozen", *ACCOUNT)
DRAW = (
    "insufficient_balance",
    "limit_exceeded",
    "credit_late",
    "unknown_purse",
    "too_many_cells",
    *AMOUNT,
)

ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/credits",
        handler=_credit,
        summary="Put value in that came from outside",
        tag="money",
        body=CreditOrder,
        answer=Movement,
        status=201,
        scopes=("credits:write",),
        errors=(
            "APPROVAL_NEEDED",
            "AUTH_FORBIDDEN",
            "API_CONFLICT",
            "balance_limit",
            "limit_exceeded",
            "unknown_purse",
            *AMOUNT,
        ),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/payments",
        handler=_pay,
        summary="Pay a merchant, by purpose and funding order",
        tag="money",
        body=PaymentOrder,
        answer=Movement,
        status=201,
        scopes=("payments:write",),
        errors=("AUTH_FORBIDDEN", "unknown_medium", *DRAW),
    ),
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/adjustments",
        handler=_adjust,
        summary="Correct a balance",
        tag="money",
        body=AdjustmentOrder,
        answer=Movement,
        status=201,
        if_match="required",
        scopes=("adjustments:write",),
        errors=(
            "APPROVAL_NEEDED",
            "insufficient_balance",
            "balance_limit",
            "unknown_purse",
            *AMOUNT,
            *VERSION,
        ),
    ),
]
