"""Breaks as they are kept: open, explained or closed, with a note, and how old they are.

A break that a later run of the same days does not see any more is closed by that run; one that
comes back after it was closed is open again. Explained ones stay explained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from gateway.db import Database, list_window
from gateway.errors import LedgerError
from gateway.ledger.days import date_of, day_number
from gateway.ledger.reconcile import Break, Comparison, Source
from gateway.ledger.record_tables import BREAKS, RECONCILIATIONS
from gateway.windows import Window

DAY_US = 86_400_000_000
BUCKETS = ((1, "0-1 days"), (7, "2-7 days"), (30, "8-30 days"))
OLDEST = "over 30 days"

Note = Callable[[Connection, str, str, Mapping[str, object]], None]
"""Tells the audit trail."""


class BreakState(StrEnum):
    """Where a break stands."""

    OPEN = "open"
    EXPLAINED = "explained"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Run:
    """One reconciliation. name: the ledger account's code; days [from_day, until_day)."""

    name: str
    from_day: date
    until_day: date
    as_of_seq: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class KeptBreak:
    """One break with its age."""

    id: int
    kind: str
    name: str
    key: str
    type: str
    service_date: date
    account_id: int
    here_minor: int
    there_minor: int
    detail: str
    state: str
    note: str
    actor: str
    opened_us: int
    changed_us: int
    run_id: int

    def age_days(self, now_us: int) -> int:
        """Whole days since it was opened."""
        return max(0, now_us - self.opened_us) // DAY_US

    def as_dict(self, now_us: int) -> dict[str, object]:
        """As it goes into JSON."""
        said: dict[str, object] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        age = self.age_days(now_us)
        return said | {
            "service_date": self.service_date.isoformat(),
            "age_days": age,
            "bucket": bucket_of(age),
        }


def bucket_of(age_days: int) -> str:
    """Which bucket of ageing."""
    return next((name for most, name in BUCKETS if age_days <= most), OLDEST)


