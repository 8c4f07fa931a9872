"""How fast the ledger is projected: `python -m benchmarks.projection [--records N] [--json]`.

Makes a journal of riders' days (three records in four are a check-in or a check-out, one in eight a
credit or a payment; a check-out has four after-images) and projects it into an empty SQLite file
or, with --url, PostgreSQL. Reports records/s, whether the bar is held (1,000,000 records in 60 s),
and the sizes on disk. Reading, decoding, posting and every commit's sync are inside the time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from struct import Struct

from fastpath import _journal as codec
from fastpath.types import Item, Op, TapKind
from gateway.db import Database
from gateway.journal.segments import SegmentJournal, SegmentOptions
from gateway.ledger.batch import BatchWriter
from gateway.ledger.days import Calendar
from gateway.ledger.projector import Projector
from gateway.ledger.store import open_ledger

BAR_RECORDS = 1_000_000
BAR_S = 60.0
BEGAN_US = 1_790_000_000_000_000
GROUP_RECORDS = 64
LINE_0 = Struct("<QQqqqqQHHBBBB")
OTHER_LINE = bytes(range(64))


@dataclass(frozen=True, slots=True)
class Projection:
    """One run."""

    records: int
    accounts: int
    seconds: float
    cpu_seconds: float
    """Of this process: on a machine that does other things too, what it takes by itself."""
    records_per_s: int
    journal_bytes: int
    ledger_bytes: int
    holds_bar: bool


class Riders:
    """Makes records that tell a true story: balances are the sums of the amounts before."""

    def __init__(self, accounts: int) -> None:
        self._balances = [0] * (accounts + 1)
        self._versions = [0] * (accounts + 1)
        self._accounts = accounts

    def record(self, seq: int) -> bytes:
        """The record of this number."""
        account = seq * 7_919 % self._accounts + 1
        turn = seq % 8
        if turn == 0:
            return self._command(seq, account, Op.CREDIT, 2_000)
        if turn == 4 and self._balances[account] > 500:
            return self._command(seq, account, Op.DEBIT, -300)
        if turn % 2:
            return self._tap(seq, account, TapKind.CHECK_IN, 0)
        return self._tap(seq, account, TapKind.CHECK_OUT, 300 + 100 * (seq % 5))

    def _command(self, seq: int, account: int, op: Op, amount_minor: int) -> bytes:
        fields = {"amount_minor": amount_minor, "id_a": 9001, "id_b": seq << 16, "id_c": seq}
        return self._build(seq, account, fields | {"op": int(op)}, amount_minor)

    def _tap(self, seq: int, account: int, kind: TapKind, fare_minor: int) -> bytes:
        fields = {
            "op": int(kind),
            "fare_minor": fare_minor,
            "id_a": seq % 16_000 + 1,
            "id_b": 7,
            "id_c": seq,
            "flags": int(kind) << 16 | 1 << 24,
            "device_ts_us": BEGAN_US + seq * 1_000,
            "fare_ts_us": BEGAN_US + seq * 1_000,
            "stop": seq % 400,
        }
        return self._build(seq, account, fields, -fare_minor, lines=4 if fare_minor else 3)

    def _build(
        self, seq: int, account: int, fields: dict[str, int], gained_minor: int, *, lines: int = 1
    ) -> bytes:
        self._balances[account] = balance = self._balances[account] + gained_minor
        self._versions[account] = version = self._versions[account] + 1
        image = LINE_0.pack(account, version, balance, 0, 0, 0, 0, 0, 156, 0, 0, 0, 0)
        items = [codec.build_item(Item.ACCOUNT_LINE, 0, account, image)]
        items += [
            codec.build_item(Item.ACCOUNT_LINE, line, account, OTHER_LINE)
            for line in range(1, lines)
        ]
        return codec.build_record(
            seq=seq,
            ts_us=BEGAN_US + seq * 1_000,
            account_id=account,
            balance_minor=balance,
            items=items,
            **fields,  # type: ignore[arg-type]
        )


def make_journal(folder: Path, records: int, accounts: int) -> int:
    """Returns its end."""
    options = SegmentOptions(segment_bytes=64 << 20, group_bytes_max=1 << 20, background=False)
    journal = SegmentJournal.open(folder, options)
    riders = Riders(accounts)
    seq = 1
    try:
        while seq <= records:
            head = journal.head()
            behind = min(seq + GROUP_RECORDS, records + 1)
            position = journal.place(head.position)
            group = codec.build_group(
                [riders.record(number) for number in range(seq, behind)],
                position=position,
                first_seq=seq,
                previous_hash=head.chain_hash,
                ts_us=BEGAN_US + seq * 1_000,
            )
            journal.append(position, group)
            seq = behind
        return journal.head().position
    finally:
        journal.close()


def measure(folder: Path, database: Database, records: int, accounts: int) -> Projection:
    """Project a fresh journal. Raises: what projecting raises."""
    journal_bytes = make_journal(folder / "journal", records, accounts)
    journal = SegmentJournal.open(folder / "journal", read_only=True)
    writer = BatchWriter(Calendar(folder / "tariffs", "Asia/Shanghai", 156))
    projector = Projector(database, journal, writer, mark_path=folder / "mark")
    projector.start()
    began, began_cpu = time.perf_counter(), time.process_time()
    taken = 0
    while found := projector.step():
        taken += found
        sys.stderr.write(f"\r{taken:,} records")
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    sys.stderr.write("\n")
    journal.close()
    if taken != records:
        raise SystemExit(f"{taken} of {records} records were projected")
    size = sum(path.stat().st_size for path in folder.glob("ledger.sqlite*"))
    return Projection(
        records,
        accounts,
        round(seconds, 2),
        round(cpu, 2),
        round(records / seconds),
        journal_bytes,
        size,
        seconds * BAR_RECORDS / records <= BAR_S,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=BAR_RECORDS)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, help="where to work; default the system's")
    parser.add_argument("--url", help="PostgreSQL instead of a SQLite file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        folder = Path(name)
        database = open_ledger(options.url or folder / "ledger.sqlite", create=True)
        found = measure(folder, database, options.records, options.accounts)
        database.close()
    if options.json:
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
    else:
        sys.stdout.write(f"{found.records_per_s:,} records/s, {found.seconds} s\n")
    return 0 if found.holds_bar else 1


if __name__ == "__main__":
    sys.exit(main())
