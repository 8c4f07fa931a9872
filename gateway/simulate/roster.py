"""Who takes part in a simulation: validators and riders, registered at a gateway or from a file.

With the settings of a gateway its registry and control socket are used; a roster file made there
lets riders travel from another machine.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastpath.types import MediumKind
from gateway.config import Config
from gateway.control.frames import Reply
from gateway.errors import CommandError, ConfigError
from gateway.keys import card_token, load_secrets
from gateway.link.handshake import derive_device_key
from gateway.registry.devices import Device, DeviceRegistry, DeviceState
from gateway.simulate.gates import GateDevice
from gateway.simulate.orders import Orders, in_parallel
from gateway.simulate.riders import Persona, Profile, make_profile
from gateway.simulate.world import World

LABEL = "simulate"
FIRST_DEVICE = 900_000_001
METRO_SLOT = 1
BUS_SLOT = 2
SUBSIDY_MINOR = 2_000
CREDIT_LIMIT_MINOR = 1_000
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Place:
    """What one validator of a simulation is for. stop_id 0 = it moves."""

    tariff_slot: int
    stop_id: int = 0
    is_handheld: bool = False

    @property
    def label(self) -> str:
        """The device's label in the registry."""
        sort = "handheld" if self.is_handheld else "gate" if self.stop_id else "bus"
        return f"{LABEL} {sort}"


@dataclass(frozen=True, slots=True)
class Roster:
    """Everybody of one run."""

    devices: tuple[tuple[Place, GateDevice], ...]
    riders: tuple[Profile, ...]


