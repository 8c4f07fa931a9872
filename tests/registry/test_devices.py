"""The device registry on a real SQLite file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from gateway.errors import DatabaseError, RegistryError
from gateway.registry.devices import Device, DeviceRegistry, DeviceState
from gateway.registry.store import check_file, copy_file, open_registry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite"


@pytest.fixture
def devices(path: Path) -> DeviceRegistry:
    return DeviceRegistry(open_registry(path, create=True), clock=lambda: 42)


def test_a_device_survives_reopening(devices: DeviceRegistry, path: Path) -> None:
    added = devices.add(Device(7, label="gate 7", operator="metro", tariff_slot=2, stop_id=150))
    again = DeviceRegistry(open_registry(path)).get(7)
    assert again == added
    assert (again.created_us, again.key_versions, again.state) == (42, (1,), DeviceState.ACTIVE)


def test_numbers_use_all_64_bits(devices: DeviceRegistry) -> None:
    numbers = [1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    devices.add_many(Device(number) for number in reversed(numbers))
    assert [device.device_id for device in devices.list_all()] == numbers
    assert devices.get(1 << 63).device_id == 1 << 63


@pytest.mark.parametrize(
    "device",
    [
        Device(0),
        Device(-1),
        Device(1 << 64),
        Device(1, tariff_slot=16),
        Device(1, tariff_slot=-1),
        Device(1, stop_id=1 << 32),
    ],
)
def test_values_out_of_range_are_refused(devices: DeviceRegistry, device: Device) -> None:
    with pytest.raises(RegistryError, match="is not in"):
        devices.add(device)
    assert devices.list_all() == []


def test_adding_many_is_all_or_none(devices: DeviceRegistry) -> None:
    devices.add(Device(2))
    with pytest.raises(RegistryError) as refused:
        devices.add_many([Device(1), Device(2), Device(3)])
    assert refused.value.code == "REGISTRY_EXISTS"
    assert [device.device_id for device in devices.list_all()] == [2]
    assert devices.changes_since(0)[0] == 1


def test_two_key_versions_live_during_a_rotation(devices: DeviceRegistry) -> None:
    devices.add(Device(1))
    assert devices.rotate(1).key_versions == (2, 1)
    assert devices.rotate(1).key_versions == (3, 2)
    assert devices.finish_rotation(1).key_versions == (3,)


def test_revoked_is_for_good(devices: DeviceRegistry) -> None:
    devices.add(Device(1))
    first = devices.revoke(1)
    assert devices.revoke(1) == first
    for change in (devices.rotate, devices.finish_rotation):
        with pytest.raises(RegistryError) as refused:
            change(1)
        assert refused.value.code == "REGISTRY_REVOKED"
    with pytest.raises(RegistryError) as exists:
        devices.add(Device(1))
    assert exists.value.code == "REGISTRY_EXISTS"


@pytest.mark.parametrize("method", ["get", "rotate", "revoke", "finish_rotation"])
def test_an_unknown_device_is_named(devices: DeviceRegistry, method: str) -> None:
    with pytest.raises(RegistryError, match="no device 9") as refused:
        getattr(devices, method)(9)
    assert refused.value.code == "REGISTRY_NOT_FOUND"


def test_changes_since_gives_each_device_once_with_its_last_state(devices: DeviceRegistry) -> None:
    devices.add(Device(1))
    seen, changed = devices.changes_since(0)
    assert [device.device_id for device in changed] == [1]
    devices.add(Device(2))
    devices.rotate(1)
    devices.revoke(2)
    counter, changed = devices.changes_since(seen)
    assert counter == 4
    assert [(device.device_id, device.change) for device in changed] == [(1, 3), (2, 4)]
    assert devices.changes_since(counter) == (4, [])


class RegistryMachine(RuleBasedStateMachine):
    """Any order of services: the counter misses nothing, a follower ends with the same."""

    known = Bundle("known")

    @initialize()
    def start(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        store = open_registry(Path(self.folder.name) / "registry.sqlite", create=True)
        self.devices = DeviceRegistry(store)
        self.follower: dict[int, Device] = {}
        self.seen = 0

    @rule(target=known, number=st.integers(1, 4))
    def add(self, number: int) -> int:
        if any(device.device_id == number for device in self.devices.list_all()):
            with pytest.raises(RegistryError, match="REGISTRY_EXISTS"):
                self.devices.add(Device(number))
        else:
            self.devices.add(Device(number))
        return number

    @rule(number=known, name=st.sampled_from(["rotate", "revoke", "finish_rotation"]))
    def change(self, number: int, name: str) -> None:
        if self.devices.get(number).state is DeviceState.REVOKED and name != "revoke":
            with pytest.raises(RegistryError, match="REGISTRY_REVOKED"):
                getattr(self.devices, name)(number)
        else:
            getattr(self.devices, name)(number)

    @rule()
    def follow(self) -> None:
        self.seen, changed = self.devices.changes_since(self.seen)
        self.follower |= {device.device_id: device for device in changed}
        assert [self.follower[key] for key in sorted(self.follower)] == self.devices.list_all()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)


def test_the_file_is_private_and_durable(devices: DeviceRegistry, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with open_registry(path).transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_missing_registry_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no database"):
        open_registry(path)
    assert not path.exists()


def test_another_version_is_refused(devices: DeviceRegistry, path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    for create in (False, True):
        with pytest.raises(DatabaseError) as refused:
            open_registry(path, create=create)
        assert refused.value.code == "DATABASE_NEWER"
    with pytest.raises(RegistryError, match="REGISTRY_VERSION"):
        check_file(path)


def test_an_older_version_waits_for_who_brings_it_up(devices: DeviceRegistry, path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    database.close()
    with pytest.raises(DatabaseError) as refused:
        open_registry(path)
    assert refused.value.code == "DATABASE_VERSION"
    assert "faregate serve" in refused.value.hint


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseError):
        open_registry(path)
    with pytest.raises(RegistryError):
        check_file(path)


def test_a_backup_is_consistent_while_another_transaction_is_open(
    devices: DeviceRegistry, path: Path, tmp_path: Path
) -> None:
    devices.add(Device(1))
    store = open_registry(path)
    copy = tmp_path / "copy.sqlite"
    with store.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM devices")
        copy_file(path, copy)
        connection.rollback()
    check_file(copy)
    assert [device.device_id for device in DeviceRegistry(open_registry(copy)).list_all()] == [1]


def _add_until_killed(path: Path, pipe: int) -> None:
    devices = DeviceRegistry(open_registry(path))
    for number in range(1, 10_000):
        devices.add(Device(number))
        os.write(pipe, number.to_bytes(4))


def test_what_was_acknowledged_survives_kill_9(devices: DeviceRegistry, path: Path) -> None:
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_add_until_killed, args=(path, writing)
    )
    process.start()
    os.close(writing)
    with os.fdopen(reading, "rb") as acknowledged:
        seen = [int.from_bytes(acknowledged.read(4)) for _ in range(20)]
        os.kill(process.pid or 0, signal.SIGKILL)
        rest = acknowledged.read()
    process.join()
    last = max([*seen, *(int.from_bytes(rest[i : i + 4]) for i in range(0, len(rest), 4))])
    kept = DeviceRegistry(open_registry(path)).list_all()
    assert [device.device_id for device in kept][:last] == list(range(1, last + 1))
    assert len(kept) - last <= 1


@given(st.integers(1, (1 << 64) - 1))
@settings(max_examples=20, deadline=None)
def test_any_number_comes_back_as_it_went_in(number: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        devices = DeviceRegistry(open_registry(Path(folder) / "r.sqlite", create=True))
        assert devices.add(Device(number)) == devices.get(number)
