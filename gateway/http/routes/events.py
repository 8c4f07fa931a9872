"""/v1/events: what happened, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Call, Endpoint
from gateway.shapes import INT_MAX, says
from gateway.wallet.events import Behind, EventPage, Events


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsAfter:
    """Which events."""

    after: Annotated[int, says("number of the last event seen", minimum=0, maximum=INT_MAX)] = 0
    notices_after: Annotated[
        int | None,
        says("number of the last notice seen; absent = records only", minimum=0, maximum=INT_MAX),
    ] = None
    limit: Annotated[int, says("how many", minimum=1, maximum=100)] = 50
    wait_for: Annotated[
        int,
        says("journal position to wait for, a few seconds at most", minimum=0, maximum=INT_MAX),
    ] = 0


async def _list(call: Call) -> EventPage:
    query: EventsAfter = call.query
    return await call.service(Events).list_after(
        call.actor,
        Behind(query.after, query.notices_after),
        query.limit,
        wait_for=query.wait_for,
    )


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/events",
        handler=_list,
        summary="List events behind a number",
        tag="events",
        query=EventsAfter,
        answer=EventPage,
        scopes=("events:read",),
        errors=("LEDGER_ERROR",),
    ),
]
