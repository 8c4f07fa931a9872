"""Journals for tests: small groups of valid records, and folders full of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

from fastpath import _journal as codec
from fastpath.types import Item, Op
from gateway.journal.port import Journal
from gateway.journal.segments import SegmentJournal, SegmentOptions

SMALL = SegmentOptions(segment_bytes=16384, group_bytes_max=2048, background=False)
"""Fourteen groups of three records or so fill a segment."""

LINE_0 = Struct("<QQqqqqQHHBBBB")


def build_line_0(account: int, version: int, balance: int, subsidy: int, position: int) -> bytes:
    """After-image of an account's first line."""
    return LINE_0.pack(account, version, balance, subsidy, 0, 0, position, 0, 156, 0, 0, 0, 0)


@dataclass(slots=True)
class Bank:
    """Makes records that tell a true story: balances are the sums of the amounts before."""

    balances: dict[int, int] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)

    def record(self, seq: int, account: int, *, amount: int = 0, fare: int = 0) -> bytes:
        """One credit (amount) or fare; it is posted at once."""
        self.balances[account] = balance = self.balances.get(account, 0) + amount - fare
        self.versions[account] = version = self.versions.get(account, 0) + 1
        op = Op.CREDIT if amount else Op.FLAT
        image = build_line_0(account, version, balance, 0, 0)
        item = codec.build_item(Item.ACCOUNT_LINE, 0, account, image)
        return codec.build_record(
            op=op,
            seq=seq,
            ts_us=1_790_000_000_000_000 + seq,
            account_id=account,
            id_a=9001,
            id_b=1,
            id_c=seq,
            amount_minor=amount,
            fare_minor=fare,
            balance_minor=balance,
            items=[item],
        )


def build_next(
    journal: Journal,
    bank: Bank | None = None,
    *,
    records: int = 3,
    ts_us: int = 1_790_000_000_000_000,
) -> tuple[int, bytes]:
    """(position, group) that the journal takes next."""
    bank = bank or Bank()
    head = journal.head()
    made = []
    for seq in range(head.next_seq, head.next_seq + records):
        fare = 200 if seq % 3 == 0 else 0
        made.append(bank.record(seq, 1 + seq % 5, amount=0 if fare else 500, fare=fare))
    position = journal.place(head.position)
    group = codec.build_group(
        made,
        position=position,
        first_seq=head.next_seq,
        previous_hash=head.chain_hash,
        ts_us=ts_us,
    )
    return position, group


def fill(
    journal: Journal, groups: int, bank: Bank | None = None, *, records: int = 3
) -> list[bytes]:
    """Append groups; returns them."""
    bank = bank or Bank()
    made = []
    for _ in range(groups):
        position, group = build_next(journal, bank, records=records)
        journal.append(position, group)
        made.append(group)
    return made


def make_journal(
    folder: Path, groups: int, options: SegmentOptions = SMALL, *, records: int = 3
) -> list[bytes]:
    """A closed journal with so many groups."""
    journal = SegmentJournal.open(folder, options)
    try:
        return fill(journal, groups, records=records)
    finally:
        journal.close()


def read_all(folder: Path, options: SegmentOptions = SMALL) -> list[bytes]:
    """Open to write (so recover), read everything, close."""
    journal = SegmentJournal.open(folder, options)
    try:
        return [bytes(group) for group in journal.read(0)]
    finally:
        journal.close()
