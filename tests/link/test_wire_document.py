"""docs/protocol.md against the code: numbers, names, fields, and the bytes of its example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastpath.types import Reason, TapFlag, TapKind, Verdict
from gateway.link import codes, frames
from gateway.link.codes import RETRY_NUMBERS, WIRE_RULES, Algorithm, DeviceMode, FrameType, WireCode
from gateway.link.validator import (
    ANSWER_TIMEOUT_S,
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    DEVICE_OPENED,
    OFFLINE,
    VERDICT_OPEN,
    VERDICT_RETRY,
)

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of every table row whose first cell is a number, under a heading."""
    part = re.split(r"^#+ ", TEXT.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = re.findall(r"^\| *(\d+ *\|.*)\|$", part, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


FRAME_ROWS = [row for head in ("## 4. ", "## 5. ", "## 9. ") for row in rows(head)]


def test_every_frame_stands_in_one_table() -> None:
    named = [(int(r[0]), r[1]) for r in FRAME_ROWS if r[2] in ("device", "gateway", "both")]
    assert sorted(named) == [(int(each), each.name.lower()) for each in FrameType]


@pytest.mark.parametrize("kind", frames.FRAMES.values(), ids=lambda k: k.__name__)
def test_fields_stand_in_order(kind: type[frames.Frame]) -> None:
    told = next(r[3] for r in FRAME_ROWS if r[:2] == [str(int(kind.TYPE)), kind.TYPE.name.lower()])
    names = [name for name in kind.__match_args__ if name not in ("counter", "data", "answers")]
    names = [name for name in names if name not in ("tap", "answer", "taps")]
    at = -1
    for name in names:
        found = re.search(rf"\b{name}\b", told[at + 1 :])
        assert found, f"{name} after {told[: at + 1]!r}"
        at += 1 + found.start()


@pytest.mark.parametrize("row", [frames.TapEvent, frames.Answer])
def test_tap_and_answer_fields(row: type[frames.TapEvent] | type[frames.Answer]) -> None:
    told = [cells[1] for cells in rows("## 5. ") if cells[1] in row.__match_args__]
    expected = list(row.__match_args__)
    at = next(i for i in range(len(told)) if told[i : i + len(expected)] == expected)
    assert at >= 0


def test_reasons_in_their_order() -> None:
    told = [(int(cells[0]), cells[1]) for cells in rows("### Reasons")]
    assert told == [(int(reason), reason.name.lower()) for reason in Reason]


def test_errors() -> None:
    told = [tuple(cells[:5]) for cells in rows("## 11. ")]
    expected = []
    for code in WireCode:
        rule = WIRE_RULES[code]
        stay = "closed" if rule.closes else "stays"
        retry = f"{RETRY_NUMBERS[rule.retry]} {rule.retry}"
        expected.append((str(int(code)), code.text, stay, retry, str(rule.retry_after_ms)))
    assert told == expected


def test_modes() -> None:
    told = {int(cells[0]): cells[1] for cells in rows("## 9. ") if len(cells) == 3}
    assert told == {int(mode): mode.name.lower() for mode in DeviceMode}


def test_numbers_that_are_written_twice() -> None:
    assert "| hmac-sha256 | 1 |" in TEXT
    assert "| blake2b | 2 |" in TEXT
    assert set(Algorithm) == {1, 2}
    assert {kind.name.lower(): int(kind) for kind in TapKind} == {
        name: int(number)
        for number, name in re.findall(r"(\d) (check_in|check_out|flat|inspect)\b", TEXT)
    }
    assert (OFFLINE, DEVICE_OPENED) == (TapFlag.OFFLINE, TapFlag.DEVICE_OPENED)
    assert sum(TapFlag) == 15
    assert {Verdict.OPEN, Verdict.OPEN_WITH_DEBT} == VERDICT_OPEN
    assert VERDICT_RETRY == Verdict.RETRY
    assert f"min({BACKOFF_MAX_S:g} s, {BACKOFF_FIRST_S:g} s * 2^n)" in TEXT
    assert f"waits {1000 * ANSWER_TIMEOUT_S:g} ms" in TEXT
    assert f"17 to {codes.HELLO_MAX_BYTES}" in TEXT
    assert f"17 to {codes.FRAME_MAX_BYTES:,}" in TEXT
    assert f"at most {codes.TARIFF_PART_MAX_BYTES:,}" in TEXT


def test_the_example_is_a_frame() -> None:
    example = TEXT.split("    00 00 00 38", 1)[1].split("    ..", 1)[0]
    digits = "".join(
        "".join(re.findall(r"\b[0-9a-f]{2}\b", re.split(r"  \S*\[|   [a-z]|  20", line.strip())[0]))
        for line in example.splitlines()[1:]
    )
    frame = frames.decode(bytes.fromhex(digits))
    assert isinstance(frame, frames.Tap)
    assert len(digits) // 2 + codes.TAG_BYTES == 0x38
    assert (frame.counter, frame.tap.boot, frame.tap.seq, frame.tap.stop) == (18, 9, 17, 101)
    assert (frame.tap.kind, frame.tap.denylist_version, frame.tap.amount_minor) == (1, 7, None)
    assert frame.tap.device_ts_us == 1_795_392_000_000_000
