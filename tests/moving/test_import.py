"""Moving in through a gateway that serves: killed half way, run again, counted on both sides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress, TaskID

from gateway.bootstrap import build_access
from gateway.config import load_config
from gateway.control.client import ControlClient
from gateway.wallet.stores.accounts import AccountStore
from tests.control.commands import ROOT, Cli, Gateway, make_folder

CUTOVER = (datetime.now(UTC) - timedelta(hours=3)).isoformat(timespec="seconds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("moving") / "city")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[Gateway]:
    running = Gateway(folder)
    yield running
    running.stop()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], folder: Path, gateway: Gateway) -> Cli:
    return Cli(capsys, folder)


def write(path: Path, prefix: str, count: int) -> Path:
    """Cards with balances, a tenth of them in debt, a tenth with subsidy, some lost."""
    lines = ["card,account,balance,subsidy,state"]
    for number in range(count):
        balance = f"-{number % 7}.50" if number % 10 == 0 else f"{number % 90}.25"
        subsidy = "3.00" if number % 10 == 1 else ""
        state = "lost" if number % 25 == 2 else ""
        lines.append(f"{prefix}{number},{prefix}-{number},{balance},{subsidy},{state}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run(cli: Cli, file: Path, batch: str, *more: str, status: int = 0) -> dict[str, Any]:
    words = ("import", str(file), "--batch", batch, "--cutover", CUTOVER, *more, "--json")
    outcome = cli(*words)
    assert outcome.status == status, outcome
    return json.loads(outcome.out)


def test_a_dry_run_checks_totals_and_sends_nothing(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "cards.csv", "dry", 20)
    before = accounts_of(cli)
    said = run(cli, file, "dry", "--dry-run", "--expect-rows", "20")
    assert said["rows"] == 20
    assert said["currencies"]["CNY"]["accounts"] == 20
    error = run(cli, file, "dry", "--expect-rows", "21", "--expect-total", "CNY=1", status=1)
    assert len(error["error"]["findings"]) == 2
    assert accounts_of(cli) == before


def test_balances_debts_and_lost_cards_arrive(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "cards.csv", "plain", 60)
    report = tmp_path / "report.json"
    said = run(cli, file, "plain", "--report", str(report))
    assert said["reconciled"]
    assert said["currencies"]["CNY"]["file"] == said["currencies"]["CNY"]["journal"]
    assert json.loads(report.read_text())["rows"] == 60
    assert cli.ok("medium", "show", "--card", "plain2")["state"] == "lost"
    in_debt = cli.ok("medium", "show", "--card", "plain10")["account_id"]
    assert cli.ok("account", "show", str(in_debt))["balance_minor"] == -350
    with_subsidy = cli.ok("medium", "show", "--card", "plain11")["account_id"]
    shown = cli.ok("account", "show", str(with_subsidy))
    assert (shown["balance_minor"], shown["subsidy_minor"]) == (1125, 300)
    accounts = accounts_of(cli)
    again = run(cli, file, "plain")
    assert (again["done"], again["reconciled"]) == (0, True)
    assert again["repeated"] == said["done"]
    assert accounts_of(cli) == accounts


def test_tiers_and_references_come_along(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "cards.csv"
    rows = [
        "card,account,balance,tier,reference",
        "t1,a,5.00,3,YKT-77",
        "t2,b,-2.00,2,",
        "t3,c,1,,",
    ]
    file.write_text("\n".join(rows) + "\n")
    limits = "--set=limits.profile=pboc-2015"
    assert run(cli, file, "tiers", "--dry-run")["warnings"] == []
    (warning,) = run(cli, file, "tiers", "--dry-run", limits)["warnings"]
    assert "1 accounts have no tier" in warning
    assert "line 4" in warning
    said = run(cli, file, "tiers")
    assert said["reconciled"], said
    assert run(cli, file, "tiers")["done"] == 0
    accounts = [cli.ok("medium", "show", "--card", f"t{n}")["account_id"] for n in (1, 2, 3)]
    shown = [cli.ok("account", "show", str(one)) for one in accounts]
    assert [one["tier"] for one in shown] == [3, 2, 0]
    assert [one["balance_minor"] for one in shown] == [500, -200, 100]
    assert cli.config is not None
    store = AccountStore(build_access(load_config(cli.config, env={}).config).database)
    owned = store.find(accounts[0])
    assert owned is not None
    assert (owned.reference, owned.tenant_id) == ("YKT-77", "")
    assert store.find(accounts[2]) is None


def test_progress_is_shown_up_to_the_last_account(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[float] = []
    update = Progress.update

    def noting(self: Progress, task: TaskID, **more: Any) -> None:
        shown.append(more["completed"])
        update(self, task, **more)

    monkeypatch.setattr(Progress, "update", noting)
    run(cli, write(tmp_path / "cards.csv", "bar", 30), "bar")
    assert shown == sorted(shown)
    assert shown[-1] == 30


def test_what_changed_between_two_runs_is_a_break(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "cards.csv", "edit", 5)
    run(cli, file, "edit")
    file.write_text(file.read_text().replace("3.25", "4.25").replace("edit4,edit-4", "new4,new-4"))
    said = run(cli, file, "edit", status=1)
    assert not said["reconciled"]
    assert any("line 5" in one and "instead of 425" in one for one in said["breaks"]), said
    assert sum("not in the file" in one for one in said["breaks"]) == 3  # open, credit, link


def test_a_medium_that_is_here_already_opens_no_account(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "cards.csv", "twice", 3)
    run(cli, file, "first-name")
    accounts = accounts_of(cli)
    said = run(cli, file, "second-name", status=1)
    assert len(said["findings"]) == 3
    assert all("already_exists" in one for one in said["findings"])
    assert accounts_of(cli) == accounts


def test_a_killed_data_plane_and_a_killed_import_double_nothing(
    cli: Cli, gateway: Gateway, folder: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "cards.csv", "kill", 1_500)
    command = [sys.executable, "-m", "gateway.cli", "import", str(file), "--batch", "kill"]
    command += ["--cutover", CUTOVER, "--config", str(folder), "--json"]
    before = accounts_of(cli)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as first:
        wait_for_accounts(cli, before + 100)
        first.kill()
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as second:
        wait_for_accounts(cli, before + 600)
        os.kill(gateway.pid_of("data"), signal.SIGKILL)
        out, _ = second.communicate(timeout=100)
    said = json.loads(out)
    assert second.returncode == 0, said
    assert said["reconciled"]
    assert said["repeated"] >= 100
    gateway.wait_for("ready", process="data")
    assert accounts_of(cli) == before + 1_500


def accounts_of(cli: Cli) -> int:
    """As memory has it now; `faregate status` reads the page, which is a moment behind."""
    assert cli.config is not None
    client = ControlClient(load_config(cli.config, env={}).config.control.socket)
    return int(client.call("status")["accounts"])


def wait_for_accounts(cli: Cli, count: int) -> None:
    until = time.monotonic() + 60
    while accounts_of(cli) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_cut_over_instant_has_to_be_one(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "cards.csv", "never", 1)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for instant, code in (
        ("2026-01-01T03:00", "MOVING_CUTOVER"),
        (later, "MOVING_CUTOVER"),
        ("2020-01-01T03:00+08:00", "MOVING_CUTOVER"),
    ):
        error = cli.fail(1, "import", str(file), "--batch", "x", "--cutover", instant)
        assert error["code"] == code
    cli.fail(2, "import", str(file), "--batch", "x", "--cutover", "yesterday")
