"""Signed checkpoints: heads of journal and audit trail, totals of the ledger, once a day.

A chain of hashes can be computed anew from any place on by who holds the files; a signature cannot.
Each checkpoint holds the hash of the one before, lies in the registry and as a file beside it: keep
copies of the files elsewhere. What came after the newest one is protected by the chains alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, func, insert, select

from gateway.db import Database, list_window
from gateway.ledger.batch import find_watermark
from gateway.ledger.merkle import build_root
from gateway.ledger.posting import LINES_PER_RECORD
from gateway.ledger.proof import Finding
from gateway.ledger.record_tables import CHECKPOINTS
from gateway.ledger.tables import GROUPS, POSTINGS, RECORDS
from gateway.registry.audit import AUDIT_EVENTS, NO_HASH, AuditEvent, append
from gateway.windows import Window

FORMAT = 1
ACTION = "audit.checkpoint"
RAW_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint. body: JSON with sorted keys and no spaces, what the signature is of."""

    number: int
    at_us: int
    body: str
    signature: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the body."""
        return hashlib.sha256(self.body.encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """What the body says."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def as_dict(self) -> dict[str, object]:
        """As it goes into JSON."""
        return self.facts() | {"signature": self.signature.hex()}


def make_checkpoint(
    ledger: Database, records: Database, key: Ed25519PrivateKey, now_us: int, actor: str
) -> Checkpoint:
    """Sign what stands now and keep it. Raises: DatabaseError, LedgerError."""
    with ledger.reading() as connection:
        mark = find_watermark(connection)
        totals = find_sums(connection, mark.next_seq - 1)
        with records.reading() as before:
            tree = find_tree(connection, find_newest(before), mark.next_seq - 1)
    journal = {
        "position": mark.position,
        "seq": mark.next_seq - 1,
        "chain_hash": mark.chain_hash.hex(),
    }
    with records.transaction() as connection:
        newest = find_newest(connection)
        number = newest.number + 1 if newest is not None else 1
        facts = {"number": number, "journal": journal, "ledger": totals}
        # The event goes first: the checkpoint then covers the audit trail up to itself.
        event = AuditEvent(actor, ACTION, f"checkpoint:{number}", now_us, facts=facts)
        head = append(connection, event)
        body = {
            "format": FORMAT,
            "number": number,
            "at_us": now_us,
            "previous": newest.digest if newest is not None else "",
            "journal": journal,
            "audit": {"seq": head.seq, "hash": head.hash.hex()},
            "ledger": totals,
            "records": tree,
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        made = Checkpoint(number, now_us, text, key.sign(text.encode()))
        connection.execute(
            insert(CHECKPOINTS).values(
                number=number, at_us=now_us, body=text, signature=made.signature
            )
        )
    return made


def find_sums(connection: Connection, seq: int) -> dict[str, object]:
    """Records and postings up to a record, and what they moved, by currency."""
    query = (
        select(POSTINGS.c.currency, func.count(), func.sum(POSTINGS.c.amount_minor))
        .where(POSTINGS.c.id < (seq + 1) * LINES_PER_RECORD)
        .group_by(POSTINGS.c.currency)
        .order_by(POSTINGS.c.currency)
    )
    rows = connection.execute(query).all()
    records = select(func.count()).select_from(RECORDS).where(RECORDS.c.seq <= seq)
    return {
        "records": int(connection.scalar(records) or 0),
        "postings": {str(currency): int(count) for currency, count, _ in rows},
        "amount_minor": {str(currency): int(total) for currency, _, total in rows},
    }


def find_tree(connection: Connection, newest: Checkpoint | None, seq: int) -> dict[str, object]:
    """Root of the records behind the newest checkpoint, up to a record (gateway/ledger/merkle.py).
    One that was signed meanwhile has a root over the same records.
    """
    signed = newest.facts()["journal"]["seq"] if newest is not None else 0
    count = max(seq - signed, 0)
    root = root_of(connection, signed + 1, count)
    return {"first_seq": signed + 1, "count": count, "root": root.hex()}


def root_of(connection: Connection, first_seq: int, count: int) -> bytes:
    """Merkle root over the bytes of records as the ledger has them."""
    return build_root(_iter_raw(connection, first_seq, first_seq + count))


def _iter_raw(connection: Connection, first_seq: int, behind: int) -> Iterator[bytes]:
    for begin in range(first_seq, behind, RAW_AT_ONCE):
        query = select(RECORDS.c.raw).where(RECORDS.c.seq >= begin)
        query = query.where(RECORDS.c.seq < min(begin + RAW_AT_ONCE, behind))
        for raw in connection.scalars(query.order_by(RECORDS.c.seq)):
            yield bytes(raw)


def find_newest(connection: Connection) -> Checkpoint | None:
    """The newest checkpoint."""
    query = select(CHECKPOINTS).order_by(CHECKPOINTS.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return Checkpoint(*tuple(row)) if row is not None else None


def list_checkpoints(connection: Connection) -> list[Checkpoint]:
    """All of them, oldest first."""
    query = select(CHECKPOINTS).order_by(CHECKPOINTS.c.number)
    return [Checkpoint(*tuple(row)) for row in connection.execute(query)]


def list_page(connection: Connection, window: Window) -> list[Checkpoint]:
    """A page of them, the newest first; one more than asked for when there are more."""
    number = CHECKPOINTS.c.number
    rows = list_window(connection, select(CHECKPOINTS), number, window, newest_first=True)
    return [Checkpoint(*tuple(row)) for row in rows]


# --- files ----------------------------------------------------------------------------------------


def write_file(folder: Path, made: Checkpoint) -> Path:
    """Put a copy where it can be taken from. Raises: OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{made.number:06d}.json"
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps({"body": made.body, "signature": made.signature.hex()}) + "\n")
    fresh.replace(path)
    return path


def read_files(folder: Path) -> tuple[dict[int, Checkpoint], list[Finding]]:
    """Copies by number, and what is wrong with the rest."""
    found: dict[int, Checkpoint] = {}
    faults = []
    for path in sorted(folder.glob("*.json")):
        try:
            said = json.loads(path.read_text())
            facts = json.loads(said["body"])
            signature = bytes.fromhex(said["signature"])
            one = Checkpoint(int(facts["number"]), int(facts["at_us"]), said["body"], signature)
            found[one.number] = one
        except (OSError, ValueError, KeyError, TypeError) as error:
            faults.append(Finding("checkpoint", path.name, f"the file cannot be read: {error}"))
    return found, faults


# --- checking -------------------------------------------------------------------------------------


def check_checkpoints(
    ledger: Connection,
    records: Connection,
    key: Ed25519PublicKey,
    copies: Mapping[int, Checkpoint],
) -> Iterator[Finding]:
    """Signatures, the chain of checkpoints, and that journal, trail and totals are still those.

    Args: copies: those kept as files, by number; one that is no longer in the registry counts.
    """
    kept = {one.number: one for one in list_checkpoints(records)}
    previous = ""
    for number in range(1, max([*kept, *copies], default=0) + 1):
        where = f"checkpoint {number}"
        one, copy = kept.get(number), copies.get(number)
        if one is None:
            yield Finding("checkpoint", where, "it is missing")
            if copy is None:
                previous = ""
                continue
            one = copy
        elif copy is not None and copy != one:
            yield Finding("checkpoint", where, "the registry's and the file's differ")
            one = copy if is_signed(copy, key) else one
        if not is_signed(one, key):
            yield Finding("checkpoint", where, "its signature is wrong")
            previous = one.digest
            continue
        facts = one.facts()
        if previous and facts["previous"] != previous:
            yield Finding("checkpoint", where, "it does not follow the one before")
        previous = one.digest
        yield from _check_one(ledger, records, where, facts)


def is_signed(one: Checkpoint, key: Ed25519PublicKey) -> bool:
    """Whether its signature is of this key."""
    try:
        key.verify(one.signature, one.body.encode())
    except InvalidSignature:
        return False
    return True


def _check_one(
    ledger: Connection, records: Connection, where: str, facts: Mapping[str, Any]
) -> Iterator[Finding]:
    journal, audit = facts["journal"], facts["audit"]
    if hash_at(ledger, journal["seq"]) != journal["chain_hash"]:
        said = f"{where}: another chain of groups leads to record {journal['seq']}"
        yield Finding("journal", f"up to record {journal['seq']}", said)
    elif (tree := facts.get("records")) and not _is_root(ledger, tree):
        said = f"{where}: the records since the one before are not those that were signed"
        yield Finding("journal", f"up to record {journal['seq']}", said)
    query = select(AUDIT_EVENTS.c.hash).where(AUDIT_EVENTS.c.seq == audit["seq"])
    found = records.scalar(query)
    if found is None or bytes(found).hex() != audit["hash"]:
        said = f"{where}: another trail leads to event {audit['seq']}"
        yield Finding("audit", f"up to event {audit['seq']}", said)
    if find_sums(ledger, journal["seq"]) != facts["ledger"]:
        said = f"{where}: totals up to record {journal['seq']} are not those that were signed"
        yield Finding("ledger", f"up to record {journal['seq']}", said)


def _is_root(ledger: Connection, tree: Mapping[str, Any]) -> bool:
    signed: str = tree["root"]
    return root_of(ledger, tree["first_seq"], tree["count"]).hex() == signed


def hash_at(connection: Connection, seq: int) -> str:
    """Hash of the group that ends with a record, as the ledger's copy has it now."""
    if seq == 0:
        return NO_HASH.hex()
    query = select(GROUPS).where(GROUPS.c.first_seq <= seq)
    head = connection.execute(query.order_by(GROUPS.c.first_seq.desc()).limit(1)).one_or_none()
    if head is None or head.first_seq + head.record_count - 1 != seq:
        return ""
    raw = select(RECORDS.c.raw).where(RECORDS.c.seq >= head.first_seq, RECORDS.c.seq <= seq)
    parts = connection.scalars(raw.order_by(RECORDS.c.seq))
    group = bytes(head.head) + b"".join(bytes(part) for part in parts)
    return hashlib.sha256(group).hexdigest()
