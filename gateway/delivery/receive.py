"""What a peer sends: proven, understood, stored, and only then acknowledged.

`Letterbox` does that for bytes; `ReceiveJob` listens for them over HTTP in the worker's process:
`POST /inbound/NAME`. Put TLS and the public name in front of it (docs/adapters.md).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from adapters.contract import AckResult, Capability, Meta
from adapters.errors import AdapterError, Malformed, Unauthorized
from gateway.db import Database
from gateway.delivery.inbox import Inbox
from gateway.delivery.kinds import Configured, load_adapters
from gateway.errors import DatabaseError, EnvironmentFault
from gateway.jobs import Job, Tools

log = logging.getLogger(__name__)
STATUS = {AckResult.ACCEPTED: 200, AckResult.REFUSED: 422, AckResult.AGAIN: 503}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message: told to the peer as `status` and `body`."""

    status: int
    body: bytes
    result: AckResult
    events: int = 0
    words: Mapping[str, str] = field(default_factory=dict)


class Letterbox:
    """Takes messages for any adapter. Thread: any."""

    def __init__(self, registry: Database) -> None:
        self._inbox = Inbox(registry)

    def hand_in(self, one: Configured, raw: bytes, now_us: int) -> Receipt:
        """A message that an operator of this machine brings."""
        return self._take(one, raw, Meta(one.name, now_us, by_hand=True))

    def receive(
        self, one: Configured, raw: bytes, headers: Mapping[str, str], now_us: int
    ) -> Receipt:
        """A message from outside: its sender has to prove itself."""
        return self._take(one, raw, Meta(one.name, now_us, headers))

    def _take(self, one: Configured, raw: bytes, meta: Meta) -> Receipt:
        try:
            events = one.adapter.parse(raw, meta)
        except Unauthorized as error:
            log.warning("message_forged", extra={"adapter": one.name, "why": error.detail})
            return self._receipt(one, raw, AckResult.REFUSED, 401, error)
        except AdapterError as error:
            log.warning("message_refused", extra={"adapter": one.name, "why": error.detail})
            status = 422 if isinstance(error, Malformed) else 503
            result = AckResult.REFUSED if isinstance(error, Malformed) else AckResult.AGAIN
            return self._receipt(one, raw, result, status, error)
        results = [self._inbox.take(one.name, event, meta.received_us) for event in events]
        refused = AckResult.REFUSED in results
        result = AckResult.REFUSED if refused else AckResult.ACCEPTED
        words = {"error": "Conflict", "detail": "known with another content"} if refused else {}
        return Receipt(STATUS[result], one.adapter.ack(result, raw), result, len(events), words)

    @staticmethod
    def _receipt(
        one: Configured, raw: bytes, result: AckResult, status: int, error: AdapterError
    ) -> Receipt:
        words = {"error": type(error).__name__, "detail": error.detail}
        return Receipt(status, one.adapter.ack(result, raw), result, 0, words)


class ReceiveJob(Job):
    """The listener: one path for each adapter that is told things."""

    name = "receive"

    def __init__(self, tools: Tools, adapters: Mapping[str, Configured]) -> None:
        self._tools = tools
        self._adapters = dict(adapters)
        self._letterbox = Letterbox(tools.registry)
        self._received: dict[str, int] = {}
        self.address = ("", 0)

    async def run(self) -> None:
        worker = self._tools.config.worker
        app = web.Application(client_max_size=worker.inbound_max_bytes)
        app.router.add_post("/inbound/{name}", self._post)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=worker.drain_s * 0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, worker.inbound_host, worker.inbound_port).start()
            host, port = runner.addresses[0][:2]
            self.address = (str(host), int(port))
            log.info("inbound_listening", extra={"host": host, "port": port})
            await asyncio.Event().wait()
        except OSError as error:
            detail = f"cannot listen on {worker.inbound_host}:{worker.inbound_port}"
            raise EnvironmentFault("ENV_PORT_IN_USE", f"{detail}: {error.strerror}") from error
        finally:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        one = self._adapters.get(request.match_info["name"])
        if one is None:
            return _problem(404, "there is no such peer")
        raw = await request.read()
        headers = dict(request.headers)
        try:
            receipt = await asyncio.to_thread(
                self._letterbox.receive, one, raw, headers, self._tools.now_us()
            )
        except DatabaseError:
            log.exception("message_not_stored", extra={"adapter": one.name})
            return _problem(503, "not stored now, send it again")
        said = str(receipt.result)
        self._received[said] = self._received.get(said, 0) + 1
        return web.Response(status=receipt.status, body=receipt.body)

    def report(self) -> Mapping[str, Any]:
        return {"received": self._received, "port": self.address[1]}


def build_receive_jobs(tools: Tools) -> Iterable[Job]:
    """The listener, when `worker.inbound_port` is set and somebody may speak."""
    if tools.config.worker.inbound_port is None:
        return
    heard = {
        name: one
        for name, one in load_adapters(tools.config).items()
        if Capability.INBOUND in one.adapter.info.capabilities
    }
    if heard:
        yield ReceiveJob(tools, heard)


def _problem(status: int, detail: str) -> web.Response:
    body = json.dumps({"status": status, "detail": detail}).encode()
    return web.Response(status=status, body=body, content_type="application/problem+json")
