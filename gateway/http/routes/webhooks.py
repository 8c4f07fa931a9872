"""/v1/webhooks: where events are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.cursors import Listed, cut_page, read_page
from gateway.http.endpoint import Answer, Call, Endpoint, Page
from gateway.http.routes.accounts import cause_of
from gateway.shapes import INT_MAX, says
from gateway.wallet.webhooks import Delivery, Webhook, Webhooks

EventType = Annotated[str, says("type of an event", pattern="^[a-z_.]{1,40}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddWebhook:
    """Where events are to be sent."""

    url: Annotated[str, says("https", minLength=10, maxLength=500, pattern="^[!-~]+$")]
    events: Annotated[tuple[EventType, ...], says("empty = all", maxItems=12)] = ()
    after: Annotated[
        int | None,
        says(
            "behind this record; absent = from now on; notices only with 0 from the first",
            minimum=0,
            maximum=INT_MAX,
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Nothing more to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookList:
    """The caller's webhooks."""

    data: tuple[Webhook, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryList(Listed):
    """Deliveries, the newest first."""

    data: tuple[Delivery, ...]


async def _add(call: Call) -> Webhook:
    body: AddWebhook = call.body
    return await call.service(Webhooks).add(
        call.actor, cause_of(call), body.url, body.events, after=body.after
    )


async def _list(call: Call) -> WebhookList:
    return WebhookList(data=tuple(await call.service(Webhooks).list_all(call.actor)))


async def _rotate(call: Call) -> Webhook:
    return await call.service(Webhooks).rotate(call.actor, cause_of(call), call.path["webhook_id"])


async def _enable(call: Call) -> Webhook:
    return await call.service(Webhooks).enable(call.actor, call.path["webhook_id"])


async def _remove(call: Call) -> Answer:
    await call.service(Webhooks).remove(call.actor, call.path["webhook_id"])
    return Answer(value=None)


async def _deliveries(call: Call) -> DeliveryList:
    window = read_page("dlv", call.query)
    found = await call.service(Webhooks).list_deliveries(
        call.actor, call.path["webhook_id"], window
    )
    return cut_page(DeliveryList, "dlv", [(one.delivery_id, one) for one in found], window)


SCOPES = ("webhooks:write",)
READING = ("webhooks:write", "events:read")
"""For what makes events go out: whoever has them sent has to be one who may read them."""

ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/v1/webhooks",
        handler=_add,
        summary="Send events to a URL",
        tag="events",
        body=AddWebhook,
        answer=Webhook,
        status=201,
        scopes=READING,
        errors=("API_CONFLICT",),
        is_secret=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/webhooks",
        handler=_list,
        summary="List webhooks",
        tag="events",
        answer=WebhookList,
        scopes=SCOPES,
    ),
    Endpoint(
        method="POST",
        path="/v1/webhooks/{webhook_id}/rotate",
        handler=_rotate,
        summary="Make a new secret; for a day both sign",
        is_secret=True,
        tag="events",
        body=Nothing,
        answer=Webhook,
        scopes=SCOPES,
    ),
    Endpoint(
        method="POST",
        path="/v1/webhooks/{webhook_id}/enable",
        handler=_enable,
        summary="Take a disabled webhook up again",
        tag="events",
        body=Nothing,
        answer=Webhook,
        scopes=READING,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/webhooks/{webhook_id}",
        handler=_remove,
        summary="Send no more events there",
        tag="events",
        status=204,
        scopes=SCOPES,
    ),
    Endpoint(
        method="GET",
        path="/v1/webhooks/{webhook_id}/deliveries",
        handler=_deliveries,
        summary="List what was sent, the newest first",
        tag="events",
        query=Page,
        answer=DeliveryList,
        scopes=SCOPES,
    ),
]
