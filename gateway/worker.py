"""The worker: one process for all that is done beside the gates, each thing a job.

    start   makes the jobs of JOBS; a bad setting refuses the start
    crash   a job that raises is started again alone, after a pause that grows; the others go on
    stop    SIGTERM: every job is cancelled and has `worker.drain_s` to finish what is under way

What the jobs say of themselves lies in `run/worker.json`; /metrics shows it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.clock import now_us
from gateway.config import Config, WorkerConfig
from gateway.credit.job import build_credit_jobs
from gateway.delivery.jobs import build_delivery_jobs
from gateway.delivery.purge import build_purge_jobs
from gateway.delivery.receive import build_receive_jobs
from gateway.errors import FareGatewayError, InvariantError
from gateway.jobs import Job, JobFactory, Tools
from gateway.ledger.auditing import build_audit_jobs
from gateway.ledger.settling import build_settlement_jobs
from gateway.observability.worker_page import write_page
from gateway.readiness import tell_ready
from gateway.registry.jobs import build_registry_jobs
from gateway.rerating.jobs import build_rerating_jobs
from gateway.risk.job import build_risk_jobs
from gateway.wallet.jobs import build_wallet_jobs

log = logging.getLogger(__name__)

JOBS: tuple[JobFactory, ...] = (
    build_delivery_jobs,
    build_receive_jobs,
    build_purge_jobs,
    build_credit_jobs,
    build_risk_jobs,
    build_rerating_jobs,
    build_wallet_jobs,
    build_audit_jobs,
    build_settlement_jobs,
    build_registry_jobs,
)
"""Everything that makes jobs, in the order of their start."""

RESTART_FIRST_S = 0.5
STEADY_S = 60.0
"""A job that ran so long begins with a clean record."""


@dataclass(slots=True)
class _Kept:
    """One job and its record."""

    job: Job
    state: str = "waiting"
    restarts: int = 0
    last_error: str = ""

    def report(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "restarts": self.restarts,
            "last_error": self.last_error,
            **self.job.report(),
        }


class Worker:
    """Runs jobs side by side until told to stop."""

    def __init__(
        self,
        jobs: Iterable[Job],
        settings: WorkerConfig,
        *,
        publish: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._kept = [_Kept(job) for job in jobs]
        names = [kept.job.name for kept in self._kept]
        if len(set(names)) != len(names):
            raise InvariantError(detail=f"two jobs of one name: {sorted(names)}")
        self._settings = settings
        self._publish = publish

    async def run(self, stopped: asyncio.Event) -> None:
        """Until `stopped` is set; then every job has `worker.drain_s` to end."""
        tasks = [asyncio.create_task(self._keep(one), name=one.job.name) for one in self._kept]
        reporter = asyncio.create_task(self._report_often(), name="report")
        stop = asyncio.create_task(stopped.wait(), name="stop")
        try:
            await self._until_stopped(stop, [*tasks, reporter])
        finally:
            await self._drain([*tasks, reporter, stop])
            await asyncio.to_thread(self._publish, self.report())

    async def _until_stopped(
        self, stop: asyncio.Task[Any], tasks: Iterable[asyncio.Task[Any]]
    ) -> None:
        """Raises what no restart can help: only broken promises leave a task."""
        waiting = {stop, *tasks}
        while not stop.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _drain(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        left = [task for task in tasks if not task.done()]
        for task in left:
            task.cancel()
        if not left:
            return
        _, slow = await asyncio.wait(left, timeout=self._settings.drain_s)
        for task in slow:
            log.warning("job_not_drained", extra={"job": task.get_name()})

    async def _keep(self, kept: _Kept) -> None:
        """One job, started again and again."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            kept.state, started = "running", loop.time()
            try:
                await kept.job.run()
            except InvariantError:
                raise
            except FareGatewayError as error:  # says itself what is missing and what to do
                log.warning("job_failed", extra={"job": kept.job.name} | error.as_dict())
                kept.last_error = str(error)[:200]
            except Exception as error:  # a bug in one job must not end the others
                log.exception("job_failed", extra={"job": kept.job.name})
                kept.last_error = f"{type(error).__name__}: {error}"[:200]
            else:
                kept.state = "ended"
                return
            failures = 1 if loop.time() - started > STEADY_S else failures + 1
            kept.state, kept.restarts = "failed", kept.restarts + 1
            pause_s = RESTART_FIRST_S * 2 ** min(failures - 1, 16)
            await asyncio.sleep(min(pause_s, self._settings.restart_max_s))

    async def _report_often(self) -> None:
        while True:
            await asyncio.to_thread(self._publish, self.report())
            await asyncio.sleep(self._settings.report_s)

    def report(self) -> dict[str, Any]:
        """What all jobs say of themselves."""
        return {"jobs": {kept.job.name: kept.report() for kept in self._kept}}


def build_jobs(tools: Tools) -> list[Job]:
    """All jobs. Raises: ConfigError and what the factories raise."""
    return [job for make in JOBS for job in make(tools)]


def main(tools: Tools, ready_fd: int) -> int:
    """Work until SIGTERM; the exit status."""
    return asyncio.run(_serve(tools.config, build_jobs(tools), ready_fd))


async def _serve(config: Config, jobs: list[Job], ready_fd: int) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    worker = Worker(
        jobs,
        config.worker,
        publish=lambda report: write_page(config.worker_page_path, report, now_us()),
    )
    log.info("worker_started", extra={"jobs": [job.name for job in jobs]})
    tell_ready(ready_fd, {"worker": f"{len(jobs)} jobs"})
    await worker.run(stopped)
    log.info("worker_stopped")
    return 0
