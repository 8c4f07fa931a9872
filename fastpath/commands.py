"""Commands of the control plane, as `Engine.command` takes them.

Field names are those of layout.h. Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastpath.types import Op
from fastpath.wallet import Facts


class OperationId(NamedTuple):
    """What a command is remembered by: the same one again gives the same answer.

    client: the number that scopes a client's ids; high and low: both halves of a UUIDv7.
    """

    client: int
    high: int
    low: int

    @classmethod
    def of(cls, client: int, operation_id: bytes) -> OperationId:
        """Args: operation_id: 16 bytes."""
        return cls(client, int.from_bytes(operation_id[:8]), int.from_bytes(operation_id[8:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is to be done; which fields count depends on the operation. 0 and empty: not said.

    Amounts are minor units, instants UTC microseconds.
    """

    op: Op
    account_id: int = 0
    expected_version: int = 0
    """Refused when the account has another one."""
    amount_minor: int = 0
    currency: int = 0
    """ISO 4217 number the caller means."""
    status_bits: int = 0
    purse: int = 0
    """0 stored value, 1 the subsidy, PURSE_CELL: the one that facts.key names."""
    rider_category: int = 0
    token: bytes = b""
    """Of the medium; of a re-rating the digest of its images. 16 bytes."""
    medium_kind: int = 0
    medium_state: int = 0
    from_us: int = 0
    expires_us: int = 0
    pass_id: int = 0
    rides: int = 0
    images: bytes = b""
    """Of a re-rating: account lines 1 and 2 and then cells, 64 bytes each."""
    facts: Facts | None = None
    """What a wallet command asks for beyond that; its amount and expiry are the command's."""
    notes: tuple[bytes, ...] = ()
    """At most four: who, reference, note, key; the record keeps 64 bytes of each."""

    @property
    def key(self) -> int:
        """Which purse, hold or plan it is about; 0 = none."""
        return self.facts.key if self.facts is not None else 0
