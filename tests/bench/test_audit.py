from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bench._audit import TapAudit
from gateway.bench.link import audit_taps
from gateway.bench.opening import open_accounts
from gateway.bench.options import BenchOptions
from gateway.bench.own_gateway import data_folder

DEVICE, BOOT = 2**64 - 3, 2**63 + 1
SMALL = (("journal.segment_mib", "16"),)
CHECK_IN, REVERSAL, CREDIT = 1, 5, 18


def record(op: int, seq: int, device: int = DEVICE, boot: int = BOOT, items: int = 1) -> bytes:
    """A tap's record as docs/journal.md draws it: op at 4, id_a to id_c from 40 on."""
    length = 168 + 72 * items
    head = struct.pack("<IB35xQQQ", length, op, device, boot, seq)
    return head + bytes(length - len(head))


def group(*records: bytes) -> bytes:
    return bytes(128) + b"".join(records)


def audited(*groups: bytes, first_seq: int = 10, taps: int = 20) -> TapAudit:
    audit = TapAudit()
    audit.add_device(DEVICE, BOOT, first_seq, taps)
    for each in groups:
        audit.read_group(each)
    return audit


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=30), st.integers(0, 3))
def test_every_tap_is_found_once_and_repeats_are_told(seqs: list[int], items: int) -> None:
    audit = audited(group(*(record(CHECK_IN, seq, items=items) for seq in seqs)))
    known = [seq for seq in seqs if 10 <= seq < 30]
    assert audit.taps == len(set(known))
    assert audit.doubled == len(known) - len(set(known))
    assert audit.strangers == len(seqs) - len(known)
    assert int.from_bytes(audit.bits(0), "little") == sum(1 << (seq - 10) for seq in set(known))


def test_only_taps_count() -> None:
    audit = audited(group(record(REVERSAL, 11), record(CREDIT, 12)), group(record(CHECK_IN, 13)))
    assert (audit.taps, audit.strangers, audit.groups) == (1, 0, 2)
    assert audit.group_bytes == len(group(record(CREDIT, 1), record(CREDIT, 1), record(1, 1))) + 128


def test_another_device_or_boot_is_a_stranger() -> None:
    audit = audited(group(record(CHECK_IN, 11, device=1), record(CHECK_IN, 11, boot=1)))
    assert (audit.taps, audit.strangers) == (0, 2)


@pytest.mark.parametrize("length", [0, 167, 4000])
def test_records_that_do_not_add_up_are_refused(length: int) -> None:
    broken = struct.pack("<I", length) + record(CHECK_IN, 11)[4:]
    with pytest.raises(ValueError, match="a record of"):
        audited(group(broken))


def test_a_tap_that_was_acknowledged_and_is_not_there_is_lost(tmp_path: Any) -> None:
    load = SimpleNamespace(link_count=1, link=lambda _: (DEVICE, BOOT, 1, 8, b"\x1f"))
    options = BenchOptions(connections=1, accounts=3, folder=tmp_path, settings=SMALL)
    with data_folder(options) as folder:
        open_accounts(folder.config, 3)
        result = audit_taps(folder.config, cast(Any, load), 0)
    assert (result.acked, result.journaled, result.lost, result.doubled) == (5, 0, 5, 0)
