"""The deny list: media that gates must refuse even when they are alone. Made from the journal,
never stored itself.

Its version counts the accepted changes of media states; a delta leads from one version to the
newest, coalesced. The list's hash is the sum of SHA-256(token) over its tokens, modulo 2^256: it
can be kept up to date by additions and removals on both sides without sorting a million tokens.

Tokens are kept as they travel, in buckets that are never changed but replaced: what is being sent
stands as it was, and a list of a million is neither copied nor encoded again for anybody.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

KEPT_CHANGES = 100_000
HASH_MODULUS = 1 << 256
BUCKETS = 4096
"""244 tokens each for a list of a million: a change copies 4 KiB."""
ENTRY_HEAD = b"\xc4\x10"
"""msgpack: 16 bytes follow."""
ENTRY_BYTES = 18


@dataclass(frozen=True, slots=True)
class Frozen:
    """The whole list as it stood at a version; entries as they travel."""

    version: int
    hash: bytes
    buckets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What leads from one version to another: (version, token, denied) in order, from `begin` to
    before `end`. The list itself may grow behind that.
    """

    from_version: int
    to_version: int
    hash: bytes
    noted: list[tuple[int, bytes, bool]]
    begin: int
    end: int

    def __iter__(self) -> Iterator[tuple[bytes, bool]]:
        """Every token that changed and whether it is denied at `to_version`; the newest first."""
        seen: set[bytes] = set()
        for at in range(self.end - 1, self.begin - 1, -1):
            _, token, denied = self.noted[at]
            if token not in seen:
                seen.add(token)
                yield token, denied


class Denylist:
    """The tokens now denied and the latest changes. Thread: the loop's."""

    def __init__(self, version: int = 0, tokens: Iterable[bytes] = ()) -> None:
        self.version = version
        self._buckets = [b""] * BUCKETS
        self._count = 0
        self._sum = 0
        self._changes: list[tuple[int, bytes, bool]] = []
        self._frozen: Frozen | None = None
        self._fill(tokens)

    def _fill(self, tokens: Iterable[bytes]) -> None:
        buckets: defaultdict[int, dict[bytes, None]] = defaultdict(dict)
        for token in tokens:
            buckets[crc32(token) % BUCKETS][token] = None
        for number, found in buckets.items():
            self._buckets[number] = b"".join(ENTRY_HEAD + token for token in found)
            self._count += len(found)
            self._sum += sum(int.from_bytes(hashlib.sha256(token).digest()) for token in found)
        self._sum %= HASH_MODULUS

    def __len__(self) -> int:
        return self._count

    def __contains__(self, token: bytes) -> bool:
        return _find(self._buckets[crc32(token) % BUCKETS], token) >= 0

    def note(self, version: int, token: bytes, *, denied: bool) -> None:
        """Take a durable change of a medium's state into account. Cost: constant."""
        self.version = version
        self._frozen = None
        self._changes.append((version, token, denied))
        if len(self._changes) > 2 * KEPT_CHANGES:
            # A new list: whoever sends from the old one goes on with that.
            self._changes = self._changes[-KEPT_CHANGES:]
        self._set(token, denied=denied)

    def freeze(self) -> Frozen:
        """The whole list as it stands. Cost: 4,096 references, once a version."""
        if self._frozen is None:
            self._frozen = Frozen(self.version, self.hash, tuple(self._buckets))
        return self._frozen

    def find_changes(self, have_version: int) -> Changes | None:
        """The changes after `have_version`; None = they are no longer known: send the whole list.

        Cost: a search; what the changes come to is found out while they are sent.
        """
        noted = self._changes
        if have_version == self.version:
            return Changes(have_version, self.version, self.hash, noted, len(noted), len(noted))
        if not 0 < have_version < self.version or not noted or noted[0][0] > have_version + 1:
            return None
        begin = bisect_right(noted, have_version, key=lambda change: change[0])
        return Changes(have_version, self.version, self.hash, noted, begin, len(noted))

    @property
    def hash(self) -> bytes:
        """32 bytes, the same for the same set of tokens."""
        return self._sum.to_bytes(32)

    def _set(self, token: bytes, *, denied: bool) -> None:
        number = crc32(token) % BUCKETS
        bucket = self._buckets[number]
        at = _find(bucket, token)
        if denied == (at >= 0):
            return
        digest = int.from_bytes(hashlib.sha256(token).digest())
        if denied:
            self._buckets[number] = bucket + ENTRY_HEAD + token
            self._count += 1
            self._sum = (self._sum + digest) % HASH_MODULUS
        else:
            self._buckets[number] = bucket[:at] + bucket[at + ENTRY_BYTES :]
            self._count -= 1
            self._sum = (self._sum - digest) % HASH_MODULUS


def _find(bucket: bytes, token: bytes) -> int:
    """Where the token's entry begins, -1 = nowhere. Bytes across two entries may look like one."""
    entry = ENTRY_HEAD + token
    at = bucket.find(entry)
    while at > 0 and at % ENTRY_BYTES:
        at = bucket.find(entry, at + 1)
    return at
