"""Roots: what stays of a closed segment, small, checkable, signed when there is a key.

A root is JSON. Its digest is SHA-256 of the canonical JSON (sorted keys, no spaces) of all other
fields but the signature; the signature is Ed25519 over the 32 bytes of the digest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fastpath import records as codec

ROOT_FORMAT = 1


@dataclass(slots=True)
class Totals:
    """Running sums over the groups of one segment."""

    group_count: int = 0
    record_count: int = 0
    fare_total_minor: int = 0
    amount_total_minor: int = 0

    def add(self, group: codec.GroupView) -> None:
        self.group_count += 1
        self.record_count += group.record_count
        self.fare_total_minor += group.fare_total_minor
        self.amount_total_minor += group.amount_total_minor


@dataclass(frozen=True, slots=True)
class Root:
    """One closed segment. Amounts are sums of minor units over all accounts and currencies."""

    base: int
    segment_bytes: int
    journal_id: str
    first_seq: int
    end_position: int
    previous_hash: str
    chain_hash: str
    file_sha256: str
    totals: Totals = field(default_factory=Totals)
    signature: str = ""

    @property
    def next_seq(self) -> int:
        return self.first_seq + self.totals.record_count

    def digest(self) -> bytes:
        """SHA-256 over everything but the signature."""
        fields: dict[str, object] = asdict(self) | {"format": ROOT_FORMAT}
        del fields["signature"]
        return hashlib.sha256(_canonical(fields)).digest()

    def signed(self, key: Ed25519PrivateKey | None) -> Root:
        if key is None:
            return self
        return replace(self, signature=key.sign(self.digest()).hex())

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        try:
            key.verify(bytes.fromhex(self.signature), self.digest())
        except (InvalidSignature, ValueError):
            return False
        return True

    def dump(self) -> bytes:
        """The bytes of a root file."""
        fields = asdict(self) | {"format": ROOT_FORMAT, "digest": self.digest().hex()}
        return _canonical(fields) + b"\n"


def load_root(data: bytes) -> Root:
    """The root in these bytes. Raises ValueError: not a root, or changed since it was written."""
    found = json.loads(data)
    if not isinstance(found, dict) or found.pop("format", None) != ROOT_FORMAT:
        raise ValueError("not a root of format 1")
    digest = found.pop("digest", "")
    try:
        root = Root(**found | {"totals": Totals(**found.get("totals", {}))})
    except TypeError as error:
        raise ValueError("a field of the root is missing or unknown") from error
    if root.dump() != data or root.digest().hex() != digest:
        raise ValueError("the root's digest does not fit its fields")
    return root


def _canonical(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")
