"""The comparison runs to its end with the peers installed here; figures are not judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.peers_common import Sample, Skip, find_program

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


@pytest.mark.slow
@pytest.mark.parametrize("case", ["idle", "growth", "disturbances"])
def test_case_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str) -> None:
    small = [*SMALL, "--dir", str(tmp_path), "--case", case, "--connections", "200"]
    assert peers.main(small) == 0
    assert json.loads(capsys.readouterr().out)["bars"]
