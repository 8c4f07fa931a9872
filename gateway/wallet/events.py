"""The stream of events: one for each journal record, in the journal's order, from the ledger.

And, for whoever asks for them, what owners were told, each behind the record that it belongs to.

A caller sees those of the accounts it owns; the house sees all. Numbers rise and have gaps for
whoever does not see all of them: go on behind `next_after`, and `next_notice_after`. Notices have
numbers of their own: they are made later than records, by others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastpath.types import Op, Reason
from gateway.clock import format_operation_id, parse_operation_id
from gateway.control.arguments import client_number
from gateway.ledger.batch import Watermark
from gateway.ledger.history import HistoryRow
from gateway.ledger.records import IdClass
from gateway.ledger.words import notice_words
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.notices import NoticeRow
from gateway.registry.scopes import Scope
from gateway.shapes import InstantUs, SignedMinor, says
from gateway.wallet.commands import Balance

NOTICE_TYPES = {"budget_near": "budget.warned", "budget_over": "budget.warned"}
"""The others are called as they are, with a dot: account.frozen, topup.failed."""
SCAN_ROWS = 500
SCANS_MAX = 10
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One journal record, accepted or refused; or what an owner was told."""

    seq: Annotated[int, says("number of the record, rises; of a notice: of the one before it")]
    event_id: Annotated[str, says("the same event always has the same id")]
    type: Annotated[
        str,
        says(
            "operation: credit, debit, check_out ...; of a notice: account.frozen, medium.lost ..."
        ),
    ]
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
    notice: Annotated[
        dict[str, Any], says("kind, title, title_zh and body of a notice; empty for a record")
    ]


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
    next_notice_after: Annotated[int, says("and behind this one, with notices_after; else 0")]
    has_more: bool
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class Behind:
    """A place in the stream. notice: number of the last notice seen; None = records only."""

    record: int
    notice: int | None = None


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


class NoticePort(Protocol):
    """What owners were told. Blocking."""

    def list(self, account_id: int | None, *, after: int, limit: int) -> list[NoticeRow]:
        """Notices behind a number, by number."""


class Events:
    """The services on events."""

    def __init__(
        self,
        history: HistoryPort,
        notices: NoticePort,
        own: OwnPort,
        monotonic: Callable[[], float],
        wait_max_s: float,
    ) -> None:
        self._history = history
        self._notices = notices
        self._own = own
        self._monotonic = monotonic
        self._wait_max_s = wait_max_s

    async def list_after(
        self, actor: Actor, behind: Behind, limit: int, *, wait_for: int = 0
    ) -> EventPage:
        """Events behind a place, at most `limit`. Raises: AuthError, DatabaseError."""
        actor.require(Scope.EVENTS_READ)
        as_of = await self.wait(wait_for)
        return await asyncio.to_thread(self.page, actor, behind, limit, as_of)

    def page(
        self, actor: Actor, behind: Behind, limit: int, as_of: AsOf | None = None
    ) -> EventPage:
        """As `list_after`, blocking and without waiting."""
        # Before the records: all of them up to here are seen before a notice from behind them is.
        as_of = as_of or as_of_mark(self._history.as_of())
        merge = Merge(behind, limit, self._list_notices(actor, behind))
        for _ in range(SCANS_MAX):
            rows = self._history.events_after(merge.after, SCAN_ROWS)
            owned = {row.seq: is_own for row, is_own in self._seen_by(actor, rows)}
            for row in rows:
                if not merge.take(row, is_own=owned.get(row.seq)):
                    return merge.page(as_of, has_more=True)
            if len(rows) < SCAN_ROWS:
                is_done = merge.take_notices(as_of.position)
                return merge.page(as_of, has_more=not is_done)
        return merge.page(as_of, has_more=True)

    def _list_notices(self, actor: Actor, behind: Behind) -> list[tuple[NoticeRow, bool]]:
        """What owners were told behind a number, and whether the actor sees it."""
        if behind.notice is None:
            return []
        rows = self._notices.list(None, after=behind.notice, limit=SCAN_ROWS)
        if actor.is_house:
            return [(row, True) for row in rows]
        if actor.kind is not ActorKind.TENANT:
            return [(row, False) for row in rows]
        own = self._own.own_among({row.account_id for row in rows}, actor.tenant_id)
        return [(row, row.account_id in own) for row in rows]

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


class Merge:
    """Puts records and notices into one order, up to a limit.

    A notice never comes before the record that it belongs behind, nor before a notice of a lower
    number. Args: notices: at most SCAN_ROWS, each with whether it is seen.
    """

    def __init__(
        self, behind: Behind, limit: int, notices: Iterable[tuple[NoticeRow, bool]]
    ) -> None:
        self.after = behind.record
        self._notice_after = behind.notice or 0
        self._limit = limit
        self._notices = deque(notices)
        self._may_be_more = len(self._notices) == SCAN_ROWS
        self._found: list[Event] = []

    def take(self, row: HistoryRow, *, is_own: bool | None) -> bool:
        """The next record, and the notices before it. False: there is no room for it any more.

        Args: is_own: None = it is not seen; False = only by whoever was paid.
        """
        if not self.take_notices(row.position):
            return False
        if is_own is not None:
            if len(self._found) == self._limit:
                return False
            self._found.append(event_of(row, with_balance=is_own))
        self.after = row.seq
        return True

    def take_notices(self, position: int) -> bool:
        """Those that belong before what is at a position. False: there is no room for them all."""
        while self._notices and self._notices[0][0].position < position:
            row, is_seen = self._notices[0]
            if is_seen:
                if len(self._found) == self._limit:
                    return False
                self._found.append(event_of_notice(row, self.after))
            self._notice_after = row.notice_id
            self._notices.popleft()
        return bool(self._notices) or not self._may_be_more

    def page(self, as_of: AsOf, *, has_more: bool) -> EventPage:
        """What was taken."""
        return EventPage(
            data=tuple(self._found),
            next_after=self.after,
            next_notice_after=self._notice_after,
            has_more=has_more,
            as_of=as_of,
        )


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
        notice={},
    )


def event_of_notice(row: NoticeRow, seq: int) -> Event:
    """What an owner was told as an event behind a record."""
    title, title_zh = notice_words(row.kind)
    notice = {"kind": row.kind, "title": title, "title_zh": title_zh, "body": dict(row.body)}
    return Event(
        seq=seq,
        event_id=f"ntc_{row.notice_id}",
        type=NOTICE_TYPES.get(row.kind) or row.kind.replace("_", ".", 1),
        reason=Reason.OK.name.lower(),
        account_id=row.account_id,
        ts_us=row.created_us,
        position=row.position,
        amount_minor=0,
        fare_minor=0,
        balance_minor=0,
        purpose=0,
        merchant_id=0,
        reference="",
        operation_id="",
        notice=notice,
    )
