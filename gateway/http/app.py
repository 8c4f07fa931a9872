"""The control plane's HTTP process: the API under /v1 with its page at /docs, and /metrics, /livez,
/readyz, which read the shared page and ask nobody.

Must not import the engine or the journal.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.clock import now_us
from gateway.config import Config
from gateway.errors import EnvironmentFault
from gateway.http.api import Api, add_api
from gateway.http.middleware import add_headers, problems
from gateway.observability.health import check_readiness
from gateway.observability.ledger_metrics import LedgerCollector
from gateway.observability.metrics import PageCollector
from gateway.observability.page import PageReader
from gateway.observability.worker_metrics import WorkerCollector
from gateway.readiness import tell_ready
from gateway.tuning import freeze_heap

T = TypeVar("T")

log = logging.getLogger(__name__)
CONFIG = web.AppKey("config", Config)
PAGE = web.AppKey("page", PageReader)
METRICS = web.AppKey("metrics", CollectorRegistry)
LOOKERS = web.AppKey("lookers", ThreadPoolExecutor)
"""Threads for what monitoring asks: when a database hangs, all others stand there and wait."""


def build_app(config: Config, reader: PageReader, api: Api | None = None) -> web.Application:
    """The application; without `api` only what monitoring asks."""
    registry = CollectorRegistry()
    app = web.Application(
        middlewares=[problems], client_max_size=config.api.body_max_bytes, logger=log
    )
    app.on_response_prepare.append(add_headers)
    app[CONFIG] = config
    app[PAGE] = reader
    app[METRICS] = registry
    app[LOOKERS] = ThreadPoolExecutor(2, thread_name_prefix="monitoring")
    app.on_cleanup.append(_close_lookers)
    registry.register(PageCollector(reader, config))
    registry.register(WorkerCollector(config.worker_page_path))
    registry.register(LedgerCollector(PageReader(config.ledger_page_path), reader))
    app.router.add_get("/livez", _live)
    app.router.add_get("/readyz", _ready)
    app.router.add_get("/metrics", _metrics)
    if api is not None:
        add_api(app, config.api, api)
    return app


async def _live(_request: web.Request) -> web.Response:
    """This process answers; says nothing about the data plane."""
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    """200 when validators can be served, else 503; every check with its detail."""
    view = await _look(request, request.app[PAGE].read)
    checks = check_readiness(view, request.app[CONFIG], now_us())
    ready = all(check.ok for check in checks)
    body = {
        "status": "ready" if ready else "not_ready",
        "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks},
    }
    return web.json_response(body, status=200 if ready else 503)


async def _metrics(request: web.Request) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = await _look(request, partial(encode, request.app[METRICS]))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _look(request: web.Request, work: Callable[[], T]) -> T:
    """In a thread that nothing but monitoring uses."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.app[LOOKERS], work)


async def _close_lookers(app: web.Application) -> None:
    app[LOOKERS].shutdown(wait=False)


def main(config: Config, ready_fd: int, api: Api | None = None) -> int:
    """Serve until SIGTERM; the exit status."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, ready_fd, api))


async def _serve(config: Config, ready_fd: int, api: Api | None) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(build_app(config, PageReader(config.page_path), api), access_log=None)
    await runner.setup()
    freeze_heap()
    try:
        host, port = await _listen(runner, config.http.host, config.http.port)
        log.info("http_listening", extra={"host": host, "port": port})
        tell_ready(ready_fd, {"http": f"{host}:{port}"})
        await stopped.wait()
    finally:
        await runner.cleanup()
    log.info("http_stopped")
    return 0


async def _listen(runner: web.AppRunner, host: str, port: int) -> tuple[str, int]:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        detail = f"cannot listen on {host}:{port}: {error.strerror}"
        raise EnvironmentFault("ENV_PORT_IN_USE", detail) from error
    address = runner.addresses[0]
    return str(address[0]), int(address[1])
