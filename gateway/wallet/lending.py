"""Credit lines over the services of gateway/credit: opened by score and rule, shown with statements
and due dates, drawn amounts paid back in instalments or earlier, lost statements given up.

Whoever asks again asks for the same thing: the book behind it does nothing twice, and keeps who it
was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from gateway.clock import format_operation_id
from gateway.credit.book import CreditLine, CreditPlan
from gateway.credit.desk import CreditDesk
from gateway.credit.statements import CreditStatement
from gateway.credit.wishes import Asked
from gateway.errors import CreditError
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.book import note_of
from gateway.wallet.commands import Cause
from gateway.wallet.eyes import Eyes


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
    """The services on credit lines. What the same cause asked for before is shown, not done."""

    def __init__(self, desk: CreditDesk, access: AccountAccess, eyes: Eyes) -> None:
        self._desk = desk
        self._access = access
        self._eyes = eyes

    async def open(
        self, actor: Actor, cause: Cause, account_id: int, policy: str, score: int
    ) -> LineOfCredit:
        """Credit by the rules of a policy. Raises: ApprovalNeeded; CreditError; CommandError."""
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        asked = asked_of(actor, cause)
        agreed_minor = await self._agree(actor, cause, account_id, policy, score)
        return await self._line(
            lambda: self._desk.open_line(
                account_id, policy, score=score, asked=asked, agreed_minor=agreed_minor
            )
        )

    async def rescore(
        self, actor: Actor, cause: Cause, account_id: int, score: int
    ) -> LineOfCredit:
        """Decide the limit anew. Raises: ApprovalNeeded; CreditError; CommandError."""
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        asked = asked_of(actor, cause)
        agreed_minor = await self._agree(actor, cause, account_id, "", score)
        return await self._line(
            lambda: self._desk.change_score(
                account_id, score=score, asked=asked, agreed_minor=agreed_minor
            )
        )

    async def _agree(
        self, actor: Actor, cause: Cause, account_id: int, policy: str, score: int
    ) -> int:
        """The limit that nobody has to agree to, or somebody has: what was decided before counts,
        and is not decided anew.
        """
        desk, asked = self._desk, asked_of(actor, cause)
        if wish := await asyncio.to_thread(desk.find_wish, account_id, asked, "limit"):
            return wish.amount_minor
        limit_minor = await asyncio.to_thread(
            lambda: desk.decide_limit(account_id, policy, score=score)
        )
        await self._eyes.require_credit_limit(actor, cause, account_id, limit_minor)
        return limit_minor

    async def close(self, actor: Actor, cause: Cause, account_id: int) -> LineOfCredit:
        """End a line that owes nothing. Raises: CreditError CREDIT_STATEMENT; CommandError."""
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        asked = asked_of(actor, cause)
        return await self._line(lambda: self._desk.close_line(account_id, asked=asked))

    async def write_off(
        self, actor: Actor, cause: Cause, account_id: int, month: str
    ) -> LineOfCredit:
        """Give a lost statement up, when somebody else agrees to it.

        Raises: ApprovalNeeded; CreditError CREDIT_STATEMENT: it is not lost; CommandError.
        """
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        desk, number, asked = self._desk, month_number(month), asked_of(actor, cause)
        wish = await asyncio.to_thread(desk.find_wish, account_id, asked, "write_off")
        if wish is not None:
            agreed_minor = wish.amount_minor  # this much and no more, when it did not happen yet
        else:
            agreed_minor = await asyncio.to_thread(desk.lost_minor, account_id, number)
            await self._eyes.require_write_off(
                actor, cause, account_id, agreed_minor, statement=month
            )
        await asyncio.to_thread(
            lambda: desk.write_off(account_id, number, asked=asked, agreed_minor=agreed_minor)
        )
        return await asyncio.to_thread(self._shown, account_id)

    async def get(self, actor: Actor, account_id: int) -> LineOfCredit:
        """The line as it stands. Raises: CreditError CREDIT_NOT_FOUND."""
        await self._access.require(actor, account_id, Scope.STATEMENTS_READ)
        return await asyncio.to_thread(self._shown, account_id)

    async def open_plan(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int, instalments: int
    ) -> LineOfCredit:
        """Pay a drawn amount back in instalments. Raises: CreditError, CommandError."""
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        asked = asked_of(actor, cause)

        def work() -> LineOfCredit:
            self._desk.open_plan(account_id, amount_minor, instalments, asked=asked)
            return self._shown(account_id)

        return await asyncio.to_thread(work)

    async def repay(
        self, actor: Actor, cause: Cause, account_id: int, plan_id: int, amount_minor: int
    ) -> LineOfCredit:
        """Pay of a plan before it is due, with money that is in the main purse.

        Raises: CreditError: CREDIT_PLAN_NOT_FOUND, CREDIT_PLAN_AMOUNT. CommandError.
        """
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        asked = asked_of(actor, cause)

        def work() -> LineOfCredit:
            self._desk.repay_plan(account_id, plan_id, amount_minor, asked=asked)
            return self._shown(account_id)

        return await asyncio.to_thread(work)

    async def _line(self, change: Callable[[], CreditLine]) -> LineOfCredit:
        """A change of a line, and what there is besides."""

        def work() -> LineOfCredit:
            line = change()
            return self._with(line)

        return await asyncio.to_thread(work)

    def _with(self, line: CreditLine) -> LineOfCredit:
        book = self._desk.book
        with book.transaction() as connection:
            statements = book.list_statements(connection, line.account_id)
            plans = book.list_plans(connection, line.account_id)
        return line_of(line, statements, plans, self._desk.now_us())

    def _shown(self, account_id: int) -> LineOfCredit:
        with self._desk.book.transaction() as connection:
            line = self._desk.book.get_line(connection, account_id)
        return self._with(line)


def asked_of(actor: Actor, cause: Cause) -> Asked:
    """A cause as the credit book keeps it: its operation id is the wish's name."""
    name = format_operation_id(cause.operation_id)
    return Asked(name, actor.subject, note_of(cause.key), cause.note)


def month_number(month: str) -> int:
    """2026-02 as statements count. Raises: CreditError CREDIT_STATEMENT."""
    year, _, number = month.partition("-")
    if not (year.isdecimal() and number.isdecimal() and 1 <= int(number) <= 12):
        raise CreditError("CREDIT_STATEMENT", f"{month}: write the month as 2026-02")
    return int(year) * 12 + int(number) - 1


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
