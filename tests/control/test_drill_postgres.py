"""The drill of a gateway whose registry and ledger are in PostgreSQL: backed up while it runs,
restored as a file, compared, and put into another database again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from gateway.bootstrap import build_access
from gateway.config import load_config
from gateway.control.client import ControlClient
from gateway.registry.actors import Actor
from gateway.wallet.stores.accounts import AccountStore, Ownership
from gateway.wallet.stores.fitting import Fitted
from tests.control.commands import Cli, Gateway, make_folder
from tests.support.postgres import running_postgres

HOUSE = Actor.system("test")
NAME = "Han Meimei of Wuhan"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a server with three databases: postgres, ledger, elsewhere."""
    with running_postgres() as url:
        plain = make_url(url).set(drivername="postgresql+pg8000")
        engine = create_engine(plain, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name in ("ledger", "elsewhere"):
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        yield url


def name_database(config: Path, section: str, url: str) -> None:
    """Write a URL into the settings of a section."""
    head, found, rest = config.read_text().partition(f"[{section}]")
    assert found
    config.write_text(head + found + rest.replace('# url = "..."', f'url = "{url}"', 1))


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[tuple[Path, str]]:
    """Its configuration, and the person in it."""
    config = make_folder(tmp_path_factory.mktemp("drill") / "city")
    name_database(config, "registry", server)
    name_database(config, "ledger", server.replace("/postgres?", "/ledger?"))
    gateway = Gateway(config)
    try:
        settings = load_config(config, env={}).config
        client = ControlClient(settings.control.socket)
        for account in (1, 2):
            client.call("account_open", {"account_id": account})
            client.call("credit", {"account_id": account, "amount_minor": 500})
        access = build_access(settings)
        person = access.persons.add(HOUSE, {"name": NAME})
        access.links.link_account(HOUSE, person.person_id, 1)
        AccountStore(access.database).add(Ownership(2, "school", "", "op-2", 1))
        access.database.close()
        yield config, person.person_id
    finally:
        gateway.stop()


def test_everything_is_there(city: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    said = Cli(capsys, city[0]).ok("drill")
    assert said["ok"], said
    assert said["totals_minor"] == {"156": 1000}
    assert said["registry"] == {
        "taken_out": Fitted().as_dict(),
        "persons": 1,
        "key_versions": 1,
        "accounts": 2,
    }


def test_a_backup_goes_into_another_database_and_serves(
    city: tuple[Path, str], server: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config, person_id = city
    backup, there = tmp_path / "backup", tmp_path / "there"
    assert Cli(capsys, config).ok("backup", str(backup))["registry"]
    assert not [p for p in backup.rglob("*") if p.is_file() and NAME.encode() in p.read_bytes()]
    words = ["restore", str(backup), "--dir", str(there), "--secrets"]
    restored = Cli(capsys).ok(*words, str(config.parent / "secrets"))
    assert "postgresql" not in (there / "gateway.toml").read_text().replace("postgresql://user", "")
    assert restored["fitted"] == Fitted().as_dict()
    cli = Cli(capsys, there / "gateway.toml")
    assert cli.fail(2, "registry", "load")["code"] == "USAGE_INVALID"  # where to is not said yet
    name_database(there / "gateway.toml", "registry", server.replace("/postgres?", "/elsewhere?"))
    rows = cli.ok("registry", "load")["rows"]
    assert (rows["persons"], rows["wallet_accounts"]) == (1, 1)
    (there / "registry.sqlite").unlink()
    assert cli.fail(3, "registry", "load")["code"] == "DATABASE_ERROR"
    gateway = Gateway(there / "gateway.toml")
    try:
        access = build_access(load_config(there / "gateway.toml", env={}).config)
        assert access.persons.get(HOUSE, person_id).data["name"] == NAME
        access.database.close()
        assert cli.ok("account", "show", "1")["balance"] == "5.00"
        running = cli.fail(3, "registry", "load", str(backup / "registry.sqlite"))
        assert running["code"] == "ENV_RUNNING"
    finally:
        assert gateway.stop() == 0
    full = cli.fail(3, "registry", "load", str(backup / "registry.sqlite"))
    assert full["code"] == "ENV_EXISTS"


def test_a_server_that_is_not_there_makes_no_backup(
    city: tuple[Path, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    gone = f"registry.url=postgresql://faregate@/postgres?unix_sock={tmp_path}/none"
    failed = Cli(capsys, city[0]).fail(3, "backup", str(tmp_path / "backup"), "--set", gone)
    assert failed["code"] == "DATABASE_ERROR"
    assert not (tmp_path / "backup" / "manifest.json").exists()
