"""Four eyes: what one person alone may not do is proposed by one and approved by another.

    proposed ──approve──▶ approved ──the same request again──▶ executed
        ├──reject──▶ rejected
        └──(time)──▶ expired, also from approved

An approval is bound to the digest of the whole request: another amount is another proposal. It is
used once; the same operation id may claim it again, so that a crash between claim and effect does
not lose it. Whoever approves is another subject and another owner than who proposed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    Row,
    String,
    Table,
    insert,
    select,
    update,
)

from gateway.clock import now_us
from gateway.db import I64, Database
from gateway.errors import ApprovalNeeded, AuthError, RegistryError
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.registry.scopes import Scope
from gateway.registry.store import METADATA

VALID_US = 86_400_000_000

APPROVALS = Table(
    "approvals",
    METADATA,
    Column("approval_id", String(32), primary_key=True),
    Column("action", String(32), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("body_digest", LargeBinary, nullable=False),
    Column("summary", String, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("state", String(16), nullable=False),
    Column("proposed_by", String(100), nullable=False),
    Column("proposer_owner", String(100), nullable=False),
    Column("proposed_us", I64, nullable=False),
    Column("expires_us", I64, nullable=False),
    Column("decided_by", String(100), nullable=False),
    Column("decided_us", I64, nullable=False),
    Column("why", String, nullable=False),
    Column("operation_id", String(64), nullable=False),
    Index("approvals_wanted", "action", "subject", "state"),
)
"""summary: JSON of what is asked for, for the approver. operation_id: what it was used for."""


class Action(StrEnum):
    """What may need four eyes."""

    ADJUSTMENT = "adjustment"
    UNFREEZE = "unfreeze"
    WRITE_OFF = "write_off"
    CREDIT_LIMIT = "credit_limit"
    CREDIT = "credit"
    PAYOUT = "payout"
    FARE_REVERSAL = "fare_reversal"


class ApprovalState(StrEnum):
    """Where a proposal stands."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXECUTED = "executed"
    EXPIRED = "expired"


