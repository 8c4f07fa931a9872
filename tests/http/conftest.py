"""The API over real HTTP, before a real data plane and a real registry, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web

from gateway.bootstrap import build_plane_trail
from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from tests.http.town import Town
from tests.support.plane import Running, running

FLAGS = {
    "link.port": "0",
    "http.port": "0",
    "journal.segment_mib": "8",
    "api.rate_per_s": "100000",
    "api.rate_burst": "100000",
    "api.rate_anonymous_per_s": "100000",
    "api.webhook_private": "true",
    "api.topup_sources": '["mandate-7", "salary"]',
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(make_data_dir(tmp_path / "metro"), env={}, flags=FLAGS).config


@pytest.fixture
async def plane(config: Config) -> AsyncIterator[Running]:
    async with running(config, trail=build_plane_trail(config)) as made:
        yield made


@pytest.fixture
async def town(config: Config, plane: Running) -> AsyncIterator[Town]:
    """The API with keys of a city, a school and a hospital."""
    async with serving(config) as made:
        yield made


@contextlib.asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Town]:
    """The same, until the block ends; a data plane has to run beside it."""
    made = Town(config)
    runner = web.AppRunner(made.app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        made.begin(session, f"http://{host}:{port}")
        yield made
    await runner.cleanup()
