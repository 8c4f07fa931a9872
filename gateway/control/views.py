"""Accounts, cells and media of the data plane's memory, as names and numbers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastpath.cells import describe_cell, next_cell, type_of
from fastpath.types import AccountStatus, MediumKind, MediumState

if TYPE_CHECKING:
    from fastpath.api import StoreHandle

ACCOUNT = struct.Struct("<QQqqqqQ HHBBBB qQQQ II q I BBBB q IIqIIqIIq II q QQ II qqq BBBB IIi")
"""Account of fastpath/layout.h."""

ACCOUNT_FIELDS = [
    "account_id",
    "version",
    "balance_minor",
    "subsidy_minor",
    "credit_limit_minor",
    "held_minor",
    "position",
    "status",
    "currency",
    "rider_category",
    "tier",
    "cell_count",
    "spare0",
    "entry_ts_us",
    "entry_device",
    "entry_boot",
    "entry_tariff",
    "entry_seq",
    "entry_stop",
    "exit_ts_us",
    "exit_stop",
    "journey_state",
    "entry_medium_kind",
    "leg_count",
    "entry_flags",
    "journey_paid_minor",
    "month",
    "month_trips",
    "month_paid_minor",
    "prev_month",
    "prev_month_trips",
    "prev_month_paid_minor",
    "day",
    "day_trips",
    "day_paid_minor",
    "origin_stop",
    "first_cell",
    "last_flat_ts_us",
    "last_device",
    "last_boot",
    "last_seq",
    "last_stop",
    "last_ts_us",
    "last_fare_minor",
    "last_subsidy_minor",
    "last_kind",
    "last_medium_kind",
    "last_flags",
    "last_token",
    "last_month",
    "prev_origin_stop",
    "prev_paid_minor",
]

WALLET_LISTS = {"purse": "purses", "hold": "holds", "plan": "plans", "refund": "refunds"}
HIDDEN_FIELDS = ("spare", "first_cell", "last_token")
SHOWN_FIELDS = [name for name in ACCOUNT_FIELDS if not name.startswith(HIDDEN_FIELDS)]


def account_as_dict(data: bytes) -> dict[str, Any]:
    """An account record as JSON-able numbers, with what can be spent and the status in words."""
    values = dict(zip(ACCOUNT_FIELDS, ACCOUNT.unpack(data), strict=True))
    shown = {name: values[name] for name in SHOWN_FIELDS}
    shown["spendable_minor"] = (
        values["balance_minor"] + values["subsidy_minor"] - values["held_minor"]
    )
    shown["status_names"] = [
        flag.name.lower() for flag in AccountStatus if values["status"] & flag and flag.name
    ]
    return shown


def list_cells(memory: StoreHandle, account: bytes) -> list[bytes]:
    """The extension cells of an account, 64 bytes each, oldest first; free ones left out."""
    index = dict(zip(ACCOUNT_FIELDS, ACCOUNT.unpack(account), strict=True))["first_cell"]
    found: list[bytes] = []
    while index:
        image = memory.cell(index)
        if image is None:
            break
        if type_of(image):
            found.append(image)
        index = next_cell(image)
    return found[::-1]


def wallet_as_dict(account: Mapping[str, Any], cells: list[bytes]) -> dict[str, Any]:
    """Purses, holds, plans, refunds and what is used of limits and credit line."""
    shown: dict[str, Any] = {name: [] for name in WALLET_LISTS.values()}
    spent: dict[str, object] = {}
    for cell in map(describe_cell, cells):
        kind = str(cell.pop("cell"))
        if kind in WALLET_LISTS:
            shown[WALLET_LISTS[kind]].append(_with_key(cell))
        elif kind == "limits":
            spent = {name: value for name, value in cell.items() if name != "owner"}
    return shown | {"limits_used": spent, "credit": _credit(account, shown["plans"])}


def _with_key(cell: dict[str, object]) -> dict[str, object]:
    """Its number is called `key`, as in the commands about it."""
    name = next(iter(cell))
    return {"key": cell[name]} | {one: value for one, value in cell.items() if one != name}


def _credit(account: Mapping[str, Any], plans: list[dict[str, Any]]) -> dict[str, Any]:
    drawn = max(0, -account["balance_minor"])
    outstanding = sum(plan["outstanding_minor"] for plan in plans)
    is_late = bool(account["status"] & AccountStatus.CREDIT_LATE)
    left = account["credit_limit_minor"] - outstanding - drawn
    return {
        "limit_minor": account["credit_limit_minor"],
        "drawn_minor": drawn,
        "plans_minor": outstanding,
        "left_minor": 0 if is_late else max(0, left),
        "is_late": is_late,
    }


def medium_as_dict(data: bytes) -> dict[str, Any]:
    """A medium without its token: the caller knows it, nobody else has to."""
    _, slot, kind, state, version, expires_us = struct.unpack("<16sIBBHq", data)
    return {
        "account_slot": slot,
        "kind": MediumKind(kind).name.lower(),
        "state": MediumState(state).name.lower(),
        "version": version,
        "expires_us": expires_us,
    }
