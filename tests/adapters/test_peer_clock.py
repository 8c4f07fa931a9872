"""How far a peer's clock is off, as its answers say: where to look when signatures fail."""

from __future__ import annotations

import email.utils
import time

import pytest
from aiohttp import web

from adapters.contract import CheckResult, CheckStatus
from adapters.http import HttpPeer, Request

MINUTE_US = 60_000_000


async def check(date: str) -> CheckResult:
    """A look at a peer whose answers carry this date."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"version": "7"}, headers={"Date": date})

    app = web.Application()
    app.router.add_get("/health", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    peer = HttpPeer(f"http://{host}:{port}", timeout_s=5, connect_s=5)
    await peer.open()
    try:
        return await peer.check(Request("GET", "/health"))
    finally:
        await peer.close()
        await runner.cleanup()


@pytest.mark.parametrize("off_s", [-7200, -90, 90, 7200])
async def test_a_peers_clock_is_told_by_its_date(off_s: int) -> None:
    found = await check(email.utils.formatdate(time.time() + off_s, usegmt=True))
    assert (found.status, found.peer_version) == (CheckStatus.OK, "7")
    assert abs(found.clock_offset_us - off_s * 1_000_000) < MINUTE_US // 2


@pytest.mark.parametrize("date", ["yesterday", "Mon, 99 Foo 2026 00:00:00 GMT"])
async def test_a_date_that_is_none_says_nothing(date: str) -> None:
    found = await check(date)
    assert (found.status, found.clock_offset_us) == (CheckStatus.OK, 0)
