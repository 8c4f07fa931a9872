"""The worker's families of /metrics, from its page. Labels: names of jobs and adapters only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
ADAPTER_UP = Family(
    "fare_adapter_up", "gauge", "1 while an adapter is open and its breaker closed.", ("adapter",)
)
ADAPTER_COMMANDS = Family(
    "fare_adapter_commands", "gauge", "Commands to a peer, by state.", ("adapter", "state")
)
ADAPTER_AGE = Family(
    "fare_adapter_queue_age_seconds", "gauge", "Age of the oldest open command.", ("adapter",)
)
ADAPTER_IN_FLIGHT = Family(
    "fare_adapter_in_flight", "gauge", "Calls to a peer under way.", ("adapter",)
)
ADAPTER_CALLS = Family(
    "fare_adapter_calls_total",
    "counter",
    "What became of calls: sent, asked, done, rejected, uncertain, dead.",
    ("adapter", "result"),
)
ADAPTER_ERRORS = Family(
    "fare_adapter_errors_total", "counter", "Errors of calls, by class.", ("adapter", "error")
)
ADAPTER_EVENTS = Family(
    "fare_adapter_events", "gauge", "What a peer told us, by state.", ("adapter", "state")
)
RECEIVED = Family(
    "fare_inbound_messages_total", "counter", "Messages of peers, by answer.", ("result",)
)

WORKER_FAMILIES = (
    WORKER_UP,
    WORKER_WRITTEN,
    JOB_RUNNING,
    JOB_RESTARTS,
    ADAPTER_UP,
    ADAPTER_COMMANDS,
    ADAPTER_AGE,
    ADAPTER_IN_FLIGHT,
    ADAPTER_CALLS,
    ADAPTER_ERRORS,
    ADAPTER_EVENTS,
    RECEIVED,
)
"""Every family of this collector."""

Job = Mapping[str, Any]
Sample = tuple[tuple[str, ...], float]

US_PER_S = 1_000_000
CALLS = ("sent", "asked", "done", "rejected", "uncertain", "dead")


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
    yield _metric(WORKER_WRITTEN, [((), view.written_us / US_PER_S)])
    jobs = sorted(view.jobs.items())
    yield _metric(JOB_RUNNING, [((name,), job.get("state") == "running") for name, job in jobs])
    yield _metric(JOB_RESTARTS, [((name,), job.get("restarts", 0)) for name, job in jobs])
    yield from _adapters([job for _, job in jobs if "adapter" in job])
    sources = [job for _, job in jobs if "events" in job]
    yield _metric(ADAPTER_EVENTS, _by_name(sources, "source", "events"))
    received = [job["received"] for _, job in jobs if "received" in job]
    yield _metric(RECEIVED, [((key,), n) for one in received for key, n in one.items()])


def _adapters(relays: Sequence[Job]) -> Iterator[Metric]:
    names = [((str(job["adapter"]),), job) for job in relays]
    up = [(name, bool(job["open"]) and job["breaker"] == "closed") for name, job in names]
    yield _metric(ADAPTER_UP, up)
    yield _metric(ADAPTER_COMMANDS, _by_name(relays, "adapter", "queue"))
    yield _metric(ADAPTER_AGE, [(name, job["queue_age_us"] / US_PER_S) for name, job in names])
    yield _metric(ADAPTER_IN_FLIGHT, [(name, job["in_flight"]) for name, job in names])
    calls = [((*name, call), job[call]) for name, job in names for call in CALLS]
    yield _metric(ADAPTER_CALLS, calls)
    yield _metric(ADAPTER_ERRORS, _by_name(relays, "adapter", "errors"))


def _by_name(jobs: Sequence[Job], name: str, counts: str) -> list[Sample]:
    return [((str(job[name]), key), n) for job in jobs for key, n in job[counts].items()]


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric(list(labels), value)
    return metric
