"""/v1/taps: a fare that was charged wrongly goes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import cause_of
from gateway.http.routes.money import AMOUNT
from gateway.shapes import Note, says
from gateway.wallet.fares import FareReversal, Fares


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseFare:
    """Why."""

    note: Annotated[Note, says("why, for the audit", minLength=1)]


async def _reverse(call: Call) -> Answer:
    body: ReverseFare = call.body
    made, again = await call.service(Fares).reverse(
        call.actor, cause_of(call, body.note), call.path["tap_id"]
    )
    return Answer(value=made, replayed=again)


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/taps/{tap_id}/reversal",
        handler=_reverse,
        summary="Give back what a tap took, whole",
        tag="money",
        body=ReverseFare,
        answer=FareReversal,
        status=201,
        scopes=("adjustments:write",),
        errors=(
            "APPROVAL_NEEDED",
            "RERATE_FARE_CHANGED",
            "unknown_charge",
            "over_refund",
            "too_many_cells",
            *AMOUNT,
        ),
    ),
]
