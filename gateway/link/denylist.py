"""The deny list: media that gates must refuse even when they are alone. Made from the journal,
never stored itself.

Its version counts the accepted changes of media states; a delta leads from one version to the
newest, coalesced. The list's hash is the sum of SHA-256(token) over its tokens, modulo 2^256: it
can be kept up to date by additions and removals on both sides without sorting a million tokens.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

KEPT_CHANGES = 100_000
HASH_MODULUS = 1 << 256


@dataclass(frozen=True, slots=True)
class Delta:
    """What a device with `from_version` has to change to stand at `to_version`; full = start from
    an empty list.
    """

    from_version: int
    to_version: int
    full: bool
    added: tuple[bytes, ...]
    removed: tuple[bytes, ...]
    hash: bytes


class Denylist:
    """The tokens now denied and the latest changes. Thread: the loop's."""

    def __init__(self, version: int = 0, tokens: Iterable[bytes] = ()) -> None:
        self.version = version
        self._tokens: set[bytes] = set()
        self._sum = 0
        self._changes: deque[tuple[int, bytes]] = deque(maxlen=KEPT_CHANGES)
        for token in tokens:
            self._set(token, denied=True)

    def __len__(self) -> int:
        return len(self._tokens)

    def note(self, version: int, token: bytes, *, denied: bool) -> None:
        """Take a durable change of a medium's state into account."""
        self.version = version
        self._changes.append((version, token))
        self._set(token, denied=denied)

    def delta(self, have_version: int) -> Delta:
        """The changes after `have_version`, or the whole list when they are no longer known."""
        if have_version > self.version or not self._knows(have_version):
            added = tuple(self._tokens)
            return Delta(0, self.version, True, added, (), self.hash)
        changed = {token for version, token in self._changes if version > have_version}
        added = tuple(token for token in changed if token in self._tokens)
        removed = tuple(token for token in changed if token not in self._tokens)
        return Delta(have_version, self.version, False, added, removed, self.hash)

    @property
    def hash(self) -> bytes:
        """32 bytes, the same for the same set of tokens."""
        return self._sum.to_bytes(32)

    def _knows(self, have_version: int) -> bool:
        if have_version == self.version:
            return True
        return have_version > 0 and bool(self._changes) and self._changes[0][0] <= have_version + 1

    def _set(self, token: bytes, *, denied: bool) -> None:
        if denied == (token in self._tokens):
            return
        digest = int.from_bytes(hashlib.sha256(token).digest())
        if denied:
            self._tokens.add(token)
            self._sum = (self._sum + digest) % HASH_MODULUS
        else:
            self._tokens.discard(token)
            self._sum = (self._sum - digest) % HASH_MODULUS
