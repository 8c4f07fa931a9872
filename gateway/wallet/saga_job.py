"""The job that carries on what takes several commands, and forgets keys nobody can use any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.jobs import Job

POLL_S = 2.0
PRUNE_EVERY_S = 3600.0


class Runner(Protocol):
    """Carries sagas on."""

    async def run_due(self) -> int:
        """Returns how many."""


class SagaJob(Job):
    """Looks every two seconds; prunes every hour."""

    name = "sagas"

    def __init__(self, runner: Runner, prune: Callable[[], int], *, poll_s: float = POLL_S) -> None:
        self._runner = runner
        self._prune = prune
        self._poll_s = poll_s
        self._counts = {"carried_on": 0, "keys_forgotten": 0}

    async def run(self) -> None:
        pruned_s = -PRUNE_EVERY_S
        clock = asyncio.get_running_loop().time
        while True:
            self._counts["carried_on"] += await self._runner.run_due()
            if clock() - pruned_s >= PRUNE_EVERY_S:
                pruned_s = clock()
                self._counts["keys_forgotten"] += await asyncio.to_thread(self._prune)
            await asyncio.sleep(self._poll_s)

    def report(self) -> Mapping[str, Any]:
        return dict(self._counts)
