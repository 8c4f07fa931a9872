"""/v1/payouts: money of an account goes out to a bank account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import COMMANDS, cause_of
from gateway.shapes import PLAIN, AmountMinor, Note, says
from gateway.wallet.payouts import Payout, PayoutOrder, Payouts


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacePayout:
    """What goes where. Destination and name are kept sealed and told to the bank alone."""

    amount_minor: AmountMinor
    bank: Annotated[str, says("a bank of the settings", pattern="^[a-z][a-z0-9-]{0,31}$")]
    destination: Annotated[
        str, says("bank account, as the bank writes it", minLength=1, maxLength=64, pattern=PLAIN)
    ]
    name: Annotated[str, says("whose that is", maxLength=100, pattern=PLAIN)] = ""
    note: Note = ""


async def _place(call: Call) -> Answer:
    body: PlacePayout = call.body
    order = PayoutOrder(
        call.path["account_id"], body.amount_minor, body.bank, body.destination, body.name
    )
    made = await call.service(Payouts).place(call.actor, cause_of(call, body.note), order)
    return Answer(value=made, headers={"Location": f"/v1/payouts/{made.payout_id}"})


async def _get(call: Call) -> Payout:
    return await call.service(Payouts).get(call.actor, call.path["payout_id"])


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/accounts/{account_id}/payouts",
        handler=_place,
        summary="Have a bank pay out of an account's own money",
        tag="money",
        body=PlacePayout,
        answer=Payout,
        status=202,
        scopes=("payouts:write",),
        errors=("APPROVAL_NEEDED", "insufficient_balance", "unknown_account", *COMMANDS),
    ),
    Endpoint(
        method="GET",
        path="/v1/payouts/{payout_id}",
        handler=_get,
        summary="Tell how far a payout has come",
        tag="money",
        answer=Payout,
        scopes=("payouts:write",),
    ),
]
