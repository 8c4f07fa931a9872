"""Commands of the control socket: names and arguments to engine operations, records to results.

Each money operation becomes one journal record under the caller's operation id; its reply leaves
after the record is durable. Reads answer from memory, after what they could have seen is durable.
No sockets here.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastpath._journal import RecordView
from fastpath.cells import CELL_BYTES, CELLS_MAX, next_cell, type_of
from fastpath.types import AccountStatus, MediumKind, MediumState, Op, Reason
from gateway.errors import CommandError

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
    "spare3",
    "last_month",
    "prev_origin_stop",
    "prev_paid_minor",
]

SHOWN_FIELDS = [name for name in ACCOUNT_FIELDS if not name.startswith(("spare", "first_cell"))]

AMOUNT_MAX = 1 << 53
"""Amounts stay exact in JSON readers that know only doubles."""


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


class Arguments:
    """Reads a command's arguments with their types and bounds. Raises: CommandError
    COMMAND_BAD_ARGUMENT.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self._values.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise bad_argument(f"{name} must be a whole number from {low} to {high}")
        return value

    def token(self, name: str = "token") -> bytes:
        value = self._values.pop(name, None)
        if not isinstance(value, bytes) or len(value) != 16 or not any(value):
            raise bad_argument(f"{name} must be 16 bytes, not all zero")
        return value

    def integers(self, name: str, low: int, high: int) -> tuple[int, ...]:
        values = self._values.pop(name, None)
        if not isinstance(values, list) or not all(
            type(v) is int and low <= v <= high for v in values
        ):
            raise bad_argument(f"{name} must be a list of whole numbers from {low} to {high}")
        return tuple(values)

    def images(self, name: str, size: int, highest: int) -> bytes:
        """A list of at most so many pieces of `size` bytes, joined."""
        values = self._values.pop(name, None)
        is_right = isinstance(values, list) and len(values) <= highest
        if not is_right or not all(isinstance(v, bytes) and len(v) == size for v in values or ()):
            raise bad_argument(f"{name} must be a list of at most {highest} times {size} bytes")
        return b"".join(values or ())

    def text(self, name: str, default: str = "") -> str:
        value = self._values.pop(name, default)
        if not isinstance(value, str):
            raise bad_argument(f"{name} must be text")
        return value

    def choice(self, name: str, choices: Mapping[str, int], default: str | None = None) -> int:
        value = self._values.pop(name, default)
        if not isinstance(value, str) or value not in choices:
            raise bad_argument(f"{name} must be one of {', '.join(choices)}")
        return choices[value]

    def end(self) -> None:
        """Nothing else may be there."""
        if self._values:
            raise bad_argument(f"unknown arguments: {', '.join(sorted(self._values))}")


def bad_argument(detail: str) -> CommandError:
    """The caller's mistake; nothing was done."""
    return CommandError("COMMAND_BAD_ARGUMENT", detail)


