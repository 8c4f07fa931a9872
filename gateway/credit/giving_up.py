"""Lost statements given up: begun in the book, carried out once, whoever finishes it."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.clock import derived_operation_id
from gateway.credit.asking import NOBODY, Asking, check_agreed
from gateway.credit.book import GivingUp
from gateway.credit.statements import CreditStatement, Standing
from gateway.credit.wishes import Asked, Wish, add_wish, end_wish, find_wish, find_wish_at
from gateway.errors import CreditError, Retry


class WriteOffDesk(Asking):
    """The services on write-offs."""

    def lost_minor(self, account_id: int, month: int) -> int:
        """What a lost statement's write-off would give up now, minor units.

        Raises: CreditError CREDIT_STATEMENT: there is none, or it is not lost. CommandError.
        """
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            one = self._lost(connection, account_id, month)
        return _given_up(one, account["balance_minor"])

    def _lost(self, connection: Connection, account_id: int, month: int) -> CreditStatement:
        statements = self.book.list_statements(connection, account_id)
        one = next((each for each in statements if each.month == month), None)
        if one is None or one.standing(self.now_us()) is not Standing.LOST:
            raise CreditError("CREDIT_STATEMENT", f"the statement of month {month} is not lost")
        return one

    def write_off(
        self,
        account_id: int,
        month: int,
        *,
        asked: Asked = NOBODY,
        agreed_minor: int | None = None,
    ) -> int:
        """Give the rest of a lost statement up; returns what was given up, minor units.

        Who may is decided by the caller (four eyes); agreed_minor: what others agreed to, it has to
        be this much. A write-off that was begun and whose end is not known is asked about under its
        own operation id before another one is tried.
        Raises: CreditError CREDIT_STATEMENT: there is none, or it is not lost.
        """
        wish = self._wish(account_id, asked)
        if wish is not None and wish.is_done:
            return wish.amount_minor
        begun = self._begun(account_id, month)
        if begun is not None and self._give_up(account_id, month, begun):
            return begun.amount_minor
        account = self.commands.call("account_show", {"account_id": account_id})
        with self.book.transaction() as connection:
            one = self._lost(connection, account_id, month)
            amount_minor = _given_up(one, account["balance_minor"])
            check_agreed(amount_minor, agreed_minor)
            begun = GivingUp(amount_minor, account["version"], self.now_us())
            self.book.change_statement(
                connection,
                account_id,
                month,
                giving_up_minor=begun.amount_minor,
                giving_up_version=begun.version,
                giving_up_us=begun.begun_us,
            )
            values = {"at_us": begun.begun_us, "amount_minor": amount_minor, "number": month}
            add_wish(connection, Wish.of(account_id, asked, "write_off", **values))
        if not self._give_up(account_id, month, begun):
            raise CreditError("CREDIT_STATEMENT", "the account moved meanwhile: try again")
        return begun.amount_minor

    def _wish(self, account_id: int, asked: Asked) -> Wish | None:
        with self.book.transaction() as connection:
            return find_wish(connection, account_id, asked, "write_off")

    def _begun(self, account_id: int, month: int) -> GivingUp | None:
        with self.book.transaction() as connection:
            return self.book.find_giving_up(connection, account_id, month)

    def _give_up(self, account_id: int, month: int, begun: GivingUp) -> bool:
        """False: the account has moved since, nothing happened. Raises: CommandError, Uncertain."""
        with self.book.transaction() as connection:
            statements = self.book.list_statements(connection, account_id)
            wish = find_wish_at(connection, account_id, begun.begun_us, "write_off")
        one = next(each for each in statements if each.month == month)
        op_id = derived_operation_id(begun.begun_us, "write off", str(account_id), str(month))
        args = {
            "account_id": account_id,
            "amount_minor": begun.amount_minor,
            "expected_version": begun.version,
            **(wish.said() if wish is not None else {}),
        }
        reply = self.commands.exchange("write_off", args, operation_id=op_id)
        values = {"giving_up_minor": 0, "giving_up_version": 0, "giving_up_us": 0}
        if reply.ok:
            values["written_off_minor"] = one.written_off_minor + begun.amount_minor
        elif reply.retry != Retry.NEVER:
            raise CreditError("CREDIT_ERROR", f"write_off: {reply.code}", retry=Retry.SAFE)
        with self.book.transaction() as connection:
            self.book.change_statement(connection, account_id, month, **values)
            if wish is not None:
                end_wish(connection, wish, is_done=reply.ok)
        return reply.ok


def _given_up(one: CreditStatement, balance_minor: int) -> int:
    amount_minor = min(one.open_minor, -balance_minor)
    if amount_minor <= 0:
        raise CreditError("CREDIT_STATEMENT", "the account owes nothing any more")
    return amount_minor
