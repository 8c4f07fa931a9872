"""What became of a request."""

from __future__ import annotations

from gateway.http.endpoint import Call, Endpoint
from gateway.http.guard import caller_of
from gateway.http.idempotency import Keys
from gateway.http.routes.accounts import COMMANDS
from gateway.wallet.requests import RequestBook, RequestState


async def _get(call: Call) -> RequestState:
    caller, key = caller_of(call.actor), call.path["key"]
    at_work = call.service(Keys).is_at_work(caller, key)
    return await call.service(RequestBook).get(call.actor, caller, key, is_at_work=at_work)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/requests/{key}",
        handler=_get,
        summary="Tell what became of a request",
        tag="meta",
        answer=RequestState,
        errors=COMMANDS,
    ),
]
