from typing import final

from _typeshed import ReadableBuffer

@final
class TapAudit:
    """Counts taps of known devices in journal groups.

    taps: distinct ones found; doubled: found again; strangers: of no known device or beyond its range.
    """

    taps: int
    doubled: int
    strangers: int
    groups: int
    group_bytes: int
    def add_device(self, device_id: int, boot_epoch: int, first_seq: int, taps: int) -> int:
        """Expect sequence numbers first_seq to first_seq + taps - 1 of one boot; returns its index."""
    def read_group(self, group: ReadableBuffer) -> None:
        """Take one group, head included. Raises: ValueError: its records do not add up."""
    def bits(self, index: int) -> bytes:
        """One bit a tap of a device, from first_seq on: it stands in the journal."""
