"""/v1/accounts/{account_id}/credit-line and its instalment plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, cause_of
from gateway.shapes import AmountMinor, says
from gateway.wallet.lending import Lending, LineOfCredit

Score = Annotated[int, says("0 to 1000", minimum=0, maximum=1000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLine:
    """By which policy, and with which score."""

    score: Score
    policy: Annotated[str, says("id of a credit policy", pattern="^[a-z0-9-]{1,40}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescore:
    """The score that counts from now on."""

    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPlan:
    """What is paid back in instalments."""

    amount_minor: AmountMinor
    instalments: Annotated[int, says("how many", minimum=2, maximum=60)]


async def _open(call: Call) -> LineOfCredit:
    body: OpenLine = call.body
    return await call.service(Lending).open(
        call.actor, call.path["account_id"], body.policy, body.score
    )


async def _rescore(call: Call) -> LineOfCredit:
    account_id = call.path["account_id"]
    return await call.service(Lending).rescore(call.actor, account_id, call.body.score)


async def _get(call: Call) -> LineOfCredit:
    return await call.service(Lending).get(call.actor, call.path["account_id"])


async def _open_plan(call: Call) -> LineOfCredit:
    body: OpenPlan = call.body
    return await call.service(Lending).open_plan(
        call.actor,
        cause_of(call),
        call.path["account_id"],
        body.amount_minor,
        body.instalments,
    )


PATH = "/v1/accounts/{account_id}/credit-line"
SCOPES = ("lending:write",)
CREDIT = ("CREDIT_NOT_FOUND", "CREDIT_POLICY_NOT_FOUND", "COMMAND_CEILING", *ACCOUNT)

ENDPOINTS = [
    Endpoint(
        method="POST",
        path=PATH,
        handler=_open,
        summary="Give an account credit by the rules of a policy",
        tag="credit",
        body=OpenLine,
        answer=LineOfCredit,
        status=201,
        scopes=SCOPES,
        errors=("CREDIT_EXISTS", "CREDIT_NOT_GRANTED", *CREDIT),
    ),
    Endpoint(
        method="GET",
        path=PATH,
        handler=_get,
        summary="Show a credit line with statements, due dates and plans",
        tag="credit",
        answer=LineOfCredit,
        scopes=("statements:read",),
        errors=("unknown_account", "CREDIT_NOT_FOUND"),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/score",
        handler=_rescore,
        summary="Decide the limit anew",
        tag="credit",
        body=Rescore,
        answer=LineOfCredit,
        scopes=SCOPES,
        errors=CREDIT,
    ),
    Endpoint(
        method="POST",
        path=PATH + "/plans",
        handler=_open_plan,
        summary="Pay a drawn amount back in instalments",
        tag="credit",
        body=OpenPlan,
        answer=LineOfCredit,
        status=201,
        scopes=SCOPES,
        errors=(
            "CREDIT_PLAN_TERMS",
            "CREDIT_PLAN_AMOUNT",
            "insufficient_balance",
            "amount_invalid",
            "already_exists",
            "too_many_cells",
            *CREDIT,
        ),
    ),
]
