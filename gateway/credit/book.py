"""The credit book: lines, statements and plans in the registry. Keeps, decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, func, insert, select, update

from gateway.credit.plans import Instalment
from gateway.credit.statements import CreditStatement
from gateway.credit.tables import CREDIT_INSTALMENTS, CREDIT_LINES, CREDIT_PLANS, CREDIT_STATEMENTS
from gateway.db import Database
from gateway.errors import CreditError

OPEN = "open"
OPENING = "opening"
CLOSING = "closing"
CLOSED = "closed"
DONE = "done"
FLAGS = ("is_late", "wants_late")
STATEMENT_FIELDS = [one.name for one in fields(CreditStatement)]


@dataclass(frozen=True, slots=True)
class CreditLine:
    """One credit line; see tables.py for what the fields mean."""

    account_id: int
    policy: str
    score: int
    tier: int
    limit_minor: int
    wanted_limit_minor: int
    wanted_us: int
    is_late: bool
    wants_late: bool
    wants_late_us: int
    closed_until_us: int
    flows_seq: int
    state: str
    opened_us: int
    next_us: int


@dataclass(frozen=True, slots=True)
class CreditPlan:
    """One plan with the instalments that are still to come."""

    plan_id: int
    request: str
    amount_minor: int
    instalments: int
    opened_us: int
    state: str
    left: tuple[Instalment, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """An instalment on its way back into what is drawn, since an instant."""

    plan_id: int
    number: int
    amount_minor: int
    begun_us: int


@dataclass(frozen=True, slots=True)
class GivingUp:
    """A write-off that was begun. version: account version that it asked for."""

    amount_minor: int
    version: int
    begun_us: int


class CreditBook:
    """Reads and writes; every method that takes a connection runs inside its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction. Raises: DatabaseError."""
        with self._database.transaction() as connection:
            yield connection

    # --- lines --------------------------------------------------------------------------------

    def find_line(self, connection: Connection, account_id: int) -> CreditLine | None:
        """The line of an account, a closed one too."""
        query = select(CREDIT_LINES).where(CREDIT_LINES.c.account_id == account_id)
        row = connection.execute(query.with_for_update()).mappings().one_or_none()
        return _line(row) if row is not None else None

    def get_line(self, connection: Connection, account_id: int) -> CreditLine:
        """Raises: CreditError CREDIT_NOT_FOUND."""
        line = self.find_line(connection, account_id)
        if line is None or line.state == CLOSED:
            raise CreditError("CREDIT_NOT_FOUND", f"account {account_id} has no credit line")
        return line

    def put_line(self, connection: Connection, line: CreditLine) -> None:
        """Add a line, or open a closed one anew."""
        values = asdict(line)
        values |= {name: int(values[name]) for name in FLAGS}
        old = delete(CREDIT_LINES).where(
            CREDIT_LINES.c.account_id == line.account_id, CREDIT_LINES.c.state == CLOSED
        )
        connection.execute(old)
        connection.execute(insert(CREDIT_LINES).values(values))

    def change_line(self, connection: Connection, account_id: int, **values: object) -> None:
        """Write some fields of a line."""
        where = CREDIT_LINES.c.account_id == account_id
        connection.execute(update(CREDIT_LINES).where(where).values(**values))

    def list_due(self, now_us: int, after: int, limit: int) -> list[int]:
        """Accounts with something to do, in the order of their numbers, behind `after`."""
        lines = CREDIT_LINES.c
        query = (
            select(lines.account_id)
            .where(lines.next_us <= now_us, lines.account_id > after, lines.state != CLOSED)
            .order_by(lines.account_id)
            .limit(limit)
        )
        with self.transaction() as connection:
            return list(connection.scalars(query))

    # --- statements ---------------------------------------------------------------------------

    def list_statements(self, connection: Connection, account_id: int) -> list[CreditStatement]:
        """Oldest first."""
        query = select(CREDIT_STATEMENTS).where(CREDIT_STATEMENTS.c.account_id == account_id)
        rows = connection.execute(query.order_by(CREDIT_STATEMENTS.c.month)).mappings()
        return [CreditStatement(**{name: row[name] for name in STATEMENT_FIELDS}) for row in rows]

    def add_statement(self, connection: Connection, account_id: int, one: CreditStatement) -> None:
        """A month that has closed."""
        values = {name: getattr(one, name) for name in STATEMENT_FIELDS}
        begun = ("giving_up_minor", "giving_up_version", "giving_up_us", "fee_us", "is_fee_done")
        none = dict.fromkeys(begun, 0)
        connection.execute(
            insert(CREDIT_STATEMENTS).values(account_id=account_id, **values, **none)
        )

    def change_statement(
        self, connection: Connection, account_id: int, month: int, **values: object
    ) -> None:
        """Write some fields of a statement."""
        where = _same(CREDIT_STATEMENTS, account_id=account_id, month=month)
        connection.execute(update(CREDIT_STATEMENTS).where(where).values(**values))

    def find_giving_up(
        self, connection: Connection, account_id: int, month: int
    ) -> GivingUp | None:
        """The write-off that was begun for a statement."""
        table = CREDIT_STATEMENTS.c
        where = _same(CREDIT_STATEMENTS, account_id=account_id, month=month)
        query = select(table.giving_up_minor, table.giving_up_version, table.giving_up_us)
        row = connection.execute(query.where(where)).one_or_none()
        return GivingUp(*row) if row is not None and row.giving_up_minor else None

    def list_fees(self, connection: Connection, account_id: int) -> dict[int, int]:
        """Months whose fee for being late is not dealt with; when it was asked for, 0 = not yet."""
        table = CREDIT_STATEMENTS.c
        query = select(table.month, table.fee_us).where(
            table.account_id == account_id, table.is_fee_done == 0
        )
        return {row.month: row.fee_us for row in connection.execute(query)}

    # --- plans --------------------------------------------------------------------------------

    def add_plan(
        self,
        connection: Connection,
        account_id: int,
        plan: CreditPlan,
    ) -> None:
        """A plan with its whole schedule."""
        connection.execute(
            insert(CREDIT_PLANS).values(
                account_id=account_id,
                plan_id=plan.plan_id,
                request=plan.request,
                amount_minor=plan.amount_minor,
                instalments=plan.instalments,
                opened_us=plan.opened_us,
                state=plan.state,
            )
        )
        self._add_instalments(connection, account_id, plan.plan_id, plan.left)

    def change_plan(
        self, connection: Connection, account_id: int, plan_id: int, *, state: str
    ) -> None:
        """Open it, or end it."""
        where = _same(CREDIT_PLANS, account_id=account_id, plan_id=plan_id)
        connection.execute(update(CREDIT_PLANS).where(where).values(state=state))

    def drop_plan(self, connection: Connection, account_id: int, plan_id: int) -> None:
        """A plan that was refused never was."""
        for table in (CREDIT_INSTALMENTS, CREDIT_PLANS):
            where = _same(table, account_id=account_id, plan_id=plan_id)
            connection.execute(delete(table).where(where))

    def find_plan_state(self, connection: Connection, request: str) -> str | None:
        """Of the plan that a request asked for, whosever it is."""
        query = select(CREDIT_PLANS.c.state).where(CREDIT_PLANS.c.request == request)
        found: str | None = connection.scalar(query)
        return found

    def list_plans(self, connection: Connection, account_id: int) -> list[CreditPlan]:
        """All plans of an account, the oldest first."""
        query = select(CREDIT_PLANS).where(CREDIT_PLANS.c.account_id == account_id)
        rows = connection.execute(query.order_by(CREDIT_PLANS.c.plan_id)).mappings().all()
        return [self._plan(connection, row) for row in rows]

    def begin_moves(
        self, connection: Connection, account_id: int, plan_id: int, now_us: int
    ) -> None:
        """Note that what is due of a plan is being moved, and since when."""
        table = CREDIT_INSTALMENTS.c
        where = _same(CREDIT_INSTALMENTS, account_id=account_id, plan_id=plan_id, begun_us=0)
        due = and_(where, table.due_us <= now_us)
        connection.execute(update(CREDIT_INSTALMENTS).where(due).values(begun_us=now_us))

    def list_moves(self, connection: Connection, account_id: int) -> list[Move]:
        """Moves that were begun and are not known to be done, oldest first."""
        table = CREDIT_INSTALMENTS.c
        query = (
            select(table.plan_id, table.number, table.amount_minor, table.begun_us)
            .where(table.account_id == account_id, table.begun_us > 0, table.is_moved == 0)
            .order_by(table.due_us, table.plan_id, table.number)
        )
        return [Move(*row) for row in connection.execute(query)]

    def end_move(
        self, connection: Connection, account_id: int, move: Move, *, is_moved: bool
    ) -> None:
        """It is back in what is drawn, or was refused: then it may be begun anew."""
        where = _same(
            CREDIT_INSTALMENTS, account_id=account_id, plan_id=move.plan_id, number=move.number
        )
        values = {"is_moved": 1} if is_moved else {"begun_us": 0}
        connection.execute(update(CREDIT_INSTALMENTS).where(where).values(values))

    def moved_late(self, connection: Connection, account_id: int, close_us: int) -> int:
        """Instalments that were due before a closing and moved behind it, minor units."""
        table = CREDIT_INSTALMENTS.c
        query = select(func.coalesce(func.sum(table.amount_minor), 0)).where(
            table.account_id == account_id,
            table.due_us < close_us,
            table.begun_us >= close_us,
            table.is_moved == 1,
        )
        return int(connection.scalar(query) or 0)

    def replace_left(
        self, connection: Connection, account_id: int, plan_id: int, left: Sequence[Instalment]
    ) -> None:
        """What is still to come, after an early repayment."""
        where = _same(CREDIT_INSTALMENTS, account_id=account_id, plan_id=plan_id, is_moved=0)
        connection.execute(delete(CREDIT_INSTALMENTS).where(where))
        self._add_instalments(connection, account_id, plan_id, left)

    def _add_instalments(
        self, connection: Connection, account_id: int, plan_id: int, left: Sequence[Instalment]
    ) -> None:
        same = {"account_id": account_id, "plan_id": plan_id, "begun_us": 0, "is_moved": 0}
        rows = [same | asdict(one) for one in left]
        if rows:
            connection.execute(insert(CREDIT_INSTALMENTS), rows)

    def _plan(self, connection: Connection, row: Any) -> CreditPlan:
        table = CREDIT_INSTALMENTS.c
        where = _same(
            CREDIT_INSTALMENTS, account_id=row["account_id"], plan_id=row["plan_id"], is_moved=0
        )
        query = select(table.number, table.due_us, table.amount_minor).where(where)
        left = connection.execute(query.order_by(table.number)).all()
        return CreditPlan(
            plan_id=row["plan_id"],
            request=row["request"],
            amount_minor=row["amount_minor"],
            instalments=row["instalments"],
            opened_us=row["opened_us"],
            state=row["state"],
            left=tuple(Instalment(*one) for one in left),
        )


def _line(row: Any) -> CreditLine:
    return CreditLine(**(dict(row) | {name: bool(row[name]) for name in FLAGS}))


def _same(table: Table, **values: object) -> Any:
    return and_(*(table.c[name] == value for name, value in values.items()))
