"""What of an account's state later fares depend on, comparable: leftovers of taps that were undone
or came late make no difference.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from fastpath.cells import CellType, describe_cell, type_of
from fastpath.types import JourneyState

LINE_1 = struct.Struct("<qQQQIIqIBBBBq")
LINE_2 = struct.Struct("<IIqIIqIIqIIq")
DISCOUNT_MASK = 0x0F

Standing = dict[str, Any]


def standing_of(lines: bytes, cells: Iterable[bytes]) -> Standing:
    """Args: lines: account lines 1 and 2; cells: those of fares."""
    line_1, line_2 = LINE_1.unpack(lines[:64]), LINE_2.unpack(lines[64:128])
    entry_us, entry_stop, exit_us, exit_stop = line_1[0], line_1[5], line_1[6], line_1[7]
    state, legs, flags, paid_minor = line_1[8], line_1[10], line_1[11], line_1[12]
    found: Standing = {"months": _months(line_2[:6]), "journey": state}
    if state != JourneyState.NONE:
        found["origin"] = (line_2[9], legs, paid_minor)
        found["exit"] = (exit_us, exit_stop) if state == JourneyState.DONE or legs > 1 else None
    if state == JourneyState.OPEN:
        found["entry"] = (entry_us, entry_stop, flags & DISCOUNT_MASK)
    for image in cells:
        _add_cell(found, describe_cell(image), type_of(image), is_open=state == JourneyState.OPEN)
    return found


def _months(totals: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """{month: (trips, counted)} of months in which something was counted."""
    pairs = {totals[0]: (totals[1], totals[2]), totals[3]: (totals[4], totals[5])}
    return {month: one for month, one in pairs.items() if month and any(one)}


def _add_cell(found: Standing, cell: dict[str, Any], kind: int, *, is_open: bool) -> None:
    owner = cell.get("owner", 0)
    if kind == CellType.COUNTERS:
        for one in cell["counters"]:
            if one["trips"] or one["paid_minor"]:
                found[f"counter {owner} {one.pop('counter_id')}"] = one
    elif kind == CellType.MEDIUM_PERIOD:
        names = ("month", "month_trips", "month_paid_minor")
        totals = [cell[f"{prefix}{name}"] for prefix in ("", "prev_") for name in names]
        found[f"months {owner}"] = _months(tuple(totals))
    elif kind == CellType.CHAIN:
        if not is_open:
            cell.pop("journey_dep_us")
        if any(value for name, value in cell.items() if name not in ("cell", "owner")):
            found[f"chain {owner}"] = cell
    elif kind == CellType.SPAN:
        now = {name: cell[name] for name in ("first_arr_us", "run_dep_us", "run_arr_us")}
        if any(now.values()):
            found[f"span {owner}"] = now
    elif kind == CellType.PASS:
        found.setdefault(f"pass {cell['pass_id']}", []).append(cell)
