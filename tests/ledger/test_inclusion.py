"""One record proved by a signed root, without the journal; whatever is changed proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from gateway.errors import LedgerError
from gateway.ledger.auditing import Evidence, audit
from gateway.ledger.checkpoints import make_checkpoint
from gateway.ledger.inclusion import check, prove
from gateway.ledger.merkle import EMPTY, build_path, build_root, follow_path, hash_leaf, hash_node
from gateway.ledger.tables import RECORDS
from tests.ledger.books import calendar
from tests.ledger.scribe import take, writing

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()


def test_roots_and_paths_are_those_of_rfc_6962() -> None:
    a, b, c = (hash_leaf(one) for one in (b"a", b"b", b"c"))
    assert build_root([]) == EMPTY
    assert build_root([b"a", b"b", b"c"]) == hash_node(hash_node(a, b), c)
    for count in range(1, 34):
        leaves = [bytes([number]) * 3 for number in range(count)]
        root = build_root(leaves)
        for index in range(count):
            path = build_path(
                index, count, lambda first, behind, all=leaves: build_root(all[first:behind])
            )
            assert follow_path(leaves[index], index, count, path) == root
            assert follow_path(b"another", index, count, path) != root
            assert follow_path(leaves[index], index, count, [*path, root]) is None
    assert follow_path(b"a", 1, 1, []) is None


@pytest.fixture
def signed(tmp_path: Path, books: Any) -> Any:
    """Two checkpoints over three records each, and one record under none."""
    with writing(tmp_path) as scribe:
        for number in range(2):
            scribe.credit(1, 5_000, "2026-11-03 06:00" if not number else None)
            scribe.ride(1, 300)
            scribe.ride(1, 200)
            scribe.flush()
            take(tmp_path, books[0])
            make_checkpoint(*books, KEY, number + 1, "cli:test")
        scribe.ride(1, 100)
    take(tmp_path, books[0])
    return books


def positions(books: Any) -> list[int]:
    with books[0].reading() as connection:
        return list(connection.scalars(select(RECORDS.c.position).order_by(RECORDS.c.seq)))


def proof_of(books: Any, position: int) -> dict[str, Any]:
    with books[0].reading() as ledger, books[1].reading() as records:
        return prove(ledger, records, position)


def test_each_signed_record_is_proved_by_the_checkpoint_over_it(signed: Any) -> None:
    *under, last = positions(signed)
    found = [check(json.dumps(proof_of(signed, one)), PUBLIC) for one in under]
    assert [one.checkpoint for one in found] == [1, 1, 1, 2, 2, 2]
    assert [one.record.head.seq for one in found] == [1, 2, 3, 4, 5, 6]
    assert [one.record.head.fare_minor for one in found] == [0, 300, 200] * 2
    for position in (last, 1):
        with pytest.raises(LedgerError) as refused:
            proof_of(signed, position)
        assert refused.value.code == "LEDGER_NOT_FOUND"


def _other_record(proof: dict[str, Any]) -> None:
    raw = bytearray.fromhex(proof["record"])
    raw[100] ^= 1
    proof["record"] = raw.hex()


def _other_body(proof: dict[str, Any]) -> None:
    said = proof["checkpoint"]
    said["body"] = said["body"].replace('"at_us":1', '"at_us":9')


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    _other_record,
    _other_body,
    lambda proof: proof["path"].reverse(),
    lambda proof: proof["path"].pop(),
    lambda proof: proof.update(seq=1),
    lambda proof: proof.update(record="00"),
    lambda proof: proof.pop("checkpoint"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_proof_proves_nothing(
    signed: Any, change: Callable[[dict[str, Any]], object]
) -> None:
    proof = proof_of(signed, positions(signed)[1])
    check(json.dumps(proof), PUBLIC)
    change(proof)
    with pytest.raises(LedgerError) as refused:
        check(json.dumps(proof), PUBLIC)
    assert refused.value.code == "LEDGER_FILE"


def test_another_key_proves_nothing(signed: Any) -> None:
    text = json.dumps(proof_of(signed, positions(signed)[0]))
    with pytest.raises(LedgerError, match="signature"):
        check(text, Ed25519PrivateKey.generate().public_key())


def test_a_changed_record_is_not_proved_and_the_audit_sees_the_root(
    signed: Any, tmp_path: Path
) -> None:
    with signed[0].transaction() as connection:
        raw = bytearray(connection.scalar(select(RECORDS.c.raw).where(RECORDS.c.seq == 2)))
        raw[100] ^= 1
        connection.execute(update(RECORDS).where(RECORDS.c.seq == 2).values(raw=bytes(raw)))
    with pytest.raises(LedgerError) as refused:
        proof_of(signed, positions(signed)[0])
    assert refused.value.code == "LEDGER_FILE"
    evidence = Evidence(*signed, calendar(tmp_path), PUBLIC, tmp_path / "checkpoints")
    assert not audit(evidence, rows=False).is_sound