OPEN = (ApprovalState.PROPOSED, ApprovalState.APPROVED)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be done. subject: `account:7`. body_digest: SHA-256 of the whole request.
    amount_minor: its size, whatever its sign, in minor units. summary: no personal data."""

    action: Action
    subject: str
    body_digest: bytes
    amount_minor: int = 0
    summary: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Approval:
    """A proposal and what became of it."""

    approval_id: str
    action: Action
    subject: str
    body_digest: bytes
    summary: str
    amount_minor: int
    state: ApprovalState
    proposed_by: str
    proposer_owner: str
    proposed_us: int
    expires_us: int
    decided_by: str = ""
    decided_us: int = 0
    why: str = ""
    operation_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        return asdict(self) | {
            "body_digest": self.body_digest.hex(),
            "summary": json.loads(self.summary),
        }


class Approvals:
    """The services on approvals. Each method is one transaction.

    Args: above_minor: per action the amount from which on it needs four eyes, 0 = always; an action
        that is not named never does.
    """

    def __init__(
        self,
        database: Database,
        above_minor: Mapping[str, int],
        *,
        valid_us: int = VALID_US,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._database = database
        self._above = {Action(name): amount for name, amount in above_minor.items()}
        self._valid_us = valid_us
        self._clock = clock

    def is_needed(self, proposal: Proposal) -> bool:
        """Whether the policy wants four eyes for this."""
        return is_above(self._above, proposal)

    def require(self, actor: Actor, proposal: Proposal, *, operation_id: str) -> Approval | None:
        """Go on, or be told to wait for a second pair of eyes.

        Returns: the approval used up by this, or None when none is needed.
        Raises: ApprovalNeeded with the id of the proposal, which is made here if there is none.
        """
        if not self.is_needed(proposal):
            return None
        now = self._clock()
        with self._database.transaction() as connection:
            used = _claim(connection, actor, proposal, operation_id, now)
            if used is not None:
                subject = f"approval:{used.approval_id}"
                note_change(connection, actor, "approval.use", subject, now, operation=operation_id)
                return used
            waiting = self._propose(connection, actor, proposal, now)
        raise ApprovalNeeded(
            detail=f"{proposal.action} needs a second pair of eyes: {waiting.approval_id}",
            approval_id=waiting.approval_id,
        )

    def propose(self, actor: Actor, proposal: Proposal) -> Approval:
        """Put something before others; the same again is the same proposal."""
        with self._database.transaction() as connection:
            return self._propose(connection, actor, proposal, self._clock())

    def approve(self, actor: Actor, approval_id: str, *, why: str = "") -> Approval:
        """Be the second pair of eyes. Raises: AuthError AUTH_SAME_EYES, AUTH_SCOPE; RegistryError
        REGISTRY_UNKNOWN, APPROVAL_CLOSED: decided, used or expired.
        """
        return self._decide(actor, approval_id, ApprovalState.APPROVED, why)

    def reject(self, actor: Actor, approval_id: str, *, why: str = "") -> Approval:
        """Say no; the proposer may, too. Raises: AuthError, RegistryError."""
        return self._decide(actor, approval_id, ApprovalState.REJECTED, why)

    def get(self, actor: Actor, approval_id: str) -> Approval:
        """Raises: AuthError; RegistryError REGISTRY_UNKNOWN."""
        actor.require(Scope.APPROVALS_READ)
        with self._database.reading() as connection:
            return _shown(_get(connection, approval_id), self._clock())

    def list_open(self, actor: Actor) -> list[Approval]:
        """What waits for a decision or for its use, the oldest first. Raises: AuthError."""
        actor.require(Scope.APPROVALS_READ)
        now = self._clock()
        wanted = (
            select(APPROVALS)
            .where(APPROVALS.c.state.in_(OPEN), APPROVALS.c.expires_us > now)
            .order_by(APPROVALS.c.proposed_us, APPROVALS.c.approval_id)
        )
        with self._database.reading() as connection:
            return [_approval(row) for row in connection.execute(wanted)]

    def _propose(
        self, connection: Connection, actor: Actor, proposal: Proposal, now: int
    ) -> Approval:
        if found := _find_open(connection, actor, proposal, now):
            return found
        made = Approval(
            approval_id=f"apr_{secrets.token_hex(12)}",
            action=proposal.action,
            subject=proposal.subject,
            body_digest=proposal.body_digest,
            summary=json.dumps(proposal.summary, sort_keys=True, ensure_ascii=False),
            amount_minor=proposal.amount_minor,
            state=ApprovalState.PROPOSED,
            proposed_by=actor.subject,
            proposer_owner=actor.owner,
            proposed_us=now,
            expires_us=now + self._valid_us,
        )
        connection.execute(insert(APPROVALS).values(asdict(made)))
        _note(connection, actor, "approval.propose", made, now)
        return made

    def _decide(self, actor: Actor, approval_id: str, state: ApprovalState, why: str) -> Approval:
        actor.require(Scope.APPROVALS_DECIDE)
        now = self._clock()
        with self._database.transaction() as connection:
            found = _shown(_get(connection, approval_id), now)
            if (found.state, found.decided_by) == (state, actor.subject):
                return found  # said before
            if found.state is not ApprovalState.PROPOSED:
                raise RegistryError("APPROVAL_CLOSED", f"{approval_id} is {found.state}")
            if state is ApprovalState.APPROVED:
                _check_other_eyes(actor, found)
            connection.execute(
                update(APPROVALS)
                .where(APPROVALS.c.approval_id == approval_id)
                .values(state=state, decided_by=actor.subject, decided_us=now, why=why)
            )
            said = {"why_sha256": digest_of_why(approval_id, why)} if why else {}
            _note(connection, actor, f"approval.{state}", found, now, **said)
            return _approval(_get_row(connection, approval_id))


def is_above(above_minor: Mapping[Action, int], proposal: Proposal) -> bool:
    """Whether the policy wants four eyes for something."""
    above = above_minor.get(proposal.action)
    return above is not None and abs(proposal.amount_minor) >= above


def _check_other_eyes(actor: Actor, found: Approval) -> None:
    same = actor.subject == found.proposed_by
    if same or not actor.owner or actor.owner == found.proposer_owner:
        raise AuthError("AUTH_SAME_EYES", f"{found.approval_id} was proposed by {actor.owner}")


def _claim(
    connection: Connection, actor: Actor, proposal: Proposal, operation_id: str, now: int
) -> Approval | None:
    """Use up an approval of this very request, made by this proposer."""
    rows = connection.execute(_like(actor, proposal).with_for_update()).all()
    approvals = [_approval(row) for row in rows]
    for found in approvals:
        if found.state is ApprovalState.EXECUTED and found.operation_id == operation_id:
            return found
    for found in approvals:
        if found.state is ApprovalState.APPROVED and found.expires_us > now:
            connection.execute(
                update(APPROVALS)
                .where(APPROVALS.c.approval_id == found.approval_id)
                .values(state=ApprovalState.EXECUTED, operation_id=operation_id)
            )
            return _approval(_get_row(connection, found.approval_id))
    return None


def _find_open(
    connection: Connection, actor: Actor, proposal: Proposal, now: int
) -> Approval | None:
    wanted = _like(actor, proposal).where(APPROVALS.c.state.in_(OPEN), APPROVALS.c.expires_us > now)
    row = connection.execute(wanted).first()
    return _approval(row) if row else None


def _like(actor: Actor, proposal: Proposal) -> Any:
    return (
        select(APPROVALS)
        .where(
            APPROVALS.c.action == proposal.action,
            APPROVALS.c.subject == proposal.subject,
            APPROVALS.c.body_digest == proposal.body_digest,
            APPROVALS.c.proposer_owner == actor.owner,
        )
        .order_by(APPROVALS.c.proposed_us.desc())
    )


def _get(connection: Connection, approval_id: str) -> Approval:
    return _approval(_get_row(connection, approval_id))


def _get_row(connection: Connection, approval_id: str) -> Row[Any]:
    wanted = select(APPROVALS).where(APPROVALS.c.approval_id == approval_id).with_for_update()
    row = connection.execute(wanted).first()
    if row is None:
        raise RegistryError("REGISTRY_UNKNOWN", f"there is no approval {approval_id}")
    return row


def _shown(found: Approval, now: int) -> Approval:
    """With `expired` where its time is over."""
    if found.state in OPEN and found.expires_us <= now:
        return Approval(**asdict(found) | {"state": ApprovalState.EXPIRED})
    return found


def digest_of_why(approval_id: str, why: str) -> str:
    """A reason as the audit trail holds it: whoever has the words can prove that they were those,
    and the trail, which is never erased, says nothing about anybody.
    """
    return hashlib.sha256(f"{approval_id}\0{why}".encode()).hexdigest()


def _note(
    connection: Connection, actor: Actor, action: str, found: Approval, now: int, **more: str
) -> None:
    note_change(
        connection,
        actor,
        action,
        f"approval:{found.approval_id}",
        now,
        what=str(found.action),
        of=found.subject,
        amount_minor=found.amount_minor,
        **more,
    )


def _approval(row: Row[Any]) -> Approval:
    values = dict(row._mapping)
    values["body_digest"] = bytes(values["body_digest"])
    kinds = {"action": Action(values["action"]), "state": ApprovalState(values["state"])}
    return Approval(**values | kinds)
