"""The registry's database: its schema on both kinds, and a file of the version before."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, select

import gateway.registry.access  # noqa: F401 - declares every table
from gateway import db
from gateway.backup import check_backup, make_backup
from gateway.bootstrap import build_registry
from gateway.config import load_config
from gateway.config_file import make_data_dir
from gateway.credit.tables import METADATA as CREDIT
from gateway.db import Database
from gateway.delivery.tables import METADATA as DELIVERY
from gateway.errors import ConfigError, DatabaseError, FareGatewayError
from gateway.registry.devices import Device, DeviceRegistry
from gateway.registry.store import META, MIGRATIONS, check_file, open_registry
from gateway.registry.store import METADATA as REGISTRY
from gateway.wallet.stores.tables import METADATA as WALLET
from tests.control.commands import Gateway
from tests.support.plane import make_folder, running

OLD = """
CREATE TABLE meta (name VARCHAR NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (name));
CREATE TABLE devices (
    device_id INTEGER NOT NULL, label VARCHAR NOT NULL, operator VARCHAR NOT NULL,
    tariff_slot INTEGER NOT NULL, stop_id INTEGER NOT NULL, key_version INTEGER NOT NULL,
    previous_key_version INTEGER NOT NULL, state VARCHAR NOT NULL, created_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL, change INTEGER NOT NULL, PRIMARY KEY (device_id));
CREATE INDEX ix_devices_change ON devices (change);
INSERT INTO meta VALUES ('schema', 1), ('changes', 5);
INSERT INTO devices VALUES (-1, 'gate', 'metro', 2, 150, 3, 2, 'active', 41, 42, 5);
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "registry.sqlite"
    with sqlite3.connect(path) as made:
        made.executescript(OLD)
    made.close()
    return path


def test_a_registry_from_before_there_were_migrations_keeps_its_rows(old: Path) -> None:
    check_file(old)  # a backup of that time is sound
    devices = DeviceRegistry(open_registry(old, create=True))
    (device,) = devices.list_all()
    assert device == Device((1 << 64) - 1, "gate", "metro", 2, 150, 3, 2, device.state, 41, 42, 5)
    assert devices.add(Device(8)).change == 6
    check_file(old)
    assert len(DeviceRegistry(open_registry(old)).list_all()) == 2


def test_the_version_before_refuses_a_file_taken_over(old: Path) -> None:
    with open_registry(old, create=True).transaction() as connection:
        version = connection.scalar(select(META.c.value).where(META.c.name == "schema"))
    assert version != 1


def test_an_unknown_old_version_is_refused_and_left_alone(old: Path) -> None:
    with sqlite3.connect(old) as changed:
        changed.execute("UPDATE meta SET value = 7 WHERE name = 'schema'")
    changed.close()
    with pytest.raises(FareGatewayError, match="schema 7 has no migration"):
        open_registry(old, create=True)
    with pytest.raises(FareGatewayError):
        check_file(old)
    with sqlite3.connect(old) as seen:
        assert seen.execute("SELECT count(*) FROM devices").fetchone() == (1,)
    seen.close()