PURSES = {"stored": 0, "subsidy": 1}
KINDS = {kind.name.lower(): int(kind) for kind in MediumKind}
STATES = {state.name.lower(): int(state) for state in MediumState}
BLOCKS = {
    "debit": int(AccountStatus.FROZEN_DEBIT),
    "credit": int(AccountStatus.FROZEN_CREDIT),
    "both": int(AccountStatus.FROZEN_DEBIT | AccountStatus.FROZEN_CREDIT),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One money operation: its record type and how its arguments are read."""

    op: Op
    read: Callable[[Arguments], dict[str, Any]]
    amount_ceiling: str = ""
    """Which ceiling of [control] bounds the amount."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Most that one command may move, minor units."""

    credit_max_minor: int
    adjust_max_minor: int


@dataclass(frozen=True, slots=True)
class Order:
    """A checked command, ready for Engine.command(op, **arguments)."""

    op: Op
    arguments: dict[str, Any]
    notes: tuple[bytes, ...] = field(default=())


def _account(args: Arguments) -> dict[str, Any]:
    return {"account_id": args.integer("account_id", 1, AMOUNT_MAX)}


def _open(args: Arguments) -> dict[str, Any]:
    return {
        "account_id": args.integer("account_id", 0, AMOUNT_MAX, 0),
        "currency": args.integer("currency", 1, 999, 156),
        "rider_category": args.integer("rider_category", 0, 255, 0),
    }


def _amount(args: Arguments) -> dict[str, Any]:
    return _account(args) | {
        "amount_minor": args.integer("amount_minor", 1, AMOUNT_MAX),
        "purse": args.choice("purse", PURSES, "stored"),
    }


def _adjust(args: Arguments) -> dict[str, Any]:
    return _account(args) | {
        "amount_minor": args.integer("amount_minor", -AMOUNT_MAX, AMOUNT_MAX),
        "expected_version": args.integer("expected_version", 1, AMOUNT_MAX),
        "purse": args.choice("purse", PURSES, "stored"),
    }


def _block(args: Arguments) -> dict[str, Any]:
    return _account(args) | {"status_bits": args.choice("what", BLOCKS, "debit")}


def _limit(args: Arguments) -> dict[str, Any]:
    return _account(args) | {"amount_minor": args.integer("amount_minor", 0, AMOUNT_MAX)}


def _category(args: Arguments) -> dict[str, Any]:
    return _account(args) | {"rider_category": args.integer("rider_category", 0, 255)}


def _pass(args: Arguments) -> dict[str, Any]:
    return _account(args) | {
        "pass_id": args.integer("pass_id", 1, 2**32 - 1),
        "from_us": args.integer("from_us", 0, AMOUNT_MAX, 0),
        "amount_minor": args.integer("amount_minor", 0, AMOUNT_MAX, 0),
    }


def _pass_add(args: Arguments) -> dict[str, Any]:
    fields = _pass(args) | {
        "expires_us": args.integer("until_us", 0, AMOUNT_MAX, 0),
        "rides": args.integer("rides", -1, 2**31 - 1, -1),
    }
    if fields["rides"] == 0 or 0 < fields["expires_us"] <= fields["from_us"]:
        raise bad_argument("a pass needs rides (-1 = any number) and an end behind its beginning")
    return fields


def _concession(args: Arguments) -> dict[str, Any]:
    fields = _account(args) | {
        "rider_category": args.integer("rider_category", 0, 255),
        "from_us": args.integer("from_us", 0, AMOUNT_MAX, 0),
        "expires_us": args.integer("until_us", 1, AMOUNT_MAX),
    }
    if fields["expires_us"] <= fields["from_us"]:
        raise bad_argument("until_us must lie behind from_us")
    return fields


def _no_concession(args: Arguments) -> dict[str, Any]:
    return _account(args) | {"rider_category": args.integer("rider_category", 0, 255)}


def _rerate(args: Arguments) -> dict[str, Any]:
    """lines: account lines 1 and 2; cells: all totals the account is to have. from_us: where
    pricing again began. claim: 1 a journey began, 2 it ended at claim_stop and claim_at_us; 16 more
    when a service desk says so. The record keeps all of it.
    """
    lines = args.images("lines", 64, 2)
    if len(lines) != 128:
        raise bad_argument("lines must be account lines 1 and 2")
    images = lines + args.images("cells", CELL_BYTES, CELLS_MAX)
    return _account(args) | {
        "amount_minor": args.integer("amount_minor", -AMOUNT_MAX, AMOUNT_MAX),
        "expected_version": args.integer("expected_version", 1, AMOUNT_MAX),
        "images": images,
        "from_us": args.integer("from_us", 0, 1 << 62, 0),
        "rides": args.integer("claim", 0, 18, 0),
        "pass_id": args.integer("claim_stop", 0, 2**32 - 1, 0),
        "expires_us": args.integer("claim_at_us", 0, AMOUNT_MAX, 0),
        "token": hashlib.sha256(images).digest()[:16],
    }


def _link(args: Arguments) -> dict[str, Any]:
    return _account(args) | {
        "token": args.token(),
        "medium_kind": args.choice("kind", KINDS, "card"),
        "expires_us": args.integer("expires_us", 0, AMOUNT_MAX, 0),
    }


def _state(args: Arguments) -> dict[str, Any]:
    return {"token": args.token(), "medium_state": args.choice("state", STATES)}


OPERATIONS: dict[str, Operation] = {
    "account_open": Operation(Op.ACCOUNT_OPEN, _open),
    "close": Operation(Op.ACCOUNT_CLOSE, _account),
    "credit": Operation(Op.CREDIT, _amount, "credit_max_minor"),
    "debit": Operation(Op.DEBIT, _amount, "credit_max_minor"),
    "adjust": Operation(Op.ADJUST, _adjust, "adjust_max_minor"),
    "freeze": Operation(Op.FREEZE, _block),
    "unfreeze": Operation(Op.UNFREEZE, _block),
    "set_credit_limit": Operation(Op.SET_CREDIT_LIMIT, _limit, "credit_max_minor"),
    "set_category": Operation(Op.SET_CATEGORY, _category),
    "pass_add": Operation(Op.PASS_ADD, _pass_add, "credit_max_minor"),
    "pass_remove": Operation(Op.PASS_REMOVE, _pass, "credit_max_minor"),
    "concession_set": Operation(Op.CONCESSION, _concession),
    "concession_remove": Operation(Op.CONCESSION, _no_concession),
    "rerate": Operation(Op.RERATE, _rerate, "adjust_max_minor"),
    "medium_link": Operation(Op.MEDIUM_LINK, _link),
    "medium_state": Operation(Op.MEDIUM_STATE, _state),
}
"""Every operation that leaves a record, by its name on the control socket."""


HINTS = {
    ("pass_add", Reason.TOO_MANY_CELLS): "take off a pass that is over: `faregate pass show`",
    ("pass_add", Reason.INSUFFICIENT_BALANCE): "credit the account, or sell it with --price 0",
    ("pass_remove", Reason.NOTHING_TO_REVERSE): "`faregate pass show` lists the account's passes",
    ("concession_set", Reason.TOO_MANY_CELLS): "take off what is over: `faregate pass show`",
    ("concession_remove", Reason.NOTHING_TO_REVERSE): "`faregate pass show` lists its concessions",
    ("rerate", Reason.VERSION_CONFLICT): "the account moved on: read it and price it again",
}
"""What to do about a refusal, where its name does not say it."""


def read_order(name: str, values: Mapping[str, Any], ceilings: Ceilings, principal: str) -> Order:
    """Check a command's arguments. Raises: CommandError."""
    operation = OPERATIONS[name]
    args = Arguments(values)
    arguments = operation.read(args)
    actor = args.text("actor")
    who = f"{principal}:{actor}" if actor else principal
    notes = (who, args.text("reference"), args.text("note"), args.text("idempotency_key"))
    args.end()
    if operation.amount_ceiling:
        ceiling = getattr(ceilings, operation.amount_ceiling)
        if abs(arguments["amount_minor"]) > ceiling:
            raise CommandError(
                "COMMAND_CEILING",
                f"{abs(arguments['amount_minor'])} is above control.{operation.amount_ceiling}"
                f" = {ceiling}",
            )
    return Order(operation.op, arguments, tuple(clip(note) for note in notes))


def clip(text: str) -> bytes:
    """A note as at most 64 bytes of whole UTF-8 characters."""
    return text.encode()[:64].decode(errors="ignore").encode()


def result_of(record: RecordView, *, repeated: bool) -> dict[str, Any]:
    """What a command's reply says."""
    return {
        "op": Op(record.op).name.lower(),
        "account_id": record.account_id,
        "amount_minor": record.amount_minor,
        "fare_minor": record.fare_minor,
        "balance_minor": record.balance_minor,
        "position": record.position,
        "seq": record.seq,
        "ts_us": record.ts_us,
        "repeated": repeated,
        "reason": Reason(record.reason).name.lower(),
    }
