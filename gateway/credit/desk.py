"""What is done with a credit line when somebody asks for it: open, change, instalments, write-off.

Everything is written into the book before the data plane is told, under an operation id that
follows from the book; whoever comes next (the cycle, or the same call again) finishes what a crash
left half done, and nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from gateway.clock import derived_operation_id
from gateway.control.frames import Reply
from gateway.credit.book import CLOSED, OPEN, OPENING, CreditBook, CreditLine, CreditPlan, GivingUp
from gateway.credit.plans import build_schedule
from gateway.credit.policy import CreditPolicy
from gateway.credit.statements import Standing
from gateway.errors import CreditError, FareGatewayError, Retry


class Commands(Protocol):
    """The way to the data plane (gateway/control/client.py)."""

    def call(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> dict[str, Any]:
        """Raises: CommandError, Uncertain."""

    def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> Reply:
        """As call; a refusal is a value."""


class CreditDesk:
    """The services on credit lines. Blocking: call it in a thread."""

    def __init__(
        self,
        book: CreditBook,
        policies: Mapping[str, CreditPolicy],
        commands: Commands,
        now_us: Callable[[], int],
    ) -> None:
        self.book = book
        self.commands = commands
        self._policies = policies
        self.now_us = now_us

    def policy_of(self, line: CreditLine) -> CreditPolicy:
        """Raises: CreditError CREDIT_POLICY_NOT_FOUND."""
        return self.get_policy(line.policy)

    def get_policy(self, name: str) -> CreditPolicy:
        """Raises: CreditError CREDIT_POLICY_NOT_FOUND."""
        if name not in self._policies:
            known = ", ".join(sorted(self._policies)) or "none"
            raise CreditError("CREDIT_POLICY_NOT_FOUND", f"no policy {name}; known: {known}")
        return self._policies[name]

    # --- lines --------------------------------------------------------------------------------

    def open_line(self, account_id: int, policy: str, *, score: int) -> CreditLine:
        """Give an account credit by the rules of a policy and its identity tier.

        Raises: CreditError: CREDIT_EXISTS, CREDIT_NOT_GRANTED, CREDIT_POLICY_NOT_FOUND.
            CommandError: unknown account, or the data plane refuses. Uncertain.
        """
        now_us, chosen = self.now_us(), self.get_policy(policy)
        account = self.commands.call("account_show", {"account_id": account_id})
        if account["currency"] != chosen.currency.number:
            raise CreditError("CREDIT_NOT_GRANTED", f"{policy} is in {chosen.currency.code}")
        limit_minor = chosen.decide_limit(score, account["tier"]).limit_minor
        if not limit_minor:
            raise CreditError("CREDIT_NOT_GRANTED", f"score {score}, tier {account['tier']}")
        wanted = CreditLine(
            account_id=account_id,
            policy=policy,
            score=score,
            tier=account["tier"],
            limit_minor=account["credit_limit_minor"],
            wanted_limit_minor=limit_minor,
            wanted_us=now_us,
            is_late=False,
            wants_late=False,
            wants_late_us=0,
            closed_until_us=now_us,
            flows_seq=0,
            state=OPENING,
            opened_us=now_us,
            next_us=now_us,
        )
        with self.book.transaction() as connection:
            found = self.book.find_line(connection, account_id)
            if found is not None and found.state != CLOSED:
                raise CreditError("CREDIT_EXISTS", f"account {account_id}")
            line = replace(wanted, wanted_us=_later(now_us, found))
            self.book.put_line(connection, line)
        return self.push_limit(line)

    def change_score(self, account_id: int, *, score: int) -> CreditLine:
        """Decide the limit anew; a lower one than what is drawn only stops new drawing."""
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            line = self.book.get_line(connection, account_id)
            decision = self.policy_of(line).decide_limit(score, account["tier"])
            wanted = {
                "score": score,
                "tier": account["tier"],
                "wanted_limit_minor": decision.limit_minor,
                "wanted_us": _later(self.now_us(), line),
            }
            self.book.change_line(connection, account_id, **wanted)
            line = self.book.get_line(connection, account_id)
        return self.push_limit(line)

    def close_line(self, account_id: int) -> CreditLine:
        """No credit from now on. What is drawn stays a debt and has to be back first.

        Raises: CreditError CREDIT_STATEMENT: something is still open.
        """
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            line = self.book.get_line(connection, account_id)
            statements = self.book.list_statements(connection, account_id)
            plans = self.book.list_plans(connection, account_id)
            is_open = any(one.open_minor > 0 for one in statements) or any(
                one.left for one in plans
            )
            if is_open or account["balance_minor"] < 0:
                raise CreditError("CREDIT_STATEMENT", "something is drawn, or still to be paid")
            wanted_us = _later(self.now_us(), line)
            self.book.change_line(connection, account_id, wanted_limit_minor=0, wanted_us=wanted_us)
            line = self.book.get_line(connection, account_id)
        line = self.push_limit(line)
        with self.book.transaction() as connection:
            self.book.change_line(connection, account_id, state=CLOSED)
        return replace(line, state=CLOSED)

    def push_limit(self, line: CreditLine) -> CreditLine:
        """Bring the limit that is wanted to the data plane. A line that is refused never was."""
        if line.limit_minor == line.wanted_limit_minor and line.state != OPENING:
            return line
        account_id, wanted_minor = line.account_id, line.wanted_limit_minor
        args = {"account_id": account_id, "amount_minor": wanted_minor}
        op_id = derived_operation_id(line.wanted_us, "credit limit", str(account_id))
        try:
            self.commands.call("set_credit_limit", args, operation_id=op_id)
        except FareGatewayError as error:
            if error.retry is Retry.NEVER and line.state == OPENING:
                with self.book.transaction() as connection:
                    self.book.change_line(connection, account_id, state=CLOSED)
            raise
        done = replace(line, limit_minor=wanted_minor, state=OPEN)
        with self.book.transaction() as connection:
            self.book.change_line(connection, account_id, limit_minor=wanted_minor, state=OPEN)
        return done

    # --- plans --------------------------------------------------------------------------------

    def open_plan(
        self, account_id: int, amount_minor: int, count: int, *, request: str
    ) -> CreditPlan:
        """Pay a drawn amount back in instalments.

        request: the caller's name of this wish; the same one gives the same plan.
        Raises: CreditError: CREDIT_PLAN_TERMS, CREDIT_NOT_FOUND. CommandError: more than is drawn.
        """
        now_us = self.now_us()
        with self.book.transaction() as connection:
            line = self.book.get_line(connection, account_id)
            schedule = build_schedule(self.policy_of(line), amount_minor, count, now_us)
            plans = self.book.list_plans(connection, account_id)
            plan = next((one for one in plans if one.request == request), None)
            if plan is None:
                plan_id = max((one.plan_id for one in plans), default=0) + 1
                left = tuple(schedule)
                plan = CreditPlan(plan_id, request, amount_minor, count, now_us, OPENING, left)
                self.book.add_plan(connection, account_id, plan)
                self.book.change_line(connection, account_id, next_us=now_us)
            elif (plan.amount_minor, plan.instalments) != (amount_minor, count):
                raise CreditError("CREDIT_PLAN_TERMS", f"{request} asked for another plan")
        return self.push_plan(account_id, plan) if plan.state == OPENING else plan

    def push_plan(self, account_id: int, plan: CreditPlan) -> CreditPlan:
        """Open a plan of the book in the data plane. Raises: CommandError: it was refused."""
        op_id = derived_operation_id(
            plan.opened_us, "credit plan", str(account_id), str(plan.plan_id)
        )
        args = {
            "account_id": account_id,
            "key": plan.plan_id,
            "amount_minor": plan.amount_minor,
            "instalments": plan.instalments,
        }
        try:
            self.commands.call("plan_open", args, operation_id=op_id)
        except FareGatewayError as error:
            if error.retry is Retry.NEVER:
                with self.book.transaction() as connection:
                    self.book.drop_plan(connection, account_id, plan.plan_id)
            raise
        with self.book.transaction() as connection:
            self.book.change_plan(connection, account_id, plan.plan_id, state=OPEN)
        return replace(plan, state=OPEN)

    # --- write-off ----------------------------------------------------------------------------

    def write_off(self, account_id: int, month: int) -> int:
        """Give the rest of a lost statement up; returns what was given up, minor units.

        Who may is decided by the caller (four eyes). A write-off that was begun and whose end is
        not known is asked about under its own operation id before another one is tried.
        Raises: CreditError CREDIT_STATEMENT: there is none, or it is not lost.
        """
        begun = self._begun(account_id, month)
        if begun is not None and self._give_up(account_id, month, begun):
            return begun.amount_minor
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            statements = self.book.list_statements(connection, account_id)
            one = next((each for each in statements if each.month == month), None)
            if one is None or one.standing(self.now_us()) is not Standing.LOST:
                raise CreditError("CREDIT_STATEMENT", f"the statement of month {month} is not lost")
            amount_minor = min(one.open_minor, -account["balance_minor"])
            if amount_minor <= 0:
                raise CreditError("CREDIT_STATEMENT", "the account owes nothing any more")
            begun = GivingUp(amount_minor, account["version"], self.now_us())
            self.book.change_statement(
                connection,
                account_id,
                month,
                giving_up_minor=begun.amount_minor,
                giving_up_version=begun.version,
                giving_up_us=begun.begun_us,
            )
        if not self._give_up(account_id, month, begun):
            raise CreditError("CREDIT_STATEMENT", "the account moved meanwhile: try again")
        return begun.amount_minor

    def _begun(self, account_id: int, month: int) -> GivingUp | None:
        with self.book.transaction() as connection:
            return self.book.find_giving_up(connection, account_id, month)

    def _give_up(self, account_id: int, month: int, begun: GivingUp) -> bool:
        """False: the account has moved since, nothing happened. Raises: CommandError, Uncertain."""
        with self.book.transaction() as connection:
            statements = self.book.list_statements(connection, account_id)
        one = next(each for each in statements if each.month == month)
        op_id = derived_operation_id(begun.begun_us, "write off", str(account_id), str(month))
        args = {
            "account_id": account_id,
            "amount_minor": begun.amount_minor,
            "expected_version": begun.version,
        }
        reply = self.commands.exchange("write_off", args, operation_id=op_id)
        values = {"giving_up_minor": 0, "giving_up_version": 0, "giving_up_us": 0}
        if reply.ok:
            values["written_off_minor"] = one.written_off_minor + begun.amount_minor
        elif reply.retry != Retry.NEVER:
            raise CreditError("CREDIT_ERROR", f"write_off: {reply.code}", retry=Retry.SAFE)
        with self.book.transaction() as connection:
            self.book.change_statement(connection, account_id, month, **values)
        return reply.ok


def _later(now_us: int, line: CreditLine | None) -> int:
    """An instant for a new wish: later than the last one, since it names the operation."""
    return now_us if line is None else max(now_us, line.wanted_us + 1_000)
