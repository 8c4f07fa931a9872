"""The clearing house's files, byte by byte: golden ones, every fault with its code."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.transit.clearing.files import (
    REASONS,
    FareRow,
    build_taps,
    read_denials,
    read_settlement,
)
from adapters.transit.clearing.lines import (
    Code,
    Content,
    FileFault,
    Kind,
    Label,
    read_file,
    read_name,
    write_file,
)
from adapters.transit.clearing.simulator import HOUSE, US, ClearingHouse

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "clearing"
DAY = datetime.date(2026, 11, 28)
AT_US = 1_795_824_000_123_000  # 2026-11-28T00:00:00.123Z
TOKENS = ("00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100")
ROWS = [
    FareRow("10452", AT_US, TOKENS[0], "card", 1001, 150, "国贸", "check_out", 500, 100),
    FareRow("10460", AT_US + 61_000_000, TOKENS[1], "phone", 1002, 2, "苹果园", "flat", 200),
    FareRow("10461", AT_US + 90_000_000, TOKENS[0], "card", 1001, 150, "", "reversal", -500),
]
LABEL = Label(US, HOUSE, Kind.TAPS, DAY, 7)


def taps(charset: str = "UTF8") -> bytes:
    return write_file(build_taps(LABEL, 156, ROWS), charset)


def golden_files() -> dict[str, bytes]:
    """What is in the folder: made from the code once, and compared ever since."""
    house = ClearingHouse(charset="GB18030")
    house.unknown.add(TOKENS[1])
    made = {LABEL.name: taps(), "gb18030_" + LABEL.name: taps("GB18030")}
    house.take(LABEL.name, taps())
    house.settle(LABEL.name)
    house.deny(DAY, add=TOKENS[:1], drop=TOKENS[1:])
    return made | dict(house.outbox)


@pytest.mark.parametrize("name", sorted(golden_files()))
def test_the_bytes_are_the_golden_ones(name: str) -> None:
    assert (GOLDEN / name).read_bytes() == golden_files()[name]


def test_no_golden_file_is_forgotten() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(golden_files())


def test_the_page_shows_the_golden_files() -> None:
    page = (ROOT / "docs" / "clearing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    shown = {block for block in blocks if block.startswith("H|")}
    names = [name for name in golden_files() if not name.startswith("gb18030")]
    charset = {name: "gb18030" if name[:6] == HOUSE else "utf-8" for name in names}
    assert shown == {(GOLDEN / name).read_bytes().decode(charset[name]) for name in names}


def test_the_page_lists_every_code_and_reason() -> None:
    page = (ROOT / "docs" / "clearing.md").read_text(encoding="utf-8")
    for code in Code:
        assert f"| `{code}` |" in page
    for number, word in REASONS.items():
        assert f"| `{number}` | `{word}` |" in page


@pytest.mark.parametrize("charset", ["UTF8", "GB18030"])
def test_what_is_written_is_read(charset: str) -> None:
    content = read_file(LABEL.name, taps(charset))
    assert (content.label, content.currency, content.total_minor) == (LABEL, 156, 200)
    assert [row[2] for row in content.rows] == ["10452", "10460", "10461"]
    assert content.rows[0][8] == "国贸"
    assert content.rows[0][3] == "20261128000000123"


def test_the_charsets_differ_in_bytes_and_not_in_meaning() -> None:
    utf8, gb = taps(), taps("GB18030")
    assert "国贸".encode("gb18030") in gb
    assert "国贸".encode() in utf8
    assert read_file(LABEL.name, utf8).rows == read_file(LABEL.name, gb).rows


def test_cut_at_any_byte_it_is_refused() -> None:
    raw = taps()
    for end in range(len(raw)):
        with pytest.raises(FileFault) as refused:
            read_file(LABEL.name, raw[:end])
        assert refused.value.code in (Code.CUT, Code.WRONG_DIGEST, Code.WRONG_COUNT), end


def test_any_changed_byte_is_found() -> None:
    raw = taps()
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(FileFault):
            read_file(LABEL.name, changed)


def resealed(change: Callable[[bytes], bytes]) -> bytes:
    """A fault with a digest that fits, so that only the fault itself can be found."""
    body = change(taps()[: taps().rindex(b"T|")])
    return body + b"T|3|200|" + hashlib.sha256(body).hexdigest().encode() + b"\n"


FAULTS = {
    "total": (Code.WRONG_TOTAL, lambda body: body.replace(b"|200|0\n", b"|201|0\n")),
    "count": (Code.WRONG_COUNT, lambda body: body[: body.rindex(b"D|")]),
    "fraction": (Code.BAD_ROW, lambda body: body.replace(b"|200|0\n", b"|2.0|0\n")),
    "huge": (Code.BAD_ROW, lambda body: body.replace(b"|200|0\n", b"|99999999999999999|0\n")),
    "fields": (Code.BAD_ROW, lambda body: body.replace(b"|flat|200|0\n", b"\n")),
    "format": (Code.BAD_HEAD, lambda body: body.replace(b"FGCLEAR|1", b"FGCLEAR|2")),
    "day": (Code.BAD_HEAD, lambda body: body.replace(b"|20261128|", b"|20261129|")),
    "revision": (Code.BAD_HEAD, lambda body: body.replace(b"000007|00", b"000007|01")),
    "charset": (Code.BAD_HEAD, lambda body: body.replace(b"|UTF8|", b"|LATIN1|")),
    "mixed": (Code.BAD_CHARSET, lambda body: body.replace("国贸".encode(), b"\xb9\xfa\xc3\xb3")),
    "nothing": (Code.BAD_HEAD, lambda _: b"\n"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_code(name: str) -> None:
    code, change = FAULTS[name]
    with pytest.raises(FileFault) as refused:
        read_file(LABEL.name, resealed(change))
    assert refused.value.code is code
    assert TOKENS[0] not in refused.value.detail


@pytest.mark.parametrize(
    "name",
    [
        "",
        "taps.txt",
        "CITYGW_CITYCC_TAPS_20261131_000007_00.txt",
        "CITYGW_CITYCC_TAPS_20261128_7_00.txt",
        "CITYGW_CITYCC_FOO_20261128_000007_00.txt",
        "../CITYGW_CITYCC_TAPS_20261128_000007_00.txt",
        "CITYGW_CITYCC_TAPS_20261128_000007_00.txt.part",
    ],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(FileFault) as refused:
        read_name(name)
    assert refused.value.code is Code.BAD_NAME


@pytest.mark.parametrize("text", ["a|b", "a\nb", "a\rb", "\x00", "\x7f"])
def test_a_field_that_would_end_itself_cannot_be_written(text: str) -> None:
    content = Content(LABEL, 156, (("D", text),), 0)
    with pytest.raises(ValueError, match="cannot be written"):
        write_file(content, "UTF8")


NAMES = st.text(
    st.characters(exclude_characters="|\x7f", min_codepoint=0x20, exclude_categories=["Cs"]),
    max_size=20,
)


@given(
    st.lists(st.tuples(NAMES, st.integers(-(1 << 50), 1 << 50)), max_size=20),
    st.sampled_from(["UTF8", "GB18030"]),
)
def test_any_names_and_amounts_come_back(pairs: list[tuple[str, int]], charset: str) -> None:
    rows = [
        FareRow(str(number), AT_US, TOKENS[0], "card", 1, 1, name, "flat", fare)
        for number, (name, fare) in enumerate(pairs)
    ]
    content = build_taps(LABEL, 156, rows)
    assert read_file(LABEL.name, write_file(content, charset)) == content


@given(st.binary(max_size=400), st.integers(0, 3), st.integers(0, 400))
def test_no_bytes_do_more_than_a_code(noise: bytes, which: int, at: int) -> None:
    name, raw = sorted(golden_files().items())[which]
    name = name.removeprefix("gb18030_")
    body = raw[:at] + noise + raw[at + len(noise) // 2 :]
    sealed = body + b"T|1|0|" + hashlib.sha256(body).hexdigest().encode() + b"\n"
    for data in (noise, body, sealed):
        with suppress(FileFault):
            content = read_file(name, data)
            read_settlement(content)
            read_denials(content)


# --- settlements and deny lists -------------------------------------------------------------------

SETTLE = Label(HOUSE, US, Kind.SETTLE, DAY, 1)
FIRST = ("F", LABEL.name, "0" * 64, "2", "300", "1", "-100")
REJECTED = ("R", "3", "10461", "04", "-100")


def settlement(*rows: tuple[str, ...]) -> Content:
    return Content(SETTLE, 156, rows, 0)


def test_a_settlement() -> None:
    answer = read_settlement(settlement(FIRST, REJECTED))
    assert (answer.accepted_count, answer.accepted_minor, answer.rejected_minor) == (2, 300, -100)
    assert answer.rejected[0].reason == "wrong_amount"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ((), Code.BAD_ROW),
        ((REJECTED,), Code.BAD_ROW),
        ((FIRST,), Code.WRONG_COUNT),
        ((FIRST, REJECTED, REJECTED), Code.WRONG_COUNT),
        ((FIRST, (*REJECTED[:4], "-99")), Code.WRONG_TOTAL),
        ((FIRST, (*REJECTED[:3], "77", "-100")), Code.BAD_ROW),
        ((FIRST, ("X", *REJECTED[1:])), Code.BAD_ROW),
        ((FIRST, REJECTED[:4]), Code.BAD_ROW),
        (((*FIRST[:1], "x.txt", *FIRST[2:]), REJECTED), Code.BAD_NAME),
        (((*FIRST[:3], "two", *FIRST[4:]), REJECTED), Code.BAD_ROW),
    ],
)
def test_settlements_that_are_none(rows: tuple[tuple[str, ...], ...], code: Code) -> None:
    with pytest.raises(FileFault) as refused:
        read_settlement(settlement(*rows))
    assert refused.value.code is code


DENY = Label(HOUSE, US, Kind.DENY, DAY, 1)


def test_a_deny_list() -> None:
    rows = (("A", TOKENS[0], "05"), ("D", TOKENS[1], "00"))
    changes = read_denials(Content(DENY, 156, rows, 0))
    assert [(one.token.hex(), one.added) for one in changes] == [
        (TOKENS[0], True),
        (TOKENS[1], False),
    ]


@pytest.mark.parametrize(
    "row",
    [
        ("A", "00", "05"),
        ("A", TOKENS[0].upper(), "05"),
        ("A", "0" * 32, "05"),
        ("X", TOKENS[0], "05"),
        ("A", TOKENS[0]),
    ],
)
def test_deny_lists_that_are_none(row: tuple[str, ...]) -> None:
    with pytest.raises(FileFault) as refused:
        read_denials(Content(DENY, 156, (row,), 0))
    assert refused.value.code is Code.BAD_ROW


def test_a_medium_is_there_once() -> None:
    rows = (("A", TOKENS[0], "05"), ("D", TOKENS[0], "00"))
    with pytest.raises(FileFault):
        read_denials(Content(DENY, 156, rows, 0))
