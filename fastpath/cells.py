"""Extension cells and acts by name, for those who show them. Field names are those of layout.h.

Must import only the standard library and fastpath.types.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from zlib import crc32

from fastpath.types import Act

CELL_BYTES = 64
ACT_SHIFT = 24
CELLS_MAX = 32
"""EXTRA_CELLS of _extras.pxd: most cells of one account."""


class CellType(IntEnum):
    """What an extension cell holds; 0 = nothing, its place is used again."""

    FREE = 0
    MEDIUM_PERIOD = 1
    COUNTERS = 2
    CHAIN = 3
    CHAIN_BEFORE = 4
    PASS = 5
    CONCESSION = 6
    PURSE = 7
    HOLD = 8
    LIMITS = 9
    PLAN = 10
    REFUND = 11
    SPAN = 12


TOTALS = frozenset(
    {
        CellType.MEDIUM_PERIOD,
        CellType.COUNTERS,
        CellType.CHAIN,
        CellType.CHAIN_BEFORE,
        CellType.SPAN,
    }
)
"""What a re-rating replaces."""

_HEAD = struct.Struct("<IBB2xQ")
_PERIOD = (
    struct.Struct("<IIqIIqIIq"),
    (
        *("month", "month_trips", "month_paid_minor", "prev_month", "prev_month_trips"),
        *("prev_month_paid_minor", "day", "day_trips", "day_paid_minor"),
    ),
)
_CHAIN = (
    struct.Struct("<qqqqiiIHBB"),
    (
        *("first_dep_us", "last_dep_us", "last_arr_us", "journey_dep_us", "last_charged_minor"),
        *("span_paid_minor", "distance_m", "last_group", "transfers", "network"),
    ),
)
_BODIES: dict[CellType, tuple[struct.Struct, tuple[str, ...]]] = {
    CellType.MEDIUM_PERIOD: _PERIOD,
    CellType.CHAIN: _CHAIN,
    CellType.CHAIN_BEFORE: _CHAIN,
    CellType.PASS: (
        struct.Struct("<qqq16xi4x"),
        ("from_us", "until_us", "last_used_us", "rides_left"),
    ),
    CellType.CONCESSION: (struct.Struct("<qq32x"), ("from_us", "until_us")),
    CellType.PURSE: (
        struct.Struct("<qqQIB19x"),
        ("balance_minor", "expires_us", "sponsor", "purposes", "priority"),
    ),
    CellType.HOLD: (
        struct.Struct("<qqqqQB7x"),
        (
            *("placed_minor", "captured_minor", "left_minor", "expires_us"),
            *("merchant", "purpose"),
        ),
    ),
    CellType.LIMITS: (
        struct.Struct("<III4xqqqq"),
        (
            *("day", "month", "year", "day_minor", "month_minor", "year_minor"),
            "lifetime_minor",
        ),
    ),
    CellType.PLAN: (
        struct.Struct("<qqqI20x"),
        ("principal_minor", "outstanding_minor", "opened_us", "instalments"),
    ),
    CellType.SPAN: (
        struct.Struct("<6q"),
        (
            *("first_arr_us", "run_dep_us", "run_arr_us"),
            *("before_first_arr_us", "before_run_dep_us", "before_run_arr_us"),
        ),
    ),
    CellType.REFUND: (
        struct.Struct("<QQqqq8x"),
        ("charge_client", "charge_high", "charged_minor", "refunded_minor", "charge_us"),
    ),
}
_COUNTER = struct.Struct("<IIIIq")
_COUNTER_NAMES = ("counter_id", "window", "zones", "trips", "paid_minor")
_KEYS = {
    CellType.PASS: "pass_id",
    CellType.CONCESSION: "rider_category",
    CellType.PURSE: "purse_id",
    CellType.HOLD: "hold_id",
    CellType.PLAN: "plan_id",
    CellType.REFUND: "charge_low",
}


def pass_id_of(name: str) -> int:
    """The number under which tariffs and accounts know a pass product: CRC-32 of its name."""
    return crc32(name.encode())


def next_cell(image: bytes) -> int:
    """Index of the next cell of the account, 0 = the last."""
    return int(_HEAD.unpack_from(image)[0])


def type_of(image: bytes) -> int:
    """The cell's type as a number."""
    return image[4]


def describe_cell(image: bytes) -> dict[str, object]:
    """What a cell holds, by name; a type this program does not know as hex."""
    _, number, riders, key = _HEAD.unpack_from(image)
    try:
        kind = CellType(number)
    except ValueError:
        return {"cell": str(number), "key": key, "image": image[16:].hex()}
    said: dict[str, object] = {"cell": kind.name.lower()}
    if kind == CellType.FREE:
        return said
    said[_KEYS.get(kind, "owner")] = key
    if kind == CellType.COUNTERS:
        return said | {"counters": _counters(image)}
    body, names = _BODIES[kind]
    said |= dict(zip(names, body.unpack_from(image, _HEAD.size), strict=True))
    return said | {"riders": riders} if riders else said


def _counters(image: bytes) -> list[dict[str, int]]:
    found = (_COUNTER.unpack_from(image, at) for at in (16, 40))
    return [dict(zip(_COUNTER_NAMES, one, strict=True)) for one in found if one[0]]


def describe_acts(image: bytes) -> list[str]:
    """Rules of the tariff that acted, in their order: "transfer 3"."""
    return [f"{_act_name(one >> ACT_SHIFT)} {one & 0xFFFFFF}" for one in _acts(image)]


def _acts(image: bytes) -> Iterator[int]:
    for (one,) in struct.iter_unpack("<I", image):
        if one == 0:
            return
        yield one


def _act_name(number: int) -> str:
    try:
        return Act(number).name.lower()
    except ValueError:
        return str(number)
