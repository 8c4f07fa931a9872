"""What has to hold inside: checked also where Python runs without its assertions (-O)."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


class BrokenInvariantError(Exception):
    """Something that cannot be is: the engine must not go on."""


def sure(value: Value | None) -> Value:
    """A value that is there by what was decided before. Raises: BrokenInvariantError."""
    if value is None:
        raise BrokenInvariantError("a value that has to be there is not")
    return value
