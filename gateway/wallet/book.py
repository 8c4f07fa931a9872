"""What the book of requests says about one: the port's words, without SQL."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.clock import derived_operation_id

KEY_BYTES = 64
"""A note of the journal holds so much; longer keys are there as their digest."""


@dataclass(frozen=True, slots=True)
class BookEntry:
    """A key's request. status: of its last answer, 0 = none yet."""

    operation_id: bytes
    endpoint: str
    digest: bytes
    is_new: bool
    created_us: int = 0
    status: int = 0
    account_id: int = 0
    answer: bytes = b""
    """The first answer as it was kept; empty = the journal tells it, or there was none."""


def note_of(key: str) -> str:
    """A key as it fits into a note of the journal."""
    if len(key) <= KEY_BYTES:
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def request_id(at_us: int, caller: str, key: str) -> bytes:
    """The operation id of a request that came at an instant (to the millisecond).

    It follows from what the journal says of each of its commands, so that a lost row of the book
    can be built again (gateway/wallet/stores/rebuilding.py). key: as it came, or as its note.
    """
    return derived_operation_id(at_us, "request", caller, note_of(key))