def plan_places(world: World, count: int, *, with_bus: bool) -> list[Place]:
    """Where so many validators stand: a handheld, buses, and gates, more where it is busy."""
    places = [Place(METRO_SLOT, is_handheld=True)]
    places += [Place(BUS_SLOT)] * (max(1, count // 8) if with_bus else 0)
    gates = max(2, count - len(places))
    stops = world.busiest(gates)
    places += [Place(METRO_SLOT, stop) for stop in stops]
    served = dict.fromkeys(stops, 1)
    for _ in range(gates - len(stops)):
        busiest = max(stops, key=lambda stop: world.crowd(stop) / (served[stop] + 1))
        served[busiest] += 1
        places.append(Place(METRO_SLOT, busiest))
    return places


def register_devices(config: Config, registry: DeviceRegistry, places: Sequence[Place]) -> Roster:
    """Enter validators into the registry; those of an earlier simulation are used again.

    The running gateway is told by `announce_devices`.
    """
    master = load_secrets(config).master_key
    known = registry.list_all()
    free = [one for one in known if one.label.startswith(LABEL) and one.state is DeviceState.ACTIVE]
    last = max((one.device_id for one in known), default=0)
    next_id = max(FIRST_DEVICE, last + 1)
    chosen: list[tuple[Place, Device]] = []
    fresh: list[Device] = []
    for place in places:
        device = next((one for one in free if _fits(one, place)), None)
        if device is None:
            device = Device(
                next_id, label=place.label, tariff_slot=place.tariff_slot, stop_id=place.stop_id
            )
            next_id += 1
            fresh.append(device)
        else:
            free.remove(device)
        chosen.append((place, device))
    registry.add_many(fresh)
    return Roster(tuple((place, _gate_device(master, device)) for place, device in chosen), ())


def _fits(device: Device, place: Place) -> bool:
    return (device.label, device.tariff_slot, device.stop_id) == (
        place.label,
        place.tariff_slot,
        place.stop_id,
    )


def _gate_device(master: bytes, device: Device) -> GateDevice:
    key = derive_device_key(master, device.device_id, device.key_version)
    return GateDevice(device.device_id, key, device.key_version, device.tariff_slot, device.stop_id)


async def announce_devices(orders: Orders, roster: Roster) -> None:
    """Tell the running data plane about the validators. Raises: CommandError, Uncertain."""

    async def put(device: GateDevice) -> None:
        await orders.demand(
            "device_put",
            {
                "device_id": device.device_id,
                "tariff_slot": device.tariff_slot,
                "stop_id": device.stop_id,
                "key_versions": [device.key_version],
                "state": "active",
            },
        )

    await in_parallel([device for _, device in roster.devices], put)


def choose_profiles(config: Config, seed: int, count: int) -> list[Profile]:
    """Who the riders are. Media are new in every run: a run's accounts belong to it alone."""
    master = load_secrets(config).master_key
    run = secrets.token_hex(8)

    def token(index: int, number: int) -> bytes:
        return card_token(master, f"{LABEL} {run} {index} {number}")

    return [make_profile(seed, index, (token(index, 1), token(index, 2))) for index in range(count)]


async def open_accounts(
    orders: Orders,
    profiles: Sequence[Profile],
    on_progress: Callable[[int], None] = lambda opened: None,
) -> list[Profile]:
    """Open and fill the riders' accounts and link their media. Raises: CommandError, Uncertain."""
    opened: dict[int, Profile] = {}

    async def open_one(profile: Profile) -> None:
        opened[profile.index] = await _open_account(orders, profile)
        on_progress(len(opened))

    await in_parallel(profiles, open_one)
    return [opened[profile.index] for profile in profiles]


async def _open_account(orders: Orders, profile: Profile) -> Profile:
    if not profile.has_account:
        return profile
    account_id: int = (await orders.demand("account_open"))["account_id"]
    account = {"account_id": account_id}
    await orders.demand("credit", account | {"amount_minor": profile.credit_minor})
    for token, kind in profile.media:
        await orders.demand("medium_link", account | {"token": token, "kind": kind.name.lower()})
    for op, args in _extras(profile, account):
        await orders.demand(op, args)
    return replace(profile, account_id=account_id)


def _extras(profile: Profile, account: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What makes this rider special."""
    if profile.persona is Persona.PENSIONER:
        subsidy = account | {"amount_minor": SUBSIDY_MINOR, "purse": "subsidy"}
        limit = account | {"amount_minor": CREDIT_LIMIT_MINOR}
        return [("credit", subsidy), ("set_credit_limit", limit)]
    if profile.persona is Persona.FROZEN:
        return [("freeze", account | {"what": "debit"})]
    if profile.persona is Persona.LOST:
        return [("medium_state", {"token": profile.media[0][0], "state": "lost"})]
    return []


async def top_up(orders: Orders, profile: Profile, amount_minor: int) -> bool:
    """Put money on a rider's account; False = refused."""
    if not profile.account_id:
        return False
    args = {"account_id": profile.account_id, "amount_minor": amount_minor}
    reply: Reply = await orders.call("credit", args)
    return reply.ok


async def read_balances(orders: Orders, profiles: Sequence[Profile]) -> dict[int, int]:
    """Account -> spendable, minor units, as the running gateway has it."""
    balances: dict[int, int] = {}

    async def read(profile: Profile) -> None:
        shown = await orders.demand("account_show", {"account_id": profile.account_id})
        balances[profile.account_id] = shown["spendable_minor"]

    await in_parallel([profile for profile in profiles if profile.account_id], read)
    return balances


# --- the file -----------------------------------------------------------------------------------


def save_roster(path: Path, roster: Roster) -> None:
    """Write a roster, device keys included, into a new file that only its owner may read.

    Raises: CommandError: the file exists.
    """
    data = {
        "format": FORMAT,
        "devices": [
            {
                "device_id": device.device_id,
                "key": device.key.hex(),
                "key_version": device.key_version,
                "tariff_slot": device.tariff_slot,
                "stop_id": device.stop_id,
                "handheld": place.is_handheld,
            }
            for place, device in roster.devices
        ],
        "riders": [_rider_fields(profile) for profile in roster.riders],
    }
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise CommandError("ENV_EXISTS", f"{path} exists") from error
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)


def _rider_fields(profile: Profile) -> dict[str, Any]:
    return {
        "index": profile.index,
        "persona": str(profile.persona),
        "account_id": profile.account_id,
        "credit_minor": profile.credit_minor,
        "media": [[token.hex(), kind.name.lower()] for token, kind in profile.media],
    }


def load_roster(path: Path) -> Roster:
    """Read a roster file. Raises: ConfigError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        devices = tuple(_read_device(entry) for entry in data["devices"])
        return Roster(devices, tuple(_read_rider(entry) for entry in data["riders"]))
    except OSError as error:
        raise ConfigError("CONFIG_NOT_FOUND", f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(detail=f"{path} is no roster: {type(error).__name__} {error}") from error


def _read_device(entry: dict[str, Any]) -> tuple[Place, GateDevice]:
    device = GateDevice(
        int(entry["device_id"]),
        bytes.fromhex(entry["key"]),
        int(entry["key_version"]),
        int(entry["tariff_slot"]),
        int(entry["stop_id"]),
    )
    return Place(device.tariff_slot, device.stop_id, bool(entry["handheld"])), device


def _read_rider(entry: dict[str, Any]) -> Profile:
    media = tuple(
        (bytes.fromhex(token), MediumKind[kind.upper()]) for token, kind in entry["media"]
    )
    return Profile(
        int(entry["index"]),
        Persona(entry["persona"]),
        media,
        int(entry["credit_minor"]),
        int(entry["account_id"]),
    )
