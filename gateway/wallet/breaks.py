"""What reconciliation found different: who may see it, and saying what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from gateway.db import Database
from gateway.errors import ApiError, LedgerError
from gateway.ledger.breaks import BreakBook, BreakState, KeptBreak, bucket_of
from gateway.ledger.reconcile import BreakType, Source
from gateway.registry.actors import Actor
from gateway.registry.audit import was_done
from gateway.registry.changes import note_by
from gateway.registry.scopes import Scope
from gateway.shapes import InstantUs, SignedMinor, says
from gateway.wallet.reach import LedgerReach
from gateway.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakShown:
    """One difference between a peer's file and the ledger. Whose rider it was, what was said about
    it and by whom is shown to the house only.
    """

    break_id: int
    ledger_account: Annotated[str, says("operator:1, merchant:5001, funding")]
    source: Annotated[Source, says("which file")]
    type: Annotated[BreakType, says("what is different")]
    key: Annotated[str, says("what both sides call the payment: a tap, a reference, an operation")]
    service_date: Annotated[str, says("as 2026-11-28")]
    here_minor: SignedMinor
    there_minor: SignedMinor
    detail: Annotated[str, says("what each of the three sides has")]
    state: BreakState
    age_days: Annotated[int, says("whole days since it was opened", minimum=0)]
    bucket: Annotated[str, says("0-1 days, 2-7 days, 8-30 days, over 30 days")]
    opened_us: InstantUs
    changed_us: InstantUs
    run_id: Annotated[int, says("the newest run that saw it")]
    account_id: Annotated[int, says("the rider's account; 0 = none, or not shown", minimum=0)] = 0
    note: Annotated[str, says("what it is")] = ""
    explained_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aged:
    """Open and explained breaks of one age."""

    bucket: Annotated[str, says("0-1 days, 2-7 days, 8-30 days, over 30 days")]
    count: int
    difference_minor: Annotated[int, says("sum of the differences, minor units", minimum=0)]


class Breaks:
    """The services on breaks. Runs are made where the files are: `faregate reconcile run`."""

    def __init__(self, records: Database, reach: LedgerReach, clock: Callable[[], int]) -> None:
        self._records = records
        self._book = BreakBook(records)
        self._reach = reach
        self._clock = clock

    async def get(self, actor: Actor, break_id: int) -> BreakShown:
        """Raises: LedgerError LEDGER_BREAK: there is none, or it is not theirs."""
        actor.require(Scope.SETTLEMENTS_READ)
        return self._shown(actor, await asyncio.to_thread(self._find, actor, break_id))

    async def age(self, actor: Actor, account: str) -> list[Aged]:
        """How many are open or explained, and how old. Raises: AuthError, DatabaseError."""
        actor.require(Scope.SETTLEMENTS_READ)
        found = await asyncio.to_thread(
            lambda: self._book.age(self._reach.narrow(actor, account), self._clock())
        )
        return [Aged(bucket=bucket, **sums) for bucket, sums in found.items()]

    async def list(
        self, actor: Actor, account: str, state: BreakState | None, window: Window
    ) -> list[BreakShown]:
        """Breaks the actor may see by number; one more than asked for when there are more.

        Args: account: only of this ledger account; "" = of all. state: None = any.
        Raises: AuthError, DatabaseError.
        """
        actor.require(Scope.SETTLEMENTS_READ)
        states = (state,) if state is not None else ()
        found = await asyncio.to_thread(
            lambda: self._book.list_window(self._reach.narrow(actor, account), states, window)
        )
        return [self._shown(actor, one) for one in found]

    async def explain(
        self, actor: Actor, operation_id: bytes, break_id: int, note: str, *, close: bool
    ) -> BreakShown:
        """Say what a break is, once for each request; `close` when nothing is left to do.

        Raises: AuthError. ApiError API_INVALID: no reason given. LedgerError LEDGER_BREAK.
        """
        actor.require(Scope.ADJUSTMENTS_WRITE)
        if not note.strip():
            fault = {"part": "body", "pointer": "/note", "rule": "pattern", "detail": "is blank"}
            raise ApiError("API_INVALID", "a break is explained by a note", faults=[fault])

        def change() -> KeptBreak:
            found = self._find(actor, break_id)
            with self._records.reading() as connection:
                if was_done(connection, f"break:{break_id}", operation_id):
                    return found
            now = self._clock()
            book = BreakBook(self._records, note_by(actor, now, operation_id))
            return book.explain(break_id, note, actor.subject, now, close=close)

        return self._shown(actor, await asyncio.to_thread(change))

    def _find(self, actor: Actor, break_id: int) -> KeptBreak:
        found = self._book.find(break_id)
        if found is None or not self._reach.sees(actor, found.name):
            raise LedgerError("LEDGER_BREAK", f"no break has the number {break_id}")
        return found

    def _shown(self, actor: Actor, one: KeptBreak) -> BreakShown:
        age = one.age_days(self._clock())
        return BreakShown(
            break_id=one.id,
            ledger_account=one.name,
            source=Source(one.kind),
            type=BreakType(one.type),
            key=one.key,
            service_date=one.service_date.isoformat(),
            here_minor=one.here_minor,
            there_minor=one.there_minor,
            detail=one.detail,
            state=BreakState(one.state),
            age_days=age,
            bucket=bucket_of(age),
            opened_us=one.opened_us,
            changed_us=one.changed_us,
            run_id=one.run_id,
            account_id=one.account_id if actor.is_house else 0,
            note=one.note if actor.is_house else "",
            explained_by=one.actor if actor.is_house else "",
        )
