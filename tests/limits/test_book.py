"""Compiled limits: what cannot be compiled or loaded says why; changed bytes do no harm."""

from __future__ import annotations

import pickle
import struct
from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath._limit_book import LimitBlobError, LimitBook, LimitSpecError
from fastpath.limits import AMOUNT_MAX_MINOR, LimitProfile, LimitSpec
from fastpath.types import Reason
from tests.limits.both import LimitedAccount, at, limits

SPEC = limits(
    LimitProfile(0, 5, payment_minor=7),
    LimitProfile(1, 0, day_minor=1000),
    LimitProfile(1, 9, day_minor=2000, balance_minor=AMOUNT_MAX_MINOR),
    count=40,
)
BLOB = LimitBook.build(SPEC).blob
HEAD_BYTES = 40


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": 0}, "currency 0"),
        ({"currency": 70_000}, "currency 70000"),
        ({"first_day": 0}, "first_day is 0"),
        ({"month": array("I")}, "41 instants for 0 days"),
        ({"start_us": array("q", [0]), "month": array("I")}, "0 days"),
        ({"month": array("I", [11] * 40)}, "day 0 has no month"),
        ({"month": array("I", [24_000, 23_999] * 20)}, "months go back at day 1"),
        ({"start_us": array("q", [0] * 41)}, "ends too far"),
        ({"profiles": SPEC.profiles[::-1]}, "profiles do not ascend"),
        ({"profiles": (SPEC.profiles[0],) * 2}, "profiles do not ascend"),
        ({"profiles": (LimitProfile(16, 0, 1),)}, "of tier 16"),
        ({"profiles": (LimitProfile(0, -1, 1),)}, "begins out of range"),
        ({"profiles": (LimitProfile(0, 0, -2),)}, "payment_minor of profile 0 is -2"),
        ({"profiles": (LimitProfile(0, 0, AMOUNT_MAX_MINOR + 1),)}, "payment_minor"),
        ({"profiles": (LimitProfile(0, 0, 1 << 63),)}, "profile of tier 0"),
        ({"profiles": tuple(LimitProfile(0, n, 1) for n in range(65))}, "65 profiles"),
    ],
)
def test_what_cannot_be_compiled(changes: dict[str, object], said: str) -> None:
    with pytest.raises(LimitSpecError, match=said):
        LimitBook.build(replace(SPEC, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (b"", "too few"),
        (BLOB[:HEAD_BYTES], "the header says"),
        (BLOB[:-8], "the header says"),
        (BLOB + bytes(8), "the header says"),
        (b"FGTARIFF" + BLOB[8:], "wrong magic"),
        (BLOB[:8] + struct.pack("<H", 2) + BLOB[10:], "format 2"),
        (BLOB[:12] + struct.pack("<I", 50_000) + BLOB[16:], "50000 days"),
    ],
)
def test_what_cannot_be_loaded(blob: bytes, said: str) -> None:
    with pytest.raises(LimitBlobError, match=said):
        LimitBook.load(blob)


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found_or_harmless(place: int, flip: int) -> None:
    blob = bytearray(BLOB)
    blob[place] ^= flip
    try:
        book = LimitBook.load(bytes(blob))
    except LimitBlobError:
        return
    spec = book.spec()
    assert LimitBook.build(spec).spec() == spec
    account = LimitedAccount(spec)
    for now_us in (0, at("2026-01-05T12:00"), 1 << 60):
        account.pay(500, now_us)
        assert book.find_dates(now_us) == spec.find_dates(now_us)
        assert book.find_profile(1, now_us) == spec.find_profile(1, now_us)


def test_the_same_spec_has_the_same_key() -> None:
    again = LimitBook.build(SPEC)
    assert (again.blob, again.key) == (BLOB, int.from_bytes(again.digest[:8], "little"))
    assert LimitBook.build(replace(SPEC, version="2")).key != again.key
    kept = pickle.loads(pickle.dumps(again))
    assert (kept.key, kept.spec()) == (again.key, SPEC)


def test_a_book_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="build"):
        LimitBook()


def test_profiles_of_the_newest_instant() -> None:
    book = LimitBook.build(SPEC)
    assert book.find_profile(1, 8) == SPEC.profiles[1]
    assert book.find_profile(1, 9) == SPEC.profiles[2]
    assert book.find_profile(0, 4) is None
    assert book.find_profile(2, 9) is None
    assert book.find_profile(99, 9) is None


def test_a_spec_of_another_type_is_refused() -> None:
    assert isinstance(SPEC, LimitSpec)
    with pytest.raises(LimitSpecError, match="start_us"):
        LimitBook.build(replace(SPEC, start_us=["x"] * 41))  # type: ignore[arg-type]
    assert LimitedAccount(SPEC).may_spend(1001, at("2026-01-05T12:00")) == Reason.OK
