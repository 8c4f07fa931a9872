"""The worker's jobs of each configured adapter: its relay, and its inbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adapters.contract import Capability, Command, Context
from gateway.delivery.clearing.job import ClearingJob
from gateway.delivery.clearing.outgoing import on_sent
from gateway.delivery.handlers import build_handler
from gateway.delivery.inbox import Handler, Inbox
from gateway.delivery.kinds import Configured, load_adapters
from gateway.delivery.outbox import OnOutcome, Outbox
from gateway.delivery.relay import Relay, RelaySettings
from gateway.delivery.sealed import CommandSealer
from gateway.jobs import Job, Tools
from gateway.keys import load_control_secrets
from gateway.registry.owner_keys import OwnerKeys

log = logging.getLogger(__name__)
COUNT_S = 2.0
INBOX_S = 1.0


def build_delivery_jobs(tools: Tools) -> Iterable[Job]:
    """All jobs of the configured adapters. Raises: ConfigError."""
    configured = load_adapters(tools.config)
    if not configured:
        return
    keys = load_control_secrets(tools.config).registry_keys
    sealer = CommandSealer(keys, OwnerKeys(tools.registry, keys))
    for one in configured.values():
        if one.kind == "clearing":
            yield RelayJob(one, tools, on_outcome=on_sent)  # files name nobody
            yield ClearingJob(one, tools)
            continue
        handler = build_handler(one, tools)
        if one.is_told:
            on_outcome = getattr(handler, "on_outcome", None)
            yield RelayJob(one, tools, on_outcome=on_outcome, open_command=sealer.open)
        if Capability.INBOUND in one.adapter.info.capabilities and handler is not None:
            yield InboxJob(one.name, tools, handler)


class RelayJob(Job):
    """Opens the adapter, carries its commands, closes it."""

    def __init__(
        self,
        configured: Configured,
        tools: Tools,
        *,
        on_outcome: OnOutcome | None = None,
        open_command: Callable[[Command], Command] | None = None,
    ) -> None:
        self.name = f"relay-{configured.name}"
        self._configured = configured
        self._tools = tools
        self._outbox = Outbox(tools.registry)
        self._on_outcome = on_outcome
        self._open_command = open_command
        self._relay = self._build()
        self._queue: dict[str, int] = {}
        self._oldest_us = 0

    def _build(self) -> Relay:
        worker = self._tools.config.worker
        settings = RelaySettings(poll_s=worker.poll_s, drain_s=worker.drain_s * 0.8)
        return Relay(
            self._configured.name,
            self._configured.adapter,
            self._outbox,
            self._tools.now_us,
            on_outcome=self._on_outcome,
            open_command=self._open_command,
            settings=settings,
        )

    async def run(self) -> None:
        adapter = self._configured.adapter
        self._relay = self._build()
        await adapter.open(build_context(self._configured, self._tools))
        counting = asyncio.create_task(self._count_often())
        try:
            await self._relay.run()
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
            await adapter.close()

    async def _count_often(self) -> None:
        name = self._configured.name
        while True:
            self._queue = await asyncio.to_thread(self._outbox.count, name)
            self._oldest_us = await asyncio.to_thread(self._outbox.oldest_us, name)
            await asyncio.sleep(COUNT_S)

    def report(self) -> Mapping[str, Any]:
        health = self._configured.adapter.health()
        age_us = self._tools.now_us() - self._oldest_us if self._oldest_us else 0
        return {
            "adapter": self._configured.name,
            "kind": self._configured.kind,
            "open": health.is_open,
            "last_ok_us": health.last_ok_us,
            "peer_error": health.last_error,
            "queue": self._queue,
            "queue_age_us": max(age_us, 0),
            **self._relay.report(),
        }


class InboxJob(Job):
    """Applies what a peer told us, again and again."""

    def __init__(self, source: str, tools: Tools, handler: Handler) -> None:
        self.name = f"inbox-{source}"
        self._source = source
        self._inbox = Inbox(tools.registry)
        self._handler = handler
        self._now_us = tools.now_us
        self._events: dict[str, int] = {}

    async def run(self) -> None:
        while True:
            await asyncio.to_thread(self._inbox.apply, self._source, self._handler, self._now_us())
            self._events = await asyncio.to_thread(self._inbox.count, self._source)
            await asyncio.sleep(INBOX_S)

    def report(self) -> Mapping[str, Any]:
        return {"source": self._source, "events": self._events}


def build_context(configured: Configured, tools: Tools) -> Context:
    """What an adapter gets from the core: its name, the time, a log without personal fields."""
    personal = configured.adapter.info.pii_fields

    def say(event: str, fields: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in fields.items() if name not in personal}
        log.info("adapter_said", extra={"adapter": configured.name, "said": event, "fields": kept})

    return Context(configured.name, tools.now_us, say)
