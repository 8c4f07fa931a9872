"""A data plane inside the test: the real classes on real sockets and a real journal, in a folder of
the test's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastpath._journal import RecordView, iter_records
from fastpath.api import CompiledTariff
from gateway.config import Config, load_config
from gateway.control.client import ControlClient
from gateway.dataplane import DataPlane, Trail
from gateway.journal.files import FileOps
from gateway.journal.segments import SegmentJournal
from gateway.keys import SECRET_NAMES, load_secrets, write_secret
from gateway.link.client import DeviceIdentity, LinkSession, open_session
from gateway.link.devices import DeviceEntry
from gateway.link.frames import TapEvent
from gateway.link.handshake import derive_device_key
from gateway.observability import page as slots
from gateway.observability.page import Page
from tests.support.tariff import small_tariff

SEGMENT_MIB = 16
NO_PIPE = -1


def make_folder(folder: Path, **flags: str) -> Config:
    """Secrets and settings of a data folder."""
    (folder / "secrets").mkdir(parents=True)
    for name in SECRET_NAMES:
        write_secret(folder / "secrets" / name)
    (folder / "gateway.toml").write_text(
        f"[link]\nport = 0\n[journal]\nsegment_mib = {SEGMENT_MIB}\n"
    )
    return load_settings(folder, **flags)


def load_settings(folder: Path, **flags: str) -> Config:
    """The settings again, for a restart. Flags: section__key=value."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    return load_config(folder / "gateway.toml", env={}, flags=dotted).config


class Running:
    """A data plane that serves, and the hands to touch it with."""

    def __init__(self, plane: DataPlane, config: Config) -> None:
        self.plane = plane
        self.config = config
        self.sessions: list[LinkSession] = []
        self._client = ControlClient(config.control.socket)
        self._tokens = itertools.count(1)

    @property
    def port(self) -> int:
        port: int = self.plane.page[slots.LINK_PORT]
        return port

    async def call(self, op: str, **args: Any) -> dict[str, Any]:
        """One control command."""
        return await asyncio.to_thread(self._client.call, op, args)

    async def exchange(self, op: str, *, operation_id: bytes | None = None, **args: Any) -> Any:
        """One control command; a refusal is a value."""
        return await asyncio.to_thread(
            lambda: self._client.exchange(op, args, operation_id=operation_id)
        )

    async def rider(self, amount_minor: int = 5000) -> tuple[int, bytes]:
        """An account with money and a medium: (account id, token)."""
        token = next(self._tokens).to_bytes(8, "big") * 2
        account_id: int = (await self.call("account_open"))["account_id"]
        if amount_minor:
            await self.call("credit", account_id=account_id, amount_minor=amount_minor)
        await self.call("medium_link", account_id=account_id, token=token)
        return account_id, token

    async def account(self, account_id: int) -> dict[str, Any]:
        return await self.call("account_show", account_id=account_id)

    def identity(self, device_id: int = 1, *, boot: int = 7, version: int = 1) -> DeviceIdentity:
        master = load_secrets(self.config).master_key
        key = derive_device_key(master, device_id, version)
        return DeviceIdentity(device_id, key, boot, version)

    async def gate(self, device_id: int = 1, *, boot: int = 7, version: int = 1) -> Gate:
        """A validator in session."""
        session, _ = await open_session(
            "127.0.0.1", self.port, self.identity(device_id, boot=boot, version=version)
        )
        self.sessions.append(session)
        return Gate(session, boot)


class Gate:
    """One validator that numbers its taps."""

    def __init__(self, session: LinkSession, boot: int, first_seq: int = 1) -> None:
        self.session = session
        self.boot = boot
        self._seqs = itertools.count(first_seq)

    def event(self, kind: int, token: bytes, stop: int, **fields: Any) -> TapEvent:
        """The next tap, not yet sent."""
        fields.setdefault("device_ts_us", time.time_ns() // 1000)
        return TapEvent(self.boot, next(self._seqs), kind, token, stop, **fields)

    async def tap(self, kind: int, token: bytes, stop: int, **fields: Any) -> Any:
        return await self.session.tap(self.event(kind, token, stop, **fields))

    async def not_passed(self, original: TapEvent) -> Any:
        return await self.session.passage(
            self.boot,
            next(self._seqs),
            original=original,
            passed=False,
            device_ts_us=time.time_ns() // 1000,
        )


DEVICES = [DeviceEntry(number, 1, 0, (1,), True) for number in range(1, 9)]


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    tariffs: list[tuple[int, CompiledTariff]] | None = None,
    before: Callable[[DataPlane], None] | None = None,
    files: FileOps | None = None,
    trail: Trail | None = None,
) -> AsyncIterator[Running]:
    """Serve until the block ends, then drain. files: the journal's disk, None = the real one.
    trail: who changed the plane itself is written there.
    """
    page = Page.create(config.page_path)
    plane = DataPlane(config, load_secrets(config), page, files=files, trail=trail)
    plane.load_tariffs(tariffs if tariffs is not None else [(1, small_tariff())])
    plane.load_devices(DEVICES)
    if before is not None:
        before(plane)
    served = asyncio.ensure_future(plane.run(NO_PIPE))
    ready = asyncio.ensure_future(plane.ready.wait())
    await asyncio.wait({served, ready}, return_when=asyncio.FIRST_COMPLETED)
    if served.done():
        served.result()
    hands = Running(plane, config)
    try:
        yield hands
    finally:
        for session in hands.sessions:
            session.close()
        plane.stopping.set()
        await served


def records_of(config: Config) -> list[RecordView]:
    """Every record in the journal, read by a reader of its own."""
    journal = SegmentJournal.open(config.journal.dir, read_only=True)
    return [record for group in journal.read(0) for record in iter_records(group)]


def random_token() -> bytes:
    """A token nobody has."""
    return os.urandom(16)
