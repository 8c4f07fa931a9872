"""What the journal says, counted without a line of the gateway's code, and what clients were told.

Written from docs/journal.md. Must import only the standard library: a fault of the gateway must not
be able to hide here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

SEGMENT_HEAD_BYTES = 4096
GROUP_HEAD_BYTES = 128
RECORD = Struct("<I4BQqqQQQQ16sqqqqqQIIIIIIqq")
GROUP = Struct("<4sHHQIIQqqqII")
LINE_0 = Struct("<QQqqqqQHH")
ITEM_BYTES = 72
REVERSAL = 5
SETTLEMENT = 6
FIRST_COMMAND = 16
DEBIT = 19
ADJUST = 26
HOLD_CAPTURE = 35
REFUND = 39
RERATE = 30
ITEM_CELL = 2
ITEM_ORIGINAL = 5
ITEM_FACTS = 7
PURSE = 7
HOLD = 8
LIMITS = 9
COUNTED = 1 << 30
"""The rule of a record whose amount the account's limits counted."""
CELL = Struct("<I4xB11xq8xq")
"""Index, type, first and third number of a cell."""
SPENT = Struct("<4q")
"""What a cell of limits says was spent in the day, the month, the year, the lifetime."""
SPENT_AT = 40
"""Where in its item."""
CHARGE = Struct("<QQQ")
ORIGINAL = Struct("<QI")
"""Boot epoch and sequence of the tap that a report undoes."""
REFUSALS = 16
OK_RISK = 3
MAY_OWE = (1, 2)
"""ok_overdraft, ok_debt: the only reasons for which a rider's balance may fall below its floor."""

TABLE = list(range(256))
for _ in range(8):
    TABLE = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in TABLE]

TapKey = tuple[int, int, int]
"""Device, boot epoch, sequence; for commands client and both halves of the operation id."""
Answer = tuple[int, ...]
"""verdict, reason, fare, balance, period paid, rules, other stop, fare time, kind."""


def crc32c(data: bytes) -> int:
    """CRC-32C of bytes, one table look-up a byte."""
    crc = 0xFFFFFFFF
    table = TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Record(NamedTuple):
    """The fixed head of a journal record, in the order of docs/journal.md."""

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
    def key(self) -> TapKey:
        """Whose operation it was."""
        return self.id_a, self.id_b, self.id_c

    @property
    def answer(self) -> Answer:
        """What a client must have been told about it."""
        return (
            self.verdict,
            self.reason,
            self.fare_minor,
            self.balance_minor,
            self.period_paid_minor,
            self.rules,
            self.other_stop,
            self.fare_ts_us,
            self.op,
        )


class Money(NamedTuple):
    """The line of an account that holds its money, as a record left it."""

    account_id: int
    version: int
    stored: int
    subsidy: int
    credit_limit: int
    held: int
    position: int
    status: int
    currency: int


class BrokenLawError(Exception):
    """The journal contradicts itself: chain, sequence, checksum, totals or money."""


