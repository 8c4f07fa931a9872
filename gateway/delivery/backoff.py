"""When to try again: full jitter between 0.2 s and 5 min, and for how long at all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from adapters.contract import Capability

FIRST_S = 0.2
LONGEST_S = 300.0
DAY_S = 86_400.0
BUDGETS_S = {
    Capability.REFUND: 7 * DAY_S,
    Capability.RELEASE: 7 * DAY_S,
    Capability.SEND_FILE: 2 * DAY_S,
}
"""How long a command is tried before it becomes a dead letter; money that goes back, longest."""
BUDGET_S = DAY_S


def budget_s(capability: Capability) -> float:
    """Seconds from its creation in which a command may be tried."""
    return BUDGETS_S.get(capability, BUDGET_S)


@dataclass(slots=True)
class Backoff:
    """Pauses between attempts. The random source is given, so that a test can repeat a run."""

    rng: random.Random = field(default_factory=random.Random)

    def pause_s(self, attempt: int, retry_after_s: float | None = None) -> float:
        """Seconds to wait after an attempt (1, 2, ...); never less than the peer asks for."""
        ceiling = min(LONGEST_S, FIRST_S * 2 ** min(attempt, 20))
        pause = self.rng.uniform(FIRST_S, max(FIRST_S, ceiling))
        return max(pause, retry_after_s or 0.0)
