"""/v1/reconciliation: breaks, their age, and what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.cursors import Listed, cut_page, read_page
from gateway.http.endpoint import LEDGER_ACCOUNT, Call, Endpoint, Page
from gateway.ledger.breaks import BreakState
from gateway.shapes import PLAIN, says
from gateway.wallet.breaks import Aged, Breaks, BreakShown

Only = Annotated[str | None, says("only of this ledger account", pattern=LEDGER_ACCOUNT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakQuery(Page):
    """Which breaks."""

    ledger_account: Only = None
    state: Annotated[BreakState | None, says("absent = all")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeingQuery:
    """Of which breaks."""

    ledger_account: Only = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakList(Listed):
    """Breaks by number."""

    data: tuple[BreakShown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ageing:
    """Open and explained breaks by age, the youngest first."""

    data: tuple[Aged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainBreak:
    """What a break is, or what was done about it."""

    note: Annotated[str, says("what it is", minLength=1, maxLength=500, pattern=PLAIN)]
    close: Annotated[bool, says("nothing is left to do")] = False


async def _list(call: Call) -> BreakList:
    query: BreakQuery = call.query
    window = read_page("brk", query)
    found = await call.service(Breaks).list(
        call.actor, query.ledger_account or "", query.state, window
    )
    return cut_page(BreakList, "brk", [(one.break_id, one) for one in found], window)


async def _get(call: Call) -> BreakShown:
    return await call.service(Breaks).get(call.actor, call.path["break_id"])


async def _age(call: Call) -> Ageing:
    found = await call.service(Breaks).age(call.actor, call.query.ledger_account or "")
    return Ageing(data=tuple(found))


async def _explain(call: Call) -> BreakShown:
    return await call.service(Breaks).explain(
        call.actor,
        call.operation_id,
        call.path["break_id"],
        call.body.note,
        close=call.body.close,
    )


SCOPES = ("settlements:read",)

ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/reconciliation/breaks",
        handler=_list,
        summary="List breaks with their type and age",
        tag="books",
        query=BreakQuery,
        answer=BreakList,
        scopes=SCOPES,
    ),
    Endpoint(
        method="GET",
        path="/v1/reconciliation/breaks/{break_id}",
        handler=_get,
        summary="Show a break",
        tag="books",
        answer=BreakShown,
        scopes=SCOPES,
        errors=("LEDGER_BREAK",),
    ),
    Endpoint(
        method="POST",
        path="/v1/reconciliation/breaks/{break_id}/explanations",
        handler=_explain,
        summary="Say what a break is, and close it when nothing is left to do",
        tag="books",
        body=ExplainBreak,
        answer=BreakShown,
        scopes=(*SCOPES, "adjustments:write"),
        errors=("LEDGER_BREAK",),
    ),
    Endpoint(
        method="GET",
        path="/v1/reconciliation/ageing",
        handler=_age,
        summary="Count the breaks that are left by their age",
        tag="books",
        query=AgeingQuery,
        answer=Ageing,
        scopes=SCOPES,
    ),
]
