"""The audit trail and its signed checkpoints, for the house's eyes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any

from gateway.db import Database
from gateway.ledger.checkpoints import Checkpoint, list_page
from gateway.ledger.trail_state import TrailState, look_at_trail
from gateway.registry.actors import Actor
from gateway.registry.audit import AuditRow, Outcome, list_events
from gateway.registry.scopes import Scope
from gateway.shapes import InstantUs, says
from gateway.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change or refusal. Its hash is of the hash before it and of everything in it."""

    seq: Annotated[int, says("number in the trail: 1, 2, 3 ...")]
    at_us: InstantUs
    actor: Annotated[str, says("who: key:..., client:..., person:..., cli:...")]
    tenant_id: str
    action: Annotated[str, says("tenant.add, key.revoke ...")]
    subject: Annotated[str, says("what it was done to: tenant:metro")]
    outcome: Outcome
    facts: Annotated[dict[str, Any], says("why, and the new values")]
    previous_hash: Annotated[str, says("SHA-256, hex")]
    hash: Annotated[str, says("SHA-256, hex")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointShown:
    """A signed checkpoint: heads of journal and trail, the ledger's totals."""

    number: Annotated[int, says("1, 2, 3 ...", minimum=1)]
    at_us: InstantUs
    body: Annotated[str, says("JSON, as it was signed; `previous` is the sha256 of the one before")]
    sha256: Annotated[str, says("of the body, hex")]
    signature: Annotated[str, says("Ed25519 of the body, hex")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """What is signed, and whether what came since follows it."""

    events: Annotated[int, says("the newest event", minimum=0)]
    records: Annotated[int, says("the newest journal record in the ledger", minimum=0)]
    checkpoint: Annotated[int, says("the newest checkpoint; 0 = none", minimum=0)]
    checkpoint_us: InstantUs
    signed_event: Annotated[int, says("the newest event under a signature", minimum=0)]
    signed_record: Annotated[int, says("the newest record under a signature", minimum=0)]
    checked_event: Annotated[int, says("the trail was followed up to it", minimum=0)]
    is_sound: Annotated[bool, says("whether nothing was found")]
    findings: Annotated[tuple[str, ...], says("what does not follow what was signed")]


class Trail:
    """The services on the audit."""

    def __init__(self, records: Database, ledger: Database) -> None:
        self._records = records
        self._ledger = ledger

    async def list_events(self, actor: Actor, subject: str, window: Window) -> list[AuditEntry]:
        """Events, the newest first; one more than asked for when there are more.

        Args: subject: only of this one; "" = of all. Raises: AuthError, DatabaseError.
        """
        actor.require(Scope.AUDIT_READ)

        def read() -> list[AuditRow]:
            with self._records.reading() as connection:
                return list_events(connection, window, subject=subject or None)

        return [_entry(row) for row in await asyncio.to_thread(read)]

    async def list_checkpoints(self, actor: Actor, window: Window) -> list[CheckpointShown]:
        """Checkpoints, the newest first; one more than asked for when there are more."""
        actor.require(Scope.AUDIT_READ)

        def read() -> list[Checkpoint]:
            with self._records.reading() as connection:
                return list_page(connection, window)

        return [_checkpoint(one) for one in await asyncio.to_thread(read)]

    async def look(self, actor: Actor) -> AuditState:
        """How the audit stands; the whole proof is `faregate audit verify`."""
        actor.require(Scope.AUDIT_READ)

        def read() -> TrailState:
            with self._ledger.reading() as ledger, self._records.reading() as records:
                return look_at_trail(ledger, records)

        return _state(await asyncio.to_thread(read))


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        seq=row.seq,
        at_us=row.at_us,
        actor=row.actor,
        tenant_id=row.tenant_id,
        action=row.action,
        subject=row.subject,
        outcome=Outcome(row.outcome),
        facts=json.loads(row.facts),
        previous_hash=row.previous_hash.hex(),
        hash=row.hash.hex(),
    )


def _checkpoint(one: Checkpoint) -> CheckpointShown:
    return CheckpointShown(
        number=one.number,
        at_us=one.at_us,
        body=one.body,
        sha256=one.digest,
        signature=one.signature.hex(),
    )


def _state(found: TrailState) -> AuditState:
    newest = found.checkpoint
    facts = newest.facts() if newest is not None else None
    return AuditState(
        events=found.head.seq,
        records=found.records,
        checkpoint=newest.number if newest is not None else 0,
        checkpoint_us=newest.at_us if newest is not None else 0,
        signed_event=facts["audit"]["seq"] if facts is not None else 0,
        signed_record=facts["journal"]["seq"] if facts is not None else 0,
        checked_event=found.checked_event,
        is_sound=not found.findings,
        findings=tuple(found.findings),
    )
