"""Checks of msgpack values and rows of them: what the frames of the validator link are made of.

A field of a row is annotated with its check: `Annotated[int, integer(0, 255)]`. Strict both ways:
a wrong type is malformed, a value outside its documented range is out_of_range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import ClassVar, Self, TypeVar, get_type_hints

from gateway.link.codes import WireCode, wire_error

Check = Callable[[object], object]
"""Takes what msgpack gave, returns what the dataclass holds, raises WireError."""


def integer(lowest: int, highest: int) -> Check:
    """An integer within bounds, both included; a bool is none."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wire_error(WireCode.MALFORMED, f"{type(value).__name__} for an integer")
        if not lowest <= value <= highest:
            raise wire_error(WireCode.OUT_OF_RANGE, f"{value} is not in {lowest}..{highest}")
        return int(value)

    return check


def octets(lowest: int, highest: int) -> Check:
    """A msgpack bin of so many bytes."""

    def check(value: object) -> bytes:
        if type(value) is not bytes:
            raise wire_error(WireCode.MALFORMED, f"{type(value).__name__} for bytes")
        if not lowest <= len(value) <= highest:
            raise wire_error(WireCode.OUT_OF_RANGE, f"{len(value)} bytes, not {lowest}..{highest}")
        return value

    return check


def text(highest: int) -> Check:
    """A msgpack str of at most so many UTF-8 bytes."""

    def check(value: object) -> str:
        if type(value) is not str:
            raise wire_error(WireCode.MALFORMED, f"{type(value).__name__} for text")
        if len(value.encode()) > highest:
            raise wire_error(WireCode.OUT_OF_RANGE, f"text above {highest} bytes")
        return value

    return check


def boolean(value: object) -> bool:
    """A msgpack bool."""
    if type(value) is not bool:
        raise wire_error(WireCode.MALFORMED, f"{type(value).__name__} for a boolean")
    return value


def optional(check: Check) -> Check:
    """nil, or what the other check accepts."""
    return lambda value: None if value is None else check(value)


def array(item: Check, lowest: int, highest: int) -> Check:
    """An array of equal items."""

    def check(value: object) -> tuple[object, ...]:
        if not isinstance(value, (tuple, list)):
            raise wire_error(WireCode.MALFORMED, f"{type(value).__name__} for an array")
        if not lowest <= len(value) <= highest:
            raise wire_error(WireCode.OUT_OF_RANGE, f"{len(value)} items, not {lowest}..{highest}")
        return tuple(item(each) for each in value)

    return check


def row(*checks: Check) -> Callable[[object], tuple[object, ...]]:
    """An array with one check a place."""

    def check(value: object) -> tuple[object, ...]:
        if not isinstance(value, (tuple, list)) or len(value) != len(checks):
            raise wire_error(WireCode.MALFORMED, f"not an array of {len(checks)}")
        return tuple(each(item) for each, item in zip(checks, value, strict=True))

    return check


class Row:
    """A dataclass that travels as a msgpack array of its fields, in order."""

    __slots__ = ()
    CHECKS: ClassVar[tuple[Check, ...]]
    OPTIONAL: ClassVar[int] = 0
    """So many integers at the end travel only when they are not all 0."""

    @classmethod
    def from_row(cls, value: object) -> Self:
        """Raises: WireError."""
        missing = len(cls.CHECKS) - len(value) if isinstance(value, (tuple, list)) else 0
        if isinstance(value, (tuple, list)) and 0 < missing <= cls.OPTIONAL:
            value = (*value, *(0,) * missing)
        made = value if isinstance(value, cls) else cls(*row(*cls.CHECKS)(value))
        made.check_together()
        return made

    def check_together(self) -> None:
        """For rules over more than one field. Raises: WireError."""

    def as_row(self) -> tuple[object, ...]:
        """The fields in order, checked; rows inside become arrays. Raises: WireError."""
        self.check_together()
        names: tuple[str, ...] = self.__match_args__  # type: ignore[attr-defined]
        values = [getattr(self, name) for name in names]
        if self.OPTIONAL and not any(values[-self.OPTIONAL :]):
            values = values[: -self.OPTIONAL]
        return tuple(
            _plain(check(value)) for check, value in zip(self.CHECKS, values, strict=False)
        )


def _plain(value: object) -> object:
    if isinstance(value, Row):
        return value.as_row()
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    return value


RowT = TypeVar("RowT", bound=Row)


def checked(cls: type[RowT]) -> type[RowT]:
    """Decorator, above dataclass: collect the checks from the annotations, once."""
    hints = get_type_hints(cls, include_extras=True)
    cls.CHECKS = tuple(hints[each.name].__metadata__[0] for each in fields(cls))  # type: ignore[arg-type]
    return cls
