"""Risk rules in a gateway that serves: a rule freezes, once, through any crash of the worker."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.errors import ConfigError
from gateway.resources import find_risk_rules
from gateway.risk.job import Cursor
from tests.control.commands import Cli, Gateway, make_folder

RULES = """format = 1
[[rule]]
name = "fast"
kind = "spending"
currency = 156
window_s = 3600
above = 1000
action = "freeze_debit"
freeze_s = 86400
[[rule]]
name = "look"
kind = "spending"
currency = 156
window_s = 3600
above = 100
action = "alert"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Gateway]]:
    folder = tmp_path_factory.mktemp("risk")
    (folder / "mine.toml").write_text(RULES)
    config = make_folder(folder / "city")
    gateway = Gateway(config, f'--set=risk.rules=["{folder / "mine.toml"}"]')
    yield config, gateway
    gateway.stop()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], served: tuple[Path, Gateway]) -> Cli:
    return Cli(capsys, served[0])


def rows(config: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    registry = load_config(config, env={}).config.registry.file
    with closing(sqlite3.connect(registry, timeout=30)) as database:
        return database.execute(query, values).fetchall()


def wait(happened: Callable[[], object]) -> None:
    """The pytest time-out ends it when it never does."""
    while not happened():
        time.sleep(0.1)


def test_spending_too_fast_freezes_and_says_so(cli: Cli, served: tuple[Path, Gateway]) -> None:
    config, gateway = served
    account = str(cli.ok("account", "open")["account_id"])
    cli.ok("account", "credit", account, "50.00")
    cli.ok("account", "debit", account, "6.00")
    cli.ok("account", "debit", account, "4.00")
    cli.ok("account", "debit", account, "0.01")
    wait(lambda: cli.ok("account", "show", account)["status_names"])
    assert cli.fail(1, "account", "debit", account, "0.01")["code"] == "account_frozen"
    query = "SELECT rule, state, reason, expires_us FROM wallet_freezes WHERE account_id = ?"
    wait(lambda: rows(config, query, int(account))[0][1] == "active")
    ((rule, _, reason, expires_us),) = rows(config, query, int(account))
    assert rule == "fast"
    assert "1001 in 3600 s" in str(reason)
    assert int(str(expires_us)) > time.time_ns() // 1000
    alarms = "SELECT count(*) FROM audit_events WHERE action = 'risk.alarm' AND subject = ?"
    assert rows(config, alarms, f"account:{account}") == [(2,)]
    forget_and_die(config, gateway)
    other = str(cli.ok("account", "open")["account_id"])
    cli.ok("account", "credit", other, "50.00")
    cli.ok("account", "debit", other, "10.01")
    wait(lambda: cli.ok("account", "show", other)["status_names"])
    assert len(rows(config, query, int(account))) == 1


def forget_and_die(config: Path, gateway: Gateway) -> None:
    """As if the worker had died between the freeze and its cursor."""
    os.kill(gateway.pid_of("worker"), signal.SIGKILL)
    gateway.wait_for("exited", process="worker")
    registry = load_config(config, env={}).config.registry.file
    with closing(sqlite3.connect(registry, timeout=30)) as database, database:
        database.execute("UPDATE cursors SET cursor = '0:0' WHERE adapter = 'risk'")
    gateway.wait_for("ready", process="worker")


def test_cursors_are_read_as_written() -> None:
    assert Cursor.parse(Cursor(12, 3).text()) == Cursor(12, 3)
    assert Cursor.parse("") == Cursor()


def test_rules_that_are_not_there_are_named() -> None:
    assert find_risk_rules("example").is_file()
    for name in ("no-such", "no/such.toml"):
        with pytest.raises(ConfigError) as caught:
            find_risk_rules(name)
        assert caught.value.code == "RISK_RULES_NOT_FOUND"
