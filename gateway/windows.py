"""Which part of a list: what comes behind a place of it, or before one.

Places are numbers that a row keeps for ever, so rows that are added do not shift a list. Must not
import anything of the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` rows behind number `after` in the list's order, or the last ones before
    number `before`; 0 = no such bound. One of the two at most.
    """

    limit: int
    after: int = 0
    before: int = 0

    @property
    def is_backward(self) -> bool:
        """Whether it ends at a place, instead of beginning behind one."""
        return self.before > 0


def within(numbers: Sequence[int], window: Window) -> list[int]:
    """Those of rising numbers that a window shows; one more, at its far end, if there are more."""
    if window.is_backward:
        return [number for number in numbers if number < window.before][-window.limit - 1 :]
    return [number for number in numbers if number > window.after][: window.limit + 1]