@dataclass(slots=True)
class Recount:
    """The journal from its beginning, group by group.

    load: the bytes of the segment with this base, None when there is none.
    """

    load: Callable[[int], bytes | bytearray | None]
    check: Callable[[Record], None] = lambda record: None
    """Sees each record, in order: what else has to hold."""
    sound: set[bytes] = field(default_factory=set)
    """Digests of groups whose checksum was computed before: it takes long in plain Python."""
    chain: bytes = bytes(32)
    next_seq: int = 1
    base: int = 0
    offset: int = SEGMENT_HEAD_BYTES
    records: dict[int, Record] = field(default_factory=dict)
    positions: dict[TapKey, list[int]] = field(default_factory=dict)
    commands: dict[TapKey, list[int]] = field(default_factory=dict)
    settled: dict[TapKey, list[int]] = field(default_factory=dict)
    money: dict[int, Money] = field(default_factory=dict)
    counted: dict[int, int] = field(default_factory=dict)
    purses: dict[int, dict[int, int]] = field(default_factory=dict)
    """Account -> cell -> what a further purse holds."""
    holds: dict[int, dict[int, int]] = field(default_factory=dict)
    """Account -> cell -> what a hold reserves."""
    charged: dict[TapKey, int] = field(default_factory=dict)
    refunded: dict[TapKey, int] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)
    """Account -> what its counted records come to."""
    lifetime: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Account -> cell of its limits, and what that says was spent ever."""
    rerated: set[int] = field(default_factory=set)
    """Accounts whose counted amounts are not all in the heads of records."""
    undone: dict[TapKey, TapKey] = field(default_factory=dict)
    """Of a record that gives back: whose amount."""
    risk_minor: int = 0
    """Fares that nobody known has to pay."""
    doubled: list[TapKey] = field(default_factory=list)

    def advance(self) -> list[Record]:
        """Take the groups that are new; returns their records. Raises: BrokenLawError."""
        found: list[Record] = []
        while (group := self._next_group()) is not None:
            found += self._take(group)
        return found

    def _next_group(self) -> bytes | None:
        """The group that follows; a torn last one is nobody's."""
        data = self.load(self.base)
        if data is None or not any(data[:SEGMENT_HEAD_BYTES]):
            return None
        if not any(data[self.offset : self.offset + GROUP_HEAD_BYTES]):
            (size,) = Struct("<Q").unpack_from(data, 80)
            later = self.load(self.base + size)
            if later is None or not any(later[:SEGMENT_HEAD_BYTES]):
                return None
            if later[32:64] != self.chain:
                raise BrokenLawError(f"segment {self.base + size} does not continue the chain")
            self.base, self.offset = self.base + size, SEGMENT_HEAD_BYTES
            return self._next_group()
        (body,) = Struct("<I").unpack_from(data, self.offset + 16)
        group = bytes(data[self.offset : self.offset + GROUP_HEAD_BYTES + body])
        return group if self._is_sound(group) else None

    def _is_sound(self, group: bytes) -> bool:
        digest = hashlib.sha256(group).digest()
        if digest not in self.sound:
            blank = group[:76] + bytes(4) + group[80:]
            if crc32c(blank) != int.from_bytes(group[76:80], "little"):
                return False
            self.sound.add(digest)
        return True

    def _take(self, group: bytes) -> list[Record]:
        magic, _, _, position, _, count, first_seq, _, fares, amounts, _, _ = GROUP.unpack_from(
            group
        )
        if magic != b"FGG1" or position != self.base + self.offset:
            raise BrokenLawError(f"a group of another place at {self.base + self.offset}")
        if group[80:112] != self.chain or first_seq != self.next_seq:
            raise BrokenLawError(f"the group at {position} does not follow the one before")
        taken = [self._record(group, at, position + at) for at in _places(group)]
        if len(taken) != count:
            raise BrokenLawError(f"{len(taken)} records in the group at {position}, not {count}")
        if (sum(r.fare_minor for r in taken), sum(r.amount_minor for r in taken)) != (
            fares,
            amounts,
        ):
            raise BrokenLawError(f"the totals of the group at {position} are not those of records")
        self.chain = hashlib.sha256(group).digest()
        self.offset += len(group)
        return taken

    def _record(self, group: bytes, at: int, position: int) -> Record:
        record = Record._make(RECORD.unpack_from(group, at))
        if record.seq != self.next_seq:
            raise BrokenLawError(f"record {record.seq} where {self.next_seq} is due")
        self.next_seq += 1
        self.records[position] = record
        self._note_identity(record, position)
        items = range(at + RECORD.size, at + record.length_bytes, ITEM_BYTES)
        lines = [
            Money._make(LINE_0.unpack_from(group, item + 8))
            for item in items
            if group[item : item + 2] == b"\x01\x00"
        ]
        for item in items:
            if group[item] == ITEM_CELL:
                if record.reason >= REFUSALS:
                    raise BrokenLawError(f"record {record.seq}: a refusal changes a cell")
                cell = CELL.unpack_from(group, item + 4)
                self._note_cell(record.account_id, *cell)
                self._note_limits(
                    record.account_id, cell, SPENT.unpack_from(group, item + SPENT_AT)
                )
            elif group[item] == ITEM_FACTS and record.reason < REFUSALS:
                self._note_charge(record, CHARGE.unpack_from(group, item + 24))
            elif group[item] == ITEM_ORIGINAL:
                self.undone[record.key] = (record.id_a, *ORIGINAL.unpack_from(group, item + 8))
        self._post(record, lines[0] if lines else None)
        self._note_spent(record)
        self.check(record)
        return record

    def _note_limits(
        self, account: int, cell: tuple[int, int, int, int], windows: tuple[int, ...]
    ) -> None:
        """No window holds more than the lifetime does."""
        index, kind, *_ = cell
        if kind == LIMITS:
            if max(windows) > windows[-1] or min(windows) < 0:
                raise BrokenLawError(f"account {account} spent {windows}")
            self.lifetime[account] = index, windows[-1]
        elif self.lifetime.get(account, (-1, 0))[0] == index:
            del self.lifetime[account]
            self.spent.pop(account, None)

    def _note_spent(self, record: Record) -> None:
        """The limits' lifetime is what the counted records come to, less what was given back."""
        if record.reason >= REFUSALS:
            return
        if record.op == RERATE:
            self.rerated.add(record.account_id)
        if record.account_id in self.rerated:
            return
        source = self._source(record)
        if source is not None and source.rules & COUNTED:
            moved = record.fare_minor - record.amount_minor
            self.spent[record.account_id] = self.spent.get(record.account_id, 0) + moved
        counted = self.spent.get(record.account_id)
        _, kept = self.lifetime.get(record.account_id, (0, counted))
        if counted is not None and kept != counted:
            raise BrokenLawError(f"record {record.seq}: {kept} spent, {counted} was counted")

    def _source(self, record: Record) -> Record | None:
        """The record that says whether the limits counted the amount: that of what is undone."""
        if record.op == REFUND:
            return self._first(self.commands, self.undone.get(record.key))
        if record.op == REVERSAL:
            return self._first(self.positions, self.undone.get(record.key))
        if record.op == SETTLEMENT:
            tap = self._first(self.positions, record.key)
            return tap if tap is not None and tap.reason < REFUSALS else record
        return record

    def _first(self, index: dict[TapKey, list[int]], key: TapKey | None) -> Record | None:
        places = index.get(key, []) if key is not None else []
        return self.records[places[0]] if places else None

    def _note_cell(self, account: int, cell: int, kind: int, first: int, third: int) -> None:
        """A purse's balance comes first, what a hold reserves third."""
        kept = ((PURSE, first, self.purses), (HOLD, third, self.holds))
        for wanted, amount, places in kept:
            of_account = places.setdefault(account, {})
            of_account.pop(cell, None)
            if kind == wanted:
                of_account[cell] = amount
                if amount < 0:
                    raise BrokenLawError(f"cell {cell} of account {account} holds {amount}")

    def _note_charge(self, record: Record, charge: TapKey) -> None:
        """Never more is given back than was taken."""
        if record.op in (DEBIT, HOLD_CAPTURE):
            self.charged[record.key] = -record.amount_minor
        if record.op == REFUND:
            self.undone[record.key] = charge
            back = self.refunded.get(charge, 0) + record.amount_minor
            self.refunded[charge] = back
            if back > self.charged.get(charge, 0):
                raise BrokenLawError(f"record {record.seq}: {back} given back of {charge}")

    def _note_identity(self, record: Record, position: int) -> None:
        kinds = self.settled if record.op == SETTLEMENT else self.positions
        index = self.commands if record.op >= FIRST_COMMAND else kinds
        places = index.setdefault(record.key, [])
        places.append(position)
        if len(places) > 1:
            self.doubled.append(record.key)

    def _post(self, record: Record, after: Money | None) -> None:
        """The law of value: an account is what it was, plus amount, less fare."""
        moved = record.amount_minor - record.fare_minor
        if record.reason == OK_RISK:
            self.risk_minor += record.fare_minor
            moved = 0
        if after is None:
            if moved or record.amount_minor:
                raise BrokenLawError(f"record {record.seq} moves {moved} and shows no account")
            return
        before = self.money.get(after.account_id)
        known = self.counted.get(after.account_id, 0) + moved
        purses = sum(self.purses.get(after.account_id, {}).values())
        if after.held != sum(self.holds.get(after.account_id, {}).values()):
            raise BrokenLawError(f"record {record.seq}: {after.held} held, not what its holds say")
        if after.account_id != record.account_id or known != after.stored + after.subsidy + purses:
            raise BrokenLawError(f"record {record.seq}: {known} counted, {after} stored")
        if before is not None and after.version != before.version + 1:
            raise BrokenLawError(f"record {record.seq}: version {after.version} after {before}")
        self._check_floor(record, before, after)
        self.counted[after.account_id] = known
        self.money[after.account_id] = after

    def _check_floor(self, record: Record, before: Money | None, after: Money) -> None:
        """Stored value goes below its floor only as a debt that the record says it is."""
        below = after.stored - after.held + after.credit_limit < 0
        lowered = after.stored < (before.stored if before is not None else 0)
        excused = record.reason in MAY_OWE or record.op in (ADJUST, HOLD_CAPTURE)
        if after.subsidy < 0 or (below and lowered and not excused):
            raise BrokenLawError(f"record {record.seq} leaves {after} for reason {record.reason}")

    @property
    def balance_minor(self) -> int:
        """What all accounts hold together."""
        purses = sum(sum(cells.values()) for cells in self.purses.values())
        return sum(line.stored + line.subsidy for line in self.money.values()) + purses

    def check_totals(self) -> None:
        """Sum of balances = credits - debits - fares (+ what the operator bears)."""
        fares = sum(record.fare_minor for record in self.records.values())
        amounts = sum(record.amount_minor for record in self.records.values())
        if self.balance_minor != amounts - fares + self.risk_minor:
            raise BrokenLawError(
                f"{self.balance_minor} held, {amounts} in, {fares} fares, {self.risk_minor} risk"
            )


