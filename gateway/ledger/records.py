"""Journal records as the ledger reads them: straight from a group's bytes, one pass.

The layout is docs/journal.md. Only what rows and postings need is decoded; a record's bytes are
kept as they are beside its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from fastpath.records import GROUP_HEAD_BYTES, RECORD_HEAD_BYTES, RECORD_ITEM_BYTES
from fastpath.types import Item, Op, Purpose, Reason

HEAD = Struct("<IBBBBQqqQQQQ16sqqqqqQIIIIIIqq")
LINE_0 = Struct("<QQqqqqQHHBBBB")
FACTS = Struct("<QQQQQqqBBBBI")
PARTS = Struct("<QqQqQqQq")
GROUP = Struct("<4sHHQIIQq")

COMMANDS_FROM = 16
"""Ops from here on are commands; below, they come from validators."""
TRANSIT_OPS = frozenset({Op.PASS_ADD, Op.PASS_REMOVE, Op.RERATE})
"""Commands about fares."""

_ACCOUNT_LINE = int(Item.ACCOUNT_LINE)
_CELL = int(Item.CELL)
_FACTS = int(Item.FACTS)
_PARTS = int(Item.PARTS)
_RISK = int(Reason.OK_RISK)
_REFUSED = int(Reason.BUSY)
_SETTLEMENT = int(Op.SETTLEMENT)


class IdClass(IntEnum):
    """What a record's identity names: each is unique within its class."""

    TAP = 0
    """Device, boot, sequence."""
    SETTLEMENT = 1
    """The tap whose disagreement was settled."""
    COMMAND = 2
    """Client and operation id."""


class Head(NamedTuple):
    """RecordHead of layout.h."""

    length_bytes: int
    op: int
    reason: int
    verdict: int
    item_count: int
    seq: int
    ts_us: int
    device_ts_us: int
    account_id: int
    id_a: int
    id_b: int
    id_c: int
    token: bytes
    fare_minor: int
    amount_minor: int
    balance_minor: int
    nominal_minor: int
    subsidy_minor: int
    tariff_key: int
    stop: int
    other_stop: int
    flags: int
    rules: int
    distance_m: int
    denylist_version: int
    fare_ts_us: int
    period_paid_minor: int

    @property
    def is_command(self) -> bool:
        return self.op >= COMMANDS_FROM

    @property
    def is_risk(self) -> bool:
        """Whether the fare is the operator's loss and no account's."""
        return self.reason == _RISK

    @property
    def is_accepted(self) -> bool:
        return self.reason < _REFUSED

    @property
    def tariff_slot(self) -> int:
        """Of the device that tapped; commands have none."""
        return 0 if self.op >= COMMANDS_FROM else self.flags >> 24

    @property
    def purse(self) -> int:
        """The purse a command named."""
        return self.flags >> 16 & 0xFF

    @property
    def id_class(self) -> IdClass:
        if self.op >= COMMANDS_FROM:
            return IdClass.COMMAND
        return IdClass.SETTLEMENT if self.op == _SETTLEMENT else IdClass.TAP


class Line0(NamedTuple):
    """An account's first line once the record is applied."""

    account_id: int
    version: int
    main_minor: int
    subsidy_minor: int
    credit_limit_minor: int
    held_minor: int
    position: int
    status: int
    currency: int
    rider_category: int
    tier: int
    cell_count: int
    spare: int


class Facts(NamedTuple):
    """What a wallet command was about (item FACTS)."""

    key: int
    merchant: int
    charge_client: int
    charge_high: int
    charge_low: int
    amount_minor: int
    expires_us: int
    purpose: int
    number: int
    tier: int
    flags: int
    purposes: int


@dataclass(slots=True)
class Record:
    """One record with what its items say."""

    head: Head
    position: int
    raw: bytes
    line_0: Line0 | None = None
    facts: Facts | None = None
    parts: tuple[tuple[int, int], ...] = ()
    """Pairs of purse and amount drawn from it or given back to it, above 0."""
    cells: list[bytes] = field(default_factory=list)

    @property
    def merchant(self) -> int:
        """Who is paid or pays back: a merchant's number, 0 = none or the house."""
        return self.facts.merchant if self.facts is not None else 0

    @property
    def purpose(self) -> int:
        """What it is for (Purpose); taps are transit, other commands without facts NONE."""
        if self.facts is not None:
            return self.facts.purpose
        op = self.head.op
        is_fare = op < COMMANDS_FROM or op in TRANSIT_OPS
        return int(Purpose.TRANSIT if is_fare else Purpose.NONE)


class GroupFacts(NamedTuple):
    """Head of a group."""

    position: int
    body_bytes: int
    record_count: int
    first_seq: int
    ts_us: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.position + GROUP_HEAD_BYTES + self.body_bytes


def read_group_head(group: bytes | memoryview) -> GroupFacts:
    """The head of a group that was checked by who read it."""
    _, _, _, position, body, count, first_seq, ts_us = GROUP.unpack_from(group)
    return GroupFacts(position, body, count, first_seq, ts_us)


def iter_records(group: bytes, position: int) -> Iterator[Record]:
    """The records of a whole group that begins at `position`."""
    at, end = GROUP_HEAD_BYTES, len(group)
    while at < end:
        head = Head._make(HEAD.unpack_from(group, at))
        behind = at + head.length_bytes
        record = Record(head, position + at, group[at:behind])
        if head.item_count:
            _read_items(record, group, at + RECORD_HEAD_BYTES, behind)
        yield record
        at = behind


def read_record(raw: bytes, position: int = 0) -> Record:
    """One record from its own bytes."""
    record = Record(Head._make(HEAD.unpack_from(raw)), position, raw)
    _read_items(record, raw, RECORD_HEAD_BYTES, len(raw))
    return record


def _read_items(record: Record, data: bytes, at: int, end: int) -> None:
    for item in range(at, end, RECORD_ITEM_BYTES):
        kind, image = data[item], item + 8
        if kind == _ACCOUNT_LINE:
            if data[item + 1] == 0:
                record.line_0 = Line0._make(LINE_0.unpack_from(data, image))
        elif kind == _CELL:
            record.cells.append(data[image : image + 64])
        elif kind == _FACTS:
            record.facts = Facts._make(FACTS.unpack_from(data, image))
        elif kind == _PARTS:
            pairs = PARTS.unpack_from(data, image)
            record.parts = tuple(p for p in zip(pairs[::2], pairs[1::2], strict=True) if p[1])


def read_notes(raw: bytes) -> dict[int, str]:
    """Notes by their number: 0 who, 1 outside reference, 2 why, 3 idempotency key."""
    found = {}
    for item in range(RECORD_HEAD_BYTES, len(raw), RECORD_ITEM_BYTES):
        if raw[item] == Item.NOTE:
            text = raw[item + 8 : item + RECORD_ITEM_BYTES].rstrip(b"\0")
            found[raw[item + 1]] = text.decode("utf-8", "replace")
    return found
