"""Readers beside a living writer, and writers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fastpath import _journal as codec
from gateway.errors import Corrupt
from gateway.journal.segment import segment_name
from gateway.journal.segments import SegmentJournal, SegmentOptions
from gateway.journal.verify import verify_journal
from tests.support.faultfs import FaultFiles, SimDisk
from tests.support.journals import SMALL, build_next, fill, make_journal

SEG = SMALL.segment_bytes
REPO = Path(__file__).parents[2]

WRITER = """
import sys
from gateway.journal.segments import SegmentJournal, SegmentOptions
from tests.support.journals import Bank, build_next
journal = SegmentJournal.open(sys.argv[1], SegmentOptions(65536, 8192))
bank = Bank()
for _ in range(int(sys.argv[2])):
    position, group = build_next(journal, bank)
    journal.append(position, group)
    print(journal.head().position, flush=True)
input()
"""


def start_writer(folder: Path, groups: int) -> subprocess.Popen[str]:
    run = [sys.executable, "-c", WRITER, str(folder), str(groups)]
    pipe = subprocess.PIPE
    return subprocess.Popen(run, stdout=pipe, stdin=pipe, text=True, cwd=REPO)


def stop(writer: subprocess.Popen[str]) -> None:
    if writer.poll() is None:
        writer.kill()
    writer.communicate()


def test_a_follower_sees_every_group_of_another_process_once(tmp_path: Path) -> None:
    groups = 400
    writer = start_writer(tmp_path, groups)
    assert writer.stdout is not None
    try:
        writer.stdout.readline()
        reader = SegmentJournal.open(tmp_path, read_only=True)
        position, seqs, rounds = 0, [], 0
        while len(seqs) < groups:
            for group in reader.read(position):
                view = codec.view_group(group)
                position = view.position + view.length_bytes
                seqs.append(view.first_seq)
            rounds += 1
        assert seqs == list(range(1, 3 * groups, 3))
        assert reader.head().next_seq == 3 * groups + 1
        reader.close()
        assert verify_journal(tmp_path).is_sound
    finally:
        stop(writer)


@pytest.mark.parametrize("acknowledged", [1, 40, 130, 260])
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    writer = start_writer(tmp_path, 100_000)
    assert writer.stdout is not None
    try:
        for _ in range(acknowledged):
            line = writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        told = int((rest.rstrip().splitlines() or [line])[-1])
    finally:
        stop(writer)
    journal = SegmentJournal.open(tmp_path, SegmentOptions(65536, 8192))
    assert journal.head().position >= told
    records = [r.seq for group in journal.read(0) for r in codec.iter_records(group)]
    assert records == list(range(1, len(records) + 1))
    fill(journal, 30)
    journal.close()
    assert verify_journal(tmp_path).is_sound


def test_a_reader_stops_at_a_group_that_is_not_whole_yet(tmp_path: Path) -> None:
    disk = SimDisk()
    journal = SegmentJournal.open(tmp_path, SMALL, files=disk)
    made = fill(journal, 3)
    position, group = build_next(journal)
    reader = SegmentJournal.open(tmp_path, SMALL, read_only=True, files=disk)
    content = disk.content(tmp_path / segment_name(0))
    for size in range(0, len(group.rstrip(b"\0")), 5):
        content[position : position + size] = group[:size]
        assert [bytes(g) for g in reader.read(0)] == made
    content[position : position + len(group)] = group
    assert [bytes(g) for g in reader.read(0)] == [*made, group]
    reader.close()
    journal.close()


def test_a_reader_makes_durable_what_it_hands_out(tmp_path: Path) -> None:
    """A projection must not be ahead of the journal after a power cut."""
    disk = SimDisk()
    journal = SegmentJournal.open(tmp_path, SMALL, files=disk)
    fill(journal, 2)
    position, group = build_next(journal)
    fd = disk.open(tmp_path / segment_name(0), write=True)
    disk.pwrite(fd, group, position)  # written, the writer's sync still under way
    files = FaultFiles(disk)
    reader = SegmentJournal.open(tmp_path, SMALL, read_only=True, files=files)
    assert len(list(reader.read(0))) == 3
    assert "fdatasync" in files.calls
    durable = disk.folders[tmp_path].live[segment_name(0)].durable
    assert bytes(durable[position : position + len(group)]) == group
    reader.close()
    journal.close()


def test_a_reader_of_closed_segments_does_not_disturb_the_disk(tmp_path: Path) -> None:
    make_journal(tmp_path, 60)
    journal = SegmentJournal.open(tmp_path, SMALL)
    base = journal.head().position // SEG * SEG
    files = FaultFiles(SegmentJournal.open(tmp_path, read_only=True)._files)
    reader = SegmentJournal.open(tmp_path, read_only=True, files=files)
    for group in reader.read(0):
        if codec.view_group(group).position > base:
            break
        assert "fdatasync" not in files.calls
    assert files.calls.count("fdatasync") <= 1
    reader.close()
    journal.close()


def test_a_reader_meets_damage_with_a_good_group_behind(tmp_path: Path) -> None:
    made = make_journal(tmp_path, 6)
    path = tmp_path / segment_name(0)
    offset = codec.view_group(made[3]).position
    whole = path.read_bytes()
    path.write_bytes(whole[: offset + 150] + b"\xee\xee" + whole[offset + 152 :])
    reader = SegmentJournal.open(tmp_path, read_only=True)
    groups = reader.read(0)
    assert [bytes(next(groups)) for _ in range(3)] == made[:3]
    with pytest.raises(Corrupt) as caught:
        next(groups)
    assert (caught.value.path, caught.value.offset) == (str(path), offset)
    reader.close()


def test_reading_in_a_thread_while_appending(tmp_path: Path) -> None:
    """Two threads of one process: the reader sees a prefix, always whole."""
    journal = SegmentJournal.open(tmp_path, SMALL)
    failures: list[BaseException] = []
    done = threading.Event()

    def read_on() -> None:
        try:
            while not done.is_set():
                seqs = [codec.view_group(group).first_seq for group in journal.read(0)]
                assert seqs == list(range(1, 3 * len(seqs) + 1, 3))
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            failures.append(error)

    thread = threading.Thread(target=read_on)
    thread.start()
    fill(journal, 150)
    done.set()
    thread.join()
    assert failures == []
    journal.close()
