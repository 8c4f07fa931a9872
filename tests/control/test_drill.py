"""The drill: a running gateway backed up, restored, recovered, projected and compared."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.contract import Capability, Command
from gateway import backup
from gateway.bootstrap import build_access
from gateway.clock import now_us
from gateway.config import Config, load_config
from gateway.control.client import ControlClient
from gateway.db import Database
from gateway.delivery.funding import payout_debit_id
from gateway.delivery.outbox import Outbox
from gateway.delivery.sealed import CommandSealer
from gateway.drill import Drill
from gateway.errors import EnvironmentFault
from gateway.keys import load_control_secrets, write_secret
from gateway.ledger import projector
from gateway.registry.actors import Actor
from gateway.wallet.stores.accounts import AccountStore, Ownership
from gateway.wallet.stores.fitting import Fitted
from tests.control.commands import Cli, Gateway, make_folder

HOUSE = Actor.system("test")


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
    access = build_access(load_config(config, env={}).config)
    person = access.persons.add(HOUSE, {"name": "Han Meimei"})
    access.links.link_account(HOUSE, person.person_id, 7)
    at_us = now_us()
    order = Command("refund-0", Capability.REFUND, "DE-1", facts={"at_us": at_us})
    Outbox(access.database).put("bank", order.key, order, at_us)
    debit = payout_debit_id("bank", order.key, at_us)
    client.call("debit", {"account_id": 20, "amount_minor": 50}, operation_id=debit)
    AccountStore(access.database).add(Ownership(8, "school", "", "op-8", 1))
    return middle_us


def test_everything_is_there(city: tuple[Path, int], capsys: pytest.CaptureFixture[str]) -> None:
    config, _ = city
    said = Cli(capsys, config).ok("drill")
    assert said["ok"], said
    assert (said["accounts"], said["media"], said["records"]) == (20, 20, 72)
    assert said["totals_minor"] == {"156": 100 * 210 + 700 - 550}
    assert said["registry"] == {
        "taken_out": Fitted().as_dict(),
        "persons": 1,
        "key_versions": 1,
        "accounts": 2,
    }
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
    assert said["taken_back"]["records_dropped"] == 11
    assert said["registry"]["taken_out"]["put_aside"] == 1  # its debit is later than that
    assert (tmp_path / "kept" / "restored" / "ledger.sqlite").is_file()


def test_a_registry_that_says_more_than_the_journal_is_found(
    city: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner of an account, and an order to a bank, that nothing in the journal bears out."""

    def fit(config: Config, database: Database, _: str) -> Fitted:
        AccountStore(database).add(Ownership(99, "school", "", "op-99", 1))
        keys = load_control_secrets(config).registry_keys
        now = now_us()
        for key, facts in (("refund-1", {"at_us": now}), ("refund-2", {"name": "Han"})):
            command = Command(key, Capability.REFUND, "DE-77", facts=facts)
            sealer = CommandSealer(keys if key == "refund-1" else [bytes(32)])
            Outbox(database).put("bank", key, sealer.seal(command, {"name"}), now)
        return Fitted()

    monkeypatch.setattr(backup, "fit_restored", fit)
    report = Drill(load_config(city[0], env={}), tmp_path, lambda _: None).run()
    assert report.breaks == [
        "account 99 is in the registry only",
        "refund-1: the order to bank is there, its debit is not",
        "refund-2: a command is sealed under a registry key that is not there",
    ]


def test_a_key_that_opens_nobody_is_found(
    city: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(folder: Path, _: str) -> Fitted:
        config = load_config(folder / "gateway.toml", env={}).config
        config.security.registry_key_file.unlink()
        write_secret(config.security.registry_key_file)
        return Fitted()

    monkeypatch.setattr(backup, "_fit", lose)
    report = Drill(load_config(city[0], env={}), tmp_path, lambda _: None).run()
    (said,) = report.breaks
    assert "cannot be opened: no registry key has the id" in said


def test_a_drill_that_finds_no_room_is_refused_before_it_begins(
    city: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.drill.COPIES", 1 << 40)
    with pytest.raises(EnvironmentFault, match="MiB free, and a drill wants"):
        Drill(load_config(city[0], env={}), tmp_path, lambda _: None).run()
    assert not list(tmp_path.iterdir())


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
