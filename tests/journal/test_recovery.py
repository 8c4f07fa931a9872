"""Recovery: a torn last group is cut, everything else that is not as written is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpath import _journal as codec
from gateway.errors import ConfigError, Corrupt, JournalError
from gateway.journal.segment import segment_name
from gateway.journal.segments import SegmentJournal, SegmentOptions, Witness
from tests.support.journals import SMALL, build_next, fill, make_journal, read_all

SEG = SMALL.segment_bytes
ONE = SegmentOptions(segment_bytes=8192, group_bytes_max=2048, background=False)
"""A journal small enough to damage at every byte."""


def offset_of(group: bytes) -> tuple[str, int]:
    """(file name, offset) of a group."""
    position = codec.view_group(group).position
    return segment_name(position // SEG * SEG), position % SEG


def patch(path: Path, offset: int, data: bytes) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def expect_corrupt(folder: Path, options: SegmentOptions = SMALL) -> Corrupt:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Corrupt) as caught:
        SegmentJournal.open(folder, options)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    before.pop("lock", None)
    after.pop("lock", None)
    assert before == after, "a refused start must not change anything"
    return caught.value


@pytest.mark.parametrize("how", ["zeros", "truncated"])
def test_the_last_group_cut_at_every_byte_is_taken_away(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 3, records=1)
    name, offset = offset_of(made[-1])
    path = folder / name
    whole = path.read_bytes()
    for at in range(len(made[-1])):
        if made[-1][at:].strip(b"\0") == b"":
            continue  # these bytes are zero anyway: the group is whole
        torn = whole[: offset + at]
        path.write_bytes(torn if how == "truncated" else torn.ljust(SEG, b"\0"))
        journal = SegmentJournal.open(folder, SMALL)
        assert [bytes(g) for g in journal.read(0)] == made[:-1], at
        cut = journal.recovery.cut
        left = len(made[-1][:at].rstrip(b"\0"))
        assert (how == "zeros" and left == 0) or cut is not None, at
        if cut is not None:
            assert (cut.path, cut.offset, cut.size_bytes) == (str(path), offset, left)
        journal.close()
        assert path.read_bytes() == whole[:offset].ljust(SEG, b"\0"), at


def test_a_group_torn_in_any_sectors_is_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 2)
    name, offset = offset_of(made[-1])
    path = folder / name
    whole = path.read_bytes()
    end = offset + len(made[-1])
    first, last = offset // 512, -(-end // 512)
    pieces = [(max(offset, s * 512), min(end, s * 512 + 512)) for s in range(first, last)]
    for mask in range(2 ** len(pieces) - 1):
        torn = bytearray(whole)
        for i, (begin, stop) in enumerate(pieces):
            if not mask >> i & 1:
                torn[begin:stop] = bytes(stop - begin)
        path.write_bytes(torn)
        assert read_all(folder) == made[:1], mask


def test_after_a_cut_the_journal_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 3)
    name, offset = offset_of(made[-1])
    patch(folder / name, offset + 200, bytes(300))
    journal = SegmentJournal.open(folder, SMALL)
    more = fill(journal, 20)
    journal.close()
    assert read_all(folder) == made[:-1] + more


FORMAT_BYTES = (4, 5)
"""Of a group: with another format it is another version's, and never taken for a torn one."""


def test_every_flipped_byte_is_refused_or_the_last_group(tmp_path: Path) -> None:
    """Each byte of a journal of three segments, roots included."""
    folder = tmp_path / "journal"
    made = make_journal(folder, 15, ONE, records=1)
    files = [*segments(folder), *sorted(folder.glob("*.root"))]
    assert len(files) >= 5
    last = codec.view_group(made[-1]).position
    for path in files:
        whole = path.read_bytes()
        path.chmod(0o644)
        base = int(path.stem)
        for at in damage_points(whole):
            path.unlink(missing_ok=True)
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
            in_tail = path.suffix == ".seg" and base + at >= last
            if in_tail and base + at - last not in FORMAT_BYTES:
                assert read_all(folder, ONE) in (made[:-1], made), (path, at)
            else:
                with pytest.raises(Corrupt) as caught:
                    read_all(folder, ONE)
                assert caught.value.path, (path, at)
        path.unlink()
        path.write_bytes(whole)


def damage_points(whole: bytes) -> list[int]:
    """Every byte that says something, and a sample of the zeros."""
    return [i for i, byte in enumerate(whole) if byte or i % 127 == 0]


