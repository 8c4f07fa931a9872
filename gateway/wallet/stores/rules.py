"""Rules owners set for their accounts: automatic top-ups, monthly budgets; and how far their job
has read the ledger. Each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.db import Database
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.wallet.stores.tables import BUDGETS, CURSORS, TOPUPS


@dataclass(frozen=True, slots=True)
class TopupRow:
    """One rule. kind: threshold or interval. state: active, paused, off.

    next_us: of an interval when it is due; of a threshold when its last run was decided.
    runs: how many were decided. due_minor: of the one under way, 0 = none.
    day, day_minor: local day (ordinal) of the last run, and what was put in on it.
    look_us: when a threshold is looked at though nothing happened on its account, 0 = never.
    """

    rule_id: str
    account_id: int
    kind: str
    threshold_minor: int
    amount_minor: int
    target_minor: int
    every_s: int
    next_us: int
    daily_cap_minor: int
    source: str
    state: str
    created_us: int
    day: int = 0
    day_minor: int = 0
    runs: int = 0
    due_minor: int = 0
    last_error: str = ""
    tenant_id: str = ""
    look_us: int = 0


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """What an owner means to spend in a month. purpose: -1 = all."""

    account_id: int
    purpose: int
    month_minor: int
    warn_percent: int
    warned_month: int
    changed_us: int


class RuleStore:
    """The registry's side of owners' rules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _insert(self, table: Any) -> Any:
        return (sqlite.insert if self._database.is_sqlite else postgresql.insert)(table)

    def add_topup(self, actor: Actor, row: TopupRow) -> None:
        """Enter a rule; again is nothing."""
        values = {column.name: getattr(row, column.name) for column in TOPUPS.columns}
        with self._database.transaction() as connection:
            made = connection.execute(self._insert(TOPUPS).on_conflict_do_nothing(), values)
            if made.rowcount:
                about = {"rule_id": row.rule_id, "source": row.source}
                _note(connection, actor, "topup.add", row.account_id, row.created_us, **about)

    def set_topup_state(self, actor: Actor, row: TopupRow, state: str, now_us: int) -> None:
        """Switch a rule off, or take it up again: then it is looked at, whatever happens."""
        mine = TOPUPS.c.rule_id == row.rule_id
        values = {"state": state, "last_error": "", "look_us": now_us}
        with self._database.transaction() as connection:
            connection.execute(update(TOPUPS).where(mine).values(values))
            about = {"rule_id": row.rule_id, "state": state}
            _note(connection, actor, "topup.state", row.account_id, now_us, **about)

    def find_topup(self, rule_id: str) -> TopupRow | None:
        """One rule."""
        query = select(TOPUPS).where(TOPUPS.c.rule_id == rule_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _topup(row)

    def list_topups(self, account_ids: Iterable[int]) -> list[TopupRow]:
        """All rules of some accounts, also those that are off, oldest first."""
        query = select(TOPUPS).where(TOPUPS.c.account_id.in_(sorted(set(account_ids))))
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(TOPUPS.c.created_us, TOPUPS.c.rule_id))
            return [_topup(row) for row in found]

    def list_waiting(self, now_us: int) -> list[TopupRow]:
        """Active rules with a run under way, and intervals and thresholds that are due."""
        query = select(TOPUPS).where(TOPUPS.c.state == "active")
        is_due = or_(
            (TOPUPS.c.kind == "interval") & (TOPUPS.c.next_us <= now_us),
            (TOPUPS.c.look_us > 0) & (TOPUPS.c.look_us <= now_us),
        )
        with self._database.reading() as connection:
            found = connection.execute(query.where((TOPUPS.c.due_minor > 0) | is_due))
            return [_topup(row) for row in found]

    def change_topup(self, rule_id: str, seen_runs: int, values: Mapping[str, Any]) -> bool:
        """Set columns, if no other run was decided meanwhile. Returns whether they were set."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(TOPUPS)
                .where(TOPUPS.c.rule_id == rule_id, TOPUPS.c.runs == seen_runs)
                .values(**values)
            )
        return bool(changed.rowcount)

    def put_budget(self, actor: Actor, row: BudgetRow) -> None:
        """Set a budget, in place of the one there was."""
        values = {column.name: getattr(row, column.name) for column in BUDGETS.columns}
        insert = self._insert(BUDGETS).values(values)
        keys = [BUDGETS.c.account_id, BUDGETS.c.purpose]
        with self._database.transaction() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=values))
            about = {"purpose": row.purpose, "month_minor": row.month_minor}
            _note(connection, actor, "budget.put", row.account_id, row.changed_us, **about)

    def set_warned(self, account_id: int, purpose: int, warned_month: int) -> None:
        """The owner was warned."""
        mine = (BUDGETS.c.account_id == account_id) & (BUDGETS.c.purpose == purpose)
        with self._database.transaction() as connection:
            connection.execute(update(BUDGETS).where(mine).values(warned_month=warned_month))

    def remove_budget(self, actor: Actor, account_id: int, purpose: int, now_us: int) -> bool:
        """Returns whether there was one."""
        with self._database.transaction() as connection:
            gone = connection.execute(
                delete(BUDGETS).where(
                    BUDGETS.c.account_id == account_id, BUDGETS.c.purpose == purpose
                )
            )
            if gone.rowcount:
                _note(connection, actor, "budget.remove", account_id, now_us, purpose=purpose)
        return bool(gone.rowcount)

    def list_budgets(self, account_ids: Iterable[int]) -> list[BudgetRow]:
        """Budgets of some accounts."""
        query = select(BUDGETS).where(BUDGETS.c.account_id.in_(sorted(set(account_ids))))
        query = query.order_by(BUDGETS.c.account_id, BUDGETS.c.purpose)
        with self._database.reading() as connection:
            return [BudgetRow(**dict(row._mapping)) for row in connection.execute(query)]

    def get_cursor(self, name: str) -> int:
        """How far a job has read the ledger."""
        query = select(CURSORS.c.seq).where(CURSORS.c.name == name)
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def put_cursor(self, name: str, seq: int) -> None:
        """Write down how far."""
        insert = self._insert(CURSORS).values(name=name, seq=seq)
        with self._database.transaction() as connection:
            connection.execute(
                insert.on_conflict_do_update(index_elements=[CURSORS.c.name], set_={"seq": seq})
            )


def _note(
    connection: Connection, actor: Actor, action: str, account_id: int, now_us: int, **about: object
) -> None:
    note_change(connection, actor, action, f"account:{account_id}", now_us, **about)


def _topup(row: Row[Any]) -> TopupRow:
    return TopupRow(**dict(row._mapping))
