"""What a payment from a hold, or a refund, is about: the hold or the charge says, when it does not.

A capture need not repeat its hold's merchant and purpose, nor a refund those of its charge. A fare
that is given back was earned by whoever runs the tap's tariff.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from fastpath.cells import CellType
from fastpath.types import FactFlag, Op, Purpose
from gateway.ledger.records import IdClass, Record
from gateway.ledger.tables import HOLDS, RECORDS

CELL_HOLD = int(CellType.HOLD)
_HOLD_OPS = frozenset(range(Op.HOLD_PLACE, Op.HOLD_EXPIRE + 1))

Identity = tuple[int, int, int]
About = tuple[int, int]
"""(merchant, purpose)."""


@dataclass(slots=True)
class Hold:
    """One hold as of the last record about it."""

    merchant: int
    purpose: int
    placed_minor: int
    left_minor: int
    expires_us: int
    seq: int

    def row(self, account_id: int, number: int) -> tuple[int, ...]:
        """As HOLDS has it."""
        about = (self.merchant, self.purpose, self.placed_minor, self.left_minor)
        return (account_id, number, *about, self.expires_us, self.seq)


class Origins:
    """Knows holds and charges of one batch and asks the database for older ones. Thread: one."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._charges: dict[Identity, About] = {}
        self._holds: dict[tuple[int, int], Hold] = {}
        self._fares: dict[Identity, int] = {}

    def begin(self, connection: Connection) -> None:
        """For one batch."""
        self._connection = connection
        self._charges = {}
        self._holds = {}
        self._fares = {}

    def about(self, record: Record) -> About:
        """Merchant and purpose of a record; remembers what later ones may refer to."""
        head, merchant, purpose = record.head, record.merchant, record.purpose
        if record.facts is None or not head.is_accepted:
            if head.fare_minor > 0 and not head.is_command:
                self._fares[head.id_a, head.id_b, head.id_c] = head.tariff_slot
            return merchant, purpose
        if head.op in _HOLD_OPS:
            merchant, purpose = self._of_hold(record, merchant, purpose)
        elif is_fare_refund(record):
            purpose = int(Purpose.TRANSIT)
        elif head.op == Op.REFUND:
            merchant, purpose = _or(merchant, purpose, self._charge(record))
        if head.op in (Op.DEBIT, Op.HOLD_CAPTURE):
            self._charges[head.id_a, head.id_b, head.id_c] = merchant, purpose
        return merchant, purpose

    def tariff_slot(self, record: Record) -> int:
        """Of the device that tapped, also for a fare that is given back."""
        facts = record.facts
        if facts is None or not is_fare_refund(record):
            return record.head.tariff_slot
        tap = facts.charge_client, facts.charge_high, facts.charge_low
        if tap not in self._fares:
            self._fares[tap] = self._find_slot(tap)
        return self._fares[tap]

    def _find_slot(self, tap: Identity) -> int:
        query = (
            select(RECORDS.c.tariff_slot)
            .where(RECORDS.c.id_c == tap[2], RECORDS.c.id_b == tap[1], RECORDS.c.id_a == tap[0])
            .where(RECORDS.c.id_class != int(IdClass.COMMAND))
            .limit(1)
        )
        found = self._connection.scalar(query) if self._connection is not None else None
        return int(found or 0)

    def rows(self) -> list[tuple[int, ...]]:
        """Holds of this batch, for HOLDS."""
        return [hold.row(*key) for key, hold in self._holds.items()]

    def _of_hold(self, record: Record, merchant: int, purpose: int) -> About:
        facts, head = record.facts, record.head
        if facts is None:
            return merchant, purpose
        key = head.account_id, facts.key
        if head.op == Op.HOLD_PLACE:
            hold = Hold(merchant, purpose, head.nominal_minor, 0, facts.expires_us, 0)
        else:
            hold = (
                self._holds.get(key) or self._find_hold(*key) or Hold(merchant, purpose, 0, 0, 0, 0)
            )
            merchant, purpose = _or(merchant, purpose, (hold.merchant, hold.purpose))
        _take_image(hold, record, facts.key)
        hold.seq = head.seq
        self._holds[key] = hold
        return merchant, purpose

    def _find_hold(self, account_id: int, number: int) -> Hold | None:
        if self._connection is None:
            return None
        query = select(HOLDS).where(HOLDS.c.account_id == account_id, HOLDS.c.hold == number)
        row = self._connection.execute(query).one_or_none()
        return Hold(*tuple(row)[2:]) if row is not None else None

    def _charge(self, record: Record) -> About:
        facts = record.facts
        if facts is None:
            return 0, int(Purpose.NONE)
        identity = facts.charge_client, facts.charge_high, facts.charge_low
        found = self._charges.get(identity)
        if found is None:
            found = self._charges[identity] = self._find_charge(identity)
        return found

    def _find_charge(self, identity: Identity) -> About:
        client, high, low = identity
        query = (
            select(RECORDS.c.merchant, RECORDS.c.purpose)
            .where(RECORDS.c.id_c == low, RECORDS.c.id_b == high, RECORDS.c.id_a == client)
            .where(RECORDS.c.id_class == int(IdClass.COMMAND))
        )
        row = self._connection.execute(query).one_or_none() if self._connection else None
        return (row.merchant, row.purpose) if row is not None else (0, int(Purpose.NONE))


def is_fare_refund(record: Record) -> bool:
    """Whether a record gives back of a tap's fare."""
    facts = record.facts
    return record.head.op == Op.REFUND and facts is not None and bool(facts.flags & FactFlag.FARE)


def _or(merchant: int, purpose: int, origin: About) -> About:
    """What a record says itself goes before where it comes from."""
    return merchant or origin[0], origin[1] if purpose == Purpose.NONE else purpose


def _take_image(hold: Hold, record: Record, number: int) -> None:
    """What the hold is now; one that is over has no image."""
    for image in record.cells:
        if image[4] == CELL_HOLD and int.from_bytes(image[8:16], "little") == number:
            hold.placed_minor = int.from_bytes(image[16:24], "little", signed=True)
            hold.left_minor = int.from_bytes(image[32:40], "little", signed=True)
            hold.expires_us = int.from_bytes(image[40:48], "little", signed=True)
            return
    hold.left_minor = 0