class BreakBook:
    """Keeps breaks in the registry's database. Thread: any."""

    def __init__(self, database: Database, note: Note = lambda _c, _a, _s, _f: None) -> None:
        self._database = database
        self._note = note

    def keep(self, run: Run, found: Comparison, now_us: int) -> int:
        """Store a run and its breaks in one transaction; the run's number."""
        with self._database.transaction() as connection:
            run_id = self._add_run(connection, run, found, now_us)
            known = self._known(connection, run)
            for one in found.breaks:
                self._keep_one(connection, run, one, known.pop(_key(one), None), (run_id, now_us))
            for row in known.values():
                if row.state == BreakState.OPEN and _covers(run, row.service_day):
                    _change(connection, row.id, BreakState.CLOSED, f"gone in run {run_id}", now_us)
            facts = {"run": run_id, "breaks": len(found.breaks), "matched": found.matched}
            self._note(connection, "reconcile.run", run.name, facts)
        return run_id

    def _add_run(self, connection: Connection, run: Run, found: Comparison, now_us: int) -> int:
        counts: dict[str, int] = {f"matched_{name}": n for name, n in found.matched.items()}
        for one in found.breaks:
            name = f"{one.source}_{one.type}"
            counts[name] = counts.get(name, 0) + 1
        added = connection.execute(
            insert(RECONCILIATIONS).values(
                kind="+".join(run.sources),
                name=run.name,
                from_day=day_number(run.from_day),
                until_day=day_number(run.until_day),
                as_of_seq=run.as_of_seq,
                made_us=now_us,
                counts=json.dumps(counts, sort_keys=True),
            )
        )
        key = added.inserted_primary_key
        return int(key[0]) if key is not None else 0

    def _known(self, connection: Connection, run: Run) -> dict[tuple[str, str, str], Row[Any]]:
        query = select(BREAKS).where(BREAKS.c.name == run.name, BREAKS.c.kind.in_(run.sources))
        return {(row.kind, row.key, row.type): row for row in connection.execute(query)}

    def _keep_one(
        self,
        connection: Connection,
        run: Run,
        one: Break,
        known: Row[Any] | None,
        stamp: tuple[int, int],
    ) -> None:
        run_id, now_us = stamp
        values: dict[str, object] = {
            "here_minor": one.here_minor,
            "there_minor": one.there_minor,
            "detail": one.detail,
            "run_id": run_id,
        }
        if known is None:
            fresh: dict[str, object] = {
                "kind": str(one.source),
                "name": run.name,
                "key": one.key,
                "type": str(one.type),
                "service_day": day_number(one.day),
                "account_id": one.account_id,
                "state": str(BreakState.OPEN),
                "note": "",
                "actor": "",
                "opened_us": now_us,
                "changed_us": now_us,
            }
            connection.execute(insert(BREAKS).values(values | fresh))
            return
        if known.state == BreakState.CLOSED:
            values |= {"state": str(BreakState.OPEN), "changed_us": now_us, "opened_us": now_us}
        connection.execute(update(BREAKS).where(BREAKS.c.id == known.id).values(values))

    def explain(
        self, break_id: int, note: str, actor: str, now_us: int, *, close: bool = False
    ) -> KeptBreak:
        """Say what a break is; `close` when nothing is left to do.

        Raises: LedgerError LEDGER_BREAK: no such break, or no reason given.
        """
        if not note.strip():
            raise LedgerError("LEDGER_BREAK", "a break is explained by a note")
        state = BreakState.CLOSED if close else BreakState.EXPLAINED
        with self._database.transaction() as connection:
            found = connection.execute(select(BREAKS).where(BREAKS.c.id == break_id)).one_or_none()
            if found is None:
                raise LedgerError("LEDGER_BREAK", f"no break has the number {break_id}")
            _change(connection, break_id, state, note, now_us, actor=actor)
            facts = {"note": note, "state": str(state)}
            self._note(connection, "reconcile.explain", f"break:{break_id}", facts)
            row = connection.execute(select(BREAKS).where(BREAKS.c.id == break_id)).one()
        return _kept(row)

    def list_window(
        self,
        names: Collection[str] | None,
        states: Iterable[BreakState],
        window: Window,
    ) -> list[KeptBreak]:
        """A page of breaks by number; one more than asked for when there are more.

        Args: names: codes of ledger accounts, None = all. states: none = all.
        """
        query = _of(names, states)
        with self._database.reading() as connection:
            return [_kept(row) for row in list_window(connection, query, BREAKS.c.id, window)]

    def find(self, break_id: int) -> KeptBreak | None:
        """One break."""
        with self._database.reading() as connection:
            row = connection.execute(select(BREAKS).where(BREAKS.c.id == break_id)).one_or_none()
        return _kept(row) if row is not None else None

    def age(self, names: Collection[str] | None, now_us: int) -> dict[str, dict[str, int]]:
        """`ageing` of the breaks of these ledger accounts, None = of all."""
        query = _of(names, (BreakState.OPEN, BreakState.EXPLAINED))
        with self._database.reading() as connection:
            return ageing([_kept(row) for row in connection.execute(query)], now_us)

    def list(self, *, name: str = "", states: Iterable[BreakState] = ()) -> list[KeptBreak]:
        """Breaks, the oldest first; of all names and states when none is given."""
        query = _of([name] if name else None, states)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(BREAKS.c.opened_us, BREAKS.c.id)).all()
        return [_kept(row) for row in rows]


def _of(names: Collection[str] | None, states: Iterable[BreakState]) -> Select[Any]:
    query = select(BREAKS)
    if names is not None:
        query = query.where(BREAKS.c.name.in_(sorted(names)))
    wanted = [str(state) for state in states]
    return query.where(BREAKS.c.state.in_(wanted)) if wanted else query


def ageing(breaks: Iterable[KeptBreak], now_us: int) -> dict[str, dict[str, int]]:
    """Number and amount of open and explained breaks by age."""
    names = [*(name for _, name in BUCKETS), OLDEST]
    found = {name: {"count": 0, "difference_minor": 0} for name in names}
    for one in breaks:
        if one.state != BreakState.CLOSED:
            bucket = found[bucket_of(one.age_days(now_us))]
            bucket["count"] += 1
            bucket["difference_minor"] += abs(one.here_minor - one.there_minor)
    return found


def _key(one: Break) -> tuple[str, str, str]:
    return str(one.source), one.key, str(one.type)


def _covers(run: Run, service_day: int) -> bool:
    return day_number(run.from_day) <= service_day < day_number(run.until_day)


def _change(
    connection: Connection,
    break_id: int,
    state: BreakState,
    note: str,
    now_us: int,
    *,
    actor: str = "",
) -> None:
    values = {"state": str(state), "note": note, "actor": actor, "changed_us": now_us}
    connection.execute(update(BREAKS).where(BREAKS.c.id == break_id).values(values))


def _kept(row: Row[Any]) -> KeptBreak:
    values = row._asdict()
    values["service_date"] = date_of(values.pop("service_day"))
    return KeptBreak(**values)
