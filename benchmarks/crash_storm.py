"""A fleet that comes back without pauses, with kept taps, a hundred handshakes at a time; the
gateway is killed in the middle of it and the fleet comes back again (fault case G 56).

More than a city ever does by itself: the protocol spreads reconnects. Everything told is held
against the journal by the recount of the rounds.
"""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crash_bench import ACCOUNTS, RoundsReport
from benchmarks.crash_parts import answer_row
from benchmarks.crash_process import until
from benchmarks.crash_rounds import FileBench
from fastpath.types import TapFlag, TapKind
from gateway.bootstrap import build_devices
from gateway.errors import FareGatewayError
from gateway.keys import load_secrets
from gateway.link.client import DeviceIdentity, LinkSession, open_session
from gateway.link.frames import TapEvent
from gateway.link.handshake import derive_device_key
from gateway.registry.devices import Device

KEPT_TAPS = 20
FIRST_DEVICE = 1000
CONNECT_TIMEOUT_S = 300.0
AT_ONCE = 100
"""Handshakes under way: with all of them at once it is the clients that are too slow for them."""
FILES_SPARE = 500
KILL_AT = 0.4
"""Part of the fleet that is served when the gateway is killed."""
OFFLINE = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)


@dataclass(slots=True)
class StormDevice:
    """A validator with taps it could not send yet."""

    identity: DeviceIdentity
    unanswered: dict[int, TapEvent] = field(default_factory=dict)
    session: LinkSession | None = None

    def keep(self, first_seq: int, token: bytes) -> None:
        """Some more taps made without a link."""
        for seq in range(first_seq, first_seq + KEPT_TAPS):
            ts_us = time.time_ns() // 1000
            boot = self.identity.boot_epoch
            self.unanswered[seq] = TapEvent(boot, seq, TapKind.FLAT, token, 101, ts_us, OFFLINE)


class Storm(FileBench):
    """A data folder, its gateway, and a fleet."""

    def __init__(self, folder: Path, report: RoundsReport, count: int) -> None:
        super().__init__(folder, report, 1, "beijing", served=0.0)
        self.numbers = range(FIRST_DEVICE, FIRST_DEVICE + count)
        self.devices: list[StormDevice] = []
        self._doors = asyncio.Semaphore(AT_ONCE)

    async def prepare(self) -> None:
        """Accounts, devices, a gateway that knows them."""
        build_devices(self.config).add_many(
            Device(device_id=number, label="storm", tariff_slot=1) for number in self.numbers
        )
        await self.open()
        master = load_secrets(self.config).master_key
        for number in self.numbers:
            key = derive_device_key(master, number, 1)
            device = StormDevice(DeviceIdentity(number, key, 7))
            device.keep(1, bytes([100 + number % ACCOUNTS]) * 16)
            self.devices.append(device)

    async def come_back(self, device: StormDevice) -> None:
        """Connect until it works, send what is kept, note what is told."""
        while device.unanswered:
            with suppress(FareGatewayError, OSError, TimeoutError):
                async with self._doors:
                    await self.connect(device)
            if device.unanswered:
                await asyncio.sleep(0.05)

    async def connect(self, device: StormDevice) -> None:
        if self.fleet.address is not None:
            device.session, _ = await open_session(
                *self.fleet.address, device.identity, timeout_s=CONNECT_TIMEOUT_S
            )
            await self.upload(device, device.session)

    async def upload(self, device: StormDevice, session: LinkSession) -> None:
        for answer in await session.tap_batch(list(device.unanswered.values())):
            if answer.position:
                key = (device.identity.device_id, answer.boot, answer.seq)
                self.told.tap(key, answer.position, answer_row(answer))
                device.unanswered.pop(answer.seq, None)
                self.report.acked += 1

    @property
    def finished(self) -> int:
        """Devices that have nothing left to send."""
        return sum(not device.unanswered for device in self.devices)

    @property
    def under_way(self) -> int:
        """Taps of the fleet that have no answer yet."""
        return sum(len(device.unanswered) for device in self.devices)

    async def storm(self, *, kill: bool) -> float:
        """All of them at once; how long until the last is served."""
        began = time.monotonic()
        fleet = [asyncio.create_task(self.come_back(device)) for device in self.devices]
        if kill:
            enough = KILL_AT * len(self.devices)
            await until(lambda: self.finished >= enough, within_s=CONNECT_TIMEOUT_S)
            await self.kill_in_the_middle()
        await asyncio.gather(*fleet)
        return time.monotonic() - began

    async def kill_in_the_middle(self) -> None:
        self.report.kills += 1
        self.report.in_flight_at_kill += self.under_way > 0
        self.report.operations_in_flight += self.under_way
        self.fleet.address = None
        await self.data.kill()
        await self.start()

    async def close(self) -> None:
        for device in self.devices:
            if device.session is not None:
                device.session.abort()
        await super().close()


async def run_storm(folder: Path, count: int) -> tuple[dict[str, Any], bool]:
    """A storm that is cut short by a SIGKILL, then one of the whole fleet that reconnects."""
    _allow_files(count + FILES_SPARE)
    report = RoundsReport()
    bench = Storm(folder / "data", report, count)
    try:
        await bench.prepare()
        first_s = await bench.storm(kill=True)
        for device in bench.devices:
            device.keep(1 + KEPT_TAPS, bytes([100 + device.identity.device_id % ACCOUNTS]) * 16)
            if device.session is not None:
                device.session.abort()
        second_s = await bench.storm(kill=False)
        await bench.settle()
        await bench.compare()
        await bench.finish()
    finally:
        await bench.close()
    said = {
        "devices": count,
        "kept_taps": KEPT_TAPS,
        "killed_storm_s": round(first_s, 1),
        "storm_s": round(second_s, 1),
    }
    return said | report.as_dict(), report.ok and report.acked == 2 * KEPT_TAPS * count


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
