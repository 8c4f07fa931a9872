"""`faregate journal verify` for a journal in Valkey: every entry, beside a live gateway.

Findings name the entry as their place; offset is the position in the journal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from fastpath import records as codec
from gateway.errors import Corrupt, JournalError
from gateway.journal.roots import Totals
from gateway.journal.scan import Cursor, Finding
from gateway.journal.valkey import ValkeyJournal
from gateway.journal.valkey_stream import FIRST_POSITION, WRITER, Entry, Walk

PAGE = 256


@dataclass(slots=True)
class VerifiedStream:
    """What a walk over the whole stream found."""

    key: str
    group_count: int = 0
    term_count: int = 0
    first_position: int = 0
    end_position: int = 0
    next_seq: int = 1
    chain_hash: str = codec.NO_HASH.hex()
    totals: Totals = field(default_factory=Totals)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """No finding that is an error; notes are allowed states."""
        return not any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"sound": self.is_sound}


def verify_stream(journal: ValkeyJournal) -> VerifiedStream:
    """Check everything that can be checked; damage is reported and the walk goes on behind it.

    Raises: JournalUnavailable. JournalError JOURNAL_NOT_FOUND: there is no stream of this name.
    """
    return _Verifier(journal).run()


class _Verifier:
    def __init__(self, journal: ValkeyJournal) -> None:
        self._journal = journal
        self._found = VerifiedStream(journal.options.key("groups"))
        self._cursor = Cursor()
        self._term = 0

    def run(self) -> VerifiedStream:
        found = self._found
        for entry in self._entries():
            if entry.group is None:
                self._check_mark(entry)
            else:
                self._check_group(entry, entry.group)
        if not (found.group_count or found.term_count):
            raise JournalError("JOURNAL_NOT_FOUND", f"there is no stream {found.key}")
        found.end_position = self._cursor.position
        found.next_seq = self._cursor.next_seq or 1
        found.chain_hash = (self._cursor.chain_hash or codec.NO_HASH).hex()
        return found

    def _entries(self) -> Iterator[Entry]:
        after = "-"
        while page := self._journal.list_entries(after, PAGE):
            yield from page
            after = f"({page[-1].id}"

    def _report(self, fault: str, entry: Entry, detail: str, severity: str = "error") -> None:
        place = f"entry {entry.id}"
        self._found.findings.append(Finding(fault, place, entry.id.position, detail, severity))

    def _check_mark(self, entry: Entry) -> None:
        """A term begins: with its own number, a writer, and not behind what it follows."""
        self._found.term_count += 1
        term, self._term = self._term, entry.id.term
        if entry.id.position != 0 or WRITER not in entry.fields:
            self._report("mark", entry, "an entry that is neither a group nor the mark of a term")
        elif term and entry.id.term != term + 1:
            self._report("mark", entry, f"term {entry.id.term} follows term {term}")
        elif self._found.group_count and entry.end > self._cursor.position:
            said = f"the term says that the journal ended at {entry.end} before it"
            self._report("mark", entry, f"{said}, but it ended at {self._cursor.position}")

    def _check_group(self, entry: Entry, group: bytes) -> None:
        if self._found.group_count == 0:
            self._begin(entry)
        self._found.group_count += 1
        if self._term and entry.id.term != self._term:
            self._report("mark", entry, f"term {entry.id.term} has no mark")
            self._term = entry.id.term
        try:
            Walk(self._cursor).take(entry)
        except Corrupt as error:
            self._report("group", entry, error.detail)
            self._go_on_behind(entry, group)
            return
        self._found.totals.add(codec.view_group(group))
        if codec.find_records_fault(group) is not None:
            self._report("records", entry, "a record does not fit its group, or its totals")

    def _go_on_behind(self, entry: Entry, group: bytes) -> None:
        """A group that is sound by itself still says what must follow; a damaged one does not."""
        is_sound = codec.check_group(group, 0, entry.id.position) == len(group)
        chain = hashlib.sha256(group).digest() if is_sound else None
        self._cursor = Cursor(entry.end, None, chain)

    def _begin(self, entry: Entry) -> None:
        self._found.first_position = position = entry.id.position
        if position > FIRST_POSITION:
            self._cursor = Cursor(position, None, None)
            self._report("trimmed", entry, f"what lies before {position} is gone", "note")
