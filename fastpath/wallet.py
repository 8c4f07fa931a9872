"""Wallet commands for those who send and show them: their facts as bytes, cells by name.

Field names are those of layout.h. Must import only the standard library and fastpath.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass

from fastpath.types import Purpose

FACTS = struct.Struct("<QQQQQqqBBBBI")
PARTS = struct.Struct("<QqQqQqQq")
PURSE_CELL = 2
"""Command.purse: the purse that Facts.key names."""
PURPOSES = {one.name.lower(): int(one) for one in Purpose}
PURPOSES_MAX = 32
PURSE_ID_MIN = 2
"""0 is stored value, 1 the subsidy."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a wallet command asks for beyond what every command has.

    amount_minor and expires_us are those of the command: the engine fills them.
    """

    key: int = 0
    merchant: int = 0
    charge_client: int = 0
    charge_high: int = 0
    charge_low: int = 0
    amount_minor: int = 0
    expires_us: int = 0
    purpose: int = Purpose.NONE
    number: int = 0
    tier: int = 0
    flags: int = 0
    purposes: int = 0

    def pack(self) -> bytes:
        """The 64 bytes of layout.h."""
        return FACTS.pack(*astuple(self))

    @classmethod
    def unpack(cls, image: bytes) -> Facts:
        """From the image of an item FACTS."""
        return cls(*FACTS.unpack(image))


def unpack_parts(image: bytes) -> list[tuple[int, int]]:
    """(purse, amount) of an item PARTS, in the order of drawing."""
    values = PARTS.unpack(image)
    return [pair for pair in zip(values[::2], values[1::2], strict=True) if pair[0]]
