"""The compiled codec of the hot frames against msgpack, and against bytes that are no frames."""

import struct
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import _wire
from gateway.errors import WireError
from gateway.link.codes import TIME_MAX_US
from gateway.link.frames import Answer, Passage, TapEvent, decode

OK, MALFORMED, OUT_OF_RANGE = 0, 1, 2

U8 = st.integers(0, 2**8 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
EDGE_UINTS = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
TIMES = st.integers(0, TIME_MAX_US)

TAPS = st.builds(
    TapEvent,
    boot=st.integers(1, 2**64 - 1),
    seq=st.integers(1, 2**32 - 1),
    kind=st.integers(1, 4),
    token=st.binary(min_size=16, max_size=16),
    stop=U32,
    device_ts_us=TIMES,
    flags=st.integers(0, 15),
    attempt=U8,
    line=U32,
    denylist_version=U32,
    amount_minor=st.none() | st.integers(0, 2**63 - 1),
    distance_m=st.just(0) | st.integers(0, 2**31 - 1),
)
GOOD_TAP = TapEvent(7, 3, 1, bytes(range(16)), 101, 1_780_000_000_000_000)

HEAD = struct.Struct("<IBBBBQqqQQQQ16sqqqqqQIIIIIIqq")
assert HEAD.size == 168


def fields_of(tap: TapEvent) -> tuple[object, ...]:
    amount_minor = -1 if tap.amount_minor is None else tap.amount_minor
    return (*tap.as_row()[:10], amount_minor, tap.distance_m)


def uint_forms(value: int) -> list[bytes]:
    """Every msgpack encoding of a non-negative integer, the long ones too."""
    forms = [bytes([value])] if value < 128 else []
    for code, bits in ((0xCC, 8), (0xCD, 16), (0xCE, 32), (0xCF, 64)):
        if value < 1 << bits:
            forms.append(bytes([code]) + value.to_bytes(bits // 8, "big"))
        if value < 1 << bits - 1:
            forms.append(bytes([code + 4]) + value.to_bytes(bits // 8, "big"))
    return forms


@given(TAPS)
def test_a_tap_is_read_as_msgpack_wrote_it(tap: TapEvent) -> None:
    packed = msgpack.packb(tap.as_row())
    assert _wire.decode_tap(packed) == (OK, len(packed), fields_of(tap))
    assert _wire.decode_tap(packed + b"rest")[:2] == (OK, len(packed))


@given(TAPS, st.data())
def test_any_width_of_integer_is_read(tap: TapEvent, data: st.DataObject) -> None:
    row = tap.as_row()
    packed = msgpack.packb(row)[:1]
    for value in row:
        forms = uint_forms(value) if isinstance(value, int) else [msgpack.packb(value)]
        packed += data.draw(st.sampled_from(forms))
    assert _wire.decode_tap(packed) == (OK, len(packed), fields_of(tap))


@pytest.mark.parametrize("value", EDGE_UINTS)
def test_every_form_of_the_edges(value: int) -> None:
    for form in uint_forms(value):
        assert _wire.decode_head(b"\x92\x0a" + form) == (OK, 2 + len(form), 10, value, 0)


BAD_FIELDS = [
    ("boot", 0, OUT_OF_RANGE),
    ("boot", -1, OUT_OF_RANGE),
    ("boot", 1.0, MALFORMED),
    ("boot", None, MALFORMED),
    ("boot", True, MALFORMED),
    ("seq", 0, OUT_OF_RANGE),
    ("seq", 2**32, OUT_OF_RANGE),
    ("kind", 0, OUT_OF_RANGE),
    ("kind", 5, OUT_OF_RANGE),
    ("kind", -128, OUT_OF_RANGE),
    ("token", b"x" * 15, OUT_OF_RANGE),
    ("token", b"x" * 17, OUT_OF_RANGE),
    ("token", "x" * 16, MALFORMED),
    ("token", 5, MALFORMED),
    ("stop", 2**32, OUT_OF_RANGE),
    ("stop", [], MALFORMED),
    ("device_ts_us", TIME_MAX_US + 1, OUT_OF_RANGE),
    ("device_ts_us", -1, OUT_OF_RANGE),
    ("flags", 16, OUT_OF_RANGE),
    ("attempt", 256, OUT_OF_RANGE),
    ("line", -(2**31), OUT_OF_RANGE),
    ("denylist_version", "1", MALFORMED),
    ("amount_minor", -1, OUT_OF_RANGE),
    ("amount_minor", 2**63, OUT_OF_RANGE),
    ("amount_minor", False, MALFORMED),
    ("amount_minor", {}, MALFORMED),
    ("distance_m", 2**31, OUT_OF_RANGE),
    ("distance_m", -1, OUT_OF_RANGE),
    ("distance_m", None, MALFORMED),
    ("distance_m", "7", MALFORMED),
]


@pytest.mark.parametrize(("name", "value", "status"), BAD_FIELDS)
def test_a_bad_field_is_told_apart(name: str, value: object, status: int) -> None:
    row = [*GOOD_TAP.as_row(), 0]
    row[TapEvent.__match_args__.index(name)] = value
    assert _wire.decode_tap(msgpack.packb(row))[0] == status


def test_the_number_of_fields_is_exact() -> None:
    row = GOOD_TAP.as_row()
    for wrong in (row[:-1], (*row, 0, 0), ()):
        assert _wire.decode_tap(msgpack.packb(wrong))[0] == MALFORMED
        with pytest.raises(WireError):
            TapEvent.from_row(wrong)


def test_the_distance_may_be_left_out() -> None:
    row = GOOD_TAP.as_row()
    assert len(row) == 11
    for at, length in ((0, 11), (1, 12), (2**31 - 1, 12)):
        tap = replace(GOOD_TAP, distance_m=at)
        assert len(tap.as_row()) == length
        assert TapEvent.from_row(tap.as_row()) == tap
    packed = msgpack.packb((*row, 0))
    assert _wire.decode_tap(packed) == (OK, len(packed), fields_of(GOOD_TAP))
    assert TapEvent.from_row((*row, 0)) == GOOD_TAP


def test_a_tap_cut_anywhere_is_malformed() -> None:
    packed = msgpack.packb(GOOD_TAP.as_row())
    for size in range(len(packed)):
        assert _wire.decode_tap(packed[:size])[0] == MALFORMED


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ((5, 6, 5, 4, False, 9), OK),
        ((5, 0, 5, 4, True, 9), OK),
        ((5, 0, 5, 4, False, 9), OUT_OF_RANGE),
        ((0, 6, 5, 4, False, 9), OUT_OF_RANGE),
        ((5, 6, 0, 4, False, 9), OUT_OF_RANGE),
        ((5, 6, 5, 0, False, 9), OUT_OF_RANGE),
        ((5, 6, 5, 4, 0, 9), MALFORMED),
        ((5, 6, 5, 4, False, -9), OUT_OF_RANGE),
    ],
)
def test_passage(row: tuple[int, ...], status: int) -> None:
    packed = b"".join(msgpack.packb(each) for each in row)
    said, used, fields = _wire.decode_passage(packed)
    assert said == status
    if status == OK:
        assert (used, fields) == (len(packed), row)
        frame = decode(_wire.encode_head(14, 1, 6) + packed)
        assert isinstance(frame, Passage)
        assert frame.as_row()[1:] == row


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ((1_780_000_000_000_000, 17, 1), OK),
        ((TIME_MAX_US, 2**32 - 1, 3), OK),
        ((TIME_MAX_US + 1, 0, 1), OUT_OF_RANGE),
        ((0, 2**32, 1), OUT_OF_RANGE),
        ((0, 0, 0), OUT_OF_RANGE),
        ((0, 0, 99), OUT_OF_RANGE),
        ((b"", 0, 1), MALFORMED),
    ],
)
def test_heartbeat(row: tuple[int, ...], status: int) -> None:
    packed = b"".join(msgpack.packb(each) for each in row)
    said, used, fields = _wire.decode_heartbeat(packed)
    assert said == status
    if status == OK:
        assert (used, fields) == (len(packed), row[:2])


@given(st.integers(0, 2**32 - 1), U64, st.integers(0, 70000))
def test_head_and_array_round_trip(kind: int, counter: int, extra: int) -> None:
    head = _wire.encode_head(kind, counter, extra)
    assert _wire.decode_head(head + bytes(extra)) == (OK, len(head), kind, counter, extra)
    array = _wire.encode_array(extra)
    assert array == msgpack.packb([None] * extra)[: len(array)]
    assert _wire.decode_array(array + bytes(extra)) == (OK, len(array), extra)


def test_the_longest_head_stays_in_its_bounds() -> None:
    assert len(_wire.encode_head(127, 2**64 - 1, 10)) <= 16
    assert len(_wire.encode_array(2**32 - 1)) <= 5


def test_a_count_beyond_the_bytes_is_malformed() -> None:
    assert _wire.decode_array(b"\xdd\xff\xff\xff\xff" + bytes(100))[0] == MALFORMED
    assert _wire.decode_head(b"\x91\x0a")[0] == MALFORMED


@given(st.builds(Answer, *(U64, U64, U8, U8, I64, I64, I64, U32, U32, I64, U64, U8)))
def test_an_answer_is_what_msgpack_makes_of_the_record(answer: Answer) -> None:
    head = record_head(answer)
    packed = _wire.encode_answer(head, answer.position)
    assert packed == msgpack.packb(answer.as_row())
    assert len(packed) <= 128
    assert _wire.encode_answer(head, answer.position) == packed


def record_head(answer: Answer) -> bytes:
    """A record head (fastpath/layout.h) that gives this answer; what it does not name is noise."""
    return HEAD.pack(
        *(999, answer.kind, answer.reason, answer.verdict, 5, 77, 88, 99, 11, 22),
        *(answer.boot, answer.seq, b"t" * 16, answer.fare_minor, -5, answer.balance_minor, 1, 2, 3),
        *(4, answer.other_stop, 6, answer.rules, 8, 9, answer.fare_ts_us, answer.period_paid_minor),
    )


def test_a_record_head_has_one_size() -> None:
    with pytest.raises(ValueError, match="168 bytes"):
        _wire.encode_answer(bytes(167), 1)


READERS = [
    _wire.decode_tap,
    _wire.decode_passage,
    _wire.decode_heartbeat,
    _wire.decode_head,
    _wire.decode_array,
]


@given(st.sampled_from(READERS), st.binary(max_size=120))
def test_noise_gives_a_status_and_stays_in_bounds(reader: object, data: bytes) -> None:
    status, used, *_ = reader(data)
    assert status in (OK, MALFORMED, OUT_OF_RANGE)
    assert 0 <= used <= len(data)


@given(TAPS, st.data())
def test_a_damaged_tap_gives_a_status(tap: TapEvent, data: st.DataObject) -> None:
    packed = bytearray(msgpack.packb(tap.as_row()))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(U8)
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    status, used, fields = _wire.decode_tap(cut)
    assert status in (OK, MALFORMED, OUT_OF_RANGE)
    assert 0 <= used <= len(cut)
    if status == OK:
        amount = None if fields[-1] == -1 else fields[-1]
        assert TapEvent(*fields[:-1], amount).as_row()
