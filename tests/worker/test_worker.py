"""The worker: jobs side by side, one that fails comes back alone, all end at the stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from gateway import worker
from gateway.config import WorkerConfig, load_config
from gateway.config_file import make_data_dir
from gateway.errors import ConfigError, InvariantError
from gateway.jobs import Job
from gateway.observability.worker_metrics import WorkerCollector
from gateway.observability.worker_page import read_page, write_page
from gateway.worker import Worker
from tests.control.commands import Cli

ROOT = Path(__file__).parents[2]


class Steady(Job):
    """Turns until it is cancelled."""

    name = "steady"

    def __init__(self) -> None:
        self.turns = 0
        self.drained = False

    async def run(self) -> None:
        try:
            while True:
                self.turns += 1
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            self.drained = True
            raise

    def report(self) -> Mapping[str, Any]:
        return {"turns": self.turns}


class Failing(Job):
    """Fails so many times, then waits."""

    name = "failing"

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.starts = 0
        self._failures = failures
        self._error = error or ValueError("out of luck")

    async def run(self) -> None:
        self.starts += 1
        if self.starts <= self._failures:
            raise self._error
        await asyncio.Event().wait()


class Once(Job):
    """Has nothing to do."""

    name = "once"

    async def run(self) -> None:
        return


class Stubborn(Job):
    """Does not let the cancellation through."""

    name = "stubborn"

    async def run(self) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0.2)
                raise


def build(*jobs: Job, drain_s: float = 2.0) -> tuple[Worker, list[Mapping[str, Any]]]:
    said: list[Mapping[str, Any]] = []
    settings = WorkerConfig(drain_s=drain_s, report_s=0.01, restart_max_s=0.02)
    return Worker(jobs, settings, publish=said.append), said


async def run_until(made: Worker, seen: Any) -> None:
    stopped = asyncio.Event()
    task = asyncio.create_task(made.run(stopped))
    async with asyncio.timeout(10):
        while not seen() and not task.done():  # noqa: ASYNC110 - it looks at what is no event
            await asyncio.sleep(0.005)
    stopped.set()
    await task


async def test_a_failed_job_comes_back_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RESTART_FIRST_S", 0.001)
    steady, failing = Steady(), Failing(3)
    made, said = build(steady, failing)
    await run_until(made, lambda: failing.starts == 4)
    assert steady.drained
    last = said[-1]["jobs"]
    assert last["failing"]["restarts"] == 3
    assert last["failing"]["last_error"] == "ValueError: out of luck"
    assert last["steady"]["restarts"] == 0
    assert last["steady"]["turns"] == steady.turns > 0


async def test_the_pauses_grow_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float, result: Any = None) -> Any:
        if seconds >= 0.5:
            pauses.append(seconds)
        return await real(0, result)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    failing = Failing(6)
    made = Worker([failing], WorkerConfig(report_s=0.01, restart_max_s=4.0), publish=lambda _: None)
    await run_until(made, lambda: failing.starts == 7)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


async def test_a_job_that_returns_is_not_started_again() -> None:
    made, said = build(Once())
    await run_until(made, lambda: said and said[-1]["jobs"]["once"]["state"] == "ended")
    assert said[-1]["jobs"]["once"] == {"state": "ended", "restarts": 0, "last_error": ""}


async def test_a_broken_promise_ends_the_worker_and_the_others_drain() -> None:
    steady = Steady()
    made, _ = build(steady, Failing(1, InvariantError(detail="two and two are five")))
    with pytest.raises(InvariantError):
        await run_until(made, lambda: False)
    assert steady.drained


async def test_a_slow_job_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    stubborn, steady = Stubborn(), Steady()
    made, _ = build(stubborn, steady, drain_s=0.05)
    await run_until(made, lambda: steady.turns > 0)  # or the test would never end
    assert [record.job for record in caplog.records if record.msg == "job_not_drained"] == [
        "stubborn"
    ]
    await asyncio.sleep(0.3)


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(InvariantError):
        build(Once(), Once())


def test_the_page_can_be_read_by_metrics(tmp_path: Path) -> None:
    path = tmp_path / "run" / "worker.json"
    registry = CollectorRegistry()
    registry.register(WorkerCollector(path))
    assert b"fare_worker_up 0.0" in generate_latest(registry)
    jobs = {"a": {"state": "running", "restarts": 2}, "b": {"state": "failed", "restarts": 0}}
    write_page(path, {"jobs": jobs}, 5_000_000)
    text = generate_latest(registry).decode()
    for line in (
        "fare_worker_up 1.0",
        "fare_worker_report_time_seconds 5.0",
        'fare_job_running{job="a"} 1.0',
        'fare_job_running{job="b"} 0.0',
        'fare_job_restarts_total{job="a"} 2.0',
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "written_us": 1}'])
def test_a_page_that_is_none_is_no_page(tmp_path: Path, text: str) -> None:
    (tmp_path / "worker.json").write_text(text)
    assert read_page(tmp_path / "worker.json") is None


def test_the_process_says_ready_and_drains_at_sigterm(tmp_path: Path) -> None:
    config = make_data_dir(tmp_path / "city")
    read_fd, write_fd = os.pipe()
    command = [sys.executable, "-m", "gateway.process", "worker", "--config", str(config)]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(write_fd)],
        cwd=ROOT,
        pass_fds=(write_fd,),
        stderr=subprocess.PIPE,
    )
    os.close(write_fd)
    try:
        with os.fdopen(read_fd) as ready:
            assert "worker" in json.loads(ready.readline())["ready"]
        page = tmp_path / "city" / "run" / "worker.json"
        deadline = time.monotonic() + 20
        while (view := read_page(page)) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert view is not None
        assert view.pid == process.pid
        assert page.stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, process.stderr.read() if process.stderr else ""
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_status_tells_of_the_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(capsys, make_data_dir(tmp_path / "city"))
    assert cli("status", "--json").json["worker"] == "not running"
    jobs = {"a": {"state": "running"}, "b": {"state": "failed"}}
    write_page(tmp_path / "city" / "run" / "worker.json", {"jobs": jobs}, 0)
    shown = cli("status", "--json").json
    assert (shown["worker"], shown["jobs"], shown["jobs_failed"]) == ("running", 2, ["b"])


def test_rows_are_kept_longer_than_operations(tmp_path: Path) -> None:
    file = make_data_dir(tmp_path / "city")
    with pytest.raises(ConfigError, match=r"worker\.keep_days"):
        load_config(file, env={}, flags={"engine.op_horizon_days": "400"})