@pytest.mark.parametrize(
    "metadata",
    [REGISTRY, DELIVERY, CREDIT, WALLET],
    ids=["registry", "delivery", "credit", "wallet"],
)
def test_the_migrations_make_what_the_code_reads(database: Database, metadata: MetaData) -> None:
    """Every table, column, index and constraint that the code declares."""
    with database.transaction() as connection:
        found = inspect(connection)
        for table in metadata.sorted_tables:
            columns = {column["name"]: column for column in found.get_columns(table.name)}
            assert set(columns) == set(table.columns.keys()), table.name
            nullable = {name for name, column in columns.items() if column["nullable"]}
            assert nullable == {c.name for c in table.columns if c.nullable}, table.name
            indexes = {index["name"] for index in found.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= indexes, table.name
            keys = found.get_pk_constraint(table.name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key], table.name


def test_the_migrations_are_one_chain_named_by_their_numbers() -> None:
    """Two people who add one at the same time meet here."""
    files = sorted(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    chain = [one.revision for one in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    assert chain[::-1] == [name.partition("_")[0] for name in files]
    assert chain[::-1] == [f"{number:04}" for number in range(1, len(files) + 1)]


def test_devices_work_on_both_kinds(database: Database) -> None:
    devices = DeviceRegistry(database)
    devices.add_many([Device((1 << 64) - 1, stop_id=(1 << 32) - 1), Device(1)])
    devices.rotate(1)
    assert [device.device_id for device in devices.list_all()] == [1, (1 << 64) - 1]
    assert devices.changes_since(2)[0] == 3
    assert [device.device_id for device in devices.changes_since(2)[1]] == [1]


def test_rotations_side_by_side_are_all_counted(database: Database) -> None:
    devices = DeviceRegistry(database)
    devices.add(Device(1))
    threads = [threading.Thread(target=devices.rotate, args=(1,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    device = devices.get(1)
    assert (device.key_version, device.change) == (7, 7)


def test_several_may_make_one_registry_at_the_same_time(tmp_path: Path) -> None:
    failed: list[FareGatewayError] = []

    def make() -> None:
        try:
            open_registry(tmp_path / "registry.sqlite", create=True)
        except FareGatewayError as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    check_file(tmp_path / "registry.sqlite")


async def test_a_backup_holds_a_registry_in_postgres_as_a_file(
    tmp_path: Path, postgres_url: str
) -> None:
    """And the settings in it do not lead a restored gateway into the living one's database."""
    folder = tmp_path / "town"
    config = make_folder(folder)
    async with running(config):
        pass
    flags = {"registry.url": postgres_url, "journal.segment_mib": "16"}
    loaded = load_config(folder / "gateway.toml", env={}, flags=flags)
    with closing(build_registry(loaded.config)) as registry:
        DeviceRegistry(registry).list_all()
    manifest = make_backup(loaded, tmp_path / "backup")
    assert manifest.summary()["registry"] is True
    assert check_backup(tmp_path / "backup") == manifest
    restored = load_config(tmp_path / "backup" / "gateway.toml", env={}).config
    assert restored.registry.url is None


def test_a_password_in_the_url_is_refused_and_one_in_a_file_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "town"
    make_folder(folder)
    url = "postgresql://faregate:hunter2@127.0.0.1:1/x"
    with pytest.raises(
        ConfigError, match=r"keep the password in registry\.password_file"
    ) as refused:
        load_config(folder / "gateway.toml", env={}, flags={"registry.url": url})
    assert "hunter2" not in str(refused.value)
    (folder / "pw").write_text("hunter2")
    (folder / "pw").chmod(0o644)
    flags = {"registry.url": url.replace(":hunter2", ""), "registry.password_file": "pw"}
    config = load_config(folder / "gateway.toml", env={}, flags=flags).config
    with pytest.raises(ConfigError, match="others may read"):
        build_registry(config)
    (folder / "pw").chmod(0o600)
    with pytest.raises(DatabaseError) as unreachable:
        build_registry(config)
    assert "hunter2" not in str(unreachable.value)


def test_a_gateway_serves_with_its_registry_in_postgres(
    tmp_path: Path, emptied_postgres_url: str
) -> None:
    """The validators are let in at the start, as from a file."""
    file = make_data_dir(tmp_path / "metro")
    with closing(open_registry(emptied_postgres_url)) as registry:
        DeviceRegistry(registry).add_many([Device(7), Device(8)])
    gateway = Gateway(file, f"--set=registry.url={emptied_postgres_url}")
    with urlopen(f"http://{gateway.where['http']}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    assert gateway.stop() == 0
    assert "fare_devices 2.0" in lines
    assert not (file.parent / "registry.sqlite").exists()


def test_the_lock_is_taken_soon_after_the_other_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_registry(tmp_path / "registry.sqlite", create=True)
    pauses: list[float] = []
    with closing(sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None)) as other:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 30:
                other.execute("COMMIT")

        monkeypatch.setattr(db, "sleep", pause)
        other.execute("BEGIN IMMEDIATE")
        with database.transaction() as connection:
            waits = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    assert sum(pauses) < 0.1
    assert waits == db.BUSY_TIMEOUT_MS, "as before for everything else"


def test_a_lock_that_is_never_free_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_registry(tmp_path / "registry.sqlite", create=True)
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 20)
    with closing(sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked"), database.transaction():
            pass
