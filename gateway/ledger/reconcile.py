"""Three-way reconciliation: the peer's taps, the journal, the peer's bill; each difference a break.

A side is a mapping of keys to items. Each outside file is compared with the journal, and each break
says what the third side has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, select

from fastpath.types import Op
from gateway.ledger.chart import ChartAccount, Kind
from gateway.ledger.days import date_of
from gateway.ledger.history import HistoryRow, list_rows
from gateway.ledger.identity import key_of, undone_key
from gateway.ledger.movements import list_movements
from gateway.ledger.peers_file import PeerLine
from gateway.ledger.records import IdClass
from gateway.ledger.tables import RECORDS

TAP_OPS = (Op.CHECK_IN, Op.CHECK_OUT, Op.FLAT, Op.REVERSAL, Op.SETTLEMENT)
NEAR_DAYS = 7
"""A payment on another date within so many days is the same payment with a wrong date."""
FIRST_REFUSAL = 16


class Source(StrEnum):
    """Which outside file a break comes from."""

    TAPS = "taps"
    BILL = "bill"


class BreakType(StrEnum):
    """What is different."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT_DIFFERS = "amount_differs"
    DATE_DIFFERS = "date_differs"
    DUPLICATE = "duplicate"
    STATUS_DIFFERS = "status_differs"


@dataclass(slots=True)
class Item:
    """One payment as one side has it. status: ok, refused, reversed; "" = it does not say."""

    key: str
    amount_minor: int
    day: date | None
    status: str = "ok"
    account_id: int = 0
    times: int = 1

    def shown(self) -> str:
        """For a break's detail."""
        on = f" on {self.day}" if self.day is not None else ""
        status = f" {self.status}" if self.status not in ("", "ok") else ""
        return f"{self.amount_minor}{status}{on}"


Items = Mapping[str, Item]


@dataclass(frozen=True, slots=True)
class Break:
    """One difference."""

    source: Source
    key: str
    type: BreakType
    day: date
    account_id: int
    here_minor: int
    there_minor: int
    detail: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out."""

    matched: dict[str, int]
    """Payments that are the same, by source."""
    breaks: list[Break] = field(default_factory=list)


# --- the journal's side ---------------------------------------------------------------------------


def our_items(
    connection: Connection, account: ChartAccount, from_day: int, until_day: int
) -> dict[str, Item]:
    """Payments on a ledger account of service days [from_day, until_day), by key.

    A tap and what took it back, or settled it, are one item. A command is known by its outside
    reference, when it has one.
    """
    items: dict[str, Item] = {}
    for movement in list_movements(connection, account, from_day, until_day):
        row = movement.row
        undone = undone_key(row, row.record()) if row.op == Op.REVERSAL else None
        key = undone or _name_of(row)
        item = items.get(key)
        if item is None:
            day = date_of(row.service_day)
            items[key] = item = Item(key, 0, day, account_id=row.account_id)
        item.amount_minor += movement.amount_minor
        if undone is not None or row.op == Op.SETTLEMENT:
            item.status = "reversed" if item.amount_minor == 0 else "ok"
    return items


def free_items(
    connection: Connection, account: ChartAccount, from_day: int, until_day: int
) -> dict[str, Item]:
    """Taps of an operator that were accepted and took nothing: check-ins, rides on a pass, capped
    and free ones. Nothing was posted for them: a peer may list them, nobody has to.
    """
    items: dict[str, Item] = {}
    accepted = and_(RECORDS.c.reason < FIRST_REFUSAL, RECORDS.c.op.in_([int(op) for op in TAP_OPS]))
    for row in _list_taps(connection, account, from_day, until_day, accepted):
        undone = undone_key(row, row.record()) if row.op == Op.REVERSAL else None
        key = undone or key_of(row)
        was_accepted = key in items  # a settlement takes back what was, and posts what was not
        item = items.setdefault(key, Item(key, 0, date_of(row.service_day), "ok", row.account_id))
        if undone is not None or (row.op == Op.SETTLEMENT and was_accepted):
            item.status = "reversed"
    return items


def refused_items(
    connection: Connection, account: ChartAccount, from_day: int, until_day: int
) -> dict[str, Item]:
    """Taps of an operator that were refused: a peer may list them, nobody has to."""
    refused = and_(RECORDS.c.reason >= FIRST_REFUSAL, RECORDS.c.id_class == int(IdClass.TAP))
    rows = _list_taps(connection, account, from_day, until_day, refused)
    return {
        key_of(row): Item(key_of(row), 0, date_of(row.service_day), "refused", row.account_id)
        for row in rows
    }


def _list_taps(
    connection: Connection,
    account: ChartAccount,
    from_day: int,
    until_day: int,
    wanted: ColumnElement[bool],
) -> list[HistoryRow]:
    """An operator's records of service days [from_day, until_day) that moved nothing."""
    if account.kind is not Kind.OPERATOR:
        return []
    query = (
        select(RECORDS)
        .where(RECORDS.c.service_day >= from_day, RECORDS.c.service_day < until_day)
        .where(RECORDS.c.tariff_slot == account.ref, RECORDS.c.fare_minor == 0, wanted)
        .order_by(RECORDS.c.seq)
    )
    return list_rows(connection.execute(query).all())


