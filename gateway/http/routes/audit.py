"""/v1/audit: the trail of changes and refusals, and its signed checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.http.cursors import Listed, cut_page, read_page
from gateway.http.endpoint import Call, Endpoint, Page
from gateway.shapes import PLAIN, says
from gateway.wallet.trail import AuditEntry, AuditState, CheckpointShown, Trail


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery(Page):
    """Which events."""

    subject: Annotated[
        str | None, says("only of this one, as tenant:metro", maxLength=200, pattern=PLAIN)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEventList(Listed):
    """Changes and refusals, the newest first."""

    data: tuple[AuditEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointList(Listed):
    """Checkpoints, the newest first."""

    data: tuple[CheckpointShown, ...]


async def _events(call: Call) -> AuditEventList:
    window = read_page("aud", call.query)
    found = await call.service(Trail).list_events(call.actor, call.query.subject or "", window)
    return cut_page(AuditEventList, "aud", [(one.seq, one) for one in found], window)


async def _checkpoints(call: Call) -> CheckpointList:
    window = read_page("chk", call.query)
    found = await call.service(Trail).list_checkpoints(call.actor, window)
    return cut_page(CheckpointList, "chk", [(one.number, one) for one in found], window)


async def _state(call: Call) -> AuditState:
    return await call.service(Trail).look(call.actor)


SCOPES = ("audit:read",)

ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/audit/events",
        handler=_events,
        summary="List changes and refusals, the newest first",
        tag="audit",
        query=AuditQuery,
        answer=AuditEventList,
        scopes=SCOPES,
    ),
    Endpoint(
        method="GET",
        path="/v1/audit/checkpoints",
        handler=_checkpoints,
        summary="List the signed checkpoints, the newest first",
        tag="audit",
        query=Page,
        answer=CheckpointList,
        scopes=SCOPES,
    ),
    Endpoint(
        method="GET",
        path="/v1/audit/state",
        handler=_state,
        summary="Tell what is signed, and whether what came since follows it",
        tag="audit",
        answer=AuditState,
        scopes=SCOPES,
    ),
]
