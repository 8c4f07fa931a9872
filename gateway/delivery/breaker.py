"""A circuit breaker for each adapter: a peer in trouble is left alone.

Closed: everything goes. Open: nothing goes until `open_s` have passed. Half open: one probe (the
adapter's check) decides. Only what says that the peer cannot be reached or does not answer is a
failure; a refusal, a bad message or "too many requests" is an answer. What is wrong with the
adapter itself (credentials, settings) opens it at once. Thread: one loop's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from adapters.errors import AdapterError, Unavailable, Uncertain


class BreakerState(StrEnum):
    """What the breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When to stop calling, and for how long."""

    window: int = 20
    """So many of the last calls are looked at."""
    least: int = 5
    """With fewer calls than this nothing is concluded."""
    failure_ratio: float = 0.5
    open_s: float = 30.0


@dataclass(slots=True)
class Breaker:
    """Counts what happened and says whether to call. Times are seconds of a monotonic clock."""

    settings: BreakerSettings = field(default_factory=BreakerSettings)
    state: BreakerState = BreakerState.CLOSED
    _failures: deque[bool] = field(default_factory=deque)
    _opened_s: float = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether a call may be made now. Half open: no, only the probe."""
        if self.state is BreakerState.OPEN and now_s - self._opened_s >= self.settings.open_s:
            self.state = BreakerState.HALF_OPEN
        return self.state is BreakerState.CLOSED

    def note(self, error: AdapterError | None, now_s: float) -> None:
        """A call ended; None = with an answer."""
        if self.state is not BreakerState.CLOSED:
            return
        if error is not None and error.about_adapter:
            self._open(now_s)
            return
        self._failures.append(isinstance(error, Unavailable | Uncertain))
        if len(self._failures) > self.settings.window:
            self._failures.popleft()
        too_few = len(self._failures) < self.settings.least
        if not too_few and sum(self._failures) >= self.settings.failure_ratio * len(self._failures):
            self._open(now_s)

    def probed(self, *, ok: bool, now_s: float) -> None:
        """What the probe found."""
        if ok:
            self.state = BreakerState.CLOSED
            self._failures.clear()
        else:
            self._open(now_s)

    def _open(self, now_s: float) -> None:
        self.state = BreakerState.OPEN
        self._opened_s = now_s
