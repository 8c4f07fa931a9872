"""The worker's families of /metrics, from its page. Labels: names of jobs and adapters only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.observability.family import Family
from gateway.observability.worker_page import WorkerView, read_page

WORKER_UP = Family("fare_worker_up", "gauge", "1 while the worker's process lives.")
WORKER_WRITTEN = Family(
    "fare_worker_report_time_seconds", "gauge", "When it last reported, unix time."
)
JOB_RUNNING = Family("fare_job_running", "gauge", "1 while a job of the worker runs.", ("job",))
JOB_RESTARTS = Family(
    "fare_job_restarts_total", "counter", "Times a job failed and was started again.", ("job",)
)

WORKER_FAMILIES = (WORKER_UP, WORKER_WRITTEN, JOB_RUNNING, JOB_RESTARTS)
"""Every family of this collector."""

US_PER_S = 1_000_000


class WorkerCollector(Collector):
    """Reads the page at each scrape; only `fare_worker_up 0` when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterator[Metric]:
        view = read_page(self._path)
        up = view is not None and view.writer_lives()
        yield GaugeMetricFamily(WORKER_UP.name, WORKER_UP.help, value=int(up))
        if view is not None:
            yield from _families(view)


def _families(view: WorkerView) -> Iterator[Metric]:
    written = view.written_us / US_PER_S
    yield GaugeMetricFamily(WORKER_WRITTEN.name, WORKER_WRITTEN.help, value=written)
    running = GaugeMetricFamily(JOB_RUNNING.name, JOB_RUNNING.help, labels=JOB_RUNNING.labels)
    restarts = CounterMetricFamily(JOB_RESTARTS.name, JOB_RESTARTS.help, labels=JOB_RESTARTS.labels)
    for name, job in sorted(view.jobs.items()):
        running.add_metric([name], int(job.get("state") == "running"))
        restarts.add_metric([name], int(job.get("restarts", 0)))
    yield running
    yield restarts
