"""`journal verify` and `show`: findings and records as data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastpath import _journal as codec
from gateway.errors import Corrupt, JournalError
from gateway.journal.records import ShowFilter, show_records
from gateway.journal.roots import load_root
from gateway.journal.segment import segment_name
from gateway.journal.segments import SegmentJournal, SegmentOptions
from gateway.journal.verify import Verified, verify_journal
from tests.support.journals import SMALL, build_next, fill, make_journal

SEG = SMALL.segment_bytes


def damage(path: Path, offset: int, data: bytes) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def faults(found: Verified) -> list[tuple[str, str, int]]:
    return [(f.fault, Path(f.path).name, f.offset) for f in found.findings]


def test_a_sound_journal(tmp_path: Path) -> None:
    made = make_journal(tmp_path, 60)
    found = verify_journal(tmp_path)
    assert found.is_sound
    assert found.findings == []
    assert found.totals.group_count == 60
    assert found.totals.record_count == 180
    assert found.totals.amount_total_minor == sum(
        codec.view_group(g).amount_total_minor for g in made
    )
    last = codec.view_group(made[-1])
    assert found.end_position == last.position + last.length_bytes
    said = json.loads(json.dumps(found.as_dict()))
    assert said["sound"] is True
    assert said["next_seq"] == 181


def test_it_goes_on_behind_damage_and_names_every_place(tmp_path: Path) -> None:
    made = make_journal(tmp_path, 60)
    places = []
    for group in (made[2], made[30], made[45]):
        position = codec.view_group(group).position
        name, offset = segment_name(position // SEG * SEG), position % SEG
        damage(tmp_path / name, offset + 130, b"\xee\xee")
        places.append((name, offset))
    found = verify_journal(tmp_path)
    assert not found.is_sound
    assert [(name, offset) for fault, name, offset in faults(found) if fault == "group"] == places
    assert found.totals.group_count == 57


def test_a_torn_tail_is_a_note(tmp_path: Path) -> None:
    made = make_journal(tmp_path, 5)
    view = codec.view_group(made[-1])
    damage(tmp_path / segment_name(0), view.position + 300, bytes(200))
    found = verify_journal(tmp_path)
    assert found.is_sound
    assert faults(found) == [("tail", segment_name(0), view.position)]
    assert found.totals.group_count == 4


def test_records_that_contradict_their_group(tmp_path: Path) -> None:
    """Checksum and chain are right, so only a wrong program could have written it."""
    journal = SegmentJournal.open(tmp_path, SMALL)
    fill(journal, 2)
    head = journal.head()
    position = journal.place(head.position)
    records = [codec.build_record(seq=head.next_seq), codec.build_record(seq=head.next_seq)]
    group = codec.build_group(
        records, position=position, first_seq=head.next_seq, previous_hash=head.chain_hash
    )
    journal.append(position, group)
    journal.close()
    found = verify_journal(tmp_path)
    assert faults(found) == [("records", segment_name(0), position + 128 + 168)]


def test_roots_are_compared_with_their_segments(tmp_path: Path) -> None:
    make_journal(tmp_path, 60)
    path = sorted(tmp_path.glob("*.root"))[0]
    root = load_root(path.read_bytes())
    root.totals.amount_total_minor += 100
    path.write_bytes(root.dump())
    assert [fault for fault, *_ in faults(verify_journal(tmp_path))] == ["root"]


def test_signatures(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    make_journal(tmp_path, 60, SegmentOptions(SEG, 2048, signing_key=key, background=False))
    assert verify_journal(tmp_path, public_key=key.public_key()).is_sound
    other = Ed25519PrivateKey.generate().public_key()
    found = verify_journal(tmp_path, public_key=other)
    assert {fault for fault, *_ in faults(found)} == {"signature"}


def test_the_chain_goes_on_across_roots(tmp_path: Path) -> None:
    make_journal(tmp_path, 60)
    whole = verify_journal(tmp_path)
    journal = SegmentJournal.open(tmp_path, SMALL)
    assert journal.shrink(2 * SEG) == 2
    journal.close()
    found = verify_journal(tmp_path)
    assert found.is_sound
    assert found.root_only_count == 2
    assert (found.totals, found.chain_hash) == (whole.totals, whole.chain_hash)
    path = sorted(tmp_path.glob("*.root"))[0]
    forged = load_root(path.read_bytes())
    path.write_bytes(
        type(forged)(
            **{name: getattr(forged, name) for name in forged.__slots__} | {"chain_hash": "00" * 32}
        ).dump()
    )
    assert "chain" in [fault for fault, *_ in faults(verify_journal(tmp_path))]


@pytest.mark.parametrize("what", ["first", "middle", "active"])
def test_missing_segments(tmp_path: Path, what: str) -> None:
    make_journal(tmp_path, 60)
    files = sorted(tmp_path.glob("*.seg"))
    gone = files[{"first": 0, "middle": 1, "active": -2}[what]]
    gone.unlink()
    if what == "first":
        gone.with_suffix(".root").unlink()
    found = verify_journal(tmp_path)
    assert not found.is_sound
    assert ("missing", gone.name, 0) in faults(found)


def test_nothing_to_verify(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(JournalError) as caught:
            verify_journal(folder)
        assert caught.value.code == "JOURNAL_NOT_FOUND"


def show(folder: Path, wanted: ShowFilter | None = None) -> Iterator[dict[str, object]]:
    journal = SegmentJournal.open(folder, read_only=True)
    try:
        yield from show_records(journal, wanted)
    finally:
        journal.close()


def test_show_and_its_filters(tmp_path: Path) -> None:
    make_journal(tmp_path, 40)
    every = list(show(tmp_path))
    assert [record["seq"] for record in every] == list(range(1, 121))
    json.dumps(every)
    assert every[0]["op"] == "credit"
    assert every[2]["op"] == "flat"
    assert every[2]["device"] == 9001
    item = every[0]["items"][0]  # type: ignore[index]
    assert (item["type"], item["balance_minor"], item["version"]) == ("account_line", 500, 1)
    mine = list(show(tmp_path, ShowFilter(account_id=3)))
    assert mine
    assert mine == [record for record in every if record["account_id"] == 3]
    taps = list(show(tmp_path, ShowFilter(device_id=9001)))
    assert taps == [record for record in every if record["op"] == "flat"]
    assert list(show(tmp_path, ShowFilter(device_id=1))) == []
    assert list(show(tmp_path, ShowFilter(limit=7))) == every[:7]
    begin, end = every[70]["position"], every[90]["position"]
    part = ShowFilter(from_position=begin, until_position=end)  # type: ignore[arg-type]
    assert list(show(tmp_path, part)) == every[70:90]


def test_show_tells_notes_and_unknown_numbers(tmp_path: Path) -> None:
    journal = SegmentJournal.open(tmp_path, SMALL)
    note = codec.build_item(4, 0, 0, "operator 王".encode())
    record = codec.build_record(seq=1, op=200, reason=250, id_b=1, id_c=2, items=[note])
    position = journal.place(0)
    journal.append(position, codec.build_group([record], position=position, first_seq=1))
    journal.close()
    (shown,) = show(tmp_path)
    assert (shown["op"], shown["reason"]) == ("200", "250")
    assert shown["operation"] == f"{1:016x}{2:016x}"
    assert shown["items"][0]["text"] == "operator 王"  # type: ignore[index]


def test_show_stops_at_damage(tmp_path: Path) -> None:
    made = make_journal(tmp_path, 10)
    damage(tmp_path / segment_name(0), codec.view_group(made[5]).position + 200, b"\xee\xee")
    records = show(tmp_path)
    assert [next(records)["seq"] for _ in range(15)] == list(range(1, 16))
    with pytest.raises(Corrupt):
        next(records)


def test_verify_beside_a_live_writer(tmp_path: Path) -> None:
    journal = SegmentJournal.open(tmp_path, SMALL)
    for _ in range(30):
        fill(journal, 3)
        assert verify_journal(tmp_path).findings == []
    journal.append(*build_next(journal))
    journal.close()
