"""`faregate serve`: starts, restarts, stops in order, no orphans. Real processes, played parts."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_config
from gateway.errors import EnvironmentFault
from gateway.readiness import EXIT_REFUSED
from gateway.supervisor import LAUNCHER, NAMES, hold_pid_file, pid_path

ROOT = Path(__file__).parents[2]
SUPERVISE = Path(__file__).with_name("supervise.py")
TIMEOUT_S = 60.0


class Run:
    """One supervisor over processes that play what `plan` says."""

    def __init__(self, folder: Path, names: list[str], plan: dict[str, str]) -> None:
        self.folder = folder
        (folder / "plan").mkdir()
        for name in NAMES:
            (folder / "plan" / name).write_text(plan.get(name, "serve"))
        (folder / "log").write_text("")
        config = folder / "gateway.toml"
        config.write_text("")
        self.process = subprocess.Popen(
            [sys.executable, "-S", str(SUPERVISE), str(config), *names],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        )
        self.events: list[dict[str, Any]] = []

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Read events until this one; fails when the supervisor ends first."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.events.append(json.loads(line))
            found = self.events[-1]
            if found["event"] == event and all(found.get(k) == v for k, v in fields.items()):
                return found
        pytest.fail(f"no {event} {fields} in {self.events}")

    def end(self) -> int:
        """Read all other events; the exit status."""
        assert self.process.stdout is not None
        self.events += [json.loads(line) for line in self.process.stdout]
        return self.process.wait(TIMEOUT_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def pids(self) -> list[int]:
        return [int(line.split()[2]) for line in self.log() if " start " in line]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        _wait_until_gone(self.pids())


def _wait_until_gone(pids: list[int]) -> None:
    """Fails by pytest's timeout when a process stays."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([fd], [], [])
        os.close(fd)


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    marked = request.node.get_closest_marker("plan")
    made = Run(tmp_path, *_arguments(marked.kwargs if marked else {}))
    yield made
    made.close()


