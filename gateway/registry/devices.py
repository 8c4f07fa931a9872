"""Validators: who may open a session, where they stand, which versions of their key are alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from sqlalchemy import Connection, Row, insert, select, update

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import RegistryError
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.registry.store import DEVICES, last_change, next_change

DEVICE_ID_MAX = (1 << 64) - 1
STOP_ID_MAX = (1 << 32) - 1
TARIFF_SLOT_MAX = 15


class DeviceState(StrEnum):
    """Standing of a device; a revoked one never comes back."""

    ACTIVE = "active"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Device:
    """One validator. stop_id 0 = mobile; previous_key_version 0 = no rotation under way."""

    device_id: int
    label: str = ""
    operator: str = ""
    tariff_slot: int = 1
    stop_id: int = 0
    key_version: int = 1
    previous_key_version: int = 0
    state: DeviceState = DeviceState.ACTIVE
    created_us: int = 0
    changed_us: int = 0
    change: int = 0

    @property
    def key_versions(self) -> tuple[int, ...]:
        """Versions a hello may use, the newest first."""
        return tuple(
            version for version in (self.key_version, self.previous_key_version) if version
        )

    def as_dict(self) -> dict[str, object]:
        """As it goes into JSON."""
        return asdict(self)

    def as_command(self) -> dict[str, object]:
        """Arguments of the control command `device_put`."""
        return {
            "device_id": self.device_id,
            "tariff_slot": self.tariff_slot,
            "stop_id": self.stop_id,
            "key_versions": list(self.key_versions),
            "state": str(self.state),
        }


class DeviceRegistry:
    """The services on devices. Each method is one transaction and raises RegistryError."""

    def __init__(
        self,
        database: Database,
        *,
        actor: Actor | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """Args: actor: whom the audit trail names."""
        self._database = database
        self._actor = actor or Actor.system("system:devices")
        self._clock = clock

    def add(self, device: Device) -> Device:
        """Enter a new device."""
        return self.add_many([device])[0]

    def add_many(self, devices: Iterable[Device]) -> list[Device]:
        """Enter new devices, all of them or none."""
        with self._database.transaction() as connection:
            added = [self._insert(connection, device) for device in devices]
            self._note(connection, "device.add", added)
            return added

    def get(self, device_id: int) -> Device:
        """The device of this number."""
        with self._database.transaction() as connection:
            return _get(connection, device_id)

    def list_all(self) -> list[Device]:
        """All devices by number."""
        with self._database.transaction() as connection:
            devices = [_device(row) for row in connection.execute(select(DEVICES))]
        return sorted(devices, key=lambda device: device.device_id)

    def rotate(self, device_id: int) -> Device:
        """Begin a new key version; the one before lives until `finish_rotation` or the next."""
        with self._database.transaction() as connection:
            device = _get_active(connection, device_id)
            newer = replace(
                device,
                key_version=device.key_version + 1,
                previous_key_version=device.key_version,
            )
            return self._put(connection, "device.rotate", newer)

    def finish_rotation(self, device_id: int) -> Device:
        """End the life of the previous key version."""
        with self._database.transaction() as connection:
            device = _get_active(connection, device_id)
            newer = replace(device, previous_key_version=0)
            return self._put(connection, "device.finish_rotation", newer)

    def revoke(self, device_id: int) -> Device:
        """Shut a device out, for good."""
        with self._database.transaction() as connection:
            device = _get(connection, device_id)
            if device.state is DeviceState.REVOKED:
                return device
            revoked = replace(device, state=DeviceState.REVOKED, previous_key_version=0)
            return self._put(connection, "device.revoke", revoked)

    def changes_since(self, change: int) -> tuple[int, list[Device]]:
        """The newest counter, and every device changed after the given one, oldest change first."""
        wanted = select(DEVICES).where(DEVICES.c.change > change).order_by(DEVICES.c.change)
        with self._database.transaction() as connection:
            return last_change(connection), [_device(row) for row in connection.execute(wanted)]

    def _insert(self, connection: Connection, device: Device) -> Device:
        _check(device)
        now, change = self._clock(), next_change(connection)
        if _find(connection, device.device_id):
            raise RegistryError("REGISTRY_EXISTS", f"there is a device {device.device_id}")
        fresh = replace(device, created_us=now, changed_us=now, change=change)
        connection.execute(insert(DEVICES).values(asdict(fresh)))
        return fresh

    def _put(self, connection: Connection, action: str, device: Device) -> Device:
        changed = replace(device, changed_us=self._clock(), change=next_change(connection))
        row = DEVICES.c.device_id == device.device_id
        connection.execute(update(DEVICES).where(row).values(asdict(changed)))
        self._note(connection, action, [changed])
        return changed

    def _note(self, connection: Connection, action: str, devices: list[Device]) -> None:
        """One event for all that were changed at once."""
        if not devices:
            return
        first, last = devices[0].device_id, devices[-1].device_id
        subject = f"device:{first}" if first == last else f"devices:{first}..{last}"
        note_change(connection, self._actor, action, subject, self._clock(), count=len(devices))


def _check(device: Device) -> None:
    """Raises: RegistryError with the first field out of its range."""
    ranges = {
        "device_id": (device.device_id, 1, DEVICE_ID_MAX),
        "tariff_slot": (device.tariff_slot, 0, TARIFF_SLOT_MAX),
        "stop_id": (device.stop_id, 0, STOP_ID_MAX),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise RegistryError("REGISTRY_INVALID", f"{name} {value} is not in {low}..{high}")


def _find(connection: Connection, device_id: int) -> Device | None:
    wanted = select(DEVICES).where(DEVICES.c.device_id == device_id).with_for_update()
    row = connection.execute(wanted).first()
    return _device(row) if row else None


def _get(connection: Connection, device_id: int) -> Device:
    device = _find(connection, device_id)
    if device is None:
        raise RegistryError("REGISTRY_NOT_FOUND", f"there is no device {device_id}")
    return device


def _get_active(connection: Connection, device_id: int) -> Device:
    device = _get(connection, device_id)
    if device.state is DeviceState.REVOKED:
        raise RegistryError("REGISTRY_REVOKED", f"device {device_id} is revoked")
    return device


def _device(row: Row[tuple[object, ...]]) -> Device:
    values = dict(row._mapping)
    return Device(**values | {"state": DeviceState(values["state"])})
