"""/v1/accounts/{account_id}/statements, consumption, notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.errors import ApiError
from gateway.http.cursors import Listed, cut_page, read_page
from gateway.http.endpoint import (
    AS_OF_POSITION,
    AS_OF_SEQ,
    Answer,
    Call,
    CsvFile,
    Endpoint,
    Page,
)
from gateway.shapes import INT_MAX, says
from gateway.wallet.events import AsOf
from gateway.wallet.reports import (
    ConsumptionReport,
    GroupName,
    Notice,
    ReportOrder,
    Reports,
    StatementReport,
)

DAY = "20[0-9]{2}-[0-9]{2}(-[0-9]{2})?"
PeriodText = Annotated[
    str,
    says("2026-11, 2026-11-28, or 2026-11-01..2026-11-15", pattern=rf"^{DAY}(\.\.{DAY})?$"),
]
WaitFor = Annotated[
    int, says("journal position to wait for, a few seconds at most", minimum=0, maximum=INT_MAX)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementQuery:
    """Which entries, or totals by what."""

    period: PeriodText
    by: GroupName | None = None
    purpose: Annotated[int | None, says("only of it", minimum=0, maximum=31)] = None
    merchant_id: Annotated[int | None, says("only to it", minimum=0, maximum=INT_MAX)] = None
    wait_for: WaitFor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumptionQuery:
    """Which time."""

    period: PeriodText
    wait_for: WaitFor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeList(Listed):
    """Notices, oldest first."""

    data: tuple[Notice, ...]


async def _statement(call: Call) -> StatementReport | Answer:
    query: StatementQuery = call.query
    order = ReportOrder(
        account_id=call.path["account_id"],
        period=query.period,
        by=query.by,
        purpose=query.purpose,
        merchant_id=query.merchant_id,
        wait_for=query.wait_for,
    )
    reports = call.service(Reports)
    try:
        if call.wants_csv:
            return _file("statement", order, *await reports.statement_csv(call.actor, order))
        return await reports.statement(call.actor, order)
    except ValueError as error:
        raise _no_period() from error


async def _consumption(call: Call) -> ConsumptionReport | Answer:
    query: ConsumptionQuery = call.query
    order = ReportOrder(call.path["account_id"], query.period, wait_for=query.wait_for)
    reports = call.service(Reports)
    try:
        if call.wants_csv:
            return _file("consumption", order, *await reports.consumption_csv(call.actor, order))
        return await reports.consumption(call.actor, order)
    except ValueError as error:
        raise _no_period() from error


def _file(what: str, order: ReportOrder, text: str, as_of: AsOf) -> Answer:
    """A CSV has no place for how old it is: the headers say it."""
    name = f"{what}-{order.account_id}-{order.period}.csv"
    headers = {AS_OF_POSITION: str(as_of.position), AS_OF_SEQ: str(as_of.seq)}
    return Answer(value=CsvFile(name=name, text=text), headers=headers)


def _no_period() -> ApiError:
    fault = {
        "part": "query",
        "pointer": "/period",
        "rule": "period",
        "detail": "must be dates of the calendar, the first not behind the last",
    }
    return ApiError("API_INVALID", "there is no such period", faults=[fault])


async def _notices(call: Call) -> NoticeList:
    window = read_page("ntc", call.query)
    found = await call.service(Reports).list_notices(call.actor, call.path["account_id"], window)
    return cut_page(NoticeList, "ntc", [(one.notice_id, one) for one in found], window)


LEDGER = ("unknown_account", "LEDGER_NOT_FOUND", "LEDGER_ERROR")

ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/accounts/{account_id}/statements",
        handler=_statement,
        summary="A statement: entries with why, or totals by day, month ...; also as CSV",
        tag="reports",
        query=StatementQuery,
        answer=StatementReport,
        has_csv=True,
        scopes=("statements:read",),
        errors=LEDGER,
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account_id}/consumption",
        handler=_consumption,
        summary="What was spent, by month, purpose and merchant; also as CSV",
        tag="reports",
        query=ConsumptionQuery,
        answer=ConsumptionReport,
        has_csv=True,
        scopes=("statements:read",),
        errors=LEDGER,
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account_id}/notices",
        handler=_notices,
        summary="What the owner was told",
        tag="reports",
        query=Page,
        answer=NoticeList,
        scopes=("accounts:read",),
        errors=("unknown_account",),
    ),
]
