"""A standby: memory that follows a leader's journal in Valkey, ready to lead.

A death is only guessed, from a sign of life that stays away. Leading begins with a new term in the
stream: from then on the old leader is refused, dead or not, so a wrong guess costs a pause and
nothing else. Must not know sockets or sessions.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.engine.recovery import Recovery, build_memory
from gateway.engine.snapshotter import Follower
from gateway.errors import Corrupt, Fenced, JournalUnavailable
from gateway.journal.valkey import ValkeyJournal, ValkeyOptions

if TYPE_CHECKING:
    from fastpath.api import StoreHandle
    from fastpath.types import EngineLimits
    from gateway.journal.valkey_stream import Walk

log = logging.getLogger(__name__)

WAIT_S = 0.1
"""Between two looks at the sign of life, when nothing is appended."""
BATCH_GROUPS = 256
"""Groups taken between two looks, when much is."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Memory at the head of a journal that this process now leads."""

    memory: StoreHandle
    recovery: Recovery


class Standby:
    """Follows until it is time to lead."""

    def __init__(self, options: ValkeyOptions, snapshots: Path, limits: EngineLimits) -> None:
        self.options = options
        self._snapshots = snapshots
        self._memory = build_memory(limits)
        self._follower = Follower(self._memory)
        self._snapshot_position = 0
        self._reader = ValkeyJournal.open_reader(options, proven=False)
        self._walk: Walk | None = None
        self._term = 0
        """The newest one seen in the stream, and since when (monotonic)."""
        self._term_since = time.monotonic()

    @property
    def position(self) -> int:
        """Where the last group taken ends."""
        return self._follower.position

    def follow(self, stop: threading.Event) -> Followed | None:
        """Until this process leads, or `stop` is set (None). Blocks; not for a loop.

        Raises: Corrupt, InvariantError: the journal is not to be trusted. SnapshotError.
            JournalError: it begins behind the newest snapshot here.
        """
        self._load()
        try:
            while not stop.is_set():
                try:
                    if (followed := self._turn()) is not None:
                        return followed
                except JournalUnavailable as error:
                    # The sign of life cannot be seen: that says nothing about the leader.
                    log.warning("standby_blind", extra={"detail": error.detail})
                    self._walk = None
                    stop.wait(self.options.leader_ttl_s)
        finally:
            self._reader.close()
        return None

    def _load(self) -> None:
        """Memory from the newest snapshot; what follows comes from the stream."""
        self._memory.clear()
        self._follower = Follower.start(self._memory, self._snapshots)
        self._snapshot_position = self._follower.position
        self._walk = None

    def _turn(self) -> Followed | None:
        """Take what there is, look for the leader, wait a moment.

        Who has just begun a term is given time to show that it lives: with two standbys only one
        of them leads.
        """
        more = self._catch_up()
        young = time.monotonic() - self._term_since < self.options.leader_ttl_s
        if self._reader.find_leader() is None and not young:
            return self._take_over()
        if not more and self._walk is not None:
            self._reader.wait(self._walk, WAIT_S)
        return None

    def _catch_up(self) -> bool:
        """Take some groups; whether there may be more.

        What was taken may have been lost since: a group that only a dead primary had. The stream
        then goes on differently, and memory is built again.
        """
        before = self._follower.position
        try:
            if self._walk is None:
                self._walk = self._reader.walk(before, self._follower.chain_hash)
            for count, group in enumerate(self._reader.read_on(self._walk), 1):
                self._follower.take(group)
                if count == BATCH_GROUPS:
                    self._walk = None  # its page is only half read
                    return True
            self._note_term(self._walk)
        except Corrupt as error:
            if before == self._snapshot_position:
                raise  # nothing of our own can be wrong
            log.warning("standby_ahead", extra={"position": before, "detail": error.detail})
            self._load()
            return True
        return False

    def _note_term(self, walk: Walk) -> None:
        term = walk.after.term if walk.after is not None else 0
        if term != self._term:
            self._term, self._term_since = term, time.monotonic()

    def _take_over(self) -> Followed | None:
        """Lead; None = another standby was quicker."""
        began = time.monotonic_ns()
        try:
            journal = ValkeyJournal.open(self.options, takeover=True, after_term=self._term)
        except Fenced as error:
            log.info("standby_too_late", extra={"detail": error.detail})
            return None
        try:
            records = self._finish(journal)
        except BaseException:
            journal.close()
            raise
        duration_us = (time.monotonic_ns() - began) // 1000
        log.warning(
            "took_over", extra={"position": journal.head().position, "duration_us": duration_us}
        )
        recovery = Recovery(journal, self._snapshot_position, records, duration_us)
        return Followed(self._memory, recovery)

    def _finish(self, journal: ValkeyJournal) -> int:
        """Take the rest up to the head, which cannot move any more; how many records."""
        follower = self._follower
        if follower.chain_hash is not None and not journal.agrees(
            follower.position, follower.chain_hash
        ):
            log.warning("standby_ahead", extra={"position": follower.position})
            self._load()
            follower = self._follower
        first_seq = follower.next_seq
        for group in journal.read(follower.position, previous_hash=follower.chain_hash):
            follower.take(group)
        return follower.next_seq - first_seq
