"""How a journal of segments is laid out: sizes, and where the next group goes."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastpath import records as codec
from gateway.errors import ConfigError
from gateway.journal.segment import SEGMENT_HEAD_BYTES, align

SEGMENT_BYTES = 256 << 20
GROUP_BYTES_MAX = 4 << 20
WARN_PERCENT = 80
REFUSE_PERCENT = 90


@dataclass(frozen=True, slots=True)
class SegmentOptions:
    """How a journal of segments is laid out and kept. The sizes may not change once it exists
    (`segment_bytes`), or only matter for what is written from then on (`group_bytes_max`)."""

    segment_bytes: int = SEGMENT_BYTES
    group_bytes_max: int = GROUP_BYTES_MAX
    signing_key: Ed25519PrivateKey | None = None
    background: bool = True
    """Prepare and seal segments in a thread; without it, in the appends (for simulations)."""
    reserve: int = 1
    """Segments made ready ahead; always one without the thread."""
    warn_percent: int = WARN_PERCENT
    refuse_percent: int = REFUSE_PERCENT

    def check(self) -> None:
        """Raises ConfigError."""
        if self.segment_bytes % 4096 or self.segment_bytes <= SEGMENT_HEAD_BYTES:
            raise ConfigError(detail="journal.segment_bytes must be a multiple of 4096 above 4096")
        if not codec.GROUP_HEAD_BYTES <= self.group_bytes_max <= self.largest_group:
            said = f"journal.group_bytes_max must lie between 128 and {self.largest_group}"
            raise ConfigError(detail=said)

    @property
    def largest_group(self) -> int:
        return self.segment_bytes - SEGMENT_HEAD_BYTES


def place_group(after: int, segment_bytes: int, group_bytes_max: int) -> int:
    """Where the next group goes: at `after`, or in the next segment when the rest is too small."""
    after = align(after)
    base = after - after % segment_bytes
    offset = max(after - base, SEGMENT_HEAD_BYTES)
    if offset + group_bytes_max > segment_bytes:
        return base + segment_bytes + SEGMENT_HEAD_BYTES
    return base + offset
