"""The clearing house on a whole gateway: a folder between both, the worker killed in between."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from adapters.transit.clearing.lines import read_file
from adapters.transit.clearing.simulator import HOUSE, US, ClearingHouse
from gateway.clock import now_us
from gateway.config import load_config
from gateway.control.client import ControlClient
from gateway.delivery.clearing.book import ClearingBook
from gateway.delivery.clearing.days import BusinessDays
from gateway.observability.worker_page import read_page
from gateway.registry.store import open_registry
from tests.control.commands import Gateway, make_folder

PATIENCE_S = 90.0
TABLE = f"""
[adapters.city-clearing]
kind = "clearing"
sender = "{US}"
receiver = "{HOUSE}"
folder = "exchange"
charset = "GB18030"
"""
TOKEN = bytes.fromhex("00112233445566778899aabbccddeeff")


class Town:
    """A gateway with a clearing house."""

    def __init__(self, folder: Path) -> None:
        self.config_path = make_folder(folder)
        self.config_path.write_text(self.config_path.read_text() + TABLE)
        self.config = load_config(self.config_path, env={}).config
        self.exchange = self.config.gateway.data_dir / "exchange"
        for name in ("in", "out"):
            (self.exchange / name).mkdir(parents=True)
        self.gateway: Gateway

    def start(self) -> None:
        self.gateway = Gateway(self.config_path)
        self.client = ControlClient(self.config.control.socket)
        account = self.client.call("account_open", {})["account_id"]
        self.client.call("medium_link", {"account_id": account, "token": TOKEN})

    def stop(self) -> None:
        assert self.gateway.stop() == 0

    def medium(self) -> str:
        return str(self.client.call("medium_show", {"token": TOKEN})["state"])

    def files(self) -> dict[str, str]:
        registry = open_registry(self.config.registry_path)
        found = ClearingBook("city-clearing", registry).list_files()
        registry.close()
        return {one["name"]: f"{one['state']} {one['code']}".strip() for one in found}

    def give(self, name: str, data: bytes) -> None:
        """As the house does: whole, under its name at once."""
        part = self.exchange / "out" / f".{name}"
        part.write_bytes(data)
        part.rename(self.exchange / "out" / name)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(tmp_path / "city")
    await asyncio.to_thread(made.start)
    yield made
    await asyncio.to_thread(made.stop)


async def test_a_day_out_and_a_deny_list_in(town: Town) -> None:
    house = ClearingHouse(charset="GB18030")
    ours = town.exchange / "in"
    await town.until(lambda: list(ours.glob("CITYGW_CITYCC_TAPS_*")))
    (taps,) = ours.iterdir()
    content = read_file(taps.name, taps.read_bytes())
    days = BusinessDays.build("Asia/Shanghai", "04:00")
    today = days.day_of(now_us())
    assert content.label.day == today - datetime.timedelta(days=1)
    assert house.take(taps.name, taps.read_bytes()) == ""
    house.settle(taps.name)
    house.deny(today, add=(TOKEN.hex(),))
    for name, data in house.outbox:
        town.give(name, data)
    town.give("garbage.txt", b"no file of ours")
    view = await asyncio.to_thread(read_page, town.config.worker_page_path)
    assert view is not None
    os.kill(view.pid, signal.SIGKILL)
    await town.until(lambda: town.medium() == "denylisted")
    settled, denied = (name for name, _ in house.outbox)
    expected = {
        taps.name: "settled",
        settled: "applied accepted",
        denied: "applied accepted",
        "garbage.txt": "refused bad_name",
    }
    await town.until(lambda: town.files() == expected)
    assert [path.name for path in ours.iterdir()] == [taps.name]
