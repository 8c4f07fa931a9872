"""Credit lines over the services of gateway/credit: opened by score and rule, shown with statements
and due dates, drawn amounts paid back in instalments, lost statements given up.

Whoever asks again asks for the same thing: the book behind it does nothing twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from gateway.clock import format_operation_id
from gateway.credit.book import CreditLine, CreditPlan
from gateway.credit.desk import CreditDesk
from gateway.credit.statements import CreditStatement
from gateway.errors import CreditError
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementOfCredit:
    """One closed month of a credit line."""

    month: Annotated[str, says("2026-11: the one that begins when it closes")]
    close_us: InstantUs
    due_us: InstantUs
    amount_minor: SignedMinor
    paid_minor: SignedMinor
    open_minor: SignedMinor
    standing: Literal["paid", "open", "due", "late", "lost", "written_off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalmentOfPlan:
    """One part of a plan that is still to come."""

    number: int
    due_us: InstantUs
    amount_minor: SignedMinor


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOfCredit:
    """A drawn amount paid back month by month."""

    plan_id: int
    amount_minor: SignedMinor
    instalments: int
    opened_us: InstantUs
    state: str
    left: tuple[InstalmentOfPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOfCredit:
    """A credit line with its statements and plans."""

    account_id: AccountId
    policy: str
    score: int
    tier: int
    limit_minor: SignedMinor
    is_late: bool
    state: str
    statements: tuple[StatementOfCredit, ...]
    plans: tuple[PlanOfCredit, ...]


class Lending:
    """The services on credit lines."""

    def __init__(self, desk: CreditDesk, access: AccountAccess) -> None:
        self._desk = desk
        self._access = access

    async def open(self, actor: Actor, account_id: int, policy: str, score: int) -> LineOfCredit:
        """Credit by the rules of a policy. The same again gives the line there is.

        Raises: CreditError; CommandError.
        """
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)

        def work() -> LineOfCredit:
            try:
                self._desk.open_line(account_id, policy, score=score)
            except CreditError as error:
                if error.code != "CREDIT_EXISTS" or not self._is_same(account_id, policy, score):
                    raise
            return self._shown(account_id)

        return await asyncio.to_thread(work)

    def _is_same(self, account_id: int, policy: str, score: int) -> bool:
        with self._desk.book.transaction() as connection:
            line = self._desk.book.get_line(connection, account_id)
        return (line.policy, line.score) == (policy, score)

    async def rescore(self, actor: Actor, account_id: int, score: int) -> LineOfCredit:
        """Decide the limit anew."""
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)

        def work() -> LineOfCredit:
            self._desk.change_score(account_id, score=score)
            return self._shown(account_id)

        return await asyncio.to_thread(work)

    async def get(self, actor: Actor, account_id: int) -> LineOfCredit:
        """The line as it stands. Raises: CreditError CREDIT_NOT_FOUND."""
        await self._access.require(actor, account_id, Scope.STATEMENTS_READ)
        return await asyncio.to_thread(self._shown, account_id)

    async def open_plan(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int, instalments: int
    ) -> LineOfCredit:
        """Pay a drawn amount back in instalments. Raises: CreditError, CommandError."""
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        request = format_operation_id(cause.operation_id)

        def work() -> LineOfCredit:
            self._desk.open_plan(account_id, amount_minor, instalments, request=request)
            return self._shown(account_id)

        return await asyncio.to_thread(work)

    def _shown(self, account_id: int) -> LineOfCredit:
        book = self._desk.book
        with book.transaction() as connection:
            line = book.get_line(connection, account_id)
            statements = book.list_statements(connection, account_id)
            plans = book.list_plans(connection, account_id)
        return line_of(line, statements, plans, self._desk.now_us())


def line_of(
    line: CreditLine,
    statements: list[CreditStatement],
    plans: list[CreditPlan],
    now_us: int,
) -> LineOfCredit:
    """A line of the book as it is shown."""
    return LineOfCredit(
        account_id=line.account_id,
        policy=line.policy,
        score=line.score,
        tier=line.tier,
        limit_minor=line.limit_minor,
        is_late=line.is_late,
        state=line.state,
        statements=tuple(_statement(one, now_us) for one in statements),
        plans=tuple(_plan(one) for one in plans),
    )


def _statement(one: CreditStatement, now_us: int) -> StatementOfCredit:
    year, month0 = divmod(one.month, 12)
    return StatementOfCredit(
        month=f"{year:04}-{month0 + 1:02}",
        close_us=one.close_us,
        due_us=one.due_us,
        amount_minor=one.amount_minor,
        paid_minor=one.paid_minor,
        open_minor=one.open_minor,
        standing=one.standing(now_us).value,
    )


def _plan(one: CreditPlan) -> PlanOfCredit:
    return PlanOfCredit(
        plan_id=one.plan_id,
        amount_minor=one.amount_minor,
        instalments=one.instalments,
        opened_us=one.opened_us,
        state=one.state,
        left=tuple(
            InstalmentOfPlan(number=part.number, due_us=part.due_us, amount_minor=part.amount_minor)
            for part in one.left
        ),
    )
