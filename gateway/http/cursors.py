"""Cursors of lists: opaque; they name a thing that was seen, so additions do not shift a list."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from gateway.errors import ApiError
from gateway.http.endpoint import Page
from gateway.shapes import says
from gateway.windows import Window

L = TypeVar("L")
T = TypeVar("T")
NUMBER_END = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What every list in pages says beside `data`."""

    has_more: Annotated[bool, says("whether there is more that way")]
    next_cursor: Annotated[
        str | None, says("send it as starting_after; null = there was no more then")
    ]
    previous_cursor: Annotated[
        str | None, says("send it as ending_before; null = nothing is in this page")
    ]


def make_cursor(kind: str, number: int) -> str:
    """A cursor at the thing of this number."""
    return base64.urlsafe_b64encode(f"{kind}:{number}".encode()).decode().rstrip("=")


def read_page(kind: str, page: Page) -> Window:
    """What a request asks for of a list. Raises: ApiError API_INVALID."""
    if page.starting_after is not None and page.ending_before is not None:
        raise _refused("ending_before", "once", "goes without starting_after")
    return Window(
        page.limit,
        _read_cursor(kind, page.starting_after, "starting_after"),
        _read_cursor(kind, page.ending_before, "ending_before"),
    )


def _read_cursor(kind: str, text: str | None, name: str) -> int:
    """The number of the thing that was seen; 0 without a cursor."""
    if text is None:
        return 0
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        sent_kind, _, number = base64.urlsafe_b64decode(padded).decode().partition(":")
        is_number = number.isascii() and number.isdigit() and len(number) <= 19
        if sent_kind == kind and is_number and 0 < int(number) < NUMBER_END:
            return int(number)
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise _refused(name, "cursor", "is no cursor of this list")


def _refused(name: str, rule: str, detail: str) -> ApiError:
    fault = {"part": "query", "pointer": f"/{name}", "rule": rule, "detail": detail}
    return ApiError("API_INVALID", "the cursor does not fit this list", faults=[fault])


def cut_page(
    shape: Callable[..., L],
    kind: str,
    found: Sequence[tuple[int, T]],
    window: Window,
) -> L:
    """The list to answer with. found: things with their places, in the list's order, one more than
    asked for if there are more.
    """
    has_more = len(found) > window.limit
    kept = found[-window.limit :] if window.is_backward else found[: window.limit]
    goes_on = bool(kept) and (has_more or window.is_backward)
    return shape(
        data=tuple(thing for _, thing in kept),
        has_more=has_more,
        next_cursor=make_cursor(kind, kept[-1][0]) if goes_on else None,
        previous_cursor=make_cursor(kind, kept[0][0]) if kept else None,
    )
