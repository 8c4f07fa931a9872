"""How fast a peer may be called: its known rate, and not before it said so. Thread: one loop's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Turns calls into instants of a monotonic clock, seconds."""

    rate_per_s: float = 0.0
    """0 = none known."""
    _next_s: float = 0.0

    def room(self, now_s: float, wanted: int) -> int:
        """How many calls may begin now."""
        if now_s < self._next_s:
            return 0
        return wanted if not self.rate_per_s else min(wanted, 1)

    def took(self, now_s: float) -> None:
        """A call began."""
        if self.rate_per_s:
            self._next_s = max(self._next_s, now_s + 1 / self.rate_per_s)

    def rest(self, now_s: float, seconds: float) -> None:
        """The peer asked to be left alone for so long."""
        self._next_s = max(self._next_s, now_s + seconds)

    def wait_s(self, now_s: float) -> float:
        """Until the next call may begin."""
        return max(0.0, self._next_s - now_s)
