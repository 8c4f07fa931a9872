"""Re-rating as a job of the worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import Retry
from gateway.following import build_mark
from gateway.jobs import Job, Tools
from gateway.journals import open_reader
from gateway.rerating.build import build_rerater
from gateway.rerating.follow import Waiting, follow, load_waiting, save_waiting
from gateway.rerating.service import Rerater, Result

if TYPE_CHECKING:
    from gateway.config import ReratingConfig
    from gateway.journals import ReadableJournal

log = logging.getLogger(__name__)

US_PER_S = 1_000_000
POLL_S = 2.0


def build_rerating_jobs(tools: Tools) -> Iterable[Job]:
    """The job that follows the journal, when it is switched on."""
    config = tools.config
    if not config.rerating.follow:
        return
    yield RerateJob(
        lambda: build_rerater(config, tools.commands),
        config.rerating,
        open_journal=lambda: open_reader(config),
        durable=build_mark(config),
        path=config.gateway.data_dir / "rerating.json",
        now_us=tools.now_us,
    )


class RerateJob(Job):
    """Follows the journal; prices accounts again once they have been quiet for a while."""

    name = "rerate"

    def __init__(
        self,
        make_rerater: Callable[[], Rerater],
        settings: ReratingConfig,
        *,
        open_journal: Callable[[], ReadableJournal],
        durable: Callable[[], int | None],
        path: Path,
        now_us: Callable[[], int],
    ) -> None:
        self._make_rerater = make_rerater
        self._settings = settings
        self._open_journal = open_journal
        self._durable = durable
        self._path = path
        self._now_us = now_us
        self._waiting = Waiting()
        self._counts = {"rerated": 0, "unchanged": 0, "failed": 0}

    async def run(self) -> None:
        """Step by step; what a step began it finishes."""
        self._waiting = await asyncio.to_thread(load_waiting, self._path)
        while True:
            if not await asyncio.to_thread(self.step):
                await asyncio.sleep(POLL_S)

    def step(self) -> bool:
        """Read on, price what is due; whether to go on at once. Raises: what reading raises."""
        cursor = self._waiting.cursor
        more = self._follow()
        due = self._waiting.due(
            self._now_us() - int(self._settings.quiet_s * US_PER_S), self._settings.batch
        )
        if due:
            for result in self._make_rerater().run_many(due):
                self._note(result)
        if due or cursor != self._waiting.cursor:
            save_waiting(self._path, self._waiting)
        return more

    def _follow(self) -> bool:
        journal = self._open_journal()
        try:
            return follow(journal, self._waiting, self._durable())
        finally:
            journal.close()

    def _note(self, result: Result) -> None:
        """What can go well another time is tried again after another quiet while."""
        waiting, account_id = self._waiting, result.account_id
        self._counts[result.outcome] += 1
        del waiting.pending[account_id]
        if result.error is None:
            waiting.failed.pop(account_id, None)
            return
        fields = {"code": result.error.code, "detail": result.error.detail}
        log.warning("rerate_failed", extra=fields)
        waiting.failed[account_id] = result.error.code
        if result.error.retry != Retry.NEVER:
            waiting.pending[account_id] = self._now_us()

    def report(self) -> Mapping[str, Any]:
        """Numbers for the worker's page."""
        return {
            **self._counts,
            "pending": len(self._waiting.pending),
            "stuck": len(self._waiting.failed),
        }
