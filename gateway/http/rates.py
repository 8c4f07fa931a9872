"""Token buckets: how many requests each caller may send. In this process's memory only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

BUCKETS_MAX = 50_000
"""More callers at once than that are forgotten in the order they came."""


@dataclass(slots=True)
class RateLimiter:
    """So many tokens a second each, at most `burst` saved up. Thread: the loop's."""

    per_s: float
    burst: float
    monotonic: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, caller: str) -> int:
        """0 = go on; else so many seconds to wait (Retry-After)."""
        now = self.monotonic()
        tokens, at = self._buckets.pop(caller, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.per_s)
        ok = tokens >= 1
        self._buckets[caller] = (tokens - 1 if ok else tokens, now)
        if len(self._buckets) > BUCKETS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return 0 if ok else int((1 - tokens) / self.per_s) + 1
