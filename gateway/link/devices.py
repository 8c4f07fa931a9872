"""The devices that may open a session, as the data plane knows them: filled from the registry,
changed by commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.link.handshake import derive_device_key


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """One device. key_versions: the versions a hello may use; stop_id 0 = mobile."""

    device_id: int
    tariff_slot: int
    stop_id: int
    key_versions: tuple[int, ...]
    active: bool


class DeviceBook:
    """Who may come in, and the keys derived from the master key (docs/protocol.md)."""

    def __init__(self, master_key: bytes) -> None:
        self._master = master_key
        self._entries: dict[int, DeviceEntry] = {}

    def put(self, entry: DeviceEntry) -> None:
        """Add or change a device."""
        self._entries[entry.device_id] = entry

    def find(self, device_id: int) -> DeviceEntry | None:
        """The device, revoked or not."""
        return self._entries.get(device_id)

    def find_key(self, device_id: int, version: int) -> bytes | None:
        """The key of a device that may come in with this version; None for all others, after the
        same work.
        """
        key = derive_device_key(self._master, device_id, version)
        entry = self._entries.get(device_id)
        welcome = entry is not None and entry.active and version in entry.key_versions
        return key if welcome else None

    def __len__(self) -> int:
        return sum(entry.active for entry in self._entries.values())

    def __iter__(self) -> Iterator[DeviceEntry]:
        return iter(self._entries.values())
