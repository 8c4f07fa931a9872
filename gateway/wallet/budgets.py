"""Monthly budgets: what an owner means to spend, how much of it is used, and a warning once a month
when it is near and when it is over. They warn; they refuse nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from gateway.clock import US_PER_S
from gateway.errors import ApiError, LedgerError
from gateway.ledger.consumption import BudgetState, check_budget
from gateway.ledger.periods import parse_period
from gateway.ledger.statements import Statements, Wanted
from gateway.registry.actors import Actor
from gateway.registry.notices import NewNotice, NoticeStore
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.stores.rules import BudgetRow, RuleStore

ALL_PURPOSES = -1
BUDGETS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """One budget and how it stands this month."""

    account_id: AccountId
    purpose: Annotated[int, says("-1 = all")]
    month: Annotated[str, says("2026-11, local")]
    month_minor: SignedMinor
    used_minor: SignedMinor
    left_minor: SignedMinor
    warn_percent: int
    warning: Literal["none", "near", "over"]


class BudgetBook:
    """Says how budgets stand, from the ledger. Blocking."""

    def __init__(
        self, statements: Callable[[], Statements], clock: Callable[[], int], zone: str
    ) -> None:
        self._statements = statements
        self._clock = clock
        self._zone = zone

    def today(self) -> date:
        """The local date."""
        return datetime.fromtimestamp(self._clock() // US_PER_S, ZoneInfo(self._zone)).date()

    def report(self, row: BudgetRow) -> BudgetReport:
        """How a budget stands. Raises: LedgerError, DatabaseError."""
        month = self.today().isoformat()[:7]
        period = parse_period(month, self._zone)
        purpose = None if row.purpose == ALL_PURPOSES else row.purpose
        wanted = Wanted(row.account_id, period, purpose)
        try:
            entries = self._statements().of_account(wanted).entries
        except LedgerError as error:
            if error.code != "LEDGER_NOT_FOUND":
                raise
            entries = []
        stands = check_budget(entries, month, row.month_minor, warn_percent=row.warn_percent)
        return BudgetReport(
            account_id=row.account_id,
            purpose=row.purpose,
            month=month,
            month_minor=row.month_minor,
            used_minor=stands.used_minor,
            left_minor=stands.left_minor,
            warn_percent=row.warn_percent,
            warning=stands.warning.value,
        )


class Budgets:
    """The services on budgets."""

    def __init__(
        self, access: AccountAccess, store: RuleStore, book: BudgetBook, clock: Callable[[], int]
    ) -> None:
        self._access = access
        self._store = store
        self._book = book
        self._clock = clock

    async def put(
        self, actor: Actor, account_id: int, purpose: int, month_minor: int, warn_percent: int
    ) -> BudgetReport:
        """Set a budget, in place of the one there was. Raises: ApiError API_CONFLICT: too many."""
        await self._access.require_change(actor, account_id, Scope.STATEMENTS_READ)
        row = BudgetRow(account_id, purpose, month_minor, warn_percent, 0, self._clock())

        def work() -> BudgetReport:
            known = self._store.list_budgets([account_id])
            others = [one for one in known if one.purpose != purpose]
            if len(others) >= BUDGETS_MAX:
                raise ApiError("API_CONFLICT", f"an account has at most {BUDGETS_MAX} budgets")
            self._store.put_budget(actor, row)
            return self._book.report(row)

        return await asyncio.to_thread(work)

    async def list_account(self, actor: Actor, account_id: int) -> list[BudgetReport]:
        """Budgets of an account and how they stand."""
        await self._access.require(actor, account_id, Scope.STATEMENTS_READ)

        def work() -> list[BudgetReport]:
            return [self._book.report(row) for row in self._store.list_budgets([account_id])]

        return await asyncio.to_thread(work)

    async def remove(self, actor: Actor, account_id: int, purpose: int) -> None:
        """Raises: ApiError API_NOT_FOUND."""
        await self._access.require_change(actor, account_id, Scope.STATEMENTS_READ)
        how = (actor, account_id, purpose, self._clock())
        if not await asyncio.to_thread(self._store.remove_budget, *how):
            raise ApiError("API_NOT_FOUND", "the account has no such budget")


class BudgetWatch:
    """Warns owners: once a month when a budget is near, once when it is over. Blocking."""

    def __init__(
        self,
        store: RuleStore,
        book: BudgetBook,
        notices: NoticeStore,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._book = book
        self._notices = notices
        self._clock = clock

    def look(self, account_ids: Iterable[int], position: int = 0) -> int:
        """Look at the budgets of accounts something happened on, up to a journal record. Returns
        warnings told.
        """
        told = 0
        today = self._book.today()
        level = {BudgetState.NONE: 0, BudgetState.NEAR: 1, BudgetState.OVER: 2}
        for row in self._store.list_budgets(account_ids):
            report = self._book.report(row)
            said = (today.year * 12 + today.month) * 4 + level[BudgetState(report.warning)]
            if report.warning != "none" and said > row.warned_month:
                self._tell(row, report, position)
                self._store.set_warned(row.account_id, row.purpose, said)
                told += 1
        return told

    def _tell(self, row: BudgetRow, report: BudgetReport, position: int) -> None:
        kind = f"budget_{report.warning}"
        key = f"{kind}:{row.account_id}:{row.purpose}:{report.month}:{row.changed_us}"
        body = {
            "purpose": row.purpose,
            "month": report.month,
            "month_minor": row.month_minor,
            "used_minor": report.used_minor,
        }
        now_us = self._clock()
        self._notices.add(NewNotice(key, row.account_id, kind, body, now_us, position))
