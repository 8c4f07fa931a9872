"""The port every journal implements: segments (embedded) and Valkey.

A position is a byte address in the whole journal. Must not import any implementation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Head:
    """Where the journal ends."""

    position: int
    """Where its last group ends, a multiple of 8; 0 = there is none."""
    next_seq: int
    chain_hash: bytes
    """SHA-256 of the last group (head and body); 32 zero bytes when there is none."""


class DiskState(StrEnum):
    """How much room is left for the journal."""

    OK = "ok"
    WARN = "warn"
    REFUSE_COMMANDS = "refuse_commands"
    """Taps go on in the reserve; commands of the control plane are refused."""


class OverlappedAppends(Protocol):
    """Appends that their caller begins, and learns the end of while it does something else.

    One at a time, and no `Journal.append` meanwhile. Thread: the loop's.
    """

    def begin(self, position: int, group: bytes | bytearray | memoryview) -> bool:
        """As Journal.append, but True: it is on its way, and group must stay as it is until its
        end. False: it is durable already; it had to be waited for.
        """

    def finish(self) -> bool:
        """Whether it has ended well; False: it is still under way. Raises: as Journal.append."""

    def close(self) -> None:
        """Tell nobody of ends any more."""


class Journal(Protocol):
    """An append-only log of groups with one writer.

    Thread: `append` by one thread at a time; the rest any thread.
    """

    def head(self) -> Head:
        """Where it ends: for a writer what is durable, for a reader what it has found so far."""

    def place(self, after: int) -> int:
        """Where the next group goes after one that ends at `after`: arithmetic, no I/O."""

    def append(self, position: int, group: bytes | bytearray | memoryview) -> None:
        """Make a sealed group durable. Blocks for one write and one sync.

        Args: position: `place(head().position)`; the group's head names it too.
        Raises: JournalFull: no room, nothing of the group is there, the caller may go on.
            JournalBroken: the process must stop, only recovery knows what is there.
            Fenced: position, sequence or chain say that this writer is not at the head.
        """

    def overlap(
        self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]
    ) -> OverlappedAppends | None:
        """Appends that the loop need not wait for; on_end is called in it when one has ended, and
        `finish` is due. None: this journal or its file system has none.
        """

    def read(
        self, from_position: int, *, previous_hash: bytes | None = None
    ) -> Iterator[memoryview]:
        """The durable groups from there on, checked: checksum, position, chain, sequence.

        Args: from_position: 0, where a group begins, or where one ends.
            previous_hash: hash of the group before, when the caller knows it.
        Ends at the head; read again from the last end to follow a journal that is written.
        Raises: Corrupt.
        """

    def read_record(self, position: int) -> bytes:
        """Head and items of the record at a position that a group or the engine has named.

        Raises: Corrupt: there is no record. JournalError: it is past retention.
        """

    def disk_state(self) -> DiskState:
        """Room left; ask once a second, not once a tap. Raises: OSError. Fenced: deposed."""

    def announce(self, where: str) -> None:
        """Tell others where this writer's link listens, if there are others to tell."""

    def close(self) -> None:
        """Give the journal back; what was appended stays durable without it."""
