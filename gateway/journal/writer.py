"""The one writer of a journal of segments."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fastpath import records as codec
from gateway import clock
from gateway.errors import Fenced, InvariantError, JournalBroken, JournalFull
from gateway.journal.appending import SyncedAppends, block_end
from gateway.journal.files import NO_FILES, NO_ROOM, FileOps, Flight
from gateway.journal.keeper import Closed, Keeper, seal_root, write_whole, zero_fill
from gateway.journal.layout import SegmentOptions, place_group
from gateway.journal.port import Head
from gateway.journal.recovery import Recovered, RecoveryReport, recover
from gateway.journal.roots import Root, Totals
from gateway.journal.scan import Witness
from gateway.journal.segment import SegmentHead, align, segment_name

log = logging.getLogger(__name__)

LOCK_NAME = "lock"


@dataclass(frozen=True, slots=True)
class Coming:
    """A group on its way into the segment in use, at this offset of the file."""

    group: bytes | bytearray | memoryview
    position: int
    offset: int
    view: codec.GroupView

    def hash(self) -> bytes:
        """What the next group names as the one before it."""
        return hashlib.sha256(self.group).digest()


class SegmentWriter:
    """Appends groups, rolls from segment to segment, and refuses once something broke."""

    def __init__(self, files: FileOps, directory: Path, options: SegmentOptions) -> None:
        self.head = Head(0, 1, codec.NO_HASH)
        self._files = files
        self._directory = directory
        self._options = options
        self._lock = -1
        self._fd = -1
        self._appends: SyncedAppends | None = None
        self._segment: SegmentHead | None = None
        self._totals = Totals()
        self._journal_id = b""
        self._broken = ""
        self._flight: Flight | None = None
        self._coming: Coming | None = None
        """What is under way."""
        self._coming_hash = codec.NO_HASH
        files.make_dir(directory)
        self._lock = self._take_lock()
        self.keeper = Keeper(
            files,
            directory,
            options.segment_bytes,
            signing_key=options.signing_key,
            background=options.background,
            reserve=options.reserve,
        )

    def _take_lock(self) -> int:
        path = self._directory / LOCK_NAME
        try:
            return self._files.lock(path)
        except BlockingIOError as error:
            owner = self._files.lock_owner(path)
            said = f"process {owner} writes the journal in {self._directory}"
            raise Fenced(detail=said) from error

    def start(self, from_position: int, witnesses: tuple[Witness, ...]) -> RecoveryReport:
        """Recover, and open the newest segment for writing."""
        size = self._options.segment_bytes
        try:
            found = recover(self._files, self._directory, size, from_position, witnesses)
            for closed in found.unsealed:
                self._files.set_read_only(closed.path)
                seal_root(self._files, closed, self._options.signing_key)
            self.head = found.report.head
            self._resume(found)
        except OSError as error:
            self._refuse("the journal could not be made ready", error)
        return found.report

    def _resume(self, found: Recovered) -> None:
        if found.active is None:
            self._journal_id = os.urandom(16)
            self.keeper.want(0, ready=found.spare == 0)
            self._begin_segment(0)
            return
        self._journal_id = found.active.journal_id
        self._segment = found.active
        self._totals = found.totals
        base = found.active.base
        path = self._directory / segment_name(base)
        self._use(path, self._files.open(path, write=True))
        self._want_next(base, ready=found.spare is not None)

    def _want_next(self, base: int, *, ready: bool = False) -> None:
        self.keeper.want(base + self._options.segment_bytes, ready=ready)

    def append(self, position: int, group: bytes | bytearray | memoryview) -> None:
        """See Journal.append."""
        coming = self._prepare(position, group)
        self._write(coming)
        self._arrived(coming, coming.hash())

    def fly(self, flight: Flight | None) -> None:
        """Have appends carried by this from now on that are begun and finished."""
        self._flight = flight
        if self._appends is not None:
            self._appends.flight = flight

    def begin(self, position: int, group: bytes | bytearray | memoryview) -> bool:
        """See OverlappedAppends.begin."""
        coming = self._prepare(position, group)
        if self._appends is None or not self._appends.begin(group, coming.offset):
            self._write(coming)
            self._arrived(coming, coming.hash())
            return False
        self._coming, self._coming_hash = coming, coming.hash()  # while it is written
        return True

    def finish(self, *, wait: bool = False) -> bool:
        """See OverlappedAppends.finish. wait: for as long as it takes."""
        coming = self._coming
        if coming is None or self._appends is None:
            return False
        try:
            done = self._appends.finish(wait=wait)
        except OSError as error:
            self._give_up("a synced write failed", error)
        if done is None:
            return False
        self._coming = None
        if not done:
            self._write_in_steps(coming)
        self._arrived(coming, self._coming_hash)
        return True

    def _prepare(self, position: int, group: bytes | bytearray | memoryview) -> Coming:
        if self._broken:
            raise JournalBroken(detail=f"nothing can be appended after: {self._broken}")
        if self._coming is not None:
            raise InvariantError(detail="an append while another one is under way")
        view = self._admit(position, group)
        base = position - position % self._options.segment_bytes
        if self._segment is None or base != self._segment.base:
            self._roll(base)
        self.keeper.claim(block_end(position - base + len(group)))
        return Coming(group, position, position - base, view)

    def _arrived(self, coming: Coming, chain_hash: bytes) -> None:
        view = coming.view
        end = align(coming.position + view.length_bytes)
        self.head = Head(end, view.first_seq + view.record_count, chain_hash)
        self._totals.add(view)

    def _admit(self, position: int, group: bytes | bytearray | memoryview) -> codec.GroupView:
        """Check the group whole: an unsound one would be taken for a torn one at the next start."""
        options = self._options
        expected = place_group(self.head.position, options.segment_bytes, options.group_bytes_max)
        status = codec.check_group(group, 0, position, self.head.chain_hash)
        if position != expected or status == codec.BAD_CHAIN:
            raise Fenced(detail=f"a group for {position}, but the head is at {expected}")
        if status != len(group) or status > options.group_bytes_max:
            raise InvariantError(detail=f"a group that is not sound (check: {status})")
        view = codec.view_group(group)
        if view.first_seq != self.head.next_seq:
            said = f"records from {view.first_seq}, but the next is {self.head.next_seq}"
            raise Fenced(detail=said)
        return view

    def _use(self, path: Path, fd: int) -> None:
        """Write this file from now on; the one before is closed by whoever knows that it may be."""
        if self._appends is not None:
            self._appends.close()
        self._fd = fd
        bytes_max = self._options.group_bytes_max
        self._appends = SyncedAppends(self._files, path, fd, bytes_max, self._flight)

    def _write(self, coming: Coming) -> None:
        if self._appends is None:
            raise InvariantError(detail="an append before the journal was started")
        try:
            done = self._appends.write(coming.group, coming.offset)
        except OSError as error:
            self._give_up("a synced write failed", error)
        if not done:
            self._write_in_steps(coming)

    def _write_in_steps(self, coming: Coming) -> None:
        if self._appends is not None:
            self._appends.forget()
        self._write_and_sync(coming.group, coming.offset)

    def _write_and_sync(self, group: bytes | bytearray | memoryview, offset: int) -> None:
        try:
            written = self._files.pwrite(self._fd, group, offset)
        except OSError as error:
            if error.errno not in NO_ROOM:
                self._give_up("a write failed", error)
            written = 0
        if written != len(group):
            self._take_back(offset, len(group))
            raise JournalFull(detail=f"no room for {len(group)} bytes in {self._directory}")
        self._sync()

    def _sync(self) -> None:
        try:
            self._files.fdatasync(self._fd)
        except OSError as error:
            self._give_up("a sync failed", error)

    def _take_back(self, offset: int, size: int) -> None:
        """Zero what a short write left behind, and no byte more: there may be no room for it."""
        try:
            left = self._files.pread(self._fd, size, offset).rstrip(b"\0")
            if left:
                zero_fill(self._files, self._fd, (offset, offset + len(left)))
        except OSError as error:
            self._give_up("a short write could not be taken back", error)

    def _roll(self, base: int) -> None:
        """Go on in the next segment. Its head is durable before its first group is written."""
        closing = self._describe_active()
        old_fd = self._fd
        try:
            self._begin_segment(base)
        except OSError as error:
            self._refuse("the next segment could not be begun", error)
        if closing is not None:
            self._files.close(old_fd)
            self.keeper.seal(closing)

    def _begin_segment(self, base: int) -> None:
        path = self.keeper.take(base, whole=self._segment is None)
        head = SegmentHead(
            base=base,
            journal_id=self._journal_id,
            previous_hash=self.head.chain_hash,
            first_seq=self.head.next_seq,
            created_us=clock.now_us(),
            segment_bytes=self._options.segment_bytes,
            group_bytes_max=self._options.group_bytes_max,
        )
        fd = self._files.open(path, write=True)
        try:
            write_whole(self._files, fd, head.pack(), 0)
        except OSError:
            self._files.close(fd)
            raise
        self._use(path, fd)
        self._segment, self._totals = head, Totals()
        self._sync()
        self.keeper.use(path)
        self._want_next(base)

    def _describe_active(self) -> Closed | None:
        head = self._segment
        if head is None:
            return None
        root = Root(
            base=head.base,
            segment_bytes=head.segment_bytes,
            journal_id=head.journal_id.hex(),
            first_seq=head.first_seq,
            end_position=max(self.head.position, head.base),
            previous_hash=head.previous_hash.hex(),
            chain_hash=self.head.chain_hash.hex(),
            file_sha256="",
            totals=self._totals,
        )
        return Closed(self._directory / segment_name(head.base), root)

    def _refuse(self, what: str, error: OSError) -> NoReturn:
        if error.errno in NO_ROOM | NO_FILES:
            raise JournalFull(detail=f"{what}: {error}") from error
        self._give_up(what, error)

    def _give_up(self, what: str, error: OSError) -> NoReturn:
        """After an I/O error nobody knows what is on the disk: no append ever succeeds again.
        Writing on after a failed sync is how others lost data: the pages are marked clean."""
        self._broken = f"{what}: {error}"
        raise JournalBroken(detail=f"{self._broken} ({self._directory})") from error

    def close(self) -> None:
        """A write that is under way comes to its end; nobody is told."""
        self.keeper.close()
        if self._flight is not None:
            self._flight.close()
        self._broken = self._broken or "the journal was closed"
        if self._appends is not None:
            self._appends.close()
        for fd in (self._fd, self._lock):
            if fd >= 0:
                self._files.close(fd)
        self._fd = self._lock = -1
