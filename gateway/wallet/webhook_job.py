"""The job that sends events: takes up what is new for each webhook, in order, and tries until it is
taken: pauses grow from seconds to hours, over days; then the webhook is switched off.

Each webhook has a line of its own, a task: one whose receiver is slow, or whose secret cannot be
read, holds up no other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import ConfigError, FareGatewayError, InvariantError
from gateway.jobs import Job
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.scopes import Scope
from gateway.shapes import to_json
from gateway.wallet.events import Behind, Event, EventPage
from gateway.wallet.sealing import Sealer
from gateway.wallet.signing import build_headers
from gateway.wallet.stores.webhooks import DeliveryRow, HookRow, WebhookStore
from gateway.wallet.webhook_sender import Sent

log = logging.getLogger(__name__)

US = 1_000_000
PAUSES_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)
"""Between attempts; the last one again and again."""
JITTER = 0.2
BATCH = 50
WAITING_MAX = 1_000
"""More events wait in the ledger, where they are anyway."""
POLL_S = 1.0
FAULT_PAUSE_S = 10.0
KEEP_US = 7 * 86_400 * US
"""So long what was delivered can be looked up."""
PRUNE_EVERY_S = 3600.0
GONE = 410
ACTOR = Actor.system("worker:webhooks")


class EventsPort(Protocol):
    """The stream of events. Blocking."""

    def page(self, actor: Actor, behind: Behind, limit: int) -> EventPage:
        """Events behind a place that the actor may see."""


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


class Owners(Protocol):
    """What is known of the tenants behind webhooks. Blocking."""

    def is_house(self, tenant_id: str) -> bool:
        """Whether a tenant sees everything."""

    def is_open(self, tenant_id: str) -> bool:
        """Whether a tenant is not closed."""


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
        owners: Owners,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._open_events = events
        self._sealer = sealer
        self._sender = sender
        self._settings = settings
        self._owners = owners
        self._clock = clock
        self._lines: dict[str, asyncio.Task[None]] = {}
        self._counts = {"sent": 0, "failed": 0, "disabled": 0, "faults": 0, "forgotten": 0}

    async def run(self) -> None:
        events = await asyncio.to_thread(self._open_events)
        clock = asyncio.get_running_loop().time
        pruned_s = -PRUNE_EVERY_S
        try:
            while True:
                self._mind(await asyncio.to_thread(self.list_active), events)
                if clock() - pruned_s >= PRUNE_EVERY_S:
                    pruned_s = clock()
                    before_us = self._clock() - KEEP_US
                    forgotten = await asyncio.to_thread(self._store.prune, before_us)
                    self._counts["forgotten"] += forgotten
                await asyncio.sleep(self._settings.poll_s)
        finally:
            await self._end(list(self._lines))
            await self._sender.close()

    def list_active(self) -> list[str]:
        """The webhooks that are sent to; those of closed tenants are switched off. Blocking."""
        hooks = [hook for hook in self._store.list_all() if hook.state == "active"]
        is_open = {name: self._owners.is_open(name) for name in {one.tenant_id for one in hooks}}
        for hook in hooks:
            if not is_open[hook.tenant_id]:
                self._disable(hook, "its tenant was closed")
        return [hook.webhook_id for hook in hooks if is_open[hook.tenant_id]]

    def _mind(self, active: Iterable[str], events: EventsPort) -> None:
        """A line for each active webhook, and for no other."""
        wanted = set(active)
        for webhook_id, line in list(self._lines.items()):
            if line.done() and not line.cancelled():
                line.result()  # what is caught nowhere else: a broken promise
            if webhook_id not in wanted:
                line.cancel()
                del self._lines[webhook_id]
        for webhook_id in wanted - set(self._lines):
            self._lines[webhook_id] = asyncio.create_task(self._line(webhook_id, events))

    async def _end(self, webhook_ids: Iterable[str]) -> None:
        lines = [self._lines.pop(one) for one in webhook_ids]
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _line(self, webhook_id: str, events: EventsPort) -> None:
        while True:
            pause_s = self._settings.poll_s
            try:
                if await self.serve(webhook_id, events):
                    continue
            except InvariantError:
                raise
            except FareGatewayError as error:
                pause_s = await self._fault(webhook_id, error)
            except Exception:  # whatever is wrong with this one, the others go on
                log.exception("webhook_failed", extra={"webhook": webhook_id})
                pause_s = FAULT_PAUSE_S
            await asyncio.sleep(pause_s)

    async def _fault(self, webhook_id: str, error: FareGatewayError) -> float:
        """How long to wait after what is no receiver's fault. A secret that cannot be read is the
        webhook's own: it fails, as if nothing could be sent to it.
        """
        log.warning("webhook_failed", extra={"webhook": webhook_id} | error.as_dict())
        if isinstance(error, ConfigError):
            await asyncio.to_thread(self._note_failing, webhook_id, error.code)
        self._counts["faults"] += 1  # at last: who reads it finds the failure noted
        return FAULT_PAUSE_S

    def _note_failing(self, webhook_id: str, reason: str) -> None:
        hook = self._store.find(webhook_id)
        if hook is not None:
            self._failed(hook, self._clock(), reason)

    async def serve(self, webhook_id: str, events: EventsPort) -> bool:
        """Take up what is new for one webhook and send what is due. Whether there may be more now.

        Raises: ConfigError CONFIG_SECRET: its secret lies under a key that is gone. DatabaseError.
        """
        hook = await asyncio.to_thread(self._store.find, webhook_id)
        if hook is None or hook.state != "active":
            return False
        more = await asyncio.to_thread(self._take_up, hook, events)
        due = await asyncio.to_thread(self._store.list_due, webhook_id, self._clock(), BATCH)
        for delivery in due:
            if not await self._try(hook, delivery):
                return False
        return bool(due) or more

    def _take_up(self, hook: HookRow, events: EventsPort) -> bool:
        """New events of this webhook become deliveries. Whether there are more."""
        if self._store.count_waiting(hook.webhook_id) >= WAITING_MAX:
            return False
        house = self._owners.is_house(hook.tenant_id)
        kind = ActorKind.OPERATOR if house else ActorKind.TENANT
        subject = f"webhook:{hook.webhook_id}"
        actor = Actor(kind, subject, hook.tenant_id, frozenset({Scope.EVENTS_READ}))
        page = events.page(actor, Behind(hook.cursor, hook.notice_cursor), BATCH)
        wanted = set(hook.events.split())
        bodies = [
            (one.event_id, body_of(one)) for one in page.data if not wanted or one.type in wanted
        ]
        cursors = page.next_after, page.next_notice_after
        if cursors != (hook.cursor, hook.notice_cursor):
            self._store.enqueue(hook.webhook_id, bodies, cursors, self._clock())
        return page.has_more

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
        if sent.status == GONE:
            self._disable(hook, "the receiver said 410 gone")
        else:
            self._failed(hook, now_us, sent.error)

    def _failed(self, hook: HookRow, now_us: int, error: str) -> None:
        """Nothing gets through since now, or since long enough to give up."""
        if not hook.failing_since_us:
            self._store.change(hook.webhook_id, failing_since_us=now_us)
        elif now_us - hook.failing_since_us > self._settings.give_up_us:
            self._disable(hook, f"failed too long: {error}")

    def _disable(self, hook: HookRow, reason: str) -> None:
        self._counts["disabled"] += 1
        self._store.change_noted(
            ACTOR, "disable", hook.webhook_id, self._clock(), state="disabled", reason=reason[:200]
        )

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
