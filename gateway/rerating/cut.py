"""Where to begin: the state an account was in before the earliest tap that has to be priced again.

It is put together from the after-images of the records before. A cut is right when nothing behind
it was made before anything in front of it, in whatever order the taps arrived.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from fastpath.cells import CellType, type_of
from fastpath.records import RecordView
from fastpath.types import Item, Op, Reason
from gateway.errors import RerateError
from gateway.rerating.events import Event, Story

LINES = 4
LINE_BYTES = 64
CURRENCY_AT = 58
CELL_COUNT_AT = 62
VERSION_AT = slice(8, 16)
FARE_CELLS = frozenset(
    {
        CellType.MEDIUM_PERIOD,
        CellType.COUNTERS,
        CellType.CHAIN,
        CellType.CHAIN_BEFORE,
        CellType.SPAN,
        CellType.PASS,
        CellType.CONCESSION,
    }
)


@dataclass(frozen=True, slots=True)
class Base:
    """A known state, and what comes behind it. index: of the first record behind."""

    account: bytes
    cells: list[bytes]
    index: int
    events: list[Event]


def is_fare_cell(image: bytes) -> bool:
    """Whether fares depend on a cell."""
    return type_of(image) in FARE_CELLS


def find_base(records: Sequence[RecordView], story: Story, since_us: int) -> Base:
    """The latest sound cut in front of everything made at or behind an instant.

    Raises: RerateError RERATE_HISTORY_SHORT: the records do not reach back to one.
    """
    index = _find_cut(story, since_us)
    is_whole = bool(records) and records[0].op == Op.ACCOUNT_OPEN
    lines = _blank_lines(records[0]) if is_whole else {}
    account, cells = _state_at(records[:index], lines)
    events = [one for one in story.events if one.index >= index]
    return Base(account, [one for one in cells if is_fare_cell(one)], index, events)


def _find_cut(story: Story, since_us: int) -> int:
    """Index of the first record behind the cut."""
    orders = [event.order_us for event in story.events]
    newest_before = [0, *accumulate(orders, max)]
    oldest_behind = [*reversed([*accumulate(reversed(orders), min)])]
    for place in range(len(orders) - 1, 0, -1):
        before_us, index = newest_before[place], story.events[place].index
        in_turn = before_us < oldest_behind[place] and before_us < since_us
        if in_turn and not _is_reached_over(story, index, before_us):
            return index
    return 0


def _is_reached_over(story: Story, index: int, before_us: int) -> bool:
    """Whether something behind the cut is about what lies before it."""
    by_rerating = any(at >= index and from_us <= before_us for at, from_us in story.rerated)
    return by_rerating or any(tap < index <= undoing for tap, undoing in story.undone)


def _blank_lines(opening: RecordView) -> dict[int, bytes]:
    """An account before anything happened to it: it has its currency."""
    lines = {line: bytes(LINE_BYTES) for line in range(LINES)}
    currency = (opening.distance_m & 0xFFFF).to_bytes(2, "little")
    lines[0] = bytes(CURRENCY_AT) + currency + bytes(LINE_BYTES - CURRENCY_AT - len(currency))
    return lines


def _state_at(records: Sequence[RecordView], lines: dict[int, bytes]) -> tuple[bytes, list[bytes]]:
    """The account's four lines and its cells after some records; lines: before them."""
    cells: dict[int, bytes] = {}
    for record in records:
        if not Reason(record.reason).accepted:
            continue
        for item in record.items:
            if item.type == Item.ACCOUNT_LINE:
                lines[item.line] = item.image
            elif item.type == Item.CELL:
                cells[item.slot] = item.image
    count = lines[0][CELL_COUNT_AT] if 0 in lines else None
    if len(lines) < LINES or len(cells) != count:
        said = "the account's records do not reach back to a state before the taps in question"
        raise RerateError("RERATE_HISTORY_SHORT", said)
    return b"".join(lines[line] for line in range(LINES)), [*cells.values()]


def find_since(story: Story) -> int | None:
    """The earliest instant that has to be priced again; None = all stands as it was made."""
    waiting = [
        at_us
        for index, at_us in story.disturbed
        if not any(done > index and from_us <= at_us for done, from_us in story.rerated)
    ]
    return min(waiting, default=None)


def newest_version(records: Sequence[RecordView]) -> int:
    """The account's version after these records; 0 = they do not say."""
    for record in reversed(records):
        for item in record.items:
            is_line = item.type == Item.ACCOUNT_LINE and item.line == 0
            if is_line and Reason(record.reason).accepted:
                return int.from_bytes(item.image[VERSION_AT], "little")
    return 0


def charged_behind(story: Story, index: int) -> int:
    """What the records from an index on have charged, corrections included; minor units."""
    at = bisect_left(story.charged, (index, -(1 << 62)))
    return sum(amount for _, amount in story.charged[at:])
