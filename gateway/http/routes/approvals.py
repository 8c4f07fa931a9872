"""/v1/approvals: what waits for a second pair of eyes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from gateway.http.endpoint import Answer, Call, Endpoint
from gateway.registry.approvals import Action, Approval, Approvals, ApprovalState
from gateway.shapes import PLAIN, InstantUs, says

DECIDE = ("REGISTRY_UNKNOWN", "APPROVAL_CLOSED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why it is approved or rejected."""

    why: Annotated[str, says("kept with the decision", maxLength=200, pattern=PLAIN)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalShown:
    """A proposal and what became of it."""

    approval_id: str
    action: Action
    subject: Annotated[str, says("the thing, as account:7")]
    summary: Annotated[str, says("what is asked for, as JSON")]
    amount_minor: Annotated[int, says("its size in minor units", minimum=0)]
    state: ApprovalState
    proposed_by: str
    proposed_us: InstantUs
    expires_us: InstantUs
    decided_by: str
    decided_us: InstantUs
    why: str
    operation_id: Annotated[str, says("what it was used for")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalList:
    """What waits, the oldest first."""

    data: tuple[ApprovalShown, ...]


async def _list(call: Call) -> ApprovalList:
    found = await asyncio.to_thread(call.service(Approvals).list_open, call.actor)
    return ApprovalList(data=tuple(_shown(one) for one in found))


async def _get(call: Call) -> ApprovalShown:
    approvals, number = call.service(Approvals), call.path["approval_id"]
    return _shown(await asyncio.to_thread(approvals.get, call.actor, number))


async def _approve(call: Call) -> Answer:
    return await _decide(call, approve=True)


async def _reject(call: Call) -> Answer:
    return await _decide(call, approve=False)


async def _decide(call: Call, *, approve: bool) -> Answer:
    approvals = call.service(Approvals)
    decide = approvals.approve if approve else approvals.reject
    number, why = call.path["approval_id"], call.body.why
    made = await asyncio.to_thread(lambda: decide(call.actor, number, why=why))
    return Answer(value=_shown(made))


def _shown(found: Approval) -> ApprovalShown:
    return ApprovalShown(
        approval_id=found.approval_id,
        action=found.action,
        subject=found.subject,
        summary=found.summary,
        amount_minor=abs(found.amount_minor),
        state=found.state,
        proposed_by=found.proposed_by,
        proposed_us=found.proposed_us,
        expires_us=found.expires_us,
        decided_by=found.decided_by,
        decided_us=found.decided_us,
        why=found.why,
        operation_id=found.operation_id,
    )


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/v1/approvals",
        handler=_list,
        summary="List what waits for a decision, or for its use",
        tag="approvals",
        answer=ApprovalList,
        scopes=("approvals:read",),
    ),
    Endpoint(
        method="GET",
        path="/v1/approvals/{approval_id}",
        handler=_get,
        summary="Show a proposal",
        tag="approvals",
        answer=ApprovalShown,
        scopes=("approvals:read",),
        errors=("REGISTRY_UNKNOWN",),
    ),
    Endpoint(
        method="POST",
        path="/v1/approvals/{approval_id}/approve",
        handler=_approve,
        summary="Be the second pair of eyes; whoever proposed it then sends the same request again",
        tag="approvals",
        body=Decision,
        answer=ApprovalShown,
        scopes=("approvals:decide",),
        errors=("AUTH_SAME_EYES", *DECIDE),
    ),
    Endpoint(
        method="POST",
        path="/v1/approvals/{approval_id}/reject",
        handler=_reject,
        summary="Say no; whoever proposed it may, too",
        tag="approvals",
        body=Decision,
        answer=ApprovalShown,
        scopes=("approvals:decide",),
        errors=DECIDE,
    ),
]
