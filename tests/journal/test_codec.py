"""Groups as bytes: checksum, faults, walking."""

from __future__ import annotations

from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import _journal as codec
from tests.support.journals import Bank

GROUP_HEAD = Struct("<IHHQIIQqqqIIQII32s16s")


def build(first_seq: int = 7, position: int = 4096, count: int = 3) -> bytes:
    bank = Bank()
    records = [bank.record(first_seq + i, 5, amount=100 + i) for i in range(count)]
    return codec.build_group(
        records, position=position, first_seq=first_seq, previous_hash=b"p" * 32, ts_us=11
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_vectors_of_rfc_3720(data: bytes, expected: int) -> None:
    assert codec.crc32c(data) == expected
    assert codec.crc32c_portable(data) == expected


@given(data=st.binary(max_size=300), at=st.integers(0, 300))
def test_crc32c_goes_on_where_it_stopped(data: bytes, at: int) -> None:
    whole = codec.crc32c(data)
    assert codec.crc32c_portable(data) == whole
    assert codec.crc32c(data[at:], codec.crc32c(data[:at])) == whole
    assert codec.crc32c_portable(data[at:], codec.crc32c_portable(data[:at])) == whole


def test_head_fields_stand_where_the_documentation_says() -> None:
    group = build()
    fields = GROUP_HEAD.unpack_from(group)
    bare = group[:76] + bytes(4) + group[80:]
    assert fields[:8] == (0x31474746, 1, 128, 4096, len(group) - 128, 3, 7, 11)
    assert fields[8:10] == (0, 303)
    assert fields[14] == codec.crc32c(bare)
    assert fields[15] == b"p" * 32


def test_a_sound_group_is_its_length() -> None:
    group = build()
    around = bytes(64) + group + bytes(64)
    assert codec.check_group(around, 64) == len(group)
    assert codec.check_group(around, 64, 4096, b"p" * 32) == len(group)
    assert codec.check_group(around, 64, 4104) == codec.BAD_POSITION
    assert codec.check_group(around, 64, 4096, b"q" * 32) == codec.BAD_CHAIN
    assert codec.check_group(around, 64 + len(group)) == codec.EMPTY
    assert codec.wanted_bytes(around, 64) == len(group)


@pytest.mark.parametrize("missing", [1, 8, 100, 500])
def test_a_group_the_buffer_does_not_hold_is_short(missing: int) -> None:
    assert codec.check_group(build()[:-missing]) == codec.SHORT


def test_every_flipped_bit_of_a_group_is_seen() -> None:
    group = bytearray(build(count=2))
    for at in range(len(group)):
        for bit in range(8):
            group[at] ^= 1 << bit
            assert codec.check_group(group, 0, 4096, b"p" * 32) <= 0, (at, bit)
            group[at] ^= 1 << bit
    assert codec.check_group(group, 0, 4096, b"p" * 32) == len(group)


@given(data=st.binary(max_size=600))
def test_no_bytes_make_it_stumble(data: bytes) -> None:
    assert codec.check_group(data) <= 0
    assert codec.find_head(data, 4096) == -1 or b"FGG1" in data
    codec.wanted_bytes(data)


def test_records_come_back_as_they_were_built() -> None:
    item = codec.build_item(1, 2, 3, b"image")
    record = codec.build_record(
        op=1, reason=2, verdict=1, seq=7, account_id=1 << 63, fare_minor=-5, items=[item, item]
    )
    group = codec.build_group([record], position=8192, first_seq=7)
    (view,) = codec.iter_records(group)
    assert (view.op, view.reason, view.seq, view.account_id) == (1, 2, 7, 1 << 63)
    assert (view.fare_minor, view.item_count, view.position) == (-5, 2, 8192 + 128)
    assert view.items[1] == codec.ItemView(1, 2, 3, b"image".ljust(64, b"\0"))
    assert codec.view_group(group).fare_total_minor == -5
    assert codec.find_records_fault(group) is None


def test_records_that_do_not_fit_are_found() -> None:
    def group_of(*records: bytes) -> bytes:
        return codec.build_group(records, position=4096, first_seq=7)

    one, two = codec.build_record(seq=7), codec.build_record(seq=8)
    assert codec.find_records_fault(group_of(one, two)) is None
    assert codec.find_records_fault(group_of(one, one)) == 128 + 168
    assert codec.find_records_fault(group_of(two)) == 128
    for offset, expected in ((20, 0), (40, 0), (48, 0), (24, 128), (128, 128)):
        broken = bytearray(group_of(one, two))
        broken[offset] ^= 1
        assert codec.find_records_fault(broken) == expected, offset


def test_finding_zeros_and_heads() -> None:
    assert codec.find_nonzero(bytes(10_000)) == -1
    assert codec.find_nonzero(b"") == -1
    for at in (0, 1, 4095, 4096, 9_999):
        data = bytearray(10_000)
        data[at] = 1
        assert codec.find_nonzero(data) == at
        assert codec.find_nonzero(data, at) == at
        assert codec.find_nonzero(data, at + 1) == -1
    group = build(position=4096 + 80)
    assert codec.find_head(bytes(80) + group, 4096) == 80
    assert codec.find_head(bytes(88) + group, 4096) == -1
    assert codec.find_head(bytes(80) + group, 4096, 88) == -1


def test_misuse_is_refused() -> None:
    group = build()
    for call in (
        lambda: codec.check_group(group, -1),
        lambda: codec.check_group(group, len(group) + 1),
        lambda: codec.check_group(group, 0, None, b"short"),
        lambda: codec.find_head(group, 4097),
        lambda: codec.view_group(b"short"),
        lambda: codec.view_record(bytes(168)),
        lambda: codec.build_item(1, 0, 0, bytes(65)),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()
    with pytest.raises(TypeError, match="no field colour"):
        codec.build_record(colour=1)  # type: ignore[call-arg]
