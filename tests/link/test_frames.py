"""Frames as dataclasses: both directions, every type, strict types and ranges, noise."""

from dataclasses import fields
from typing import get_type_hints

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import WireError
from gateway.link import frames
from gateway.link.codes import WIRE_RULES, FrameType, WireCode, wire_code, wire_error
from gateway.link.frames import FRAMES, Answer, Frame, TapEvent, decode, error_frame

TAP = TapEvent(7, 3, 1, bytes(range(16)), 101, 1_780_000_000_000_000)
ANSWER = Answer(7, 3, 1, 0, 300, -500, 10300, 1, 101, 1_780_000_000_000_000, 4096, 2)
HASH = bytes(range(32))

SAMPLES: list[Frame] = [
    frames.Hello(0, 1, 42, 1, 9, bytes(16), (2, 1), "gate 1.0"),
    frames.Challenge(0, 1, bytes(16), 2, 5),
    frames.Auth(1),
    frames.Welcome(1, 5, 6, 30, 0, 1, ((0, 77, HASH),), 3, 1, 256, 65536, 1),
    frames.Tap(2, TAP),
    frames.TapAnswer(2, ANSWER),
    frames.TapBatch(3, (TAP, TAP)),
    frames.BatchAnswer(3, 3, (ANSWER, ANSWER)),
    frames.Passage(4, 7, 4, 7, 3, False, 9),
    frames.PassageAnswer(4, ANSWER),
    frames.Heartbeat(5, 9, 0, 1),
    frames.HeartbeatAnswer(5, 10, 9, 3, ((0, 77), (1, 78)), 3, 1),
    frames.DenylistRequest(6, 0),
    frames.DenylistDelta(6, 0, 3, True, (bytes(16),), (), False, HASH, bytes(64)),
    frames.TariffRequest(7, 0, 77, 0),
    frames.TariffPart(7, 0, 77, 3, 0, b"abc", bytes(64)),
    frames.ModeChange(8, 21, 9, "fire alarm"),
    frames.ModeAnswer(8, 8, 21),
    frames.ContextChange(9, 7, 1, "bus 300", 300, 5, 9),
    frames.ContextAnswer(9, 7, 1, True),
    frames.Ack(10, 7, 3),
    frames.Bye(12, 1000),
    frames.Error(11, 13, "busy", 10, 1, 200, "again"),
]


def test_the_samples_are_all_there_is() -> None:
    assert [type(each).TYPE for each in SAMPLES] == sorted(FRAMES)
    assert set(FRAMES) == set(FrameType)


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda f: type(f).__name__)
def test_there_and_back(frame: Frame) -> None:
    payload = frame.encode()
    assert decode(payload) == frame
    assert msgpack.unpackb(payload)[:2] == [int(type(frame).TYPE), frame.counter]


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda f: type(f).__name__)
def test_the_number_of_fields_is_exact_and_trailing_bytes_are_an_error(frame: Frame) -> None:
    values = msgpack.unpackb(frame.encode())
    for wrong in (msgpack.packb([*values, 0]), msgpack.packb(values[:-1]), frame.encode() + b"\0"):
        with pytest.raises(WireError) as caught:
            decode(wrong)
        assert wire_code(caught.value) is WireCode.MALFORMED


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda f: type(f).__name__)
def test_every_field_refuses_a_wrong_type(frame: Frame) -> None:
    values = msgpack.unpackb(frame.encode())
    for at in range(1, len(values)):
        for wrong in (1.5, {}, msgpack.ExtType(3, b"x")):
            packed = msgpack.packb([*values[:at], wrong, *values[at + 1 :]])
            with pytest.raises(WireError) as caught:
                decode(packed)
            assert wire_code(caught.value) is WireCode.MALFORMED


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", WireCode.MALFORMED),
        (b"\xc1", WireCode.MALFORMED),
        (msgpack.packb(5), WireCode.MALFORMED),
        (msgpack.packb([16]), WireCode.MALFORMED),
        (msgpack.packb(["tap", 1]), WireCode.MALFORMED),
        (msgpack.packb([True, 1]), WireCode.MALFORMED),
        (msgpack.packb([99, 1]), WireCode.UNKNOWN_FRAME),
        (msgpack.packb([3, -1]), WireCode.OUT_OF_RANGE),
        (msgpack.packb([126, 1, 2**32]), WireCode.OUT_OF_RANGE),
        (msgpack.packb([12, 1, []]), WireCode.OUT_OF_RANGE),
        (msgpack.packb([12, 1, [TAP.as_row()] * 257]), WireCode.OUT_OF_RANGE),
        (msgpack.packb([22, 1, 1, 0, "x" * 201]), WireCode.OUT_OF_RANGE),
        (msgpack.packb([22, 1, 1, 0, b"x"]), WireCode.MALFORMED),
        (b"\x95\x16\x01\x01\x00\xa1\xff", WireCode.MALFORMED),
        (b"\x91" * 2000, WireCode.MALFORMED),
        (b"\x82\x01\x02\x90\x03", WireCode.MALFORMED),
    ],
)
def test_what_is_no_frame_has_its_code(payload: bytes, code: WireCode) -> None:
    with pytest.raises(WireError) as caught:
        decode(payload)
    assert wire_code(caught.value) is code


def test_a_value_out_of_range_is_refused_on_the_way_out() -> None:
    with pytest.raises(WireError) as caught:
        frames.Heartbeat(1, -1, 0, 1).encode()
    assert wire_code(caught.value) is WireCode.OUT_OF_RANGE


@given(st.binary(max_size=200))
def test_noise_is_a_frame_or_a_coded_error(data: bytes) -> None:
    check_total(data)


@given(st.sampled_from(SAMPLES), st.data())
def test_a_damaged_frame_is_a_frame_or_a_coded_error(frame: Frame, data: st.DataObject) -> None:
    payload = bytearray(frame.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check_total(bytes(payload))


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=5),
)


@given(st.sampled_from(sorted(FRAMES)), st.lists(JSONISH, max_size=12))
def test_any_values_are_a_frame_or_a_coded_error(number: int, values: list[object]) -> None:
    check_total(msgpack.packb([number, 1, *values]))


def check_total(payload: bytes) -> None:
    frame, code = None, None
    try:
        frame = decode(payload)
    except WireError as error:
        code = wire_code(error)
    assert code in (None, WireCode.MALFORMED, WireCode.OUT_OF_RANGE, WireCode.UNKNOWN_FRAME)
    assert frame is None or decode(frame.encode()) == frame


def test_every_code_has_a_rule_and_finds_back() -> None:
    assert set(WIRE_RULES) == set(WireCode)
    for code in WireCode:
        assert wire_code(wire_error(code)) is code
        frame = error_frame(code, counter=1, detail="啊" * 100)
        assert decode(frame.encode()) == frame
    assert wire_code(WireError("WIRE_SOMETHING_ELSE")) is WireCode.INTERNAL


def test_every_field_has_a_check() -> None:
    for kind in FRAMES.values():
        assert len(kind.CHECKS) == len(fields(kind)) == len(get_type_hints(kind)) - 3
