"""/v1/accounts/{account_id}/top-up-rules and budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.http.routes.accounts import COMMANDS, cause_of
from gateway.shapes import INT_MAX, AmountMinor, Reference, says
from gateway.wallet.budgets import BudgetReport, Budgets
from gateway.wallet.topups import TopupOrder, TopupRule, Topups

Minor = Annotated[int, says("minor units; 0 = none", minimum=0, maximum=INT_MAX)]
BudgetPurpose = Annotated[int, says("-1 = all", minimum=-1, maximum=31)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTopupRule:
    """When value is put in, how much, from where. An amount, or up to a target."""

    kind: Literal["threshold", "interval"]
    source: Reference
    threshold_minor: Minor = 0
    amount_minor: Minor = 0
    target_minor: Minor = 0
    every_s: Annotated[int, says("of an interval", minimum=0, maximum=366 * 86_400)] = 0
    daily_cap_minor: Minor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTopupState:
    """Switch a rule off, or take it up again."""

    state: Literal["active", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopupRuleList:
    """Rules of an account."""

    data: tuple[TopupRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBudget:
    """What is meant to be spent in a month, and from how much of it on to warn."""

    month_minor: AmountMinor
    purpose: BudgetPurpose = -1
    warn_percent: Annotated[int, says("percent", minimum=1, maximum=100)] = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetList:
    """Budgets of an account and how they stand."""

    data: tuple[BudgetReport, ...]


async def _add(call: Call) -> TopupRule:
    body: AddTopupRule = call.body
    order = TopupOrder(
        kind=body.kind,
        source=body.source,
        threshold_minor=body.threshold_minor,
        amount_minor=body.amount_minor,
        target_minor=body.target_minor,
        every_s=body.every_s,
        daily_cap_minor=body.daily_cap_minor,
    )
    account_id = call.path["account_id"]
    return await call.service(Topups).add(call.actor, cause_of(call), account_id, order)


async def _list(call: Call) -> TopupRuleList:
    found = await call.service(Topups).list_account(call.actor, call.path["account_id"])
    return TopupRuleList(data=tuple(found))


async def _set_state(call: Call) -> TopupRule:
    return await call.service(Topups).set_state(
        call.actor, call.path["account_id"], call.path["rule_id"], call.body.state
    )


async def _put_budget(call: Call) -> BudgetReport:
    body: PutBudget = call.body
    return await call.service(Budgets).put(
        call.actor, call.path["account_id"], body.purpose, body.month_minor, body.warn_percent
    )


async def _list_budgets(call: Call) -> BudgetList:
    found = await call.service(Budgets).list_account(call.actor, call.path["account_id"])
    return BudgetList(data=tuple(found))


async def _remove_budget(call: Call) -> Answer:
    await call.service(Budgets).remove(call.actor, call.path["account_id"], call.path["purpose"])
    return Answer(value=None)


RULES = "/v1/accounts/{account_id}/top-up-rules"
BUDGETS = "/v1/accounts/{account_id}/budgets"

ENDPOINTS = [
    Endpoint(
        method="POST",
        path=RULES,
        handler=_add,
        summary="Put value in automatically: below a threshold, or every so often",
        tag="rules",
        body=AddTopupRule,
        answer=TopupRule,
        status=201,
        scopes=("credits:write",),
        errors=("APPROVAL_NEEDED", "unknown_account", "API_CONFLICT", *COMMANDS),
    ),
    Endpoint(
        method="GET",
        path=RULES,
        handler=_list,
        summary="List the top-up rules of an account",
        tag="rules",
        answer=TopupRuleList,
        scopes=("accounts:read",),
        errors=("unknown_account",),
    ),
    Endpoint(
        method="POST",
        path=RULES + "/{rule_id}/state",
        handler=_set_state,
        summary="Switch a top-up rule off, or take it up again",
        tag="rules",
        body=SetTopupState,
        answer=TopupRule,
        scopes=("credits:write",),
        errors=("unknown_account",),
    ),
    Endpoint(
        method="POST",
        path=BUDGETS,
        handler=_put_budget,
        summary="Set a monthly budget; it warns and refuses nothing",
        tag="rules",
        body=PutBudget,
        answer=BudgetReport,
        scopes=("statements:read",),
        errors=("unknown_account", "API_CONFLICT", "LEDGER_ERROR"),
    ),
    Endpoint(
        method="GET",
        path=BUDGETS,
        handler=_list_budgets,
        summary="List budgets and how they stand",
        tag="rules",
        answer=BudgetList,
        scopes=("statements:read",),
        errors=("unknown_account", "LEDGER_ERROR"),
    ),
    Endpoint(
        method="DELETE",
        path=BUDGETS + "/{purpose}",
        handler=_remove_budget,
        summary="Remove a budget",
        tag="rules",
        status=204,
        scopes=("statements:read",),
        errors=("unknown_account",),
    ),
]
