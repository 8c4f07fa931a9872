"""Spans of time on the command line: from and until, as days or instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from gateway.commands.common import UsageError

FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="WHEN",
        help="First day (UTC), as 2026-12-01, or an instant, as 2026-12-01T04:30:00+08:00.",
    ),
]
UntilOption = Annotated[
    str,
    typer.Option(
        "--until", metavar="WHEN", help="Last day (UTC), or the first instant it ends at."
    ),
]


def read_from(text: str, named: str = "--from") -> int:
    """Microseconds of a day's beginning or of an instant; 0 for "". Raises: UsageError."""
    return _read(named, text, timedelta(0))


def read_until(text: str) -> int:
    """The same for an end: of a day the instant after it."""
    return _read("--until", text, timedelta(days=1))


def _read(name: str, text: str, behind: timedelta) -> int:
    if not text:
        return 0
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return _instant(name, text)
    return _us(datetime(day.year, day.month, day.day, tzinfo=UTC) + behind)


def _instant(name: str, text: str) -> int:
    try:
        when: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise UsageError(
            detail=f"{name} {text}: write a day as 2026-12-01, or an instant with its offset as"
            " 2026-12-01T04:30:00+08:00"
        )
    return _us(when)


def _us(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
