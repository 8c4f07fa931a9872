"""Writes journals record by record, so that a test says exactly what happened and when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from zoneinfo import ZoneInfo

from fastpath import _journal as codec
from fastpath.cells import CellType
from fastpath.types import Item, Op, Purpose, Reason
from gateway.db import Database
from gateway.journal.segments import SegmentJournal
from gateway.ledger.batch import BatchWriter
from gateway.ledger.days import Calendar
from gateway.ledger.projector import Projector
from gateway.ledger.records import FACTS
from tests.support.journals import LINE_0, SMALL

ZONE = "Asia/Shanghai"
CELL = Struct("<IBB2xQqqQIB27x")


def at(text: str) -> int:
    """`2026-11-28 08:30` in Shanghai, microseconds UTC."""
    local = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE))
    return int(local.timestamp()) * 1_000_000


@dataclass(slots=True)
class Purses:
    """An account as the scribe knows it."""

    main: int = 0
    subsidy: int = 0
    held: int = 0
    version: int = 0
    further: dict[int, int] = field(default_factory=dict)


class Scribe:
    """One journal in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = SegmentJournal.open(folder / "journal", SMALL)
        self.accounts: dict[int, Purses] = {}
        self._waiting: list[bytes] = []
        self._seq = 1
        self._us = at("2026-11-01 00:00")

    def write(
        self,
        op: Op,
        account: int,
        *,
        when: str | None = None,
        main: int = 0,
        subsidy: int = 0,
        further: dict[int, int] | None = None,
        held: int = 0,
        facts: dict[str, int] | None = None,
        notes: dict[int, str] | None = None,
        **head: object,
    ) -> int:
        """One record by what each purse gains; its amount or fare follows. Returns its number."""
        if when is not None:
            self._us = at(when)
        self._us += 1
        seq, is_command = self._seq, op >= Op.ACCOUNT_OPEN
        gained = main + subsidy + sum((further or {}).values())
        is_fare = not is_command or op in (Op.PASS_ADD, Op.PASS_REMOVE, Op.RERATE)
        values: dict[str, object] = {
            "op": op,
            "seq": seq,
            "ts_us": self._us,
            "account_id": account,
            "id_a": 9001 if is_command else 501,
            "id_b": 1,
            "id_c": seq,
            "fare_minor": -gained if is_fare else 0,
            "amount_minor": 0 if is_fare else gained,
            "fare_ts_us": 0 if is_command else self._us,
            "flags": 0 if is_command else 1 << 24,
        }
        items = self._apply(account, main, subsidy, further or {}, held) if account else []
        items += self._beside(facts, notes)
        self._waiting.append(codec.build_record(**(values | head), items=items))  # type: ignore[arg-type]
        self._seq += 1
        if len(self._waiting) == 3:
            self.flush()
        return seq

    def _apply(
        self, account: int, main: int, subsidy: int, further: dict[int, int], held: int
    ) -> list[bytes]:
        one = self.accounts.setdefault(account, Purses())
        one.main += main
        one.subsidy += subsidy
        one.held += held
        one.version += 1
        line = LINE_0.pack(
            account, one.version, one.main, one.subsidy, 0, one.held, 0, 0, 156, 0, 0, 0, 0
        )
        items = [codec.build_item(Item.ACCOUNT_LINE, 0, 1, line)]
        for purse, gained in further.items():
            one.further[purse] = one.further.get(purse, 0) + gained
            image = CELL.pack(0, CellType.PURSE, 0, purse, one.further[purse], 0, 77, 2, 1)
            items.append(codec.build_item(Item.CELL, 0, 1, image))
        return items

    def _beside(self, facts: dict[str, int] | None, notes: dict[int, str] | None) -> list[bytes]:
        items = []
        if facts is not None:
            names = ("key", "merchant", "charge_client", "charge_high", "charge_low")
            names += (
                "amount_minor",
                "expires_us",
                "purpose",
                "number",
                "tier",
                "flags",
                "purposes",
            )
            packed = FACTS.pack(*(facts.get(name, 0) for name in names))
            items.append(codec.build_item(Item.FACTS, 0, 0, packed))
        for number, text in (notes or {}).items():
            items.append(codec.build_item(Item.NOTE, number, 0, text.encode().ljust(64, b"\0")))
        return items

    def flush(self) -> None:
        """Make what waits one group."""
        if not self._waiting:
            return
        head = self.journal.head()
        position = self.journal.place(head.position)
        group = codec.build_group(
            self._waiting,
            position=position,
            first_seq=head.next_seq,
            previous_hash=head.chain_hash,
            ts_us=self._us,
        )
        self.journal.append(position, group)
        self._waiting.clear()

    # --- words for what tests need

    def credit(self, account: int, minor: int, when: str | None = None) -> int:
        return self.write(Op.CREDIT, account, when=when, main=minor)

    def ride(
        self, account: int, minor: int, when: str | None = None, *, slot: int = 1, **head: object
    ) -> int:
        return self.write(
            Op.CHECK_OUT, account, when=when, main=-minor, flags=slot << 24 | 2 << 16, **head
        )

    def pay(
        self, account: int, minor: int, purpose: Purpose, merchant: int, when: str | None = None
    ) -> int:
        facts = {"purpose": int(purpose), "merchant": merchant, "amount_minor": minor}
        return self.write(Op.DEBIT, account, when=when, main=-minor, facts=facts)

    def refund(
        self, account: int, minor: int, purpose: Purpose, merchant: int, when: str | None = None
    ) -> int:
        facts = {"purpose": int(purpose), "merchant": merchant, "amount_minor": minor}
        return self.write(Op.REFUND, account, when=when, main=minor, facts=facts)

    def risk(self, minor: int, when: str | None = None, *, slot: int = 1) -> int:
        fields = {"reason": Reason.OK_RISK, "fare_minor": minor, "flags": slot << 24 | 2 << 16}
        return self.write(Op.CHECK_OUT, 0, when=when, **fields)


def projector_of(folder: Path, database: Database, batch_records: int = 20_000) -> Projector:
    journal = SegmentJournal.open(folder / "journal", read_only=True)
    writer = BatchWriter(Calendar(folder / "tariffs", ZONE, 156))
    return Projector(database, journal, writer, batch_records, mark_path=folder / "ledger.mark")


@contextmanager
def writing(folder: Path) -> Iterator[Scribe]:
    """A scribe whose journal is whole and closed afterwards."""
    scribe = Scribe(folder)
    try:
        yield scribe
        scribe.flush()
    finally:
        scribe.journal.close()


def take(folder: Path, database: Database, batch_records: int = 20_000) -> None:
    """Project a scribe's journal."""
    one = projector_of(folder, database, batch_records)
    one.start()
    while one.step():
        pass
    one.journal.close()
