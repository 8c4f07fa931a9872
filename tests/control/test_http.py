"""/metrics, /livez, /readyz over real HTTP, from a page that a test writes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from fastpath.types import Reason, TapKind
from gateway.clock import US_PER_S, now_us
from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from gateway.http.app import build_app
from gateway.observability import metrics, page
from gateway.observability.page import (
    CommitState,
    DiskState,
    Page,
    PageReader,
    PlaneState,
    bucket_of,
)
from gateway.observability.worker_page import write_page

Client = TestClient[Any, Any]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(make_data_dir(tmp_path / "metro"), env={}).config


@pytest.fixture
def plane(config: Config) -> Page:
    """The page of a healthy data plane: this process plays it."""
    made = Page.create(config.page_path)
    made.slots[page.STATE] = PlaneState.READY
    made.slots[page.STARTED_US] = made.slots[page.HEARTBEAT_US] = now_us()
    made.slots[page.TARIFF_KEYS + 1] = -2
    made.slots[page.TARIFF_KEYS + 2] = 77
    return made


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    async with TestClient(TestServer(build_app(config, PageReader(config.page_path)))) as made:
        yield made


async def _ready(client: Client) -> tuple[int, dict[str, Any]]:
    async with client.get("/readyz") as answer:
        body = await answer.json()
        assert body["status"] == ("ready" if answer.status == 200 else "not_ready")
        return answer.status, body["checks"]


async def _scrape(client: Client) -> dict[str, Any]:
    async with client.get("/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    return {family.name: family for family in text_string_to_metric_families(text)}


def _value(families: dict[str, Any], name: str, **labels: str) -> float:
    family = families[name.removesuffix("_total")]
    (value,) = [
        sample.value for sample in family.samples if sample.name == name and sample.labels == labels
    ]
    return float(value)


async def test_a_healthy_plane_is_ready(client: Client, plane: Page) -> None:
    status, checks = await _ready(client)
    assert (status, all(check["ok"] for check in checks.values())) == (200, True)
    assert checks["tariff_1"]["detail"] == "beijing-subway, key fffffffffffffffe"


FAULTS: dict[str, dict[int, int]] = {
    "data_plane": {page.STATE: PlaneState.STARTING},
    "heartbeat": {page.HEARTBEAT_US: 1},
    "commit": {page.COMMIT_STATE: CommitState.WRITING, page.COMMIT_SINCE_US: 1},
    "disk": {page.DISK_STATE: DiskState.NO_COMMANDS},
    "tariff_2": {page.TARIFF_KEYS + 2: 0},
}


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_is_seen_and_named_alone(client: Client, plane: Page, name: str) -> None:
    for slot, value in FAULTS[name].items():
        plane.slots[slot] = value
    status, checks = await _ready(client)
    assert status == 503
    assert [failed for failed, check in checks.items() if not check["ok"]] == [name]


@pytest.mark.parametrize("state", [99, -1, PlaneState.DRAINING, PlaneState.BROKEN])
async def test_any_other_state_is_not_ready(client: Client, plane: Page, state: int) -> None:
    plane.slots[page.STATE] = state
    assert (await _ready(client))[0] == 503


async def test_a_short_commit_and_a_full_warning_are_fine(client: Client, plane: Page) -> None:
    plane.slots[page.COMMIT_STATE] = CommitState.WRITING
    plane.slots[page.COMMIT_SINCE_US] = now_us()
    plane.slots[page.DISK_STATE] = DiskState.WARN
    assert (await _ready(client))[0] == 200


async def test_a_dead_writer_is_not_ready(client: Client, plane: Page) -> None:
    plane.slots[page.PID] = (1 << 22) - 1  # above any pid_max here
    status, checks = await _ready(client)
    assert status == 503
    assert "is gone" in checks["data_plane"]["detail"]
    assert _value(await _scrape(client), "fare_data_plane_up") == 0


async def test_without_a_page_it_lives_but_is_not_ready(client: Client) -> None:
    async with client.get("/livez") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    assert (await _ready(client))[0] == 503
    families = await _scrape(client)
    assert list(families) == ["fare_data_plane_up", "fare_worker_up", "fare_ledger_up"]


async def test_the_counters_are_those_of_the_page(client: Client, plane: Page) -> None:
    plane.slots[page.TAPS + TapKind.CHECK_OUT * page.REASONS + Reason.OK_OVERDRAFT] = 3
    plane.slots[page.TAPS + 7 * page.REASONS + 63] = 1  # numbers that have no name (yet)
    plane.slots[page.COMMANDS + Reason.ALREADY_EXISTS] = 2
    plane.slots[page.FRAME_ERRORS + 9] = 5
    plane.slots[page.COMMIT_BYTES] = 1 << 40
    plane.slots[page.RECOVERY_US] = 1_500_000
    families = await _scrape(client)
    assert _value(families, "fare_taps_total", kind="check_out", reason="ok_overdraft") == 3
    assert _value(families, "fare_taps_total", kind="check_in", reason="ok") == 0
    assert _value(families, "fare_commands_total", reason="already_exists") == 2
    assert _value(families, "fare_frame_errors_total", error="bad_tag") == 5
    assert _value(families, "fare_commit_bytes_total") == 1 << 40
    assert _value(families, "fare_recovery_seconds") == 1.5
    key = {"slot": "1", "tariff": "beijing-subway", "key": "fffffffffffffffe"}
    assert _value(families, "fare_tariff_in_force", **key) == 1
    assert _value(families, "fare_data_plane_state", state="ready") == 1


async def test_a_histogram_counts_each_observation_once(client: Client, plane: Page) -> None:
    durations = [0, 7, 8, 9, 15, 16, 1_000, 50_000, 100_000_000]
    for us in durations:
        plane.slots[page.LATENCY + bucket_of(us)] += 1
    plane.slots[page.LATENCY_SUM_US] = sum(durations)
    families = await _scrape(client)
    samples = {
        sample.labels["le"]: sample.value
        for sample in families["fare_tap_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    for bound in (8, 16, 1024, 65_536):
        assert samples[str(bound / US_PER_S)] == sum(us < bound for us in durations)
    assert samples["+Inf"] == len(durations)
    count = [s.value for s in families["fare_tap_seconds"].samples if s.name.endswith("_count")]
    assert count == [len(durations)]


async def test_the_catalogue_is_what_is_served(client: Client, plane: Page) -> None:
    await asyncio.to_thread(write_page, plane.path.with_name("worker.json"), {"jobs": {}}, 0)
    ledger_page = plane.path.with_name("ledger-page")
    (await asyncio.to_thread(Page.create, ledger_page)).close()
    served = set(await _scrape(client))
    assert served == {family.name.removesuffix("_total") for family in metrics.CATALOGUE}
    assert all(name.startswith("fare_") for name in served)


async def test_no_label_names_a_person_or_a_device(client: Client, plane: Page) -> None:
    labels = {label for family in metrics.CATALOGUE for label in family.labels}
    assert labels == {
        "kind",
        "reason",
        "error",
        "state",
        "slot",
        "tariff",
        "key",
        "job",
        "adapter",
        "result",
    }


async def test_openmetrics_is_spoken_when_asked_for(client: Client, plane: Page) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with client.get("/metrics", headers=accept) as answer:
        assert answer.content_type == "application/openmetrics-text"
        assert (await answer.text()).endswith("# EOF\n")


async def test_monitoring_is_answered_while_all_other_threads_hang(
    client: Client, plane: Page
) -> None:
    hang = threading.Event()
    loop = asyncio.get_running_loop()
    hanging = [loop.run_in_executor(None, hang.wait, 30) for _ in range(64)]
    try:
        status, _ = await _ready(client)
        assert status == 200
        assert await _scrape(client)
        assert not any(one.done() for one in hanging)
    finally:
        hang.set()
        await asyncio.gather(*hanging)


async def test_a_heartbeat_from_the_future_is_none(client: Client, plane: Page) -> None:
    """The clock was set back, and the loop has not turned since."""
    plane.slots[page.HEARTBEAT_US] = now_us() + 3600 * 1_000_000
    status, checks = await _ready(client)
    assert status == 503
    assert not checks["heartbeat"]["ok"]


async def test_what_is_not_there_is_404(client: Client) -> None:
    async with client.get("/admin") as answer:
        assert answer.status == 404
    async with client.post("/readyz") as answer:
        assert answer.status == 405


async def test_a_handler_that_blocks_the_loop_would_be_found(
    client: Client, plane: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.http.app.check_readiness", lambda *_: time.sleep(0.001) or [])
    async with client.get("/readyz") as answer:
        assert answer.status == 500