def test_a_bad_group_with_a_good_one_behind_names_file_and_offset(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 40)
    for group in (made[0], made[13], made[20], made[-2]):
        name, offset = offset_of(group)
        whole = (folder / name).read_bytes()
        patch(folder / name, offset + 140, b"\xff")
        error = expect_corrupt(folder)
        assert (error.path, error.offset) == (str(folder / name), offset)
        assert name in error.detail
        assert str(offset) in error.detail
        patch(folder / name, 0, whole)
    assert read_all(folder) == made


def test_a_group_turned_to_zeros_in_the_middle_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 5)
    name, offset = offset_of(made[2])
    patch(folder / name, offset, bytes(len(made[2])))
    assert expect_corrupt(folder).offset == offset


def test_the_last_group_of_a_closed_segment_is_not_a_torn_one(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 40)
    first = [g for g in made if codec.view_group(g).position < SEG]
    name, offset = offset_of(first[-1])
    patch(folder / name, offset + 300, b"\xee\xee")
    assert expect_corrupt(folder).path == str(folder / name)
    patch(folder / name, offset, bytes(len(first[-1])))
    expect_corrupt(folder)


def remove_second(folder: Path) -> None:
    segments(folder)[1].unlink()


def remove_first(folder: Path) -> None:
    for path in folder.glob("00000000000000000000.*"):
        path.unlink()


def remove_active(folder: Path) -> None:
    segments(folder)[-2].unlink()


def remove_active_and_spare(folder: Path) -> None:
    for path in segments(folder)[-2:]:
        path.unlink()


def double_first_as_second(folder: Path) -> None:
    paths = segments(folder)
    paths[1].unlink()
    shutil.copy(paths[0], paths[1])


def double_active_as_spare(folder: Path) -> None:
    paths = segments(folder)
    paths[-1].unlink()
    shutil.copy(paths[-2], paths[-1])


def swap(folder: Path) -> None:
    one, two = segments(folder)[:2]
    one.rename(folder / "x")
    two.rename(one)
    (folder / "x").rename(two)


def misname(folder: Path) -> None:
    segments(folder)[1].rename(folder / "1.seg")


def off_grid(folder: Path) -> None:
    shutil.copy(segments(folder)[0], folder / segment_name(SEG // 2))


def copy_beside(folder: Path) -> None:
    path = segments(folder)[0]
    shutil.copy(path, folder / (path.name + ".copy"))


def foreign(folder: Path) -> None:
    other = folder.parent / "other"
    make_journal(other, 40)
    paths = segments(folder)
    paths[1].unlink()
    shutil.copy(segments(other)[1], paths[1])


def shorten_closed(folder: Path) -> None:
    path = segments(folder)[0]
    path.chmod(0o644)
    os.truncate(path, SEG - 8)


def lengthen_closed(folder: Path) -> None:
    path = segments(folder)[0]
    path.chmod(0o644)
    os.truncate(path, SEG + 8)


def head_lost(folder: Path) -> None:
    patch(segments(folder)[-2], 0, bytes(4096))


def head_flipped(folder: Path) -> None:
    patch(segments(folder)[-2], 30, b"\xff")


def root_of_another(folder: Path) -> None:
    one, two = sorted(folder.glob("*.root"))[:2]
    two.unlink()
    shutil.copy(one, two)


@pytest.mark.parametrize(
    "damage",
    [
        remove_second,
        remove_first,
        remove_active,
        remove_active_and_spare,
        double_first_as_second,
        double_active_as_spare,
        swap,
        misname,
        off_grid,
        copy_beside,
        foreign,
        shorten_closed,
        lengthen_closed,
        head_lost,
        head_flipped,
        root_of_another,
    ],
    ids=lambda damage: damage.__name__,
)
def test_files_that_make_no_journal_are_refused(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "journal"
    make_journal(folder, 50)
    assert len(segments(folder)) >= 4
    damage(folder)
    error = expect_corrupt(folder)
    assert error.path
    assert error.offset >= 0


def test_groups_of_a_rewritten_chain_are_refused(tmp_path: Path) -> None:
    """One record changed, its checksum and only the next hash made to fit: the one after tells."""
    folder = tmp_path / "journal"
    made = make_journal(folder, 4)
    forged = forge(made[1], amount=10_000)
    name, offset = offset_of(made[1])
    patch(folder / name, offset, forged)
    assert expect_corrupt(folder).offset == offset_of(made[2])[1]


def forge(group: bytes, *, amount: int) -> bytes:
    view = codec.view_group(group)
    records = []
    for record in codec.iter_records(group):
        fields = record._asdict()
        for name in ("length_bytes", "item_count", "position"):
            del fields[name]
        fields["items"] = [codec.build_item(*item) for item in record.items]
        records.append(codec.build_record(**fields | {"amount_minor": amount}))
    shape = {"position": view.position, "first_seq": view.first_seq}
    return codec.build_group(records, **shape, previous_hash=view.previous_hash)


def test_a_journal_that_ends_before_a_witness_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 20)
    journal = SegmentJournal.open(folder, SMALL)
    head = journal.head()
    journal.close()
    seen = Witness("snapshot 7", head.position, head.chain_hash)
    name, offset = offset_of(made[-1])
    patch(folder / name, offset, bytes(len(made[-1])))
    with pytest.raises(Corrupt, match="snapshot 7") as caught:
        SegmentJournal.open(folder, SMALL, witnesses=[seen])
    assert (caught.value.path, caught.value.offset) == (str(folder / name), offset)
    assert read_all(folder) == made[:-1]


def test_a_witness_of_another_history_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 6)
    end = codec.view_group(made[3]).position + len(made[3])
    SegmentJournal.open(folder, SMALL, witnesses=[Witness("ledger", end)]).close()
    with pytest.raises(Corrupt, match="ledger"):
        SegmentJournal.open(folder, SMALL, witnesses=[Witness("ledger", end, bytes(32))])


def test_an_empty_folder_is_no_journal_for_a_witness(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="ledger"):
        SegmentJournal.open(tmp_path, SMALL, witnesses=[Witness("ledger", 4096 + 128)])


def test_recovery_from_a_position_trusts_roots_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 50)
    whole = SegmentJournal.open(folder, SMALL)
    assert whole.recovery.group_count == 50
    head = whole.head()
    whole.close()
    part = SegmentJournal.open(folder, SMALL, from_position=head.position)
    assert part.head() == head
    assert 0 < part.recovery.group_count < 50
    assert part.recovery.scanned_from == head.position // SEG * SEG
    more = fill(part, 3)
    part.close()
    assert read_all(folder) == made + more


