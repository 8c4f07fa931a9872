"""/v1/settlements: what operators and merchants earned on a service day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from gateway.errors import ApiError
from gateway.http.cursors import Listed, cut_page, read_page
from gateway.http.endpoint import DATE, LEDGER_ACCOUNT, Call, CsvFile, Endpoint, Page
from gateway.shapes import says
from gateway.wallet.settled import Settled, SettlementShown, SettlementsWanted


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementQuery(Page):
    """Which settlements."""

    ledger_account: Annotated[str | None, says("only of it", pattern=LEDGER_ACCOUNT)] = None
    from_date: Annotated[str | None, says("from this service date on", pattern=DATE)] = None
    until_date: Annotated[str | None, says("up to it, inside", pattern=DATE)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementNumber:
    """Which file of the day."""

    number: Annotated[
        int | None, says("of the file; absent = the newest", minimum=0, maximum=1 << 30)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementList(Listed):
    """Settlements, the newest first."""

    data: tuple[SettlementShown, ...]


async def _list(call: Call) -> SettlementList:
    query: SettlementQuery = call.query
    wanted = SettlementsWanted(
        query.ledger_account or "",
        _read_date(query.from_date, "from_date"),
        _read_date(query.until_date, "until_date"),
    )
    window = read_page("set", query)
    found = await call.service(Settled).list(call.actor, wanted, window)
    return cut_page(SettlementList, "set", found, window)


async def _get(call: Call) -> SettlementShown | CsvFile:
    try:
        day = date.fromisoformat(call.path["service_date"])
    except ValueError as error:
        raise ApiError("API_NOT_FOUND", "there is no such date") from error
    which = (call.actor, call.path["ledger_account"], day, call.query.number)
    if call.wants_csv:
        name, text = await call.service(Settled).file(*which)
        return CsvFile(name=name, text=text)
    return await call.service(Settled).get(*which)


def _read_date(text: str | None, name: str) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError as error:
        fault = {"part": "query", "pointer": f"/{name}", "rule": "date", "detail": "is no date"}
        raise ApiError("API_INVALID", "there is no such date", faults=[fault]) from error


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/settlements",
        handler=_list,
        summary="List settlements with their control totals, the newest first",
        tag="books",
        query=SettlementQuery,
        answer=SettlementList,
        scopes=("settlements:read",),
    ),
    Endpoint(
        method="GET",
        path="/v1/settlements/{ledger_account}/{service_date}",
        handler=_get,
        summary="Show what an operator or a merchant earned on a service date, or its file as CSV",
        tag="books",
        query=SettlementNumber,
        answer=SettlementShown,
        has_csv=True,
        scopes=("settlements:read",),
        errors=("LEDGER_NOT_FOUND", "LEDGER_FILE_GONE"),
    ),
]
