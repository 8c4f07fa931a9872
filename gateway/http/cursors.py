"""Cursors of lists: opaque; they name the last thing seen, so additions do not shift a list."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.errors import ApiError

T = TypeVar("T")


def make_cursor(kind: str, number: int) -> str:
    """A cursor behind the thing of this number."""
    return base64.urlsafe_b64encode(f"{kind}:{number}".encode()).decode().rstrip("=")


def read_cursor(kind: str, text: str | None) -> int:
    """The number of the last thing seen; 0 without a cursor. Raises: ApiError API_INVALID."""
    if text is None:
        return 0
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        sent_kind, _, number = base64.urlsafe_b64decode(padded).decode().partition(":")
        if sent_kind == kind and number.isdigit() and len(number) <= 19:
            return int(number)
    except (binascii.Error, UnicodeDecodeError):
        pass
    fault = {
        "part": "query",
        "pointer": "/starting_after",
        "rule": "cursor",
        "detail": "is no cursor of this list",
    }
    raise ApiError("API_INVALID", "the cursor is not of this list", faults=[fault])


def cut_page(
    kind: str, found: Sequence[T], limit: int, number_of: Callable[[T], int]
) -> tuple[tuple[T, ...], str | None]:
    """At most `limit` of what was found, and the cursor to go on with when there is more."""
    data = tuple(found[:limit])
    if len(found) <= limit:
        return data, None
    return data, make_cursor(kind, number_of(data[-1]))
