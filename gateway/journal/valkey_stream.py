"""The stream that holds a journal: entries, their ids, and reading them.

Id of a group `<term>-<position>`; id of the mark that begins a term `<term>-0`. Terms count 1, 2,
3 …; a term belongs to one connection of one writer. The server refuses an id that is not above the
last one, and that alone is the fence (ADR-0003).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastpath import records as codec
from gateway.errors import Corrupt, JournalError, JournalUnavailable
from gateway.journal.scan import FAULTS, Cursor
from gateway.journal.segment import align
from gateway.journal.valkey_wire import LOST, ValkeyOptions, Wire, connect_primary

FIRST_POSITION = 4096
"""As in a journal of files: no position below it names anything."""
GROUP = b"g"
WRITER = b"w"
START = b"s"
PAGE_FIRST = 16
PAGE_MAX = 1024
PAGE_BYTES = 1 << 20
"""A page that was smaller lets the next one be larger."""


def place_group(after: int) -> int:
    """The next group begins where the last one ends."""
    return max(align(after), FIRST_POSITION)


class EntryId(NamedTuple):
    """Ordered as the server orders them."""

    term: int
    position: int

    def __str__(self) -> str:
        return f"{self.term}-{self.position}"


NOWHERE = EntryId(0, 0)


class Entry(NamedTuple):
    """A group, or the mark of a term."""

    id: EntryId
    fields: dict[bytes, bytes]

    @property
    def group(self) -> bytes | None:
        return self.fields.get(GROUP)

    @property
    def end(self) -> int:
        """Where a group ends; for a mark, where the journal ended before it, or earlier."""
        if self.group is not None:
            return align(self.id.position + len(self.group))
        return int(self.fields.get(START, b"0"))


def parse_entries(reply: Any) -> list[Entry]:
    """What XRANGE and XREVRANGE answer. Raises: Corrupt."""
    entries = []
    for raw_id, raw_fields in reply or ():
        term, dash, position = raw_id.partition(b"-")
        if not dash or raw_fields is None:
            raise Corrupt(detail=f"an entry that is none of a journal: {raw_id!r}")
        pairs = iter(raw_fields)
        entries.append(
            Entry(EntryId(int(term), int(position)), dict(zip(pairs, pairs, strict=True)))
        )
    return entries


@dataclass(slots=True)
class Walk:
    """Where a reader stands in the stream, and what must follow."""

    cursor: Cursor
    after: EntryId | None = None
    page_count: int = PAGE_FIRST
    at_end: bool = False

    def take(self, entry: Entry) -> memoryview:
        """Check that a group follows and step over it. Raises: Corrupt, JournalError."""
        group = entry.group or b""
        cursor = self.cursor
        expected = place_group(cursor.position)
        if entry.id.position != expected:
            said = f"a group at {entry.id.position} where one at {expected} must follow"
            raise Corrupt(detail=f"{said} (entry {entry.id})", offset=expected)
        status = codec.check_group(group, 0, expected, cursor.chain_hash)
        if status != len(group):
            said = FAULTS.get(status, "bytes behind the group")
            raise Corrupt(detail=f"entry {entry.id}: {said}", offset=expected)
        view = codec.view_group(group)
        if cursor.next_seq not in (None, view.first_seq):
            said = f"records go on with {view.first_seq} where {cursor.next_seq} was expected"
            raise Corrupt(detail=f"entry {entry.id}: {said}", offset=expected)
        found = memoryview(group)
        cursor.advance(view, found)
        return found


@dataclass(slots=True)
class StreamReader:
    """Reads over a connection of its own, made again when it is lost: reading twice is harmless.

    `proven`: hand out only what the replicas have too, see `_prove`.
    """

    options: ValkeyOptions
    proven: bool = False
    _wire: Wire | None = None
    _starts: dict[int, int] = field(default_factory=dict)
    _top_term: int = 0
    _proven_id: EntryId = NOWHERE
    _kept: Entry | None = None
    _ahead: list[Entry] = field(default_factory=list)
    _proof: str = ""

    def __post_init__(self) -> None:
        self._proof = self.options.key("proof:" + secrets.token_hex(8))

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()
            self._wire = None

    async def ask(self, *command: Any) -> Any:
        """One reading command. Raises: JournalUnavailable, ErrorReply."""
        for _ in range(2):
            if self._wire is None:
                self._wire = await connect_primary(self.options)
            try:
                return await self._wire.ask(*command)
            except LOST as error:
                lost = error
                await self.close()
        raise JournalUnavailable(detail=f"the journal cannot be read: {lost}") from lost

    async def entries(self, start: object, end: object, count: int) -> list[Entry]:
        key = self.options.key("groups")
        return parse_entries(await self.ask("XRANGE", key, str(start), str(end), "COUNT", count))

    async def last_before(self, end: object) -> Entry | None:
        """The last entry at or before an id; `(id` leaves the id itself out, `+` is the last."""
        key = self.options.key("groups")
        found = parse_entries(await self.ask("XREVRANGE", key, str(end), "-", "COUNT", 1))
        return found[0] if found else None

    # --- by position

    async def find_group(self, position: int) -> Entry | None:
        """The group that begins at or before a position, nearest to it; None = there is none."""
        kept = self._kept
        if kept is not None and kept.id.position <= position < kept.end:
            return kept
        top = await self.last_before("+")
        self._top_term = top.id.term if top is not None else 0
        term = await self._term_at(position)
        while term > 0:
            entry = await self.last_before(EntryId(term, position))
            if entry is None:
                return None
            if entry.group is not None:
                self._kept = entry
                return entry
            term = entry.id.term - 1
        return None

    async def _term_at(self, position: int) -> int:
        """The last term that began at or before a position. Marks may say an earlier start than
        true, never a later one: then the group is in a term before, and `find_group` goes down."""
        low, high = min(1, self._top_term), self._top_term
        while low < high:
            middle = (low + high + 1) // 2
            if await self._start_of(middle) <= position:
                low = middle
            else:
                high = middle - 1
        return low

    async def _start_of(self, term: int) -> int:
        if term not in self._starts:
            mark = EntryId(term, 0)
            found = await self.entries(mark, mark, 1)
            self._starts[term] = found[0].end if found else 0  # trimmed away: long ago
        return self._starts[term]

    async def read_record(self, position: int) -> bytes:
        """See Journal.read_record."""
        entry = await self.find_group(position)
        if entry is None or entry.group is None:
            said = f"position {position} is past retention, or never was"
            raise JournalError("JOURNAL_PAST_RETENTION", said)
        record = cut_record(entry.group, position - entry.id.position)
        if record is None:
            said = f"no record at position {position} (entry {entry.id})"
            raise Corrupt(detail=said, offset=position - entry.id.position)
        return record

    async def start_before(self, position: int) -> int:
        """Where the group begins that holds a position; the first one's, if that is later."""
        found = await self.find_group(position)
        while found is None or found.group is None:
            after = "-" if found is None else f"({found.id}"
            page = await self.entries(after, "+", 1)
            if not page:
                return 0
            found = page[0]
        return found.id.position

    async def trim(self, before: int) -> int:
        """Drop what ends at or before a position, but never the last group; how many entries."""
        keep = await self.find_group(max(before, FIRST_POSITION))
        if keep is None:
            return 0
        key = self.options.key("groups")
        dropped: int = await self.ask("XTRIM", key, "MINID", str(keep.id))
        self._kept = None
        return dropped

    # --- in order

    async def walk(self, from_position: int, previous_hash: bytes | None) -> Walk:
        """A walk that begins at a group or where one ends. Raises: Corrupt."""
        if from_position == 0:
            return Walk(Cursor())
        entry = await self.find_group(from_position)
        if entry is not None and entry.group is not None:
            if entry.id.position == from_position:
                before = EntryId(entry.id.term, from_position - 1)
                return Walk(Cursor(from_position, None, previous_hash), before)
            if place_group(entry.end) == place_group(from_position):
                return _walk_behind(entry, previous_hash)
            if entry.end > from_position:
                raise Corrupt(detail=f"no group begins or ends at {from_position}")
        return Walk(Cursor(from_position, None, previous_hash), entry.id if entry else None)

    async def page(self, walk: Walk) -> list[Entry]:
        """The next groups in order; moves the walk over the entries, not its cursor."""
        entries = self._take_ahead(walk)
        if not entries:
            start = f"({walk.after}" if walk.after is not None else "-"
            entries = await self.entries(start, "+", walk.page_count)
        walk.at_end = len(entries) < walk.page_count
        if walk.after is None and entries:
            self._check_retention(walk, entries)
        if self.proven and entries and not await self._prove(entries[-1].id):
            walk.at_end = True
            entries = _without_last_group(entries)
        if entries:
            walk.after = entries[-1].id
        walk.page_count = _next_page(walk.page_count, entries)
        return [entry for entry in entries if entry.group is not None]

    async def wait(self, walk: Walk, timeout_s: float) -> None:
        """Until something stands behind the walk, or the time is over; `page` then has it."""
        key = self.options.key("groups")
        after = str(walk.after or NOWHERE)
        block = ("XREAD", "COUNT", PAGE_FIRST, "BLOCK", int(timeout_s * 1000), "STREAMS")
        reply = await self.ask(*block, key, after)
        self._ahead = parse_entries(reply[0][1]) if reply else []

    def _take_ahead(self, walk: Walk) -> list[Entry]:
        ahead, self._ahead = self._ahead, []
        return ahead if ahead and ahead[0].id > (walk.after or NOWHERE) else []

    def _check_retention(self, walk: Walk, entries: list[Entry]) -> None:
        first = next((entry for entry in entries if entry.group is not None), None)
        if first is not None and first.id.position > place_group(walk.cursor.position):
            said = f"position {walk.cursor.position} is past retention"
            said = f"{said}: the journal begins at {first.id.position}"
            raise JournalError("JOURNAL_PAST_RETENTION", said)

    async def _prove(self, last: EntryId) -> bool:
        """Whether the replicas have everything up to an entry, so that what is built on it cannot
        outlive it: a write of our own comes after it, and WAIT is about that write."""
        if last <= self._proven_id or self.options.replicas == 0:
            return True
        await self.ask("SET", self._proof, "1", "PX", 60_000)
        wait_ms = int(self.options.timeout_s * 500)
        if await self.ask("WAIT", self.options.replicas, wait_ms) < self.options.replicas:
            return False
        self._proven_id = last
        return True


