"""Proof that one journal record stands under a signed checkpoint, for who has nothing else.

A checkpoint signs the root of the records since the one before. A proof is a record, the path from
it to that root, and the checkpoint: whoever knows the public key needs neither journal nor ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from struct import error as StructError
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, select

from gateway.errors import LedgerError
from gateway.ledger.checkpoints import Checkpoint, is_signed, list_checkpoints, root_of
from gateway.ledger.merkle import build_path, follow_path
from gateway.ledger.records import Record, read_record
from gateway.ledger.tables import RECORDS

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Proved:
    """A record that a checkpoint vouches for."""

    record: Record
    checkpoint: int
    at_us: int


def prove(ledger: Connection, records: Connection, position: int) -> dict[str, Any]:
    """The proof of the record at a journal position, as JSON.

    Raises: LedgerError LEDGER_NOT_FOUND: no such record, or under no checkpoint with a root;
        LEDGER_FILE: the ledger has other records than were signed.
    """
    query = select(RECORDS.c.seq, RECORDS.c.raw).where(RECORDS.c.position == position)
    row = ledger.execute(query).one_or_none()
    if row is None:
        raise LedgerError("LEDGER_NOT_FOUND", f"the ledger has no record at position {position}")
    checkpoint = _find_over(records, row.seq)
    tree = checkpoint.facts()["records"]
    first, count = tree["first_seq"], tree["count"]
    path = build_path(
        row.seq - first, count, lambda begin, end: root_of(ledger, first + begin, end - begin)
    )
    proof = {
        "format": FORMAT,
        "position": position,
        "seq": row.seq,
        "record": bytes(row.raw).hex(),
        "path": [one.hex() for one in path],
        "checkpoint": {"body": checkpoint.body, "signature": checkpoint.signature.hex()},
    }
    root = follow_path(bytes(row.raw), row.seq - first, count, path)
    if root is None or root.hex() != tree["root"]:
        said = f"records {first}-{first + count - 1} are not those that were signed"
        raise LedgerError("LEDGER_FILE", said)
    return proof


def _find_over(records: Connection, seq: int) -> Checkpoint:
    for one in list_checkpoints(records):
        tree = one.facts().get("records")
        if tree and tree["first_seq"] <= seq < tree["first_seq"] + tree["count"]:
            return one
    said = f"record {seq} stands under no checkpoint with a root: wait for the next one"
    raise LedgerError("LEDGER_NOT_FOUND", said)


def check(text: str, key: Ed25519PublicKey) -> Proved:
    """Follow a proof. Raises: LedgerError LEDGER_FILE: it proves nothing; the detail says why."""
    try:
        said = json.loads(text)
        body, signature = said["checkpoint"]["body"], bytes.fromhex(said["checkpoint"]["signature"])
        facts: Mapping[str, Any] = json.loads(body)
        checkpoint = Checkpoint(int(facts["number"]), int(facts["at_us"]), body, signature)
        tree, raw = facts["records"], bytes.fromhex(said["record"])
        path = [bytes.fromhex(one) for one in said["path"]]
        index, count = int(said["seq"]) - int(tree["first_seq"]), int(tree["count"])
        record = read_record(raw, int(said["position"]))
    except (ValueError, KeyError, TypeError, IndexError, StructError) as error:
        raise LedgerError("LEDGER_FILE", f"this is no proof: {error}") from error
    if not is_signed(checkpoint, key):
        raise LedgerError("LEDGER_FILE", "the checkpoint's signature is not of this key")
    root = follow_path(raw, index, count, path)
    if root is None or root.hex() != tree["root"] or record.head.seq != said["seq"]:
        raise LedgerError("LEDGER_FILE", "the record does not lead to the root that was signed")
    return Proved(record, checkpoint.number, checkpoint.at_us)
