"""/v1/peer-commands: what was given to peers, and dead letters taken up again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.delivery.outbox import State
from gateway.http.cursors import Listed, cut_page, read_page
from gateway.http.endpoint import Call, Endpoint, Page
from gateway.shapes import says
from gateway.wallet.peer_commands import PeerCommand, PeerCommands


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCommandQuery(Page):
    """Which commands."""

    adapter: Annotated[str | None, says("only to this peer", pattern="^[!-~]{1,64}$")] = None
    state: Annotated[State | None, says("`dead` = dead letters; absent = all")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCommandList(Listed):
    """Commands, the oldest first."""

    data: tuple[PeerCommand, ...]


async def _list(call: Call) -> PeerCommandList:
    query: PeerCommandQuery = call.query
    window = read_page("cmd", query)
    found = await call.service(PeerCommands).list(
        call.actor, query.adapter or "", query.state, window
    )
    return cut_page(PeerCommandList, "cmd", found, window)


async def _get(call: Call) -> PeerCommand:
    return await call.service(PeerCommands).get(call.actor, call.path["command_key"])


async def _replay(call: Call) -> PeerCommand:
    return await call.service(PeerCommands).replay(
        call.actor, call.operation_id, call.path["command_key"]
    )


SCOPES = ("delivery:write",)

ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/peer-commands",
        handler=_list,
        summary="List commands to peers; those that died with `state=dead`",
        tag="delivery",
        query=PeerCommandQuery,
        answer=PeerCommandList,
        scopes=SCOPES,
    ),
    Endpoint(
        method="GET",
        path="/v1/peer-commands/{command_key}",
        handler=_get,
        summary="Show where a command to a peer stands",
        tag="delivery",
        answer=PeerCommand,
        scopes=SCOPES,
        errors=("DELIVERY_NOT_FOUND",),
    ),
    Endpoint(
        method="POST",
        path="/v1/peer-commands/{command_key}/replay",
        handler=_replay,
        summary="Take a dead letter up again: the peer is asked about it first",
        tag="delivery",
        answer=PeerCommand,
        scopes=SCOPES,
        errors=("DELIVERY_NOT_FOUND", "DELIVERY_NOT_DEAD"),
    ),
]
