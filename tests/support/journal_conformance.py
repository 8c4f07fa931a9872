"""What every journal must do, whatever it is made of.

A test module subclasses JournalConformance and gives it a `world` fixture: something that opens the
same journal again and again, as after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

import pytest

from fastpath import _journal as codec
from gateway.errors import Fenced, InvariantError, JournalError
from gateway.journal.port import Head, Journal
from tests.support.journals import Bank, build_next, fill


class JournalWorld(Protocol):
    """One journal that outlives its openings."""

    def open(self) -> Journal:
        """Open to write."""

    def open_reader(self) -> Journal:
        """Open beside a writer."""


class JournalConformance:
    """The suite."""

    @pytest.fixture
    def journal(self, world: JournalWorld) -> Iterator[Journal]:
        opened = world.open()
        yield opened
        opened.close()

    def test_new_one_is_empty(self, journal: Journal) -> None:
        assert journal.head() == Head(0, 1, codec.NO_HASH)
        assert list(journal.read(0)) == []

    def test_head_follows_each_append(self, journal: Journal) -> None:
        for _ in range(30):
            before = journal.head()
            position, group = build_next(journal, records=2)
            journal.append(position, group)
            head = journal.head()
            assert head.position == position + len(group)
            assert head.next_seq == before.next_seq + 2
            assert head.chain_hash == hashlib.sha256(group).digest()

    def test_reads_back_what_was_appended(self, journal: Journal) -> None:
        made = fill(journal, 40)
        assert [bytes(group) for group in journal.read(0)] == made

    def test_read_from_every_group_and_every_end(self, journal: Journal) -> None:
        made = fill(journal, 25)
        for i, group in enumerate(made):
            position = codec.view_group(group).position
            assert [bytes(g) for g in journal.read(position)] == made[i:]
            behind = position + len(group)
            known = hashlib.sha256(group).digest()
            assert [bytes(g) for g in journal.read(behind, previous_hash=known)] == made[i + 1 :]

    def test_read_refuses_a_wrong_previous_hash(self, journal: Journal) -> None:
        made = fill(journal, 3)
        second = codec.view_group(made[1]).position
        with pytest.raises(JournalError):
            list(journal.read(second, previous_hash=bytes(31) + b"x"))

    def test_read_record(self, journal: Journal) -> None:
        made = fill(journal, 30)
        for group in made:
            for record in codec.iter_records(group):
                found = journal.read_record(record.position)
                assert codec.view_record(found, record.position) == record

    def test_read_record_where_there_is_none(self, journal: Journal) -> None:
        fill(journal, 2)
        for position in (journal.head().position + 8, 1 << 40):
            with pytest.raises(JournalError):
                journal.read_record(position)

    def test_place_is_where_append_wants_it(self, journal: Journal) -> None:
        fill(journal, 20)
        head = journal.head()
        expected = journal.place(head.position)
        assert journal.place(expected) == expected
        position, group = build_next(journal)
        assert position == expected
        wrong = position + 8
        moved = codec.build_group(
            [codec.build_record(seq=head.next_seq)],
            position=wrong,
            first_seq=head.next_seq,
            previous_hash=head.chain_hash,
        )
        with pytest.raises(Fenced):
            journal.append(wrong, moved)
        journal.append(position, group)

    @pytest.mark.parametrize("what", ["chain", "seq"])
    def test_a_writer_that_is_not_at_the_head_is_fenced(self, journal: Journal, what: str) -> None:
        fill(journal, 2)
        head = journal.head()
        position = journal.place(head.position)
        seq = head.next_seq + (what == "seq")
        group = codec.build_group(
            [codec.build_record(seq=seq)],
            position=position,
            first_seq=seq,
            previous_hash=bytes(32) if what == "chain" else head.chain_hash,
        )
        with pytest.raises(Fenced):
            journal.append(position, group)
        assert journal.head() == head
        assert len(list(journal.read(0))) == 2

    def test_an_unsound_group_is_not_taken(self, journal: Journal) -> None:
        position, group = build_next(journal)
        for broken in (group[:-8], group + bytes(8), group[:200] + b"\1" + group[201:]):
            with pytest.raises(InvariantError):
                journal.append(position, broken)
        journal.append(position, group)
        assert [bytes(g) for g in journal.read(0)] == [group]

    def test_takes_any_bytes_like(self, journal: Journal) -> None:
        for kind in (bytes, bytearray, memoryview):
            position, group = build_next(journal)
            journal.append(position, kind(group))
        assert len(list(journal.read(0))) == 3

    def test_survives_closing(self, world: JournalWorld) -> None:
        made: list[bytes] = []
        bank = Bank()
        for _ in range(4):
            journal = world.open()
            assert [bytes(g) for g in journal.read(0)] == made
            made += fill(journal, 9, bank)
            head = journal.head()
            journal.close()
        again = world.open()
        assert again.head() == head
        again.close()

    def test_a_second_writer_is_refused(self, world: JournalWorld, journal: Journal) -> None:
        with pytest.raises(Fenced):
            world.open()
        fill(journal, 1)

    def test_a_reader_follows(self, world: JournalWorld, journal: Journal) -> None:
        made = fill(journal, 5)
        reader = world.open_reader()
        position = 0
        seen = []
        for _ in range(12):
            for group in reader.read(position):
                view = codec.view_group(group)
                position = view.position + view.length_bytes
                seen.append(bytes(group))
            assert seen == made
            made += fill(journal, 3)
        assert reader.head() == journal.head()
        with pytest.raises(Fenced):
            reader.append(*build_next(journal))
        reader.close()
