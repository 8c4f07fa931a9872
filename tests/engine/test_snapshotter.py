"""The snapshotter beside a real journal and, once, a real process."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastpath import _journal as codec
from fastpath.api import StoreHandle
from fastpath.types import Item, Op
from gateway.engine import snapshotter as module
from gateway.engine.snapshot import iter_infos, list_snapshots, load_latest, write_snapshot
from gateway.engine.snapshotter import DurableMark, Follower, Schedule, Snapshotter
from gateway.errors import Corrupt, InvariantError, SnapshotError
from gateway.journal.segments import SegmentJournal
from gateway.observability.page import JOURNAL_POSITION, Page, PageReader
from tests.fastpath.accounts_model import canonical
from tests.support.journals import SMALL, Bank, build_line_0, build_next, fill

REPO = Path(__file__).parents[2]


class Clock:
    """Microseconds that move when told."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


class Bench:
    """A writer's journal, a reader of it and a snapshotter."""

    def __init__(self, folder: Path, *, every_us: int = 10_000_000, every_bytes: int = 1 << 30):
        self.snapshots = folder / "snapshots"
        self.writer = SegmentJournal.open(folder / "journal", SMALL)
        self.reader = SegmentJournal.open(folder / "journal", read_only=True)
        self.bank = Bank()
        self.clock = Clock()
        self.schedule = Schedule(every_us=every_us, every_bytes=every_bytes)
        self.restart()

    def restart(self) -> None:
        follower = Follower.start(StoreHandle(), self.snapshots)
        self.snapshotter = Snapshotter(follower, self.snapshots, self.schedule, self.clock)

    def fill(self, groups: int) -> None:
        fill(self.writer, groups, self.bank)

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


@pytest.fixture
def bench(tmp_path: Path):
    made = Bench(tmp_path)
    yield made
    made.close()


def test_it_follows_what_is_written(bench: Bench) -> None:
    for groups in (1, 0, 3, 40):
        bench.fill(groups)
        while bench.snapshotter.step(bench.reader):
            pass
        follower = bench.snapshotter.follower
        head = bench.writer.head()
        assert follower.position == head.position
        assert (follower.next_seq, follower.chain_hash) == (head.next_seq, head.chain_hash)
    store = bench.snapshotter.follower.store
    for account, balance in bench.bank.balances.items():
        image = store.account(account)
        assert image is not None
        assert int.from_bytes(image[16:24], "little", signed=True) == balance
    assert not list_snapshots(bench.snapshots)


def test_snapshots_are_written_on_time_and_only_of_news(bench: Bench) -> None:
    bench.snapshotter.step(bench.reader)
    bench.clock.now += 20_000_000
    bench.snapshotter.step(bench.reader)
    assert not list_snapshots(bench.snapshots)  # nothing happened yet
    bench.fill(2)
    bench.snapshotter.step(bench.reader)
    first = bench.writer.head()
    assert [info.position for info in iter_infos(bench.snapshots)] == [first.position]
    bench.fill(1)
    bench.clock.now += 9_999_999
    bench.snapshotter.step(bench.reader)
    assert len(list_snapshots(bench.snapshots)) == 1
    bench.clock.now += 1
    bench.snapshotter.step(bench.reader)
    newest = next(iter_infos(bench.snapshots))
    head = bench.writer.head()
    assert (newest.position, newest.next_seq) == (head.position, head.next_seq)
    assert newest.chain_hash == head.chain_hash
    bench.clock.now += 20_000_000
    bench.snapshotter.step(bench.reader)
    assert len(list_snapshots(bench.snapshots)) == 2


def test_much_journal_makes_one_due(tmp_path: Path) -> None:
    bench = Bench(tmp_path, every_bytes=9000)
    try:
        bench.fill(1)
        bench.snapshotter.step(bench.reader)
        assert not list_snapshots(bench.snapshots)
        bench.fill(8)
        bench.snapshotter.step(bench.reader)
        assert len(list_snapshots(bench.snapshots)) == 1
    finally:
        bench.close()


def test_a_restart_goes_on_behind_the_snapshot(bench: Bench) -> None:
    bench.fill(30)
    bench.clock.now += 20_000_000
    bench.snapshotter.step(bench.reader)
    bench.fill(30)
    bench.restart()
    follower = bench.snapshotter.follower
    assert 0 < follower.position < bench.writer.head().position
    bench.snapshotter.step(bench.reader)
    whole = Follower(StoreHandle())
    while whole.follow(bench.reader):
        pass
    assert follower.position == whole.position == bench.writer.head().position
    assert canonical(follower.store) == canonical(whole.store)


def test_a_long_journal_is_taken_in_parts(bench: Bench) -> None:
    bench.fill(20)
    follower = Follower(StoreHandle())
    rounds = 0
    while follower.follow(bench.reader, batch_bytes=4000):
        rounds += 1
    assert rounds >= 3
    assert follower.position == bench.writer.head().position


def append_record(bench: Bench, record: bytes) -> None:
    head = bench.writer.head()
    position = bench.writer.place(head.position)
    group = codec.build_group(
        [record], position=position, first_seq=head.next_seq, previous_hash=head.chain_hash
    )
    bench.writer.append(position, group)