def _places(group: bytes) -> Iterator[int]:
    """Where each record of a group begins."""
    at = GROUP_HEAD_BYTES
    while at < len(group):
        size = int.from_bytes(group[at : at + 4], "little")
        if size < RECORD.size:
            raise BrokenLawError(f"a record of {size} bytes")
        yield at
        at += size


@dataclass(slots=True)
class Verdict:
    """What is wrong with what clients were told; all lists should be empty."""

    acked: int = 0
    lost: list[TapKey] = field(default_factory=list)
    doubled: list[TapKey] = field(default_factory=list)
    altered: list[TapKey] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.altered)


@dataclass(slots=True)
class Told:
    """Everything clients were told, by identity: position and content of each answer."""

    taps: dict[TapKey, set[tuple[int, Answer]]] = field(default_factory=dict)
    commands: dict[TapKey, set[tuple[int, Answer]]] = field(default_factory=dict)

    def tap(self, key: TapKey, position: int, answer: Answer) -> None:
        """Note an answer that names a record."""
        self.taps.setdefault(key, set()).add((position, answer))

    def command(self, key: TapKey, position: int, answer: Answer) -> None:
        """Note a reply that names a record: (op, reason, amount, balance)."""
        self.commands.setdefault(key, set()).add((position, answer))

    def compare(self, recount: Recount) -> Verdict:
        """Hold it against the journal."""
        verdict = Verdict(len(self.taps) + len(self.commands), doubled=list(recount.doubled))
        for key, answers in self.taps.items():
            known = key in recount.positions
            for position, answer in answers:
                record = recount.records.get(position)
                right = record is not None and (record.key, record.answer) == (key, answer)
                _judge(verdict, key, known=known, right=right)
        for key, answers in self.commands.items():
            known = key in recount.commands
            for position, answer in answers:
                record = recount.records.get(position)
                right = record is not None and (record.key, command_answer(record)) == (key, answer)
                _judge(verdict, key, known=known, right=right)
        return verdict


def command_answer(record: Record) -> Answer:
    """What the reply to a command says of its record."""
    return record.op, record.reason, record.amount_minor, record.balance_minor


def _judge(verdict: Verdict, key: TapKey, *, known: bool, right: bool) -> None:
    if not known:
        verdict.lost.append(key)
    elif not right:
        verdict.altered.append(key)
