"""Where the taps and fares to be cleared come from: a port, and the ledger behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from adapters.transit.clearing.files import FareRow
from fastpath.types import MediumKind, Op, Purpose
from gateway.clock import now_us
from gateway.db import Database
from gateway.ledger.batch import find_watermark
from gateway.ledger.history import HistoryRow, list_rows
from gateway.ledger.origins import is_fare_refund
from gateway.ledger.reconcile import FIRST_REFUSAL, TAP_OPS
from gateway.ledger.records import COMMANDS_FROM
from gateway.ledger.tables import RECORDS
from gateway.observability import page
from gateway.observability.page import PageReader

CHUNK = 5_000


class Source(Protocol):
    """Taps and fares in an order that never changes, each with a number that grows."""

    def is_complete(self, until_us: int) -> bool:
        """Whether everything that was posted before an instant can be read."""

    def list_fares(self, after: int, until_us: int, limit: int) -> list[tuple[int, FareRow]]:
        """Fares numbered above `after`, in order, up to the last one posted before an instant.
        Fewer than `limit` only when there are no more.
        """


SURE_AFTER_US = 5_000_000
"""How long after an instant the data plane's clock may still name an earlier one."""


class LedgerSource:
    """Accepted taps of some tariffs (none named: all) and one currency (0: any) from the ledger's
    records, with their fares. is_free_wanted: also taps that took nothing.

    A fare belongs to the day on which it was posted, so a tap that came late is in a later file
    and never in two; the time of the tap is in its row. Where the data plane's clock stepped back
    over the end of a day, the day ends behind its last fare: days are parts of the journal without
    gaps, whatever the clock did. Thread: any.
    """

    def __init__(
        self,
        ledger: Database,
        slots: Collection[int] = (),
        *,
        currency: int = 0,
        is_free_wanted: bool = True,
        pages: PageReader | None = None,
        now_us: Callable[[], int] = now_us,
    ) -> None:
        self._ledger = ledger
        is_fare = and_(RECORDS.c.op < COMMANDS_FROM, RECORDS.c.fare_minor != 0)
        kinds = [is_fare, _MAY_GIVE_BACK] + [_IS_FREE] * is_free_wanted
        self._wanted: list[ColumnElement[bool]] = [or_(*kinds)]
        if slots:
            self._wanted.append(RECORDS.c.tariff_slot.in_(list(slots)))
        if currency:
            self._wanted.append(RECORDS.c.currency == currency)
        self._pages = pages
        self._now_us = now_us

    def is_complete(self, until_us: int) -> bool:
        """A later record is projected, or the data plane serves and all it has is."""
        durable = self._durable_seq(until_us)
        with self._ledger.reading() as connection:
            found = find_watermark(connection)
        return found.ts_us >= until_us or (durable is not None and found.next_seq > durable)

    def _durable_seq(self, until_us: int) -> int | None:
        """Of a data plane that serves, looked at when the instant is surely over."""
        if self._pages is None or self._now_us() < until_us + SURE_AFTER_US:
            return None
        view = self._pages.read()
        if view is None or not view.writer_lives() or view[page.STATE] != page.PlaneState.READY:
            return None
        return view[page.DURABLE_SEQ]

    def list_fares(self, after: int, until_us: int, limit: int) -> list[tuple[int, FareRow]]:
        fares: list[tuple[int, FareRow]] = []
        with self._ledger.reading() as connection:
            while rows := self._list_wanted(connection, after, until_us, limit):
                found = ((row.seq, self._row(connection, row)) for row in rows)
                fares += [(seq, fare) for seq, fare in found if fare is not None]
                after = rows[-1].seq
                if len(rows) < limit or len(fares) >= limit:
                    break
        return fares[:limit]

    def _list_wanted(
        self, connection: Connection, after: int, until_us: int, limit: int
    ) -> list[HistoryRow]:
        """Records that may be fares; fewer than `limit` only when there are no more."""
        query = select(RECORDS).where(RECORDS.c.seq > after, *self._wanted)
        rows = list_rows(connection.execute(query.order_by(RECORDS.c.seq).limit(limit)).all())
        if rows and not self._has_earlier(connection, rows[-1].seq, until_us):
            while rows and rows[-1].ts_us >= until_us:
                rows.pop()
        return rows

    def _row(self, connection: Connection, row: HistoryRow) -> FareRow | None:
        """A fare, or one that an operator gave back: below 0, with the tap it was for."""
        record = row.record()
        if not record.head.is_command:
            return _fare(row)
        facts = record.facts
        if facts is None or not is_fare_refund(record):
            return None
        query = select(RECORDS).where(
            RECORDS.c.id_a == facts.charge_client,
            RECORDS.c.id_b == facts.charge_high,
            RECORDS.c.id_c == facts.charge_low,
            RECORDS.c.op < COMMANDS_FROM,
            RECORDS.c.fare_minor > 0,
        )
        taps = list_rows(connection.execute(query.limit(1)).all())
        return _given_back(row, taps[0]) if taps else None

    def _has_earlier(self, connection: Connection, behind: int, until_us: int) -> bool:
        """Whether a fare behind a number was posted before an instant."""
        query = select(RECORDS.c.seq).where(RECORDS.c.seq > behind, RECORDS.c.ts_us < until_us)
        return connection.execute(query.where(*self._wanted).limit(1)).first() is not None


_IS_FREE = and_(
    RECORDS.c.op.in_([int(op) for op in TAP_OPS]),
    RECORDS.c.reason < FIRST_REFUSAL,
    RECORDS.c.fare_minor == 0,
)
"""Accepted taps that took nothing: check-ins, rides on a pass, capped and free ones."""

_MAY_GIVE_BACK = and_(
    RECORDS.c.op == int(Op.REFUND),
    RECORDS.c.purpose == int(Purpose.TRANSIT),
    RECORDS.c.merchant == 0,
    RECORDS.c.amount_minor > 0,
)
"""Refunds of fares, and of payments for transit to the house, which are none."""


def _given_back(row: HistoryRow, tap: HistoryRow) -> FareRow:
    return replace(
        _fare(tap),
        row_id=str(row.seq),
        tap_kind=Op(row.op).name.lower(),
        fare_minor=-row.amount_minor,
        subsidy_minor=row.record().head.subsidy_minor,
    )


def _fare(row: HistoryRow) -> FareRow:
    head = row.record().head
    return FareRow(
        row_id=str(row.seq),
        ts_us=head.device_ts_us or row.at_us,
        token=head.token.hex(),
        medium_kind=MediumKind(head.purse).name.lower() if head.purse in set(MediumKind) else "",
        device=row.id_a,
        stop_id=head.stop,
        stop_name="",
        tap_kind=Op(row.op).name.lower(),
        fare_minor=row.fare_minor,
        subsidy_minor=head.subsidy_minor,
    )
