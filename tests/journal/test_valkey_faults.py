"""The journal in Valkey when things go wrong: rivals, dead servers, lost replies, no replicas."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastpath import _journal as codec
from gateway.errors import (
    Corrupt,
    EnvironmentFault,
    FareGatewayError,
    Fenced,
    JournalBroken,
    JournalError,
    JournalFull,
    JournalUnavailable,
)
from gateway.journal.scan import Witness
from gateway.journal.valkey import ValkeyJournal, ValkeyOptions
from gateway.journal.valkey_recent import RecentGroups
from gateway.journal.valkey_stream import FIRST_POSITION
from tests.support.journals import Bank, build_next, fill
from tests.support.valkey import LossyProxy, Pair, Server, needs_server, started

pytestmark = needs_server
names = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Servers for tests that leave them as they were."""
    with started(tmp_path_factory.mktemp("valkey")) as servers:
        yield servers


@pytest.fixture
def options(shared: Pair) -> ValkeyOptions:
    return shared.options(f"faults-{next(names)}")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Servers to be killed."""
    with started(tmp_path) as servers:
        yield servers


@pytest.fixture
def proxy(shared: Pair) -> Iterator[LossyProxy]:
    made = LossyProxy(shared.primary.port)
    yield made
    made.close()


def read_all(options: ValkeyOptions) -> list[bytes]:
    reader = ValkeyJournal.open_reader(options)
    try:
        return [bytes(group) for group in reader.read(0)]
    finally:
        reader.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- rivals


def test_a_takeover_fences_the_writer_before_it(options: ValkeyOptions) -> None:
    old = ValkeyJournal.open(options)
    made = fill(old, 3)
    position, group = build_next(old)
    new = ValkeyJournal.open(options, takeover=True)
    assert new.head() == old.head()
    made += fill(new, 2)
    with pytest.raises(Fenced):
        old.append(position, group)
    with pytest.raises(Fenced):
        old.append(position, group)
    made += fill(new, 1)
    assert [bytes(each) for each in new.read(0)] == made
    old.close()
    new.close()


def test_what_was_appended_before_the_takeover_is_seen_by_it(options: ValkeyOptions) -> None:
    """The rival read the head, then the old writer appended, then the rival began its term."""
    old = ValkeyJournal.open(options)
    fill(old, 2)
    rival = ValkeyJournal(options, proven=False)
    from gateway.journal.valkey_wire import PrivateLoop, connect_primary
    from gateway.journal.valkey_writer import StreamWriter

    loop = PrivateLoop("rival")
    writer = StreamWriter(options)

    async def take_over_late() -> None:
        wire = await connect_primary(options)
        top = await writer._top(wire)
        assert top is not None
        fill(old, 1)  # after the look, before the mark
        await writer._begin_term(wire, top.id.term + 1, top.end)
        await writer._read_head(wire)
        await wire.close()

    loop.run(take_over_late())
    assert writer.head == old.head()
    with pytest.raises(Fenced):
        fill(old, 1)
    # The mark says an earlier start than true; positions are found all the same.
    for group in rival.read(0):
        for record in codec.iter_records(group):
            assert codec.view_record(rival.read_record(record.position), record.position) == record
    loop.close()
    rival.close()
    old.close()


def test_writers_that_race_never_both_append(options: ValkeyOptions) -> None:
    """Each takes the lead again and again; all that any of them was told is there, in one chain."""
    told: list[bytes] = []
    failures: list[BaseException] = []
    lock = threading.Lock()

    def write(rounds: int) -> None:
        try:
            for _ in range(rounds):
                try:
                    journal = ValkeyJournal.open(options, takeover=True)
                except Fenced:
                    continue
                try:
                    for _ in range(20):
                        position, group = build_next(journal, Bank(), records=1)
                        journal.append(position, group)
                        with lock:
                            told.append(group)
                except Fenced:
                    continue
                finally:
                    journal.close()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(6,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    there = read_all(options)
    assert len(told) >= 20
    assert set(told) <= set(there)
    assert len(there) == len(set(there))


def test_a_living_leader_is_not_replaced_by_accident(options: ValkeyOptions) -> None:
    leader = ValkeyJournal.open(options)
    leader.announce("10.0.0.1:7400")
    reader = ValkeyJournal.open_reader(options)
    until(lambda: (found := reader.find_leader()) is not None and found.where != "")
    with pytest.raises(Fenced, match=r"leads at 10\.0\.0\.1:7400"):
        ValkeyJournal.open(options)
    fill(leader, 1)
    leader.close()
    assert reader.find_leader() is None
    again = ValkeyJournal.open(options)
    fill(again, 1)
    again.close()
    reader.close()


def test_a_deposed_leader_learns_it_without_appending(options: ValkeyOptions) -> None:
    old = ValkeyJournal.open(options)
    new = ValkeyJournal.open(options, takeover=True)

    def is_deposed() -> bool:
        try:
            old.disk_state()
        except Fenced:
            return True
        return False

    until(is_deposed)
    fill(new, 1)
    old.close()
    assert new.find_leader() is not None  # the old one did not take the new one's entry away
    new.close()


# --- replies that do not come


@pytest.mark.parametrize("rounds", [4])
def test_a_group_whose_reply_was_lost_is_there_once(
    shared: Pair, options: ValkeyOptions, proxy: LossyProxy, rounds: int
) -> None:
    journal = ValkeyJournal.open(replace(options, servers=(proxy.address,)))
    made = fill(journal, 2)
    for _ in range(rounds):
        proxy.lose_next(b"XADD")
        made += fill(journal, 1)
        made += fill(journal, 1)
    assert proxy.lost == rounds
    journal.close()
    assert read_all(options) == made


def test_a_request_that_arrives_after_it_was_not_found_has_no_effect(
    options: ValkeyOptions, proxy: LossyProxy
) -> None:
    """The worst moment: the writer has just read that its group is not there."""
    journal = ValkeyJournal.open(replace(options, servers=(proxy.address,)))
    writer = journal._writer
    assert writer is not None
    made = fill(journal, 2)
    look, late = writer._find_landed, []

    def look_then_arrive(*arguments):
        landed = look(*arguments)
        assert landed is None
        late.append(proxy.release())
        return landed

    writer._find_landed = look_then_arrive  # type: ignore[method-assign]
    proxy.hold_next(b"XADD")
    made += fill(journal, 1)  # cut, not found, sent again in the next term
    assert proxy.lost == 1
    assert b"equal or smaller" in late[0]
    made += fill(journal, 1)
    journal.close()
    assert read_all(options) == made


def test_a_lost_reply_to_the_mark_of_a_term_is_no_rival(
    options: ValkeyOptions, proxy: LossyProxy
) -> None:
    journal = ValkeyJournal.open(replace(options, servers=(proxy.address,)))
    made = fill(journal, 1)
    proxy.lose_next(b"XADD")
    original = journal._writer._begin_term  # type: ignore[union-attr]

    async def begin(wire, term, start):
        if proxy.lost == 1:
            proxy.lose_next(b"XADD")
        await original(wire, term, start)

    journal._writer._begin_term = begin  # type: ignore[union-attr,method-assign]
    made += fill(journal, 1)
    assert proxy.lost == 2
    journal.close()
    assert read_all(options) == made


# --- servers that die, replicas that are not there


def test_an_unreachable_server_undoes_and_comes_back(pair: Pair) -> None:
    options = pair.options()
    journal = ValkeyJournal.open(options)
    made = fill(journal, 3)
    pair.primary.kill()
    position, group = build_next(journal)
    for _ in range(2):
        with pytest.raises(JournalUnavailable) as refused:
            journal.append(position, group)
        assert isinstance(refused.value, JournalFull)
        assert refused.value.retry == "safe"
    pair.primary.start()
    pair.replica._until(pair.replica._is_ready)
    made += fill(journal, 2)
    journal.close()
    assert read_all(options) == made


def test_every_acknowledged_group_is_on_a_promoted_replica(pair: Pair) -> None:
    options = pair.options()
    journal = ValkeyJournal.open(options)
    told: list[bytes] = []
    failed: list[FareGatewayError] = []

    def write() -> None:
        bank = Bank()
        try:
            while True:
                position, group = build_next(journal, bank)
                journal.append(position, group)
                told.append(group)
        except FareGatewayError as error:
            failed.append(error)

    journal._writer.options = replace(options, resolve_s=1.0)  # type: ignore[union-attr]
    thread = threading.Thread(target=write)
    thread.start()
    until(lambda: len(told) >= 200)
    pair.primary.kill()
    pair.replica.promote()
    thread.join()
    assert isinstance(failed[0], JournalError)  # no replica is left that could acknowledge
    journal.close()
    alone = pair.options(replicas=0)
    there = read_all(alone)
    assert there[: len(told)] == told
    assert len(there) - len(told) <= 1
    again = ValkeyJournal.open(alone)
    fill(again, 2)
    again.close()


def test_a_writer_follows_the_primary_to_another_server(pair: Pair, tmp_path: Path) -> None:
    third = Server(tmp_path / "third", primary=pair.primary)
    try:
        servers = (pair.primary.address, pair.replica.address, third.address)
        options = pair.options(replicas=2, servers=servers)
        journal = ValkeyJournal.open(options)
        made = fill(journal, 3)
        pair.primary.kill()
        pair.replica.promote()
        with third.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", pair.replica.port)
        journal._writer.options = replace(options, replicas=1)  # type: ignore[union-attr]
        made += fill(journal, 3)
        journal.close()
        assert read_all(replace(options, replicas=1)) == made
    finally:
        third.close()


def test_a_server_that_lost_acknowledged_groups_is_refused(pair: Pair) -> None:
    """Promoted although it was behind: nobody may go on as if nothing had been there."""
    options = pair.options(replicas=0)
    journal = ValkeyJournal.open(options)
    fill(journal, 2)
    with pair.replica.client() as client:
        until(lambda: client.xlen(options.key("groups")) == 3)
    pair.replica.promote()  # and so cut off from what follows
    fill(journal, 2)
    head = journal.head()
    pair.primary.kill()
    position, group = build_next(journal)
    with pytest.raises(Corrupt, match="acknowledged"):
        journal.append(position, group)
    journal.close()
    witness = Witness("snapshot", head.position, head.chain_hash)
    with pytest.raises(Corrupt, match="tail is lost"):
        ValkeyJournal.open(options, witnesses=[witness])


def test_nothing_is_ok_while_the_replica_does_not_acknowledge(pair: Pair) -> None:
    options = pair.options()
    journal = ValkeyJournal.open(options)
    made = fill(journal, 2)
    pair.replica.pause()
    done = threading.Event()

    def append() -> None:
        made.extend(fill(journal, 1))
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    with pair.primary.client() as client:
        until(lambda: client.xlen(options.key("groups")) == 4)  # the primary has it
    assert not done.wait(1.2)  # longer than one WAIT
    assert journal.head().position < codec.view_group(made[-1]).position + 10_000
    assert len(made) == 2
    reader = ValkeyJournal.open_reader(options)
    assert len(list(reader.read(0))) == 2  # nor does a reader build on it
    pair.replica.resume()
    thread.join(20)
    assert done.is_set()
    until(lambda: [bytes(each) for each in reader.read(0)] == made)
    reader.close()
    journal.close()


def test_without_its_replica_a_writer_gives_up_in_the_end_and_recovery_finds_the_group(
    pair: Pair,
) -> None:
    options = pair.options(resolve_s=0.3, timeout_s=0.4)
    journal = ValkeyJournal.open(options)
    made = fill(journal, 1)
    pair.replica.pause()
    position, group = build_next(journal)
    with pytest.raises(JournalBroken):
        journal.append(position, group)
    journal.close()
    with pytest.raises(JournalUnavailable):
        ValkeyJournal.open(options)
    pair.replica.resume()
    with pair.primary.client() as client:
        until(lambda: client.info("replication")["connected_slaves"] == 1)
    until(lambda: client.wait(1, 1000) == 1)
    again = ValkeyJournal.open(pair.options())
    assert [bytes(each) for each in again.read(0)] == [*made, group]
    again.close()


def test_a_full_server_refuses_and_takes_groups_again(pair: Pair) -> None:
    journal = ValkeyJournal.open(pair.options())
    made = fill(journal, 2)
    with pair.primary.client() as client:
        client.config_set("maxmemory", "1mb")
        position, group = build_next(journal)
        with pytest.raises(JournalFull) as refused:
            journal.append(position, group)
        assert refused.value.code == "JOURNAL_FULL"
        client.config_set("maxmemory", "256mb")
    made += fill(journal, 2)
    assert [bytes(each) for each in journal.read(0)] == made
    journal.close()


# --- settings, damage, retention


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("appendfsync", "everysec", "appendfsync"),
        ("appendonly", "no", "appendonly"),
        ("no-appendfsync-on-rewrite", "yes", "no-appendfsync-on-rewrite"),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy"),
    ],
)
def test_a_server_that_weakens_the_promise_is_refused(
    shared: Pair, options: ValkeyOptions, name: str, text: str, said: str
) -> None:
    with shared.primary.client() as client:
        before = client.config_get(name)[name]
        client.config_set(name, text)
        try:
            with pytest.raises(EnvironmentFault, match=said) as refused:
                ValkeyJournal.open(options)
            assert refused.value.code == "ENV_VALKEY_UNSAFE"
        finally:
            client.config_set(name, before)
            until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)


def test_a_changed_group_is_noticed(shared: Pair, options: ValkeyOptions) -> None:
    journal = ValkeyJournal.open(options)
    made = fill(journal, 3)
    journal.close()
    key = options.key("groups")
    with shared.primary.client() as client:
        (_, _), *groups = client.xrange(key)
        client.delete(key)
        for i, (entry, fields) in enumerate(groups):
            group = bytearray(fields[b"g"])
            if i == 1:
                group[300] ^= 1
            client.xadd(key, {"g": bytes(group)}, id=entry)
    reader = ValkeyJournal.open_reader(options)
    groups_read = reader.read(0)
    assert bytes(next(groups_read)) == made[0]
    with pytest.raises(Corrupt, match="checksum"):
        next(groups_read)
    reader.close()


def test_a_missing_group_is_noticed(shared: Pair, options: ValkeyOptions) -> None:
    journal = ValkeyJournal.open(options)
    fill(journal, 3)
    journal.close()
    with shared.primary.client() as client:
        entries = client.xrange(options.key("groups"))
        client.xdel(options.key("groups"), entries[2][0])
    reader = ValkeyJournal.open_reader(options)
    with pytest.raises(Corrupt, match="must follow"):
        list(reader.read(0))
    reader.close()


def test_trimming_keeps_what_is_behind_the_snapshot(options: ValkeyOptions) -> None:
    journal = ValkeyJournal.open(options)
    made = fill(journal, 10)
    snapshot = codec.view_group(made[6]).position
    assert journal.trim(snapshot) == 7  # six groups and the mark of the term
    assert [bytes(each) for each in journal.read(snapshot)] == made[6:]
    with pytest.raises(JournalError, match="past retention"):
        list(journal.read(0))
    gone = codec.view_group(made[2]).position + codec.GROUP_HEAD_BYTES
    assert journal.read_record(gone)  # the writer still knows what it appended lately
    reader = ValkeyJournal.open_reader(options)
    with pytest.raises(JournalError, match="past retention"):
        reader.read_record(gone)
    reader.close()
    assert journal.trim(journal.head().position) == 3
    head = journal.head()
    journal.close()
    again = ValkeyJournal.open(options, witnesses=[Witness("s", head.position, head.chain_hash)])
    assert again.head() == head
    fill(again, 2)
    for group in again.read(head.position, previous_hash=head.chain_hash):
        for record in codec.iter_records(group):
            assert again.read_record(record.position)
    again.close()


async def test_a_record_is_read_in_the_loop_without_waiting_for_a_dead_server(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both servers are stopped: the writer answers from memory; a reader refuses, and only its
    first question waits at all."""
    options = pair.options(timeout_s=20.0)
    journal = await asyncio.to_thread(ValkeyJournal.open, options)
    await asyncio.to_thread(fill, journal, 3)
    position = FIRST_POSITION + codec.GROUP_HEAD_BYTES
    expected = journal.read_record(position)
    reader = ValkeyJournal.open_reader(options)
    assert reader.read_record(position) == expected
    reader._reader._kept = None
    for server in (pair.primary, pair.replica):
        server.pause()
    assert journal.read_record(position) == expected
    with pytest.raises(JournalUnavailable, match="still being read"):
        reader.read_record(position)
    begun: list[int] = []
    monkeypatch.setattr(reader._reading, "submit", begun.append)
    for _ in range(100):
        with pytest.raises(JournalUnavailable, match="does not answer"):
            reader.read_record(position)
    assert begun == []
    monkeypatch.undo()
    for server in (pair.primary, pair.replica):
        server.resume()
    assert await until_read(reader, position) == expected
    await asyncio.to_thread(reader.close)
    await asyncio.to_thread(journal.close)