def _walk_behind(entry: Entry, previous_hash: bytes | None) -> Walk:
    group = entry.group or b""
    view = codec.view_group(group)
    chain_hash = hashlib.sha256(group).digest()
    if previous_hash not in (None, chain_hash):
        said = f"the group before {entry.end} is another one than the reader knows"
        raise Corrupt(detail=f"{said} (entry {entry.id})", offset=entry.end)
    return Walk(Cursor(entry.end, view.first_seq + view.record_count, chain_hash), entry.id)


def _without_last_group(entries: list[Entry]) -> list[Entry]:
    """The writer appends a group only when the one before is acknowledged: all but the last are."""
    groups = [i for i, entry in enumerate(entries) if entry.group is not None]
    return entries[: groups[-1]] if groups else []


def _next_page(count: int, entries: list[Entry]) -> int:
    size = sum(len(entry.group or b"") for entry in entries)
    if size > PAGE_BYTES:
        return max(1, count // 2)
    return min(PAGE_MAX, count * 2) if len(entries) == count else count


def cut_record(group: bytes, offset: int) -> bytes | None:
    """The record at an offset, None when the bytes there are none."""
    head = group[offset : offset + codec.RECORD_HEAD_BYTES]
    if offset < codec.GROUP_HEAD_BYTES or len(head) < codec.RECORD_HEAD_BYTES:
        return None
    size = int.from_bytes(head[:4], "little")
    if size != codec.RECORD_HEAD_BYTES + head[7] * codec.RECORD_ITEM_BYTES:
        return None
    record = group[offset : offset + size]
    return record if len(record) == size else None
