"""What is done with a credit line when somebody asks for it: opened, changed, closed; with it the
instalments (instalments.py) and write-offs (giving_up.py).

Everything is written into the book before the data plane is told, under an operation id that
follows from the book; whoever comes next (the cycle, or the same call again) finishes what a crash
left half done, and nothing is done twice.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.clock import derived_operation_id
from gateway.credit.asking import NOBODY, check_agreed
from gateway.credit.book import CLOSED, CLOSING, OPEN, OPENING, CreditLine
from gateway.credit.giving_up import WriteOffDesk
from gateway.credit.instalments import InstalmentDesk
from gateway.credit.wishes import (
    Asked,
    Kind,
    Wish,
    add_wish,
    end_wish,
    find_wish,
    find_wish_at,
    find_wish_called,
    move_wish,
)
from gateway.errors import CreditError, FareGatewayError, Retry


class CreditDesk(InstalmentDesk, WriteOffDesk):
    """The services on credit lines. Blocking: call it in a thread."""

    def find_wish(self, account_id: int, asked: Asked, kind: Kind) -> Wish | None:
        """What was asked for under this name before. Raises: CreditError CREDIT_ERROR."""
        with self.book.transaction() as connection:
            return find_wish(connection, account_id, asked, kind)

    def find_open(self, request: str) -> bool | None:
        """Whether the command of this wish is still to be carried out, or its end not known; None:
        nothing was wished under this name, or it was refused.
        """
        with self.book.transaction() as connection:
            wish = find_wish_called(connection, request)
            if wish is None:
                return None
            if wish.kind == "plan":
                return self.book.find_plan_state(connection, request) == OPENING
            if wish.kind in ("repay", "write_off"):
                return not wish.is_done
            line = self.book.find_line(connection, wish.account_id)
        if line is None or line.wanted_us != wish.at_us:
            return False
        return line.state in (OPENING, CLOSING) or line.limit_minor != line.wanted_limit_minor

    def decide_limit(self, account_id: int, policy: str, *, score: int) -> int:
        """What the rules would give now, minor units; policy: "" = that of the account's line.

        Raises: CreditError: CREDIT_NOT_FOUND, CREDIT_POLICY_NOT_FOUND. CommandError.
        """
        account = self.commands.call("account_show", {"account_id": account_id})
        if not policy:
            with self.book.transaction() as connection:
                policy = self.book.get_line(connection, account_id).policy
        return self.get_policy(policy).decide_limit(score, account["tier"]).limit_minor

    def open_line(
        self,
        account_id: int,
        policy: str,
        *,
        score: int,
        asked: Asked = NOBODY,
        agreed_minor: int | None = None,
    ) -> CreditLine:
        """Give an account credit by the rules of a policy and its identity tier.

        Args: agreed_minor: the limit others agreed to; it has to be this one.
        Returns: the line; of a wish that was there before, as it was then.
        Raises: CreditError: CREDIT_EXISTS, CREDIT_NOT_GRANTED, CREDIT_POLICY_NOT_FOUND.
            CommandError: unknown account, or the data plane refuses. Uncertain.
        """
        if wish := self.find_wish(account_id, asked, "limit"):
            return self._as_then(wish)
        now_us, chosen = self.now_us(), self.get_policy(policy)
        account = self.commands.call("account_show", {"account_id": account_id})
        if account["currency"] != chosen.currency.number:
            raise CreditError("CREDIT_NOT_GRANTED", f"{policy} is in {chosen.currency.code}")
        limit_minor = chosen.decide_limit(score, account["tier"]).limit_minor
        if not limit_minor:
            raise CreditError("CREDIT_NOT_GRANTED", f"score {score}, tier {account['tier']}")
        check_agreed(limit_minor, agreed_minor)
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
            add_wish(connection, _decision(line, asked))
        return self.push_limit(line)

    def _as_then(self, wish: Wish) -> CreditLine:
        """The line as a decision made it, which is finished first if it is the last one."""
        with self.book.transaction() as connection:
            line = self.book.find_line(connection, wish.account_id)
        if line is None:
            raise CreditError("CREDIT_NOT_FOUND", f"account {wish.account_id} has no credit line")
        if line.wanted_us == wish.at_us and line.state != CLOSED:
            line = self.push_limit(line)
        limit_minor = wish.amount_minor
        then = replace(line, policy=wish.policy, score=wish.score, tier=wish.tier, state=OPEN)
        return replace(then, limit_minor=limit_minor, wanted_limit_minor=limit_minor)

    def change_score(
        self,
        account_id: int,
        *,
        score: int,
        asked: Asked = NOBODY,
        agreed_minor: int | None = None,
    ) -> CreditLine:
        """Decide the limit anew; a lower one than what is drawn only stops new drawing.

        Asked for again under its name, it is shown as it was then and not decided again.
        """
        if wish := self.find_wish(account_id, asked, "limit"):
            return self._as_then(wish)
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            line = self.book.get_line(connection, account_id)
            if line.state == CLOSING:
                raise CreditError("CREDIT_NOT_FOUND", f"account {account_id}: its line is closing")
            decision = self.policy_of(line).decide_limit(score, account["tier"])
            check_agreed(decision.limit_minor, agreed_minor)
            wanted = {
                "score": score,
                "tier": account["tier"],
                "wanted_limit_minor": decision.limit_minor,
                "wanted_us": _later(self.now_us(), line),
                "next_us": self.now_us(),
            }
            self.book.change_line(connection, account_id, **wanted)
            line = self.book.get_line(connection, account_id)
            add_wish(connection, _decision(line, asked))
        return self.push_limit(line)

    def close_line(self, account_id: int, *, asked: Asked = NOBODY) -> CreditLine:
        """No credit from now on. What is drawn stays a debt and has to be back first.

        From here on the line is closing: no other limit is decided, and whoever brings this one to
        the data plane closes it.
        Returns: the line; closed, as it was then, if it was closed under this name before.
        Raises: CreditError CREDIT_STATEMENT: something is still open.
        """
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            wish = find_wish(connection, account_id, asked, "close")
            line = self.book.find_line(connection, account_id)
            if wish is not None and line is not None and _is_over(line, wish):
                return replace(line, limit_minor=0, wanted_limit_minor=0, state=CLOSED)
            line = self.book.get_line(connection, account_id)
            statements = self.book.list_statements(connection, account_id)
            plans = self.book.list_plans(connection, account_id)
            is_open = any(one.open_minor > 0 for one in statements) or any(
                one.left for one in plans
            )
            if is_open or account["balance_minor"] < 0:
                raise CreditError("CREDIT_STATEMENT", "something is drawn, or still to be paid")
            at_us = line.wanted_us
            if wish is None:
                at_us = _later(self.now_us(), line)
                made = Wish.of(account_id, asked, "close", at_us=at_us, amount_minor=0)
                add_wish(connection, made)
            wanted = {"wanted_limit_minor": 0, "wanted_us": at_us, "next_us": self.now_us()}
            self.book.change_line(connection, account_id, state=CLOSING, **wanted)
            line = self.book.get_line(connection, account_id)
        return self.push_limit(line)

    def push_limit(self, line: CreditLine) -> CreditLine:
        """Bring the limit that is wanted to the data plane. A line that is refused never was.

        Whoever carries out an older wish meanwhile may be heard last: when the book has another
        wish by now, that one is sent once more, under an id of its own.
        """
        if line.limit_minor == line.wanted_limit_minor and line.state in (OPEN, CLOSED):
            return line
        while True:
            self._send_limit(line)
            with self.book.transaction() as connection:
                newest = self.book.find_line(connection, line.account_id) or line
                if newest.wanted_us == line.wanted_us:
                    limit_minor = line.wanted_limit_minor
                    state = CLOSED if newest.state in (CLOSING, CLOSED) else OPEN
                    values = {"limit_minor": limit_minor, "state": state}
                    self.book.change_line(connection, line.account_id, **values)
                    return replace(newest, limit_minor=limit_minor, state=state)
                now_us = self.now_us()
                line = replace(newest, wanted_us=_later(now_us, newest))
                values = {"wanted_us": line.wanted_us, "next_us": now_us}
                self.book.change_line(connection, line.account_id, **values)
                move_wish(connection, line.account_id, newest.wanted_us, line.wanted_us)

    def _send_limit(self, line: CreditLine) -> None:
        account_id = line.account_id
        with self.book.transaction() as connection:
            wish = find_wish_at(connection, account_id, line.wanted_us, "limit", "close")
        said = wish.said() if wish is not None else {}
        args = {"account_id": account_id, "amount_minor": line.wanted_limit_minor, **said}
        op_id = derived_operation_id(line.wanted_us, "credit limit", str(account_id))
        try:
            self.commands.call("set_credit_limit", args, operation_id=op_id)
        except FareGatewayError as error:
            if error.retry is Retry.NEVER and line.state == OPENING:
                with self.book.transaction() as connection:
                    self.book.change_line(connection, account_id, state=CLOSED)
                    if wish is not None:
                        end_wish(connection, wish, is_done=False)
            raise


def _decision(line: CreditLine, asked: Asked) -> Wish:
    """A limit as it was decided."""
    values = {"policy": line.policy, "score": line.score, "tier": line.tier}
    limit_minor = line.wanted_limit_minor
    return Wish.of(
        line.account_id, asked, "limit", at_us=line.wanted_us, amount_minor=limit_minor, **values
    )


def _is_over(line: CreditLine, closing: Wish) -> bool:
    """Whether a line was closed by this wish; it may have been opened anew since."""
    return line.state == CLOSED or line.wanted_us != closing.at_us


def _later(now_us: int, line: CreditLine | None) -> int:
    """An instant for a new wish: later than the last one, since it names the operation."""
    return now_us if line is None else max(now_us, line.wanted_us + 1_000)
