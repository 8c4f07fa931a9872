"""Webhooks: where events are sent, with which secret. The sending itself is a job of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

from gateway.clock import format_operation_id
from gateway.errors import ApiError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.scopes import Scope
from gateway.shapes import InstantUs, OperationId, says
from gateway.wallet.commands import Cause
from gateway.wallet.sealing import Sealer
from gateway.wallet.signing import new_secret, show_secret
from gateway.wallet.stores.webhooks import DeliveryRow, HookRow, WebhookStore
from gateway.windows import Window

OLD_SECRET_US = 86_400_000_000
"""So long both secrets sign after a rotation."""
HOOKS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where events are sent."""

    webhook_id: OperationId
    tenant_id: str
    url: str
    events: Annotated[tuple[str, ...], says("types of events; empty = all")]
    state: Literal["active", "disabled"]
    reason: Annotated[str, says("why it is disabled")]
    cursor: Annotated[int, says("number of the last event taken up")]
    created_us: InstantUs
    secret: Annotated[str, says("shown when it is made or rotated; empty else")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event sent to one webhook."""

    delivery_id: int
    event_id: str
    state: Literal["waiting", "done", "dead"]
    attempts: int
    status: Annotated[int, says("HTTP status of the last attempt; 0 = none came")]
    last_error: str
    created_us: InstantUs
    next_us: InstantUs


class Mark(Protocol):
    """How far the ledger has come."""

    async def wait(self, position: int) -> object:
        """An AsOf."""


class Webhooks:
    """The services on webhooks."""

    def __init__(
        self,
        store: WebhookStore,
        sealer: Sealer,
        clock: Callable[[], int],
        last_seq: Callable[[], int],
        *,
        allow_private: bool,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._last_seq = last_seq
        self._allow_private = allow_private

    async def add(
        self, actor: Actor, cause: Cause, url: str, events: tuple[str, ...], *, after: int | None
    ) -> Webhook:
        """A new webhook; it gets what comes behind `after`, None = from now on; of
        what owners are told everything with 0, else from now on.

        Raises: ApiError API_INVALID: no URL to send to. API_CONFLICT: too many. AuthError: the
            caller may not read what would be sent.
        """
        actor.require(Scope.WEBHOOKS_WRITE)
        actor.require(Scope.EVENTS_READ)
        check_url(url, allow_private=self._allow_private)
        return await asyncio.to_thread(self._add, actor, cause, url, events, after)

    def _add(
        self, actor: Actor, cause: Cause, url: str, events: tuple[str, ...], after: int | None
    ) -> Webhook:
        webhook_id = format_operation_id(cause.operation_id)
        if self._store.find(webhook_id) is None:
            if len(self._store.list_all(actor.tenant_id)) >= HOOKS_MAX:
                raise ApiError("API_CONFLICT", f"a tenant has at most {HOOKS_MAX} webhooks")
            now_us = self._clock()
            row = HookRow(
                webhook_id=webhook_id,
                tenant_id=actor.tenant_id,
                url=url,
                events=" ".join(events),
                sealed=self._sealer.seal(webhook_id, new_secret()),
                old_sealed=b"",
                old_until_us=0,
                state="active",
                reason="",
                cursor=self._last_seq() if after is None else after,
                failing_since_us=0,
                created_us=now_us,
                changed_us=now_us,
                notice_cursor=0 if after == 0 else self._store.last_notice(),
            )
            self._store.add(row, actor)
        return self._shown(self._get(actor, webhook_id), with_secret=True)

    async def list_all(self, actor: Actor) -> list[Webhook]:
        """The caller's webhooks, without their secrets."""
        actor.require(Scope.WEBHOOKS_WRITE)
        found = await asyncio.to_thread(self._store.list_all, actor.tenant_id)
        return [self._shown(row, with_secret=False) for row in found]

    async def rotate(self, actor: Actor, cause: Cause, webhook_id: str) -> Webhook:
        """A new secret; for a day both sign. The same cause rotates once."""
        actor.require(Scope.WEBHOOKS_WRITE)
        return await asyncio.to_thread(self._rotate, actor, cause, webhook_id)

    def _rotate(self, actor: Actor, cause: Cause, webhook_id: str) -> Webhook:
        row = self._get(actor, webhook_id)
        made_us = int.from_bytes(cause.operation_id[:6]) * 1000
        if row.changed_us < made_us:  # the id is as old as its request: done before, if newer
            now_us = self._clock()
            self._store.change_noted(
                actor,
                "rotate",
                webhook_id,
                now_us,
                sealed=self._sealer.seal(webhook_id, new_secret()),
                old_sealed=row.sealed,
                old_until_us=now_us + OLD_SECRET_US,
                changed_us=now_us,
            )
        return self._shown(self._get(actor, webhook_id), with_secret=True)

    async def enable(self, actor: Actor, webhook_id: str) -> Webhook:
        """Take a disabled webhook up again; what waited is sent now."""
        actor.require(Scope.WEBHOOKS_WRITE)
        actor.require(Scope.EVENTS_READ)

        def work() -> Webhook:
            if self._get(actor, webhook_id).state != "active":
                fresh: dict[str, Any] = {"state": "active", "reason": "", "failing_since_us": 0}
                self._store.change_noted(actor, "enable", webhook_id, self._clock(), **fresh)
            return self._shown(self._get(actor, webhook_id), with_secret=False)

        return await asyncio.to_thread(work)

    async def remove(self, actor: Actor, webhook_id: str) -> None:
        """No more events, and none of those that wait."""
        actor.require(Scope.WEBHOOKS_WRITE)
        await asyncio.to_thread(self._get, actor, webhook_id)
        await asyncio.to_thread(self._store.remove, webhook_id, actor, self._clock())

    async def list_deliveries(
        self, actor: Actor, webhook_id: str, window: Window
    ) -> list[Delivery]:
        """What was sent, the newest first; one more than asked for when there are more."""
        actor.require(Scope.WEBHOOKS_WRITE)
        await asyncio.to_thread(self._get, actor, webhook_id)
        found = await asyncio.to_thread(lambda: self._store.list_deliveries(webhook_id, window))
        return [_delivery(row) for row in found]

    def _get(self, actor: Actor, webhook_id: str) -> HookRow:
        row = self._store.find(webhook_id)
        if row is None or row.tenant_id != actor.tenant_id or actor.kind is ActorKind.RIDER:
            raise ApiError("API_NOT_FOUND", "there is no such webhook")
        return row

    def _shown(self, row: HookRow, *, with_secret: bool) -> Webhook:
        secret = show_secret(self._sealer.open(row.webhook_id, row.sealed)) if with_secret else ""
        return Webhook(
            webhook_id=row.webhook_id,
            tenant_id=row.tenant_id,
            url=row.url,
            events=tuple(row.events.split()),
            state="active" if row.state == "active" else "disabled",
            reason=row.reason,
            cursor=row.cursor,
            created_us=row.created_us,
            secret=secret,
        )


def check_url(url: str, *, allow_private: bool) -> None:
    """Whether a URL can be sent to at all; its address is checked when it is sent to.

    Raises: ApiError API_INVALID.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url("is no URL") from None
    schemes = {"https", "http"} if allow_private else {"https"}
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise _bad_url(f"must be a URL with {' or '.join(sorted(schemes))}")
    if parts.username or parts.password or parts.fragment:
        raise _bad_url("must hold no login and no fragment")


def _bad_url(detail: str) -> ApiError:
    fault = {"part": "body", "pointer": "/url", "rule": "url", "detail": detail}
    return ApiError("API_INVALID", "events cannot be sent there", faults=[fault])


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        delivery_id=row.delivery_id,
        event_id=row.event_id,
        state=row.state,  # type: ignore[arg-type]
        attempts=row.attempts,
        status=row.status,
        last_error=row.last_error,
        created_us=row.created_us,
        next_us=row.next_us,
    )
