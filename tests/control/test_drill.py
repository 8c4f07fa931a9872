"""The drill: a running gateway backed up, restored, recovered, projected and compared."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.control.client import ControlClient
from gateway.drill import Drill
from gateway.ledger import projector
from tests.control.commands import Cli, Gateway, make_folder


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Its configuration, and an instant in the middle of what happened."""
    config = make_folder(tmp_path_factory.mktemp("drill") / "city")
    gateway = Gateway(config)
    try:
        yield config, fill(config)
    finally:
        gateway.stop()


def fill(config: Path) -> int:
    """Twenty accounts; an instant; ten payments."""
    client = ControlClient(load_config(config, env={}).config.control.socket)
    for account in range(1, 21):
        client.call("account_open", {"account_id": account})
        client.call("credit", {"account_id": account, "amount_minor": 100 * account})
        client.call("medium_link", {"account_id": account, "token": bytes([account]) * 16})
    client.call("credit", {"account_id": 1, "amount_minor": 700, "purse": "subsidy"})
    time.sleep(0.01)
    middle_us = time.time_ns() // 1000
    for account in range(1, 11):
        client.call("debit", {"account_id": account, "amount_minor": 50})
    return middle_us


def test_everything_is_there(city: tuple[Path, int], capsys: pytest.CaptureFixture[str]) -> None:
    config, _ = city
    said = Cli(capsys, config).ok("drill")
    assert said["ok"], said
    assert (said["accounts"], said["media"], said["records"]) == (20, 20, 71)
    assert said["totals_minor"] == {"156": 100 * 210 + 700 - 500}
    assert set(said["seconds"]) >= {"back up", "check", "restore", "recover", "ledger", "compare"}


def test_and_at_an_instant_before(
    city: tuple[Path, int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config, middle_us = city
    instant = datetime.fromtimestamp(middle_us / 1_000_000, UTC).isoformat()
    said = Cli(capsys, config).ok("drill", "--until", instant, "--dir", str(tmp_path / "kept"))
    assert said["ok"], said
    assert said["records"] == 61
    assert said["totals_minor"] == {"156": 100 * 210 + 700}
    assert said["taken_back"]["records_dropped"] == 10
    assert (tmp_path / "kept" / "restored" / "ledger.sqlite").is_file()


def test_a_ledger_that_is_wrong_is_found(
    city: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A projection that forgets a fen somewhere must not pass."""
    real = projector.Projector.step

    def forgetful(self: projector.Projector) -> int:
        count = real(self)
        if not count:
            with sqlite3.connect(self.database.name) as file:
                file.execute(
                    "UPDATE account_balances SET main_minor = main_minor - 1 WHERE account_id = 3"
                )
        return count

    monkeypatch.setattr(projector.Projector, "step", forgetful)
    report = Drill(load_config(city[0], env={}), tmp_path, lambda _: None).run()
    assert any("account 3: balance_minor" in said for said in report.breaks)
    assert any("differ in sum" in said for said in report.breaks)
