"""The journal in Valkey: one stream a shard, on a primary and its replicas.

Same port as the segment files. What is promised, and what is not, is docs/replication.md; why the
ids of the stream are the fence is ADR-0003.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator

from fastpath import records as codec
from gateway.errors import Corrupt, Fenced, InvariantError, JournalUnavailable
from gateway.journal.port import DiskState, Head, OverlappedAppends
from gateway.journal.scan import Witness
from gateway.journal.valkey_leader import Leader, LeaderSign, parse_leader, wait_until_free
from gateway.journal.valkey_recent import LoopReads, RecentGroups
from gateway.journal.valkey_stream import Entry, StreamReader, Walk, place_group
from gateway.journal.valkey_wire import LOST, PrivateLoop, ValkeyOptions, connect_primary
from gateway.journal.valkey_writer import StreamWriter, end_of

__all__ = ["ValkeyJournal", "ValkeyOptions"]

log = logging.getLogger(__name__)

WARN_PERCENT = 80
REFUSE_PERCENT = 90


class ValkeyJournal:
    """A journal in a Valkey stream. Made by `open` and `open_reader`.

    Thread: `append` by one thread at a time; the rest by any. Each call may wait for the network:
    `append` belongs into a helper thread; `read_record` knows when a loop waits for it.
    """

    def __init__(self, options: ValkeyOptions, *, proven: bool) -> None:
        options.check()
        self.options = options
        self._reader = StreamReader(options, proven and options.replicas > 0)
        self._reading = PrivateLoop("journal-read")
        self._recent = RecentGroups()
        self._reads = LoopReads(self._reading, self._reader.read_record)
        self._writing: PrivateLoop | None = None
        self._writer: StreamWriter | None = None
        self._sign: LeaderSign | None = None
        self._found = Head(0, 1, codec.NO_HASH)

    @classmethod
    def open(
        cls,
        options: ValkeyOptions,
        *,
        takeover: bool = False,
        after_term: int | None = None,
        witnesses: Iterable[Witness] = (),
    ) -> ValkeyJournal:
        """Become the writer: begin a term, after which every other writer is refused.

        Args: takeover: do not ask whether another leader seems to be alive.
            after_term: only if this is the newest term; None = whatever it is.
        Raises: Fenced: there is one, or it was quicker. EnvironmentFault: the server's settings.
            Corrupt: the journal is not the one a witness has seen. JournalUnavailable.
        """
        journal = cls(options, proven=False)
        journal._writer = writer = StreamWriter(options)
        journal._writing = PrivateLoop("journal-write")
        try:
            if not takeover:
                journal._writing.run(_check_free(options))
            journal._writing.run(writer.start(after_term))
            for witness in witnesses:
                journal._check_witness(witness)
            journal._give_sign(writer, journal._writing)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open_reader(cls, options: ValkeyOptions, *, proven: bool = True) -> ValkeyJournal:
        """Read beside a writer.

        Args: proven: hand out a group only when the replicas have it too; without it, the reader
            must be ready to find that the last groups are gone (`agrees`).
        """
        return cls(options, proven=proven)

    def _give_sign(self, writer: StreamWriter, loop: PrivateLoop) -> None:
        sign = LeaderSign(self.options, writer.writer, lambda: writer.term, writer.deposed)
        try:
            loop.run(writer.first_sign(sign))
        except LOST as error:
            raise JournalUnavailable(detail=f"lost while opening: {error}") from error
        self._sign = sign
        sign.start()

    # --- the port

    def head(self) -> Head:
        """See Journal.head. A reader walks on from what it knew."""
        if self._writer is not None:
            return self._writer.head
        known = self._found.chain_hash if self._found.position else None
        for group in self.read(self._found.position, previous_hash=known):
            view = codec.view_group(group)
            self._found = Head(
                end_of(view.position, view.length_bytes),
                view.first_seq + view.record_count,
                hashlib.sha256(group).digest(),
            )
        return self._found

    def place(self, after: int) -> int:
        return place_group(after)

    def append(self, position: int, group: bytes | bytearray | memoryview) -> None:
        """See Journal.append. Raises: JournalUnavailable too: nothing of it is there."""
        if self._writer is None or self._writing is None:
            raise Fenced(detail="this journal was opened to be read")
        after = self._admit(position, group)
        data = bytes(group)
        self._writing.run(self._writer.append(position, data, after))
        self._recent.add(position, data)

    def overlap(
        self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]
    ) -> OverlappedAppends | None:
        """A network may take as long as it likes: appends are for a thread of their own."""
        return None

    def _admit(self, position: int, group: bytes | bytearray | memoryview) -> Head:
        """Check a group against the head, as it was checked by nobody else; the head after it."""
        head = self.head()
        expected = place_group(head.position)
        status = codec.check_group(group, 0, position, head.chain_hash)
        if position != expected or status == codec.BAD_CHAIN:
            raise Fenced(detail=f"a group for {position}, but the head is at {expected}")
        if status != len(group) or status > self.options.group_bytes_max:
            raise InvariantError(detail=f"a group that is not sound (check: {status})")
        view = codec.view_group(group)
        if view.first_seq != head.next_seq:
            said = f"records from {view.first_seq}, but the next is {head.next_seq}"
            raise Fenced(detail=said)
        next_seq = view.first_seq + view.record_count
        return Head(end_of(position, view.length_bytes), next_seq, hashlib.sha256(group).digest())

    def read(
        self, from_position: int, *, previous_hash: bytes | None = None
    ) -> Iterator[memoryview]:
        """See Journal.read."""
        walk = self._reading.run(self._reader.walk(from_position, previous_hash))
        yield from self.read_on(walk)

    def read_on(self, walk: Walk) -> Iterator[memoryview]:
        """The groups behind a walk, which keeps its place between two calls."""
        while True:
            for entry in self._reading.run(self._reader.page(walk)):
                if self._writer is not None and entry.id.position >= self._writer.head.position:
                    return
                yield walk.take(entry)
            if walk.at_end:
                return

    def start_before(self, position: int) -> int:
        """Where a walk begins that meets a position, or what is kept behind it."""
        return self._reading.run(self._reader.start_before(position))

    def list_entries(self, after: str, count: int) -> list[Entry]:
        """Groups and marks as they stand in the stream; `-` = from the first one on."""
        return self._reading.run(self._reader.entries(after, "+", count))

    def read_record(self, position: int) -> bytes:
        """See Journal.read_record. Inside a running loop it waits for a moment at most.

        Raises: JournalUnavailable too: ask again, the answer may be here by then.
        """
        kept = self._recent.find_record(position)
        if kept is not None:
            return kept
        return self._reads.run(position)

    def close(self) -> None:
        if self._sign is not None:
            self._sign.close()
            self._sign = None
        if self._writer is not None and self._writing is not None:
            self._writing.run(self._writer.close())
            self._writing.close()
            self._writing = None
        self._reading.run(self._reader.close())
        self._reading.close()

    # --- beyond the port

    def announce(self, where: str) -> None:
        """Tell whoever asks the directory where this leader listens."""
        if self._sign is not None:
            self._sign.say(where)

    def disk_state(self) -> DiskState:
        """Room in the server's memory, as of some seconds ago. Raises: Fenced: deposed."""
        if self._writer is not None and self._writer.deposed.is_set():
            raise Fenced(detail=f"another writer took the lead after term {self._writer.term}")
        used = self._sign.used_percent if self._sign is not None else 0
        if used >= REFUSE_PERCENT:
            return DiskState.REFUSE_COMMANDS
        return DiskState.WARN if used >= WARN_PERCENT else DiskState.OK

    def find_leader(self) -> Leader | None:
        """What the directory says; a hint. Raises: JournalUnavailable."""
        value = self._reading.run(self._reader.ask("GET", self.options.key("leader")))
        return parse_leader(value)

    def walk(self, from_position: int, previous_hash: bytes | None) -> Walk:
        """A place to follow the journal from, for `read_on` and `wait`."""
        return self._reading.run(self._reader.walk(from_position, previous_hash))

    def wait(self, walk: Walk, timeout_s: float) -> None:
        """Until there is something behind the walk, or the time is over."""
        self._reading.run(self._reader.wait(walk, timeout_s))

    def agrees(self, position: int, chain_hash: bytes) -> bool | None:
        """Whether a group with this hash ends at a position; None = it is past retention."""
        entry = self._reading.run(self._reader.find_group(position - 1))
        if entry is None or entry.group is None:
            return None
        return entry.end == position and hashlib.sha256(entry.group).digest() == chain_hash

    def _check_witness(self, witness: Witness) -> None:
        head = self.head()
        if witness.position > head.position:
            said = f"the journal ends at {head.position}, but {witness.name} has seen it reach"
            raise Corrupt(detail=f"{said} {witness.position}: its tail is lost")
        if witness.position == 0 or witness.chain_hash is None:
            return
        if self.agrees(witness.position, witness.chain_hash) is False:
            said = f"it is not the journal that {witness.name} has seen"
            raise Corrupt(detail=f"{said} up to {witness.position}")

    def trim(self, before_position: int) -> int:
        """Drop groups that end at or before a position; the last group always stays.

        Only behind a snapshot: what is dropped can be replayed by nobody. Needs no leader and
        disturbs none. Returns: how many entries went, marks of terms among them.
        """
        dropped = self._reading.run(self._reader.trim(before_position))
        log.info("journal_trimmed", extra={"before": before_position, "entries": dropped})
        return dropped


async def _check_free(options: ValkeyOptions) -> None:
    """Raises: Fenced: a leader gives signs of life."""
    wire = await connect_primary(options)
    try:
        leader = await wait_until_free(wire, options)
    finally:
        await wire.close()
    if leader is not None:
        where = f" at {leader.where}" if leader.where else ""
        raise Fenced(detail=f"another gateway leads{where} (term {leader.term})")