async def until_read(reader: ValkeyJournal, position: int) -> bytes:
    """Asked again and again, as a validator does."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(JournalUnavailable):
                return reader.read_record(position)
            await asyncio.sleep(0.01)


def test_only_what_was_appended_lately_is_kept(options: ValkeyOptions) -> None:
    journal = ValkeyJournal.open(options)
    bank = Bank()
    made = fill(journal, 10, bank)
    recent = RecentGroups(limit_bytes=4 * len(made[0]))
    for group in made:
        recent.add(codec.view_group(group).position, group)
    found = 0
    for group in made:
        for record in codec.iter_records(group):
            kept = recent.find_record(record.position)
            assert kept in (None, journal.read_record(record.position))
            found += kept is not None
    assert 2 * 3 <= found <= 4 * 3
    assert recent.find_record(codec.view_group(made[-1]).position + 5) is None
    journal.close()


def test_records_are_found_across_many_terms(options: ValkeyOptions) -> None:
    made: list[bytes] = []
    bank = Bank()
    for round_number in range(9):
        journal = ValkeyJournal.open(options, takeover=True)
        made += fill(journal, round_number % 3, bank)  # some terms have no group
        journal.close()
    reader = ValkeyJournal.open_reader(options)
    for group in made:
        view = codec.view_group(group)
        assert bytes(next(reader.read(view.position))) == group
        for record in codec.iter_records(group):
            found = reader.read_record(record.position)
            assert codec.view_record(found, record.position) == record
    reader.close()
