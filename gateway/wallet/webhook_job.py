"""The job that sends events: takes up what is new for each webhook, in order, and tries until it is
taken: pauses grow from seconds to hours, over days; then the webhook is switched off.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.jobs import Job
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.scopes import Scope
from gateway.shapes import to_json
from gateway.wallet.events import AsOf, Event, EventPage
from gateway.wallet.sealing import Sealer
from gateway.wallet.signing import build_headers
from gateway.wallet.stores.webhooks import DeliveryRow, HookRow, WebhookStore
from gateway.wallet.webhook_sender import Sent

US = 1_000_000
PAUSES_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)
"""Between attempts; the last one again and again."""
JITTER = 0.2
BATCH = 50
POLL_S = 1.0
KEEP_US = 7 * 86_400 * US
GONE = 410


class EventsPort(Protocol):
    """The stream of events. Blocking."""

    def page(self, actor: Actor, after: int, limit: int, as_of: AsOf) -> EventPage:
        """Events behind a number that the actor may see."""


class Sender(Protocol):
    """Sends one delivery."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """One attempt."""

    async def close(self) -> None:
        """No more."""


@dataclass(frozen=True, slots=True)
class HookSettings:
    """give_up_us: a webhook that failed for so long is switched off."""

    give_up_us: int
    poll_s: float = POLL_S


class WebhookJob(Job):
    """Sends what is due, webhooks side by side, the events of each in their order."""

    name = "webhooks"

    def __init__(
        self,
        store: WebhookStore,
        events: Callable[[], EventsPort],
        sealer: Sealer,
        sender: Sender,
        settings: HookSettings,
        *,
        clock: Callable[[], int],
        houses: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._open_events = events
        self._sealer = sealer
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._is_house = houses
        self._counts = {"sent": 0, "failed": 0, "disabled": 0}

    async def run(self) -> None:
        events = await asyncio.to_thread(self._open_events)
        try:
            while True:
                if not await self.work(events):
                    await asyncio.sleep(self._settings.poll_s)
        finally:
            await self._sender.close()

    async def work(self, events: EventsPort) -> int:
        """One round. Returns how many deliveries were tried."""
        hooks = await asyncio.to_thread(self._store.list_all)
        active = [hook for hook in hooks if hook.state == "active"]
        async with asyncio.TaskGroup() as tasks:
            tried = [tasks.create_task(self._serve(hook, events)) for hook in active]
        return sum(task.result() for task in tried)

    async def _serve(self, hook: HookRow, events: EventsPort) -> int:
        await asyncio.to_thread(self._take_up, hook, events)
        due = await asyncio.to_thread(self._store.list_due, hook.webhook_id, self._clock(), BATCH)
        for tried, delivery in enumerate(due, start=1):
            if not await self._try(hook, delivery):
                return tried
        return len(due)

    def _take_up(self, hook: HookRow, events: EventsPort) -> None:
        """New events of this webhook become deliveries."""
        kind = ActorKind.OPERATOR if self._is_house(hook.tenant_id) else ActorKind.TENANT
        actor = Actor(kind, f"webhook:{hook.webhook_id}", hook.tenant_id, frozenset(Scope))
        page = events.page(actor, hook.cursor, BATCH, AsOf(position=0, seq=0, ts_us=0))
        wanted = set(hook.events.split())
        bodies = [
            (one.event_id, body_of(one)) for one in page.data if not wanted or one.type in wanted
        ]
        if page.next_after != hook.cursor:
            self._store.enqueue(hook.webhook_id, bodies, page.next_after, self._clock())

    async def _try(self, hook: HookRow, delivery: DeliveryRow) -> bool:
        now_us = self._clock()
        body = delivery.body.encode()
        secrets = self._secrets(hook, now_us)
        headers = build_headers(secrets, delivery.event_id, now_us // US, body)
        sent = await self._sender.send(hook.url, headers, body)
        if sent.ok:
            self._counts["sent"] += 1
            await asyncio.to_thread(self._settle_sent, hook, delivery, sent)
        else:
            self._counts["failed"] += 1
            await asyncio.to_thread(self._settle_failed, hook, delivery, sent, now_us)
        return sent.ok

    def _secrets(self, hook: HookRow, now_us: int) -> list[bytes]:
        secrets = [self._sealer.open(hook.webhook_id, hook.sealed)]
        if hook.old_sealed and now_us < hook.old_until_us:
            secrets.append(self._sealer.open(hook.webhook_id, hook.old_sealed))
        return secrets

    def _settle_sent(self, hook: HookRow, delivery: DeliveryRow, sent: Sent) -> None:
        self._store.settle(
            delivery.delivery_id,
            state="done",
            status=sent.status,
            attempts=delivery.attempts + 1,
            last_error="",
        )
        if hook.failing_since_us:
            self._store.change(hook.webhook_id, failing_since_us=0)

    def _settle_failed(self, hook: HookRow, delivery: DeliveryRow, sent: Sent, now_us: int) -> None:
        attempts = delivery.attempts + 1
        self._store.settle(
            delivery.delivery_id,
            status=sent.status,
            attempts=attempts,
            next_us=now_us + pause_us(attempts),
            last_error=sent.error,
        )
        since_us = hook.failing_since_us or now_us
        gone = sent.status == GONE
        if gone or now_us - since_us > self._settings.give_up_us:
            self._counts["disabled"] += 1
            reason = "the receiver said 410 gone" if gone else f"failed too long: {sent.error}"
            self._store.change(hook.webhook_id, state="disabled", reason=reason[:200])
        elif not hook.failing_since_us:
            self._store.change(hook.webhook_id, failing_since_us=now_us)

    def report(self) -> Mapping[str, Any]:
        return dict(self._counts)


def pause_us(attempts: int) -> int:
    """How long to wait after so many attempts, a fifth more or less."""
    pause_s = PAUSES_S[min(attempts, len(PAUSES_S)) - 1]
    return int(pause_s * US * random.uniform(1 - JITTER, 1 + JITTER))


def body_of(event: Event) -> str:
    """An event as it is sent."""
    said = {"type": event.type, "timestamp_us": event.ts_us, "data": to_json(event)}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
