"""Statements and consumption of an account, from the ledger; and what its owner was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from gateway.ledger.consumption import consumption
from gateway.ledger.csvs import render_all
from gateway.ledger.periods import Period, parse_period
from gateway.ledger.statements import Group, Statement, Statements, Wanted
from gateway.ledger.words import notice_words
from gateway.registry.actors import Actor
from gateway.registry.notices import NoticeRow, NoticeStore
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.events import AsOf, as_of_mark
from gateway.windows import Window

GroupName = Literal["day", "month", "purpose", "merchant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementReport:
    """One account in one period. Opening and closing count every entry, also those left out."""

    account_id: AccountId
    currency: Annotated[int, says("ISO 4217 number")]
    period: Annotated[dict[str, str], says("local dates, both inside, and the zone")]
    opening_minor: SignedMinor
    closing_minor: SignedMinor
    entries: Annotated[tuple[dict[str, Any], ...], says("each with why; empty with `by`")]
    totals: Annotated[tuple[dict[str, Any], ...], says("with `by`: key, entries, in, out, net")]
    as_of: AsOf


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumptionReport:
    """What was spent, by month, purpose and merchant, the dearest first within a month."""

    account_id: AccountId
    period: dict[str, str]
    data: tuple[dict[str, Any], ...]
    as_of: AsOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What an owner was told."""

    notice_id: int
    account_id: AccountId
    kind: Annotated[str, says("account_frozen, account_unfrozen, budget_near ...")]
    title: Annotated[str, says("what to show a rider, in English")]
    title_zh: Annotated[str, says("the same in Chinese")]
    created_us: InstantUs
    body: dict[str, Any]


class Mark(Protocol):
    """How far the ledger has come."""

    async def wait(self, position: int) -> AsOf:
        """Until it has seen a position, or for as long as the settings allow."""


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """Which part of an account's history. period: `2026-11`, a day, or `FROM..TO`."""

    account_id: int
    period: str
    by: GroupName | None = None
    purpose: int | None = None
    merchant_id: int | None = None
    wait_for: int = 0


class Reports:
    """The services on what was."""

    def __init__(
        self,
        access: AccountAccess,
        mark: Mark,
        statements: Callable[[], Statements],
        notices: NoticeStore,
        zone: str,
    ) -> None:
        self._access = access
        self._mark = mark
        self._statements = statements
        self._notices = notices
        self._zone = zone

    async def statement(self, actor: Actor, order: ReportOrder) -> StatementReport:
        """Entries, or totals by something. Raises: LedgerError, ConfigError: no such period."""
        found = await self._read(actor, order)
        said = found.as_dict(Group(order.by) if order.by else None)
        return StatementReport(
            account_id=order.account_id,
            currency=found.currency,
            period=found.wanted.period.as_dict(),
            opening_minor=found.opening_minor,
            closing_minor=found.closing_minor,
            entries=_rows(said.get("entries")),
            totals=_rows(said.get("totals")),
            as_of=as_of_mark(found.as_of),
        )

    async def consumption(self, actor: Actor, order: ReportOrder) -> ConsumptionReport:
        """What was spent. Raises: LedgerError."""
        found = await self._read(actor, order)
        return ConsumptionReport(
            account_id=order.account_id,
            period=found.wanted.period.as_dict(),
            data=tuple(one.as_dict() for one in consumption(found)),
            as_of=as_of_mark(found.as_of),
        )

    async def statement_csv(self, actor: Actor, order: ReportOrder) -> tuple[str, AsOf]:
        """As `statement`, its entries or totals as CSV, and how old it is."""
        found = await self._read(actor, order)
        rows = found.rows(Group(order.by) if order.by else None)
        return render_all(rows), as_of_mark(found.as_of)

    async def consumption_csv(self, actor: Actor, order: ReportOrder) -> tuple[str, AsOf]:
        """As `consumption`, as CSV, and how old it is."""
        found = await self._read(actor, order)
        return render_all([one.as_dict() for one in consumption(found)]), as_of_mark(found.as_of)

    async def _read(self, actor: Actor, order: ReportOrder) -> Statement:
        await self._access.require(actor, order.account_id, Scope.STATEMENTS_READ)
        period: Period = parse_period(order.period, self._zone)
        await self._mark.wait(order.wait_for)
        wanted = Wanted(order.account_id, period, order.purpose, order.merchant_id)
        return await asyncio.to_thread(lambda: self._statements().of_account(wanted))

    async def list_notices(self, actor: Actor, account_id: int, window: Window) -> list[Notice]:
        """Oldest first; one more than asked for when there are more."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_READ)
        found = await asyncio.to_thread(lambda: self._notices.list_window(account_id, window))
        return [_notice(row) for row in found]


def _rows(rows: object) -> tuple[dict[str, Any], ...]:
    if not isinstance(rows, list):
        return ()
    return tuple(dict(row) for row in rows if isinstance(row, Mapping))


def _notice(row: NoticeRow) -> Notice:
    title, title_zh = notice_words(row.kind)
    return Notice(
        notice_id=row.notice_id,
        account_id=row.account_id,
        kind=row.kind,
        title=title,
        title_zh=title_zh,
        created_us=row.created_us,
        body=dict(row.body),
    )
