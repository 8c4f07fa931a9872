"""How the audit stands, told in a moment: what is signed, and whether what came since follows it.

Not a proof: that reads everything, and holds the signatures against the key (`faregate audit
verify`). A trail that was made anew behind the newest checkpoint with all its hashes passes here as
it does there; one that was changed before it does not follow what was signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, select

from gateway.ledger.batch import find_watermark
from gateway.ledger.checkpoints import Checkpoint, find_newest, hash_at
from gateway.registry.audit import (
    AUDIT_EVENTS,
    AuditHead,
    AuditRow,
    check_trail,
    find_head,
    iter_events,
)

EVENTS_MAX = 20_000
"""So many events behind the newest checkpoint are looked at."""
FINDINGS_MAX = 20


@dataclass(frozen=True, slots=True)
class TrailState:
    """checked_event: up to which event the trail was followed; records: the ledger's last one."""

    head: AuditHead
    records: int
    checkpoint: Checkpoint | None
    checked_event: int
    findings: list[str]


def look_at_trail(
    ledger: Connection, records: Connection, *, events_max: int = EVENTS_MAX
) -> TrailState:
    """Follow the trail from the newest checkpoint on, and hold the journal's head against it."""
    newest, head = find_newest(records), find_head(records)
    seen = find_watermark(ledger).next_seq - 1
    signed = AuditHead()
    findings: list[str] = []
    if newest is not None:
        facts = newest.facts()
        signed = AuditHead(facts["audit"]["seq"], bytes.fromhex(facts["audit"]["hash"]))
        findings += _check_signed(ledger, records, newest, seen)
    checked = signed.seq

    def rows() -> Iterator[AuditRow]:
        nonlocal checked
        for row in islice(iter_events(records, signed.seq), events_max):
            yield row
            checked = row.seq

    findings += islice(check_trail(rows(), signed), FINDINGS_MAX)
    return TrailState(head, seen, newest, checked, findings)


def _check_signed(
    ledger: Connection, records: Connection, newest: Checkpoint, seen: int
) -> Iterator[str]:
    facts = newest.facts()
    journal, audit = facts["journal"], facts["audit"]
    found = records.scalar(select(AUDIT_EVENTS.c.hash).where(AUDIT_EVENTS.c.seq == audit["seq"]))
    if found is None or bytes(found).hex() != audit["hash"]:
        yield f"checkpoint {newest.number}: another trail leads to event {audit['seq']}"
    # A ledger that is being built again has not come so far yet.
    if seen >= journal["seq"] and hash_at(ledger, journal["seq"]) != journal["chain_hash"]:
        said = f"another chain of groups leads to record {journal['seq']}"
        yield f"checkpoint {newest.number}: {said}"