def test_money_from_nowhere_stops_it(bench: Bench) -> None:
    bench.fill(2)
    seq = bench.writer.head().next_seq
    line = codec.build_item(Item.ACCOUNT_LINE, 0, 1, build_line_0(1, 9, 10**6, 0, 0))
    record = codec.build_record(
        op=Op.CREDIT, seq=seq, account_id=1, id_a=1, id_b=2, id_c=3, amount_minor=5, items=[line]
    )
    append_record(bench, record)
    bench.clock.now += 20_000_000
    with pytest.raises(InvariantError, match=f"record {seq} "):
        bench.snapshotter.step(bench.reader)
    assert not list_snapshots(bench.snapshots)


def test_a_tap_that_counts_twice_stops_it(bench: Bench) -> None:
    for _ in range(2):
        seq = bench.writer.head().next_seq
        record = codec.build_record(op=Op.FLAT, seq=seq, id_a=4, id_b=4, id_c=4)
        append_record(bench, record)
    with pytest.raises(Corrupt, match="record 2: its identity"):
        bench.snapshotter.step(bench.reader)


def test_a_full_disk_is_survived(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Path:
        raise OSError(28, "no space left on device")

    bench.fill(3)
    bench.clock.now += 20_000_000
    monkeypatch.setattr(module, "write_snapshot", refuse)
    bench.snapshotter.step(bench.reader)
    assert not list_snapshots(bench.snapshots)
    monkeypatch.setattr(module, "write_snapshot", write_snapshot)
    bench.snapshotter.step(bench.reader)
    assert not list_snapshots(bench.snapshots)  # not at once again
    bench.clock.now += 31_000_000
    bench.snapshotter.step(bench.reader)
    assert len(list_snapshots(bench.snapshots)) == 1


def test_a_damaged_pair_refuses_to_start(bench: Bench) -> None:
    bench.fill(3)
    bench.snapshotter.step(bench.reader)
    bench.snapshotter.write()
    for path in list_snapshots(bench.snapshots):
        path.write_bytes(b"")
    with pytest.raises(SnapshotError):
        bench.restart()


CHILD = """
import sys, types
from pathlib import Path
from fastpath.types import EngineLimits
from gateway.engine import snapshotter
snapshotter.POLL_S = 0.02
folder = Path(sys.argv[1])
config = types.SimpleNamespace(
    engine_limits=EngineLimits,
    snapshots=types.SimpleNamespace(dir=folder / "snapshots", every_s=0.05, keep=2),
    journal=types.SimpleNamespace(kind="segments", dir=folder / "journal"),
    page_path=folder / "page",
)
sys.exit(snapshotter.main(config, int(sys.argv[2])))
"""


def wait_for_snapshot(folder: Path, position: int) -> None:
    deadline = time.monotonic() + 30
    while all(info.position != position for info in iter_infos(folder)):
        assert time.monotonic() < deadline, "no snapshot of the head"
        time.sleep(0.02)


def test_the_process_follows_a_living_writer_and_stops_when_told(tmp_path: Path) -> None:
    ready_read, ready_write = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), str(ready_write)],
        cwd=REPO,
        pass_fds=[ready_write],
    )
    os.close(ready_write)
    try:
        with os.fdopen(ready_read, "rb") as pipe:
            assert pipe.readline() == b'{"ready": {}}\n'  # before there is a journal
        writer = SegmentJournal.open(tmp_path / "journal", SMALL)
        page = Page.create(tmp_path / "page")
        bank = Bank()
        for _ in range(4):
            fill(writer, 5, bank)
            head = writer.head()
            page.slots[JOURNAL_POSITION] = writer.place(head.position)
            wait_for_snapshot(tmp_path / "snapshots", head.position)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
        store = StoreHandle()
        info = load_latest(tmp_path / "snapshots", store)
        assert info is not None
        assert info.chain_hash == head.chain_hash
        assert store.account_count == len(bank.balances)
        writer.close()
        page.close()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def test_nothing_behind_the_durable_mark_is_taken(bench: Bench, tmp_path: Path) -> None:
    mark = DurableMark(PageReader(tmp_path / "page"))
    bench.snapshotter.durable = mark
    bench.fill(30)
    bench.snapshotter.step(bench.reader)
    assert (mark(), bench.snapshotter.follower.position) == (0, 0)  # nobody says anything
    page = Page.create(tmp_path / "page")
    known = bench.writer.head()
    page.slots[JOURNAL_POSITION] = bench.writer.place(known.position)
    bench.fill(30)
    bench.clock.now += 20_000_000
    bench.snapshotter.step(bench.reader)
    assert bench.snapshotter.follower.position == known.position
    assert [info.position for info in iter_infos(bench.snapshots)] == [known.position]
    page.slots[JOURNAL_POSITION] = bench.writer.place(bench.writer.head().position)
    bench.snapshotter.step(bench.reader)
    assert bench.snapshotter.follower.position == bench.writer.head().position
    page.close()


def test_chain_hash_is_that_of_the_last_group(bench: Bench) -> None:
    position, group = build_next(bench.writer, bench.bank)
    bench.writer.append(position, group)
    bench.snapshotter.step(bench.reader)
    assert bench.snapshotter.follower.chain_hash == hashlib.sha256(group).digest()
