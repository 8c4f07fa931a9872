"""Arguments of control operations: read with their types and bounds, nothing may be left over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastpath.types import FactFlag, Op, Purpose
from fastpath.wallet import PURPOSES, PURPOSES_MAX, PURSE_CELL, PURSE_ID_MIN
from gateway import clock
from gateway.errors import CommandError

AMOUNT_MAX = 1 << 53
"""Amounts stay exact in JSON readers that know only doubles."""


KEY_MAX = 2**64 - 1
INLINE_PURSES = {"stored": 0, "subsidy": 1}
FLOWS = {"": 0, "payout": int(FactFlag.PAYOUT), "transfer": int(FactFlag.TRANSFER)}
"""Money that is not spent but goes to a bank, or to another account."""


def client_number(name: str) -> int:
    """A client's name as the 64-bit number that scopes its operation ids."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


class Arguments:
    """Reads a command's arguments with their types and bounds. Raises: CommandError
    COMMAND_BAD_ARGUMENT.
    """

    def __init__(self, values: Mapping[str, Any], client: str = "") -> None:
        self._values = dict(values)
        self.client = client
        """Who asks."""

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

    def flag(self, name: str) -> bool:
        """True or false, 1 or 0; false when it is not there."""
        value = self._values.pop(name, False)
        if value not in (False, True):
            raise bad_argument(f"{name} must be true or false")
        return bool(value)

    def purse(self) -> tuple[int, int]:
        """(purse, key): 0 stored, 1 subsidy by name or number; any other number is a purse cell."""
        value = self._values.pop("purse", "stored")
        number = INLINE_PURSES.get(value) if isinstance(value, str) else value
        if type(number) is not int or not 0 <= number <= KEY_MAX:
            raise bad_argument("purse must be stored, subsidy, or the number of a purse")
        return (number, 0) if number < PURSE_ID_MIN else (PURSE_CELL, number)

    def purpose(self) -> int:
        """What a payment is for, by name or number; `none` fits no purse but the main one."""
        value = self._values.pop("purpose", "none")
        number = PURPOSES.get(value) if isinstance(value, str) else value
        if type(number) is not int or not (0 <= number < PURPOSES_MAX or number == Purpose.NONE):
            raise bad_argument(f"purpose must be one of {', '.join(PURPOSES)}, or 0 to 31")
        return number

    def operation(self, name: str) -> tuple[int, int, int]:
        """An operation as {client, id}: (client number, both halves of the id)."""
        value = self._values.pop(name, None)
        if not isinstance(value, dict) or set(value) != {"client", "id"}:
            raise bad_argument(f"{name} must be client and id of an operation")
        client, text = value["client"], value["id"]
        number = client_number(client) if isinstance(client, str) else client
        if type(number) is not int or not 0 <= number <= KEY_MAX:
            raise bad_argument(f"{name}.client must be a client's name or number")
        try:
            op_id = clock.parse_operation_id(text) if isinstance(text, str) else b""
        except ValueError:
            op_id = b""
        if not any(op_id):
            raise bad_argument(f"{name}.id must be 32 hex digits")
        return number, int.from_bytes(op_id[:8]), int.from_bytes(op_id[8:])

    def tap(self, name: str) -> tuple[int, int, int] | None:
        """A tap as {device, boot, seq}; None when it is not named."""
        value = self._values.pop(name, None)
        if value is None:
            return None
        parts = ("device", "boot", "seq")
        if not isinstance(value, dict) or set(value) != set(parts):
            raise bad_argument(f"{name} must be device, boot and seq of a tap")
        device, boot, seq = (value[part] for part in parts)
        if not all(type(one) is int and 1 <= one < 2**64 for one in (device, boot, seq)):
            raise bad_argument(f"{name} must be whole numbers above 0")
        return device, boot, seq

    def own_money(self) -> FactFlag:
        """What a movement is that spends nothing: `flow` payout or transfer; else nothing."""
        return FactFlag(self.choice("flow", FLOWS, ""))

    def end(self) -> None:
        """Nothing else may be there."""
        if self._values:
            raise bad_argument(f"unknown arguments: {', '.join(sorted(self._values))}")


def bad_argument(detail: str) -> CommandError:
    """The caller's mistake; nothing was done."""
    return CommandError("COMMAND_BAD_ARGUMENT", detail)


@dataclass(frozen=True, slots=True)
class Operation:
    """One money operation: its record type and how its arguments are read."""

    op: Op
    read: Callable[[Arguments], dict[str, Any]]
    amount_ceiling: str = ""
    """Which ceiling of [control] bounds the amount."""


def read_account(args: Arguments) -> dict[str, Any]:
    """Whose: every operation but those on media."""
    return {"account_id": args.integer("account_id", 1, AMOUNT_MAX)}
