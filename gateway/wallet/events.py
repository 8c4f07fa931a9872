"""The stream of events: one for each journal record, in the journal's order, from the ledger.

A caller sees those of the accounts it owns; the house sees all. Numbers rise and have gaps for
whoever does not see all of them: go on behind `next_after`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastpath.types import Op, Reason
from gateway.clock import format_operation_id, parse_operation_id
from gateway.control.arguments import client_number
from gateway.ledger.batch import Watermark
from gateway.ledger.history import HistoryRow
from gateway.ledger.records import IdClass
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.scopes import Scope
from gateway.shapes import InstantUs, SignedMinor, says
from gateway.wallet.commands import Balance

SCAN_ROWS = 500
SCANS_MAX = 10
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One journal record, accepted or refused."""

    seq: Annotated[int, says("number of the record; rises")]
    event_id: Annotated[str, says("the same event always has the same id")]
    type: Annotated[str, says("operation: credit, debit, check_out, hold_place ...")]
    reason: Annotated[str, says("ok, ok_debt, ok_overdraft, ok_risk, or why it was refused")]
    account_id: Annotated[int, says("account number; 0 = none", minimum=0)]
    ts_us: InstantUs
    position: int
    amount_minor: SignedMinor
    fare_minor: SignedMinor
    balance_minor: Balance
    purpose: int
    merchant_id: int
    reference: Annotated[str, says("reference of the outside world")]
    operation_id: Annotated[str, says("of a command; empty for taps")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """How far the ledger has read the journal."""

    position: int
    seq: Annotated[int, says("last record seen; 0 = none")]
    ts_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events behind a number."""

    data: tuple[Event, ...]
    next_after: Annotated[int, says("go on behind this number")]
    has_more: bool
    as_of: AsOf


class HistoryPort(Protocol):
    """What the ledger tells. Blocking."""

    def as_of(self) -> Watermark:
        """How far it has come."""

    def events_after(
        self, seq: int, limit: int = 100, *, account_id: int | None = None
    ) -> list[HistoryRow]:
        """Records behind a number, oldest first."""

    def find_operation(self, client: int, high: int, low: int) -> HistoryRow | None:
        """The record of a command, however old."""


class OwnPort(Protocol):
    """Whose accounts are whose. Blocking."""

    def own_among(self, account_ids: Iterable[int], tenant_id: str) -> set[int]:
        """Those of these accounts that a tenant owns or was granted."""

    def merchants_of(self, tenant_id: str) -> set[int]:
        """Numbers of a tenant's merchants."""


class Events:
    """The services on events."""

    def __init__(
        self, history: HistoryPort, own: OwnPort, monotonic: Callable[[], float], wait_max_s: float
    ) -> None:
        self._history = history
        self._own = own
        self._monotonic = monotonic
        self._wait_max_s = wait_max_s

    async def list_after(
        self, actor: Actor, after: int, limit: int, *, wait_for: int = 0
    ) -> EventPage:
        """Events behind a number, at most `limit`. Raises: AuthError, DatabaseError."""
        actor.require(Scope.EVENTS_READ)
        as_of = await self.wait(wait_for)
        return await asyncio.to_thread(self.page, actor, after, limit, as_of)

    def page(self, actor: Actor, after: int, limit: int, as_of: AsOf) -> EventPage:
        """As `list_after`, blocking and without waiting."""
        found: list[Event] = []
        for _ in range(SCANS_MAX):
            rows = self._history.events_after(after, SCAN_ROWS)
            for row, is_own in self._seen_by(actor, rows):
                if len(found) == limit:
                    return _page(found, after, as_of, has_more=True)
                found.append(event_of(row, with_balance=is_own))
                after = row.seq
            if len(rows) < SCAN_ROWS:
                return _page(found, max(after, rows[-1].seq if rows else 0), as_of, has_more=False)
            after = max(after, rows[-1].seq)
        return _page(found, after, as_of, has_more=True)

    async def wait(self, position: int) -> AsOf:
        """Until the ledger has seen a journal position, but not longer than the settings allow."""
        until = self._monotonic() + self._wait_max_s
        while True:
            mark = await asyncio.to_thread(self._history.as_of)
            if mark.position > position or not position or self._monotonic() >= until:
                return as_of_mark(mark)
            await asyncio.sleep(POLL_S)

    async def find_charge(self, client: str, charge_id: str) -> tuple[int, int] | None:
        """Account and merchant of a command's payment; None = the ledger has not seen it (yet)."""
        op_id = parse_operation_id(charge_id)
        row = await asyncio.to_thread(
            self._history.find_operation,
            client_number(client),
            int.from_bytes(op_id[:8]),
            int.from_bytes(op_id[8:]),
        )
        return None if row is None else (row.account_id, row.merchant)

    def _seen_by(self, actor: Actor, rows: list[HistoryRow]) -> list[tuple[HistoryRow, bool]]:
        """With whether the account is theirs, or only the merchant that was paid."""
        if actor.is_house:
            return [(row, True) for row in rows]
        if actor.kind is not ActorKind.TENANT:
            return []
        own = self._own.own_among({row.account_id for row in rows}, actor.tenant_id)
        merchants = self._own.merchants_of(actor.tenant_id)
        return [
            (row, row.account_id in own)
            for row in rows
            if row.account_id in own or row.merchant in merchants
        ]


def _page(found: list[Event], after: int, as_of: AsOf, *, has_more: bool) -> EventPage:
    return EventPage(data=tuple(found), next_after=after, has_more=has_more, as_of=as_of)


def as_of_mark(mark: Watermark) -> AsOf:
    """A watermark as it is shown."""
    return AsOf(position=mark.position, seq=mark.next_seq - 1, ts_us=mark.ts_us)


def event_of(row: HistoryRow, *, with_balance: bool = True) -> Event:
    """A record as an event. No device, no stop, no token: those are the operator's. Whoever was
    paid learns the payment, not what the payer has left.
    """
    is_command = row.id_class == IdClass.COMMAND
    made = (row.id_b << 64 | row.id_c).to_bytes(16) if is_command else b""
    return Event(
        seq=row.seq,
        event_id=f"evt_{row.seq}",
        type=Op(row.op).name.lower(),
        reason=Reason(row.reason).name.lower(),
        account_id=row.account_id,
        ts_us=row.ts_us,
        position=row.position,
        amount_minor=row.amount_minor,
        fare_minor=row.fare_minor,
        balance_minor=row.balance_minor if with_balance else None,
        purpose=row.purpose,
        merchant_id=row.merchant,
        reference=row.notes().get(1, "") if is_command else "",
        operation_id=format_operation_id(made) if is_command else "",
    )
