"""The worker's jobs of adapters: relays that open, carry, report; contexts without names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from adapters.funding.bank.adapter import BankAdapter
from adapters.funding.bank.bench import BankBench
from adapters.testing.remote import Trouble
from gateway.clock import now_us
from gateway.config import WorkerConfig
from gateway.db import Database
from gateway.delivery.jobs import InboxJob, RelayJob, build_context
from gateway.delivery.kinds import Configured
from gateway.delivery.outbox import Outbox
from gateway.observability.worker_metrics import WorkerCollector
from gateway.observability.worker_page import write_page
from gateway.worker import Worker


def tools_of(database: Database) -> Any:
    worker = WorkerConfig(poll_s=0.02, report_s=0.02, drain_s=2.0)
    return SimpleNamespace(config=SimpleNamespace(worker=worker), registry=database, now_us=now_us)


async def run_until(worker: Worker, holds: Any) -> None:
    stopped = asyncio.Event()
    task = asyncio.create_task(worker.run(stopped))
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(holds) and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    stopped.set()
    await task


async def test_a_relay_carries_and_reports(database: Database, tmp_path: Any) -> None:
    bench = BankBench()
    await bench.remote.start()
    tools, outbox = tools_of(database), Outbox(database)
    for number in range(3):
        outbox.put("city-bank", f"a{number}", bench.command(f"k-{number}"), now_us())
    outbox.put("city-bank", "a9", bench.refused("k-9")[0], now_us())
    bench.remote.on_write.append(Trouble.TOO_MANY)
    one = Configured("city-bank", "bank", bench.make_adapter())
    job = RelayJob(one, tools)
    said: list[Mapping[str, Any]] = []
    worker = Worker([job], tools.config.worker, publish=said.append)
    bench.remote.on_write.clear()
    try:
        await run_until(worker, lambda: outbox.count("city-bank") == {"done": 3, "rejected": 1})
        assert one.adapter.health().is_open is False
    finally:
        await bench.remote.stop()
        bench.dispose()
    report = said[-1]["jobs"]["relay-city-bank"]
    assert (report["done"], report["rejected"], report["in_flight"]) == (3, 1, 0)
    path = tmp_path / "worker.json"
    report = dict(report) | {"open": True, "queue": {"done": 3}, "queue_age_us": 1_500_000}
    events = {"state": "running", "source": "city-bank", "events": {"held": 2}}
    received = {"state": "running", "received": {"accepted": 5}}
    jobs = {"relay-city-bank": report, "inbox-city-bank": events, "receive": received}
    await asyncio.to_thread(write_page, path, {"jobs": jobs}, 1)
    registry = CollectorRegistry()
    registry.register(WorkerCollector(path))
    lines = generate_latest(registry).decode().splitlines()
    for line in (
        'fare_adapter_up{adapter="city-bank"} 1.0',
        'fare_adapter_commands{adapter="city-bank",state="done"} 3.0',
        'fare_adapter_queue_age_seconds{adapter="city-bank"} 1.5',
        'fare_adapter_calls_total{adapter="city-bank",result="done"} 3.0',
        'fare_adapter_calls_total{adapter="city-bank",result="dead"} 0.0',
        'fare_adapter_events{adapter="city-bank",state="held"} 2.0',
        'fare_inbound_messages_total{result="accepted"} 5.0',
    ):
        assert line in lines


async def test_an_adapter_that_does_not_open_fails_alone(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    bench = BankBench()
    tools = tools_of(database)
    (bench._folder.path / "token").chmod(0o644)
    job = RelayJob(Configured("city-bank", "bank", bench.make_adapter()), tools)
    said: list[Mapping[str, Any]] = []
    worker = Worker([job], tools.config.worker, publish=said.append)
    await run_until(worker, lambda: said and said[-1]["jobs"]["relay-city-bank"]["restarts"])
    bench.dispose()
    assert "chmod 600" in said[-1]["jobs"]["relay-city-bank"]["last_error"]


def test_the_context_cuts_out_personal_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = BankBench()
    one = Configured("city-bank", "bank", bench.make_adapter())
    assert "name" in BankAdapter.info.pii_fields
    build_context(one, SimpleNamespace(now_us=now_us)).log("sent", {"name": "Li Lei", "n": 3})
    (record,) = caplog.records
    assert (record.said, record.fields) == ("sent", {"n": 3})
    bench.dispose()


async def test_an_inbox_job_applies_and_counts(database: Database) -> None:
    class Nothing:
        def perform(self, *_: object) -> None:
            raise AssertionError

        def record(self, *_: object) -> None:
            raise AssertionError

    job = InboxJob("city-bank", tools_of(database), Nothing())
    worker = Worker([job], WorkerConfig(report_s=0.02), publish=lambda _: None)
    await run_until(worker, lambda: True)
    assert job.report() == {"source": "city-bank", "events": {}}