def _arguments(kwargs: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    return kwargs.pop("only", []), kwargs


def test_everything_starts_and_stops_in_order(run: Run) -> None:
    where = run.wait_for("serving")
    assert {name: where[name] for name in NAMES} == {name: f"{name}:1" for name in NAMES}
    assert run.stop() == 0
    stops = [line for line in run.log() if line.endswith("stop")]
    assert stops[0] == "data stop"
    assert sorted(stops) == sorted(f"{name} stop" for name in NAMES)
    assert run.events[-1] == {"event": "stopped", "status": 0}


def test_the_snapshotter_waits_for_the_data_plane(run: Run) -> None:
    run.wait_for("serving")
    order = [(e["event"], e.get("process")) for e in run.events]
    assert order.index(("ready", "data")) < order.index(("started", "snapshotter"))


@pytest.mark.plan(data="slow")
def test_the_others_outlive_the_drain(run: Run) -> None:
    run.wait_for("serving")
    assert run.stop() == 0
    exits = [e["process"] for e in run.events if e["event"] == "exited"]
    assert exits[0] == "data"


@pytest.mark.plan(http="die die die serve")
def test_http_comes_back_after_pauses_that_grow(run: Run) -> None:
    pauses = [run.wait_for("restarting", process="http")["in_s"] for _ in range(3)]
    assert pauses == sorted(set(pauses))
    run.wait_for("ready", process="http")
    assert _count(run, "exited", "data") == 0
    assert run.stop() == 0


@pytest.mark.plan(snapshotter="crash crash serve")
def test_the_snapshotter_comes_back(run: Run) -> None:
    run.wait_for("serving")
    assert _count(run, "started", "snapshotter") == 3
    assert run.stop() == 0


@pytest.mark.plan(worker="crash die serve")
def test_the_worker_comes_back_alone(run: Run) -> None:
    run.wait_for("restarting", process="worker", in_s=0.1)
    run.wait_for("ready", process="worker")
    run.stop()
    assert _count(run, "started", "worker") == 3
    assert _count(run, "started", "data") == 1


@pytest.mark.plan(worker="refuse")
def test_a_worker_that_refuses_its_settings_stops_the_start(run: Run) -> None:
    assert run.end() == 3


def _count(run: Run, event: str, process: str) -> int:
    return sum(e["event"] == event and e.get("process") == process for e in run.events)


@pytest.mark.plan(data="broken serve")
def test_a_broken_journal_is_recovered_by_one_restart(run: Run) -> None:
    run.wait_for("exited", process="data", status=70)
    run.wait_for("ready", process="data")
    assert run.stop() == 0


@pytest.mark.plan(data="die crash serve")
def test_two_deaths_of_the_data_plane_in_a_row_are_the_end(run: Run) -> None:
    assert run.end() == 1
    assert _count(run, "started", "data") == 2
    assert run.events[-1] == {"event": "stopped", "status": 1}


def test_a_killed_data_plane_comes_back(run: Run) -> None:
    run.wait_for("serving")
    first = next(e["pid"] for e in run.events if e["event"] == "started" and e["process"] == "data")
    os.kill(first, signal.SIGKILL)
    run.wait_for("exited", process="data", status=-9)
    again = run.wait_for("started", process="data")
    assert again["pid"] != first
    run.wait_for("ready", process="data")
    assert run.stop() == 0


@pytest.mark.plan(data="refuse serve")
def test_a_refused_start_is_told_and_not_tried_again(run: Run) -> None:
    assert run.end() == 3
    refused = next(e for e in run.events if e["event"] == "refused")
    assert (refused["process"], refused["code"]) == ("data", "ENV_PORT_IN_USE")
    assert _count(run, "started", "data") == 1


@pytest.mark.plan(http="refuse serve")
def test_a_refused_http_start_ends_everything(run: Run) -> None:
    assert run.end() == 3
    assert _count(run, "started", "http") == 1


@pytest.mark.plan(data="quit")
def test_a_data_plane_that_has_drained_by_command_ends_everything(run: Run) -> None:
    assert run.end() == 0
    assert run.events[-1] == {"event": "stopped", "status": 0}


@pytest.mark.plan(data="stubborn")
def test_who_does_not_stop_is_killed(run: Run) -> None:
    run.wait_for("serving")
    assert run.stop() == 1
    assert _count(run, "killed", "data") == 1


@pytest.mark.plan(data="eagain eagain serve", http="eagain serve")
def test_what_cannot_be_started_now_is_tried_again(run: Run) -> None:
    run.wait_for("serving")
    assert _count(run, "not_started", "data") == 2
    assert _count(run, "not_started", "http") == 1
    assert run.stop() == 0


@pytest.mark.plan(worker="bug serve")
def test_nobody_goes_on_beside_a_process_that_is_kept_no_more(run: Run) -> None:
    assert run.end() == 1
    assert _count(run, "failed", "worker") == 1
    assert run.events[-1] == {"event": "stopped", "status": 1}


def test_nothing_is_run_from_where_the_operator_stands(tmp_path: Path) -> None:
    foreign = tmp_path / "gateway"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("")
    (foreign / "process.py").write_text("raise SystemExit(99)")
    command = [*LAUNCHER, "http", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == EXIT_REFUSED, done.stderr


@pytest.mark.plan(only=["http"])
def test_one_process_alone(run: Run) -> None:
    run.wait_for("serving", http="http:1")
    assert run.stop() == 0
    assert {line.split()[0] for line in run.log()} == {"http"}


def test_no_orphans_after_kill_9(run: Run) -> None:
    run.wait_for("serving")
    pids = run.pids()
    assert len(pids) == len(NAMES)
    run.process.kill()
    _wait_until_gone(pids)
    stops = sorted(line for line in run.log() if line.endswith("stop"))
    assert stops == sorted(f"{name} stop" for name in NAMES)


def test_ctrl_c_reaches_the_children_through_the_supervisor_alone(run: Run) -> None:
    run.wait_for("serving")
    assert all(os.getsid(pid) == pid for pid in run.pids())
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 0


def test_one_supervisor_a_data_folder(run: Run) -> None:
    run.wait_for("serving")
    config = load_config(run.folder / "gateway.toml", env={}).config
    with pytest.raises(EnvironmentFault, match=f"process {run.process.pid} serves") as refused:
        hold_pid_file(config, NAMES)
    assert refused.value.code == "ENV_RUNNING"
    assert pid_path(config).read_text() == f"{run.process.pid}\n"
    assert pid_path(config, ["http"]) != pid_path(config)
