"""Another version's journal: refused, named, and not a byte of it changed (fault case A 10).

And this version's own, as it was when it was kept under tests/data: later versions have to read it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpath import _journal as codec
from fastpath.api import StoreHandle
from gateway.errors import Corrupt
from gateway.journal.segment import segment_name
from gateway.journal.segments import SegmentJournal
from gateway.journal.verify import verify_journal
from tests.support.journals import SMALL, Bank, fill

REPO = Path(__file__).parents[2]
KEPT = REPO / "tests" / "data" / "journal-1.tar.gz"
GROUP_CRC = 76
HEAD_CRC = 96


def contents(folder: Path) -> dict[str, str]:
    """What lies there, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "lock"
    }


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def renew_head(path: Path, form: int) -> None:
    """Another format, and the checksum that goes with it."""
    head = bytearray(path.read_bytes()[:4096])
    head[4:6] = form.to_bytes(2, "little")
    head[HEAD_CRC : HEAD_CRC + 4] = bytes(4)
    head[HEAD_CRC : HEAD_CRC + 4] = codec.crc32c(head).to_bytes(4, "little")
    patch(path, 0, bytes(head))


def renew_group(path: Path, offset: int, form: int) -> None:
    with path.open("rb") as file:
        file.seek(offset)
        start = file.read(codec.GROUP_HEAD_BYTES)
        size = codec.GROUP_HEAD_BYTES + int.from_bytes(start[16:20], "little")
        file.seek(offset)
        group = bytearray(file.read(size))
    group[4:6] = form.to_bytes(2, "little")
    group[GROUP_CRC : GROUP_CRC + 4] = bytes(4)
    group[GROUP_CRC : GROUP_CRC + 4] = codec.crc32c(group).to_bytes(4, "little")
    patch(path, offset, bytes(group))


def newer_last_group(folder: Path, made: list[bytes]) -> None:
    """The newer program went on in the same segment."""
    view = codec.view_group(made[-1])
    base = view.position // SMALL.segment_bytes * SMALL.segment_bytes
    renew_group(folder / segment_name(base), view.position - base, 2)


def newer_last_segment(folder: Path, made: list[bytes]) -> None:
    """It began a segment of its own format, with groups of its own."""
    base = codec.view_group(made[-1]).position // SMALL.segment_bytes * SMALL.segment_bytes
    for group in made:
        view = codec.view_group(group)
        if view.position >= base:
            renew_group(folder / segment_name(base), view.position - base, 2)
    renew_head(folder / segment_name(base), 2)


@pytest.mark.parametrize("newer", [newer_last_group, newer_last_segment])
def test_an_older_program_refuses_a_newer_journal_and_changes_nothing(
    tmp_path: Path, newer: Callable[[Path, list[bytes]], None]
) -> None:
    journal = SegmentJournal.open(tmp_path, SMALL)
    made = fill(journal, 20)
    journal.close()
    newer(tmp_path, made)
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(Corrupt, match="format 2"):
            SegmentJournal.open(tmp_path, SMALL)
        assert contents(tmp_path) == before
    found = verify_journal(tmp_path)
    assert not found.is_sound
    assert "version" in {one.fault for one in found.findings}


def test_records_of_other_structs_are_not_applied() -> None:
    bank = Bank()
    group = bytearray(codec.build_group([bank.record(1, 1, amount=5)], position=4096, first_seq=1))
    group[60:64] = (2).to_bytes(4, "little")
    with pytest.raises(ValueError, match="group"):
        StoreHandle().apply_group(bytes(group))


def test_the_journal_of_the_first_version_is_still_read(tmp_path: Path) -> None:
    with tarfile.open(KEPT) as kept:
        kept.extractall(tmp_path, filter="data")
    folder = tmp_path / "journal"
    known = json.loads((tmp_path / "known.json").read_text())
    assert verify_journal(folder).is_sound
    journal = SegmentJournal.open(folder, read_only=True)
    memory = StoreHandle()
    for group in journal.read(0):
        memory.apply_group(group)
    head = journal.head()
    journal.close()
    assert (head.position, head.chain_hash.hex()) == (known["position"], known["chain_hash"])
    for account, balance in known["balances"].items():
        image = memory.account(int(account))
        assert image is not None
        assert int.from_bytes(image[16:24], "little", signed=True) == balance
    recount = [sys.executable, str(REPO / "examples" / "recount.py"), str(folder)]
    said = json.loads(subprocess.check_output(recount))
    assert (said["wrong"], said["balance_minor"]) == ([], sum(known["balances"].values()))