def test_missing_roots_are_made_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    make_journal(folder, 50)
    roots = sorted(folder.glob("*.root"))
    whole = [path.read_bytes() for path in roots]
    for path in roots:
        path.unlink()
    read_all(folder)
    assert [path.read_bytes() for path in roots] == whole


def test_a_half_prepared_segment_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 3)
    (folder / (segment_name(2 * SEG) + ".tmp")).write_bytes(bytes(5000))
    segments(folder)[-1].write_bytes(bytes(4096) + b"stray".ljust(SEG - 4096, b"\0"))
    assert read_all(folder) == made
    assert not list(folder.glob("*.tmp"))
    assert segments(folder)[-1].read_bytes() == bytes(SEG)


def test_a_torn_head_of_a_segment_just_begun(tmp_path: Path) -> None:
    """The power went while the next segment's head was written: it was never in use."""
    folder = tmp_path / "journal"
    made = make_journal(folder, 13)
    journal = SegmentJournal.open(folder, SMALL)
    while journal.place(journal.head().position) < SEG:
        made += fill(journal, 1)
    position, group = build_next(journal)
    journal.append(position, group)
    journal.close()
    for path in (folder / segment_name(2 * SEG), folder / "00000000000000000000.root"):
        path.unlink()
    patch(folder / segment_name(SEG), 40, bytes(SEG - 40))
    assert read_all(folder) == made


def test_another_segment_size_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    make_journal(folder, 3)
    with pytest.raises(ConfigError, match="32768 bytes are configured"):
        SegmentJournal.open(folder, SegmentOptions(32768, 2048, background=False))


def test_another_group_size_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    made = make_journal(folder, 20)
    for size in (1024, 4096, 12288):
        options = SegmentOptions(SEG, size, background=False)
        journal = SegmentJournal.open(folder, options)
        made += fill(journal, 7)
        journal.close()
        assert read_all(folder, options) == made


def test_nothing_there_to_read(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(JournalError) as caught:
            SegmentJournal.open(folder, read_only=True)
        assert caught.value.code == "JOURNAL_NOT_FOUND"


def test_the_report_is_plain_data(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    make_journal(folder, 50)
    segments(folder)[0].chmod(0o644)
    patch(segments(folder)[0], 5000, b"\xff\xff")
    assert json.loads(json.dumps(expect_corrupt(folder).as_dict()))["offset"] > 0
