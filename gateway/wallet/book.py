"""What the book of requests says about one: the port's words, without SQL."""

from __future__ import annotations

from dataclasses import dataclass


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