def _name_of(row: HistoryRow) -> str:
    reference = row.notes().get(1, "") if row.id_class == IdClass.COMMAND else ""
    return reference or key_of(row)


# --- the peer's side ------------------------------------------------------------------------------


def their_items(lines: Iterable[PeerLine]) -> dict[str, Item]:
    """A peer's lines by key; a key that comes again is counted, the first one stands."""
    items: dict[str, Item] = {}
    for line in lines:
        item = items.get(line.key)
        if item is None:
            items[line.key] = Item(line.key, line.amount_minor, line.day, line.status)
        else:
            item.times += 1
    return items


# --- comparing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sides:
    """Everything there is to compare. near: our payments of days around; free: our taps that took
    nothing, also of days around; refused: our refusals.
    """

    ours: Items
    theirs: Mapping[Source, Items]
    first: date
    near: Items = field(default_factory=dict)
    free: Items = field(default_factory=dict)
    refused: Items = field(default_factory=dict)


def compare(sides: Sides) -> Comparison:
    """Every difference, in the order of source and key."""
    found = Comparison({})
    for source in sorted(sides.theirs):
        found.matched[str(source)] = _compare_one(sides, source, found.breaks)
    return found


def _compare_one(sides: Sides, source: Source, breaks: list[Break]) -> int:
    theirs, matched = sides.theirs[source], 0
    for key in sorted(set(sides.ours) | set(theirs)):
        here, there = sides.ours.get(key), theirs.get(key)
        if here is None and there is not None:
            here = sides.near.get(key) or sides.free.get(key) or sides.refused.get(key)
        types = list(_differences(here, there))
        matched += not types
        for kind in types:
            breaks.append(_break(sides, source, key, (here, there), kind))
    return matched


def _differences(here: Item | None, there: Item | None) -> Iterable[BreakType]:
    if there is not None and there.times > 1:
        yield BreakType.DUPLICATE
    if here is None:
        if there is not None and there.status not in ("refused", "reversed"):
            yield BreakType.MISSING_HERE
        return
    if there is None:
        if here.amount_minor or here.status == "ok":
            yield BreakType.MISSING_THERE
        return
    if there.status and there.status != here.status:
        yield BreakType.STATUS_DIFFERS
        return
    took_nothing = here.status in ("refused", "reversed") and there.status == here.status
    if here.amount_minor != there.amount_minor and not took_nothing:
        yield BreakType.AMOUNT_DIFFERS
    if there.day is not None and here.day != there.day:
        yield BreakType.DATE_DIFFERS


def _break(
    sides: Sides,
    source: Source,
    key: str,
    pair: tuple[Item | None, Item | None],
    kind: BreakType,
) -> Break:
    here, there = pair
    third = [f"{other}: {_shown(items.get(key))}" for other, items in sides.theirs.items()]
    day = (here.day if here else None) or (there.day if there else None) or sides.first
    return Break(
        source,
        key,
        kind,
        day,
        here.account_id if here else 0,
        here.amount_minor if here else 0,
        there.amount_minor if there else 0,
        "; ".join([f"journal: {_shown(here)}", *third]),
    )


def _shown(item: Item | None) -> str:
    if item is None:
        return "nothing"
    return item.shown() + (f", {item.times} times" if item.times > 1 else "")
