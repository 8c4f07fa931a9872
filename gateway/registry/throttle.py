"""Token buckets against guessing: so many tries at once, then one at a time. Bounded memory.

In this process only: a start begins anew, several processes count apart. Thread: any.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from gateway.errors import RateLimited

KEYS_MAX = 100_000


class Throttle:
    """`burst` tries at once, then one every `every_s` seconds, for each key."""

    def __init__(
        self,
        *,
        burst: int,
        every_s: float,
        keys_max: int = KEYS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._every_s = every_s
        self._keys_max = keys_max
        self._monotonic = monotonic
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()
        """When the bucket of a key is full again; a full one needs no entry."""
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> None:
        """Use up one try. Raises: RateLimited with the seconds to wait."""
        now = self._monotonic()
        with self._lock:
            full_at = max(self._full_at.pop(key, now), now) + self._every_s
            wait_s = full_at - now - self._burst * self._every_s
            if wait_s > 0:
                full_at -= self._every_s
            self._full_at[key] = full_at
            self._drop(now)
        if wait_s > 0:
            raise RateLimited(retry_after_s=math.ceil(wait_s))

    def give_back(self, key: Hashable) -> None:
        """The try was a right one: it does not count."""
        with self._lock:
            if key in self._full_at:
                self._full_at[key] -= self._every_s

    def _drop(self, now: float) -> None:
        """First those that are full anyway, then the ones unused for longest."""
        while self._full_at:
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._keys_max:
                return
            del self._full_at[key]
