"""The credit cycle: closes statements, takes repayments in, moves instalments, sets lines late.

One account at a time, each step written down after its command is known to have had its effect;
commands have ids that follow from the book, so a crash anywhere is met by the next round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from gateway.clock import derived_operation_id
from gateway.credit.book import CLOSED, OPEN, OPENING, CreditBook, CreditLine, CreditPlan
from gateway.credit.desk import CreditDesk
from gateway.credit.flows import Flows
from gateway.credit.policy import CreditPolicy
from gateway.credit.statements import (
    CreditStatement,
    allocate,
    close_statement,
    close_us_of,
    is_late,
    months_closed,
)
from gateway.errors import CommandError, CreditError, Retry, Uncertain
from gateway.jobs import Job
from gateway.registry.notices import NewNotice, add_notice

log = logging.getLogger(__name__)

PAGE = 500
UNPAID_AGAIN_US = 60_000_000
"""How often a line with something to pay is looked at: a repayment ends lateness that soon."""
DUE_SOON_US = 3 * 86_400_000_000
"""How long before its due instant an owner is told of a statement that is not paid."""


class CreditCycle(Job):
    """Keeps all credit lines up to date. Thread: its own work runs in a worker thread."""

    name = "credit"

    def __init__(
        self,
        desk: CreditDesk,
        flows: Flows,
        now_us: Callable[[], int],
        *,
        every_s: float = 5.0,
    ) -> None:
        self._desk = desk
        self._book: CreditBook = desk.book
        self._flows = flows
        self._now_us = now_us
        self._every_s = every_s
        self._horizon: tuple[int, int] | None = None
        self._lines = 0
        self._put_off = 0

    async def run(self) -> None:
        """Round after round until cancelled."""
        while True:
            await asyncio.to_thread(self.run_once)
            await asyncio.sleep(self._every_s)

    def report(self) -> Mapping[str, Any]:
        """For the worker's page."""
        return {"lines": self._lines, "put_off": self._put_off}

    def run_once(self) -> int:
        """One round over all lines with something to do; how many there were.

        A round is for an instant whose records are all known here: the ledger is behind the data
        plane, and a statement made of half a day would be wrong for ever.
        """
        now_us = self._settled_us()
        after, count = 0, 0
        while now_us and (accounts := self._book.list_due(now_us, after, PAGE)):
            for account_id in accounts:
                self._advance_alone(account_id, now_us)
            after, count = accounts[-1], count + len(accounts)
        self._lines += count
        return count

    def _settled_us(self) -> int:
        """The last instant whose journal position the ledger has passed; 0 = it has not yet."""
        if self._horizon is None:
            now_us = self._now_us()
            self._horizon = now_us, int(self._desk.commands.call("status")["position"])
        now_us, position = self._horizon
        if self._flows.position() < position:
            return 0
        self._horizon = None
        return now_us

    def _advance_alone(self, account_id: int, now_us: int) -> None:
        """One line; what stands in its way is left for the next round, the others go on."""
        try:
            self.advance(account_id, now_us)
        except (CommandError, Uncertain, CreditError) as error:
            self._put_off += 1
            log.warning("credit_put_off", extra={"code": error.code, "detail": error.detail})

    def advance(self, account_id: int, now_us: int) -> None:
        """Bring one line up to an instant. Raises: CommandError, Uncertain, CreditError: not
        finished.
        """
        with self._book.transaction() as connection:
            line = self._book.get_line(connection, account_id)
            plans = self._book.list_plans(connection, account_id)
        policy = self._desk.policy_of(line)
        line = self._desk.push_limit(line)
        if line.state == CLOSED:
            return
        for plan in plans:
            if plan.state == OPENING:
                self._desk.push_plan(account_id, plan)
        self._finish_moves(account_id)
        self._desk.follow_plans(account_id)
        self._begin_moves(account_id, now_us)
        self._finish_moves(account_id)
        self._close_months(line, policy, now_us)
        self._take_repayments(account_id, now_us)
        self._charge_fees(account_id, policy, now_us)
        self._set_late(account_id, now_us)
        self._tell_owner(account_id, now_us)
        self._plan_next(account_id, policy, now_us)

    # --- instalments --------------------------------------------------------------------------

    def _open_plans(self, account_id: int) -> list[CreditPlan]:
        with self._book.transaction() as connection:
            plans = self._book.list_plans(connection, account_id)
        return [plan for plan in plans if plan.state == OPEN]

    def _begin_moves(self, account_id: int, now_us: int) -> None:
        """What is due goes back into what is drawn, so that it stands in the statement."""
        for plan in self._open_plans(account_id):
            with self._book.transaction() as connection:
                self._book.begin_moves(connection, account_id, plan.plan_id, now_us)

    def _finish_moves(self, account_id: int) -> None:
        """Moves that were begun, now or before a crash: once each, under their own ids.

        Refused means that the rider was quicker and paid it early: then it is as if never begun.
        """
        with self._book.transaction() as connection:
            moves = self._book.list_moves(connection, account_id)
        for move in moves:
            op_id = derived_operation_id(
                move.begun_us, "instalment", str(account_id), str(move.plan_id), str(move.number)
            )
            args = {
                "account_id": account_id,
                "key": move.plan_id,
                "amount_minor": move.amount_minor,
            }
            reply = self._desk.commands.exchange("plan_repay", args, operation_id=op_id)
            if not reply.ok and reply.retry != Retry.NEVER:
                raise CreditError("CREDIT_ERROR", f"plan_repay: {reply.code}", retry=Retry.SAFE)
            with self._book.transaction() as connection:
                self._book.end_move(connection, account_id, move, is_moved=reply.ok)

    # --- statements ---------------------------------------------------------------------------

    def _close_months(self, line: CreditLine, policy: CreditPolicy, now_us: int) -> None:
        """A statement for each month that has closed, with the repayments before it allocated."""
        for month in months_closed(policy, line.closed_until_us, now_us):
            close_us = close_us_of(policy, month)
            seq = self._line(line.account_id).flows_seq
            balance_minor = self._flows.balance_at(line.account_id, seq, close_us)
            self._take_repayments(line.account_id, close_us)
            with self._book.transaction() as connection:
                # An instalment belongs to the statement it was due before, however late it moved.
                balance_minor -= self._book.moved_late(connection, line.account_id, close_us)
                drawn_minor = max(-balance_minor, 0)
                older = self._book.list_statements(connection, line.account_id)
                one = close_statement(policy, month, drawn_minor, older)
                self._book.add_statement(connection, line.account_id, one)
                if one.amount_minor > 0:
                    tell(connection, line.account_id, "credit_statement", one, now_us)
                self._book.change_line(connection, line.account_id, closed_until_us=close_us)

    def _line(self, account_id: int) -> CreditLine:
        with self._book.transaction() as connection:
            return self._book.get_line(connection, account_id)

    def _take_repayments(self, account_id: int, until_us: int) -> None:
        line = self._line(account_id)
        repaid_minor, seq = self._flows.repaid_after(account_id, line.flows_seq, until_us=until_us)
        with self._book.transaction() as connection:
            statements = self._book.list_statements(connection, account_id)
            after, _ = allocate(statements, repaid_minor)
            for old, new in zip(statements, after, strict=True):
                if new.paid_minor != old.paid_minor:
                    self._book.change_statement(
                        connection, account_id, old.month, paid_minor=new.paid_minor
                    )
            self._book.change_line(connection, account_id, flows_seq=seq)

    def _set_late(self, account_id: int, now_us: int) -> None:
        """Late stops new credit; the last repayment lets it go on."""
        with self._book.transaction() as connection:
            line = self._book.get_line(connection, account_id)
            late = is_late(self._book.list_statements(connection, account_id), now_us)
            if late != line.wants_late:
                wanted = {"wants_late": int(late), "wants_late_us": now_us}
                self._book.change_line(connection, account_id, **wanted)
                line = self._book.get_line(connection, account_id)
        if line.is_late == line.wants_late:
            return
        op_id = derived_operation_id(line.wants_late_us, "credit state", str(account_id))
        args = {"account_id": account_id, "late": int(line.wants_late)}
        self._desk.commands.call("credit_state", args, operation_id=op_id)
        with self._book.transaction() as connection:
            self._book.change_line(connection, account_id, is_late=int(line.wants_late))

    def _tell_owner(self, account_id: int, now_us: int) -> None:
        """Of statements that want money soon, or wanted it long ago: once each."""
        with self._book.transaction() as connection:
            for one in self._book.list_statements(connection, account_id):
                if one.open_minor > 0 and one.due_us - DUE_SOON_US <= now_us < one.due_us:
                    tell(connection, account_id, "credit_due", one, now_us)
                elif is_late([one], now_us):
                    tell(connection, account_id, "credit_late", one, now_us)

    def _charge_fees(self, account_id: int, policy: CreditPolicy, now_us: int) -> None:
        """Each statement that has turned late costs the fee once; what the account cannot bear is
        not taken.
        """
        with self._book.transaction() as connection:
            fees = self._book.list_fees(connection, account_id)
            statements = self._book.list_statements(connection, account_id)
        for one in statements:
            if one.month in fees and is_late([one], now_us):
                if policy.late_fee_minor:
                    self._charge_fee(account_id, one.month, policy, fees[one.month] or now_us)
                with self._book.transaction() as connection:
                    self._book.change_statement(connection, account_id, one.month, is_fee_done=1)

    def _charge_fee(self, account_id: int, month: int, policy: CreditPolicy, at_us: int) -> None:
        """Under an id that is the book's before it is sent. Raises: Uncertain, CreditError."""
        with self._book.transaction() as connection:
            self._book.change_statement(connection, account_id, month, fee_us=at_us)
        op_id = derived_operation_id(at_us, "late fee", str(account_id), str(month))
        args = {
            "account_id": account_id,
            "amount_minor": policy.late_fee_minor,
            "fee": True,
            "way_home": True,
            "note": f"late: {month // 12}-{month % 12 + 1:02d}",
        }
        reply = self._desk.commands.exchange("debit", args, operation_id=op_id)
        if not reply.ok and reply.retry != Retry.NEVER:
            raise CreditError("CREDIT_ERROR", f"debit: {reply.code}", retry=Retry.SAFE)

    # --- when to look again -------------------------------------------------------------------

    def _plan_next(self, account_id: int, policy: CreditPolicy, now_us: int) -> None:
        with self._book.transaction() as connection:
            line = self._book.get_line(connection, account_id)
            statements = self._book.list_statements(connection, account_id)
            plans = self._book.list_plans(connection, account_id)
            month = next(months_closed(policy, now_us, now_us + 32 * 86_400_000_000))
            instants = [close_us_of(policy, month)]
            instants += [plan.left[0].due_us for plan in plans if plan.left]
            if line.is_late or any(one.open_minor > 0 for one in statements):
                instants.append(now_us + UNPAID_AGAIN_US)
            self._book.change_line(connection, account_id, next_us=min(instants))


def tell(
    connection: Connection, account_id: int, kind: str, one: CreditStatement, now_us: int
) -> None:
    """Tell the owner of a line something of a statement, once."""
    body = {
        "month": f"{one.month // 12}-{one.month % 12 + 1:02d}",
        "amount_minor": one.amount_minor,
        "open_minor": one.open_minor,
        "due_us": one.due_us,
    }
    key = f"{kind}:{account_id}:{one.month}"
    add_notice(connection, NewNotice(key, account_id, kind, body, now_us))
