"""The comparison runs to its end with the peers installed here; figures are not judged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import peers, peers_tigerbeetle
from benchmarks.peers_common import Sample, Skip, find_program
from benchmarks.peers_disturbances import Sizes, measure_disturbances
from benchmarks.peers_gateway import Commits

RATIOS = {
    "c1_p50_vs_redis",
    "c50_vs_redis",
    "batch_vs_redis_p32",
    "c50_vs_aiohttp_lua",
    "c50_vs_postgres",
    "half_load_p99_vs_fsync_p99",
}
SMALL = ["--json", "--quick", "--rounds", "1", "--seconds", "0.1", "--accounts", "500"]


def run(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> dict[str, object]:
    assert peers.main([*SMALL, "--dir", str(folder), *arguments]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_gateway_beside_its_floor(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = run(capsys, tmp_path, "--only", "faregate,fdatasync,echo-c")
    rows = found["rows"]
    assert isinstance(rows, list)
    assert {(row["peer"], row["case"]) for row in rows} >= {
        ("faregate", case) for case in ("c1", "c50", "c50_batch32", "half_load")
    }
    assert all(row["per_s"] > 0 and row["p50_us"] > 0 for row in rows)
    assert set(found["ratios"]) == RATIOS  # type: ignore[call-overload]
    about = found["about"]["faregate"]  # type: ignore[index]
    assert about["acked"] > 0
    assert about["lost"] == about["doubled"] == about["faults"] == 0


@pytest.mark.parametrize("peer", ["redis", "valkey", "stack", "postgres"])
def test_peer(capsys: pytest.CaptureFixture[str], tmp_path: Path, peer: str) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)  # PostgreSQL runs as somebody else
    found = run(capsys, tmp_path, "--only", peer)
    skipped = found["skipped"]
    assert isinstance(skipped, dict)
    if peer in skipped:
        pytest.skip(f"{peer} is not measured here: {skipped[peer]}")
    rows = found["rows"]
    assert isinstance(rows, list)
    assert rows
    assert all(row["per_s"] > 0 for row in rows)
    assert found["about"]


def test_ratio_is_taken_round_by_round_against_the_better_store() -> None:
    def samples(*rates: float) -> list[Sample]:
        return [Sample(rate, 1e6 / rate, 1e6 / rate) for rate in rates]

    ratios = peers.build_ratios(
        {
            ("faregate", "c50"): samples(100, 10, 300),
            ("redis SET", "c50"): samples(50, 5, 150),
            ("valkey SET", "c50"): samples(100, 10, 100),
        }
    )
    assert ratios["c50_vs_redis"] == 1.0
    assert ratios["c50_vs_postgres"] is None


def test_missing_program_is_a_skip() -> None:
    with pytest.raises(Skip, match="no faregate-no-such-program on PATH"):
        find_program("faregate-no-such-program")


def test_unknown_peer_is_a_usage_error() -> None:
    assert peers.main(["--only", "nobody"]) == 2


def test_nobody_is_measured_in_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "find_filesystem", lambda _: "tmpfs")
    assert peers.main(["--only", "redis", "--dir", str(tmp_path)]) == 2
    assert "is on tmpfs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "bar", "held"),
    [
        (1.2, "at most 1.2", True),
        (1.21, "at most 1.2", False),
        (10.0, "at least 10", True),
        (9.95, "at least 10", False),
        (0.1, "under 0.1", False),
    ],
)
def test_bars_are_read(value: float, bar: str, held: bool) -> None:
    assert peers.holds_bar(value, bar) is held


def test_a_missed_bar_ends_with_1_when_asked_to_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = {"rows": [], "ratios": dict.fromkeys(RATIOS), "skipped": {}}
    monkeypatch.setattr(peers, "measure", lambda *_: found)
    asked = ["--json", "--dir", str(tmp_path)]
    assert peers.main(asked) == 0
    assert peers.main([*asked, "--check"]) == 1  # nothing was measured: nothing is proven
    found["ratios"] = dict.fromkeys(RATIOS) | {"c50_vs_aiohttp_lua": 9.95, "c50_vs_redis": 1.0}
    assert peers.main([*asked, "--check"]) == 1
    assert "missed: c50_vs_aiohttp_lua is 9.95, not at least 10" in capsys.readouterr().err
    found["ratios"]["c50_vs_aiohttp_lua"] = 10.0
    assert peers.main([*asked, "--check"]) == 0


def measure_case(capsys: pytest.CaptureFixture[str], folder: Path, case: str) -> dict[str, Any]:
    small = ["--case", case, "--connections", "200"]
    found: dict[str, Any] = run(capsys, folder, *small)[case]  # type: ignore[assignment]
    assert list(folder.iterdir()) == []
    return found


def test_idle_sessions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = measure_case(capsys, tmp_path, "idle")
    assert found["connections"] == 200
    assert set(found["bars"]) <= set(found)


@pytest.mark.slow
def test_growth_finds_every_account_and_record_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = measure_case(capsys, tmp_path, "growth")
    assert found["accounts"] == [1_000, 20_000]
    assert found["replayed_records"] > 20_000
    assert found["bytes_per_rider"] > 256
    assert set(found["bars"]) <= set(found)


@pytest.mark.slow
def test_every_disturbance_takes_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = measure_case(capsys, tmp_path, "disturbances")
    did = {row["disturbance"]: row["did"][0] for row in found["rows"]}
    assert did["snapshotter"]["snapshots_written"] >= 1
    assert did["tariff"]["switched"] == did["tariff"]["loaded"] > 0
    assert did["denylist"]["lists_replaced"] > 0
    assert did["denylist"]["entries_each"] >= found["denied"] - 1
    assert did["denylist"]["changes"] > 0
    assert did["reconnect"]["devices"] == 50
    assert did["reconnect"]["offline_taps"] == did["reconnect"]["accepted"] == 50 * 20
    assert found["sound"]["lost"] == found["sound"]["doubled"] == found["sound"]["faults"] == 0


def test_a_disturbance_that_does_not_happen_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.peers_disturbances._written", lambda _log: [(1.0, 0.5)])
    scope = peers.build_scope(peers.parse([*SMALL, "--dir", str(tmp_path)]))
    sizes = Sizes(denied=10, fleet=2, order=(True,), only=("snapshotter",))
    (row,) = measure_disturbances(scope, sizes)["rows"]
    assert "no snapshot was written" in row["void"]
    assert (row["p99_ratio"], row["p999_ratio"]) == (None, None)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks.peers", *SMALL, "--seconds", "20"]
    command += ["--only", "faregate,valkey", "--dir", str(tmp_path)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1" in line:
            break
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == peers.INTERRUPTED, said
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_commits_are_ranked_by_bucket() -> None:
    before = Commits(Counter({4: 1}), 1, 100)
    after = Commits(Counter({4: 99, 40: 3}), 102, 10_300)
    found = after - before
    assert (found.count, found.mean_bytes) == (101, 100)
    assert found.percentile_us(500) < found.percentile_us(990)


def test_the_raw_floor_stands_beside_the_half_load() -> None:
    gateway = object.__new__(peers.GatewayPeer)
    gateway.name, gateway.cases = "faregate", ("c1", "half_load")
    scope = peers.build_scope(peers.parse(SMALL))
    echo, floor = peers.EchoPeer("c", scope), peers.FsyncPeer(scope)
    plan = [(peer.name, case) for peer, case in peers.build_plan([gateway, echo, floor])]
    at = plan.index(("faregate", "half_load"))
    assert plan[at + 1 : at + 4] == [("fdatasync", case) for case in floor.cases]
    assert len(floor.cases) == 3


class _FakeClient:
    """As tigerbeetle.ClientAsync, for what the load uses."""

    def __init__(self, cluster_id: int, replica_addresses: str) -> None:
        self.taken = 0

    async def __aenter__(self) -> _FakeClient:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def create_transfers(self, transfers: list[Any]) -> list[Any]:
        await asyncio.sleep(0.001)
        return [SimpleNamespace(status=1) for _ in transfers]


async def test_the_load_of_tigerbeetle_counts_transfers() -> None:
    created = SimpleNamespace(CREATED=1)
    fake = SimpleNamespace(
        ClientAsync=_FakeClient,
        Transfer=SimpleNamespace,
        id=lambda: 1,
        CreateAccountStatus=created,
        CreateTransferStatus=created,
    )
    asked = Namespace(port=1, accounts=10, connections=3, seconds=0.05, batch=4)
    found = await peers_tigerbeetle.load(fake, asked)
    assert found["per_s"] > 0
    assert 0 < found["p50_us"] <= found["p99_us"]
