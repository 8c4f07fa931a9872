"""Instalment plans on request: opened, paid back before they are due, compared with the data plane.

A plan is written into the book before the data plane is told, a repayment under its name as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from gateway.clock import derived_operation_id
from gateway.credit.asking import Asking
from gateway.credit.book import DONE, OPEN, OPENING, CreditPlan
from gateway.credit.plans import build_schedule, repay_early
from gateway.credit.wishes import Asked, Wish, add_wish, end_wish, find_wish
from gateway.errors import CreditError, FareGatewayError, Retry

ATTEMPTS_MAX = 5


class InstalmentDesk(Asking):
    """The services on instalment plans."""

    def open_plan(
        self, account_id: int, amount_minor: int, count: int, *, asked: Asked
    ) -> CreditPlan:
        """Pay a drawn amount back in instalments. The same name gives the same plan.

        Raises: CreditError: CREDIT_PLAN_TERMS, CREDIT_NOT_FOUND. CommandError: more than is drawn.
        """
        now_us, request = self.now_us(), asked.request
        with self.book.transaction() as connection:
            find_wish(connection, account_id, asked, "plan")
            line = self.book.get_line(connection, account_id)
            schedule = build_schedule(self.policy_of(line), amount_minor, count, now_us)
            plans = self.book.list_plans(connection, account_id)
            plan = next((one for one in plans if one.request == request), None)
            if plan is None:
                plan_id = max((one.plan_id for one in plans), default=0) + 1
                left = tuple(schedule)
                plan = CreditPlan(plan_id, request, amount_minor, count, now_us, OPENING, left)
                self.book.add_plan(connection, account_id, plan)
                values = {"at_us": now_us, "amount_minor": amount_minor, "number": plan_id}
                add_wish(connection, Wish.of(account_id, asked, "plan", **values))
                self.book.change_line(connection, account_id, next_us=now_us)
            elif (plan.amount_minor, plan.instalments) != (amount_minor, count):
                raise CreditError("CREDIT_PLAN_TERMS", f"{request} asked for another plan")
        return self.push_plan(account_id, plan) if plan.state == OPENING else plan

    def push_plan(self, account_id: int, plan: CreditPlan) -> CreditPlan:
        """Open a plan of the book in the data plane. Raises: CommandError: it was refused."""
        op_id = derived_operation_id(
            plan.opened_us, "credit plan", str(account_id), str(plan.plan_id)
        )
        args: dict[str, Any] = {
            "account_id": account_id,
            "key": plan.plan_id,
            "amount_minor": plan.amount_minor,
            "instalments": plan.instalments,
        }
        with self.book.transaction() as connection:
            wish = find_wish(connection, account_id, Asked(plan.request), "plan")
        if wish is not None:
            args |= wish.said()
        try:
            self.commands.call("plan_open", args, operation_id=op_id)
        except FareGatewayError as error:
            if error.retry is Retry.NEVER:
                with self.book.transaction() as connection:
                    self.book.drop_plan(connection, account_id, plan.plan_id)
                    if wish is not None:
                        end_wish(connection, wish, is_done=False)
            raise
        with self.book.transaction() as connection:
            self.book.change_plan(connection, account_id, plan.plan_id, state=OPEN)
        return replace(plan, state=OPEN)

    def repay_plan(
        self, account_id: int, plan_id: int, amount_minor: int, *, asked: Asked
    ) -> CreditPlan:
        """Pay of a plan before it is due, with money that is there; the last parts fall away first.

        Raises: CreditError: CREDIT_PLAN_NOT_FOUND; CREDIT_PLAN_AMOUNT: more than is left of it, or
            than is in the main purse. CommandError, Uncertain.
        """
        for _ in range(ATTEMPTS_MAX):
            wish = self._want_repayment(account_id, plan_id, amount_minor, asked)
            if wish.is_done or self._repay(wish):
                break
        else:
            raise CreditError("CREDIT_ERROR", "the account keeps changing", retry=Retry.SAFE)
        self.follow_plans(account_id)
        with self.book.transaction() as connection:
            return self._plan(connection, account_id, plan_id)

    def _plan(self, connection: Connection, account_id: int, plan_id: int) -> CreditPlan:
        for plan in self.book.list_plans(connection, account_id):
            if plan.plan_id == plan_id:
                return plan
        raise CreditError("CREDIT_PLAN_NOT_FOUND", f"account {account_id} has no plan {plan_id}")

    def _want_repayment(
        self, account_id: int, plan_id: int, amount_minor: int, asked: Asked
    ) -> Wish:
        """The wish of this name, written down now when there is none."""
        same = {"number": plan_id, "amount_minor": amount_minor}
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            wish = find_wish(connection, account_id, asked, "repay", **same)
            if wish is None:
                there_minor = account["balance_minor"] - account["held_minor"]
                self._check_repayment(connection, account_id, plan_id, amount_minor, there_minor)
                values = same | {"at_us": self.now_us(), "version": account["version"]}
                wish = Wish.of(account_id, asked, "repay", **values)
                add_wish(connection, wish)
        return wish

    def _check_repayment(
        self,
        connection: Connection,
        account_id: int,
        plan_id: int,
        amount_minor: int,
        there_minor: int,
    ) -> None:
        plan = self._plan(connection, account_id, plan_id)
        repay_early(plan.left, amount_minor)
        if amount_minor > there_minor:
            said = f"{max(there_minor, 0)} minor units are in the main purse"
            raise CreditError("CREDIT_PLAN_AMOUNT", said)
        moves = self.book.list_moves(connection, account_id)
        if plan.state == OPENING or any(one.plan_id == plan_id for one in moves):
            raise CreditError("CREDIT_ERROR", "the plan is being moved", retry=Retry.SAFE)

    def _repay(self, wish: Wish) -> bool:
        """Carry a repayment out; False: the account has moved since. Refused, it never was.

        Raises: CommandError, Uncertain.
        """
        account_id, plan_id = wish.account_id, wish.number
        names = (str(account_id), str(plan_id), wish.request, str(wish.version))
        op_id = derived_operation_id(wish.at_us, "early repayment", *names)
        args = {
            "account_id": account_id,
            "key": plan_id,
            "amount_minor": wish.amount_minor,
            "expected_version": wish.version,
        }
        try:
            self.commands.call("plan_repay", args | wish.said(), operation_id=op_id)
        except FareGatewayError as error:
            if error.retry is Retry.NEVER:
                with self.book.transaction() as connection:
                    end_wish(connection, wish, is_done=False)
            if error.code == "version_conflict":
                return False
            raise
        with self.book.transaction() as connection:
            end_wish(connection, wish, is_done=True)
        return True

    def follow_plans(self, account_id: int) -> None:
        """The data plane knows what is outstanding: what it has less was paid early.

        Whoever comes first writes it down; a plan that is just being moved is left alone.
        """
        with self.book.transaction() as connection:
            plans = self.book.list_plans(connection, account_id)
        if not any(plan.state == OPEN for plan in plans):
            return
        shown = self.commands.call("account_show", {"account_id": account_id})
        there = {one["key"]: one["outstanding_minor"] for one in shown["plans"]}
        with self.book.transaction() as connection:
            self.book.find_line(connection, account_id)  # others wait here
            moving = {one.plan_id for one in self.book.list_moves(connection, account_id)}
            for plan in self.book.list_plans(connection, account_id):
                if plan.state == OPEN and plan.plan_id not in moving:
                    self._follow(connection, account_id, plan, there.get(plan.plan_id, 0))

    def _follow(
        self, connection: Connection, account_id: int, plan: CreditPlan, there_minor: int
    ) -> None:
        left_minor = sum(one.amount_minor for one in plan.left)
        early_minor = left_minor - there_minor
        if early_minor > 0:
            left = repay_early(plan.left, early_minor)
            self.book.replace_left(connection, account_id, plan.plan_id, left)
        if early_minor == left_minor:
            self.book.change_plan(connection, account_id, plan.plan_id, state=DONE)
