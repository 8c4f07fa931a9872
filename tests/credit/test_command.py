"""`faregate credit` against a gateway that serves."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.resources import shipped_dir
from tests.control.commands import Cli, Gateway, make_folder


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its configuration, with a policy that asks for no identity tier."""
    folder = tmp_path_factory.mktemp("credit")
    config = make_folder(folder / "city")
    shipped = (shipped_dir() / "credit" / "ride-first.toml").read_text()
    (folder / "mine").mkdir()
    mine = shipped.replace('"ride-first"', '"mine"').replace("tier_from = 1", "tier_from = 0")
    (folder / "mine" / "mine.toml").write_text(mine)
    text = config.read_text().replace("[credit]", f'[credit]\ndirs = ["{folder / "mine"}"]', 1)
    config.write_text(text.replace("dirs = []\n# How often", "# How often", 1))
    running = Gateway(config, "--set=credit.every_s=0.2")
    yield config
    running.stop()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], gateway: Path) -> Cli:
    return Cli(capsys, gateway)


def test_a_line_from_opening_to_its_end(cli: Cli) -> None:
    account = str(cli.ok("account", "open")["account_id"])
    opened = cli.ok("credit", "open", account, "--score", "500", "--policy", "mine")
    assert opened["limit"] == "50.00"
    assert "mine.toml" in opened["rule"]
    cli.ok("account", "debit", account, "30.00")
    shown = cli.ok("credit", "show", account)
    assert (shown["state"], shown["late"], shown["statements"]) == ("open", False, [])
    assert cli.fail(1, "credit", "close", account)["code"] == "CREDIT_STATEMENT"
    assert cli.ok("credit", "score", account, "0")["limit"] == "0.00"
    assert cli.fail(1, "account", "debit", account, "1.00")["code"] == "insufficient_balance"
    cli.ok("account", "credit", account, "30.00")
    assert cli.ok("credit", "close", account)["state"] == "closed"
    assert cli.fail(1, "credit", "show", account)["code"] == "CREDIT_NOT_FOUND"


def test_what_is_refused_says_why(cli: Cli) -> None:
    account = str(cli.ok("account", "open")["account_id"])
    no_tier = cli.fail(1, "credit", "open", account, "--score", "900")
    assert no_tier["code"] == "CREDIT_NOT_GRANTED"
    unknown = cli.fail(1, "credit", "open", "99999", "--score", "500", "--policy", "mine")
    assert unknown["code"] == "unknown_account"
    cli.ok("credit", "open", account, "--score", "500", "--policy", "mine")
    terms = cli.fail(1, "credit", "plan", account, "300.00", "--instalments", "5")
    assert terms["code"] == "CREDIT_PLAN_TERMS"
    assert cli.fail(2, "credit", "write-off", account, "soon")["code"] == "USAGE_INVALID"
    lost = cli.fail(1, "credit", "write-off", account, "2026-02")
    assert lost["code"] == "CREDIT_STATEMENT"


def test_the_worker_makes_statements_from_the_ledger(cli: Cli, gateway: Path) -> None:
    account = str(cli.ok("account", "open")["account_id"])
    cli.ok("credit", "open", account, "--score", "500", "--policy", "mine")
    registry = load_config(gateway, env={}).config.registry.file
    with closing(sqlite3.connect(registry, timeout=30)) as database, database:
        long_ago_us = time.time_ns() // 1000 - 40 * 86_400_000_000
        database.execute(
            "UPDATE credit_lines SET closed_until_us = ?, next_us = 0 WHERE account_id = ?",
            (long_ago_us, int(account)),
        )
    while not (shown := cli.ok("credit", "show", account))["statements"]:
        time.sleep(0.2)
    assert {one["standing"] for one in shown["statements"]} == {"paid"}


def test_policies_are_listed(cli: Cli) -> None:
    assert {one["policy"] for one in cli.ok("credit", "policies")} >= {"mine", "ride-first"}


def test_a_lost_statement_is_given_up_by_two_and_a_plan_paid_early(cli: Cli, gateway: Path) -> None:
    account = str(cli.ok("account", "open")["account_id"])
    cli.ok("credit", "open", account, "--score", "600", "--policy", "mine")
    cli.ok("account", "tier", account, "2")
    cli.ok("credit", "score", account, "600")
    cli.ok("account", "debit", account, "330.00")
    plan = ("credit", "plan", account, "300.00", "--instalments", "3")
    made = cli.ok(*plan)
    again = cli.ok(*plan, "--operation-id", made["operation_id"])
    assert (again["plan"], len(again["schedule"])) == (made["plan"], 3)
    assert cli.fail(1, "credit", "repay", account, "1", "1.00")["code"] == "CREDIT_PLAN_AMOUNT"
    cli.ok("account", "credit", account, "230.00")
    assert cli.ok("credit", "repay", account, "1", "200.00")["left"] == "100.00"
    cli.ok("account", "debit", account, "5.00")
    registry = load_config(gateway, env={}).config.registry.file
    with closing(sqlite3.connect(registry, timeout=30)) as database, database:
        values = f"{account}, 24313, 1, 2, 3, {time.time_ns() // 1000}, 500, 0, 0, 0, 0, 0, 1, 1"
        database.execute(f"INSERT INTO credit_statements VALUES ({values})")
    given = cli.agreed("credit", "write-off", account, "2026-02", "--note", "gone")
    assert given["written_off"] == "5.00"
    assert cli.ok("account", "show", account)["balance"] == "0.00"
