"""What the worker runs: a job is a loop with a name; the worker (gateway/worker.py) keeps it going.

Nothing here imports what a job needs: each package has its own jobs and a function that makes them.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.control.client import ControlClient
    from gateway.db import Database
    from gateway.registry.access import Access
    from gateway.wallet.freezes import Freezes


class Job(abc.ABC):
    """One loop of the worker. Its name is a metric's label: a fixed word, never an id."""

    name: str

    @abc.abstractmethod
    async def run(self) -> None:
        """Work until cancelled, then finish or leave what is under way and let the
        cancellation through within `worker.drain_s`.

        What is raised ends this job alone: it is started again after a pause that grows.
        Returning means that there is nothing more to do.
        """

    def report(self) -> Mapping[str, Any]:
        """Numbers and words for the worker's page (`gateway/observability/worker_page.py`)."""
        return {}


@dataclass(frozen=True, slots=True)
class Tools:
    """What the worker hands to those who make jobs."""

    config: Config
    access: Access
    """Tenants, persons, who may."""
    registry: Database
    commands: ControlClient
    """The way to the data plane; blocking, so call it in a thread (`asyncio.to_thread`)."""
    now_us: Callable[[], int]
    open_ledger: Callable[[], Database]
    """The ledger, to be read: call it when a job runs, not when it is made, since the projector may
    not have made it yet. Raises: DatabaseError."""

    open_freezes: Callable[[], tuple[Freezes, Callable[[], Awaitable[None]]]]
    """The services on freezes, and how to end them: open them where they are used."""


JobFactory = Callable[[Tools], Iterable[Job]]
"""Makes jobs at the start of the worker. Raises: ConfigError and other coded errors."""
