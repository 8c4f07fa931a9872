"""/v1/accounts/{account_id}/credit-line and its instalment plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Call, Endpoint
from gateway.http.routes.accounts import ACCOUNT, cause_of
from gateway.shapes import AmountMinor, Note, says
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RepayPlan:
    """What is paid of a plan before it is due."""

    amount_minor: AmountMinor
    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLine:
    """Why it is closed."""

    note: Note = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Why a statement is given up."""

    note: Annotated[Note, says("why, for the audit", minLength=1)]


async def _open(call: Call) -> LineOfCredit:
    body: OpenLine = call.body
    return await call.service(Lending).open(
        call.actor, cause_of(call), call.path["account_id"], body.policy, body.score
    )


async def _rescore(call: Call) -> LineOfCredit:
    account_id = call.path["account_id"]
    lending = call.service(Lending)
    return await lending.rescore(call.actor, cause_of(call), account_id, call.body.score)


async def _close(call: Call) -> LineOfCredit:
    cause = cause_of(call, call.body.note)
    return await call.service(Lending).close(call.actor, cause, call.path["account_id"])


async def _write_off(call: Call) -> LineOfCredit:
    return await call.service(Lending).write_off(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["month"],
    )


async def _repay(call: Call) -> LineOfCredit:
    return await call.service(Lending).repay(
        call.actor,
        cause_of(call, call.body.note),
        call.path["account_id"],
        call.path["plan_id"],
        call.body.amount_minor,
    )


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
        errors=("APPROVAL_NEEDED", "CREDIT_EXISTS", "CREDIT_NOT_GRANTED", "CREDIT_ERROR", *CREDIT),
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
        errors=("APPROVAL_NEEDED", "CREDIT_ERROR", *CREDIT),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/close",
        handler=_close,
        summary="End a credit line that owes nothing",
        tag="credit",
        body=CloseLine,
        answer=LineOfCredit,
        scopes=SCOPES,
        errors=("CREDIT_STATEMENT", *CREDIT),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/statements/{month}/write-off",
        handler=_write_off,
        summary="Give a lost statement up; needs a second pair of eyes",
        tag="credit",
        body=GiveUp,
        answer=LineOfCredit,
        scopes=SCOPES,
        errors=("APPROVAL_NEEDED", "CREDIT_STATEMENT", "CREDIT_ERROR", *CREDIT),
    ),
    Endpoint(
        method="POST",
        path=PATH + "/plans/{plan_id}/repayments",
        handler=_repay,
        summary="Pay of a plan before it is due",
        tag="credit",
        body=RepayPlan,
        answer=LineOfCredit,
        status=201,
        scopes=SCOPES,
        errors=(
            "CREDIT_PLAN_NOT_FOUND",
            "CREDIT_PLAN_AMOUNT",
            "CREDIT_ERROR",
            "version_conflict",
            "insufficient_balance",
            "amount_invalid",
            "unknown_plan",
            *CREDIT,
        ),
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
