"""The one writer of a journal in Valkey.

Three rules keep it honest. A term belongs to one connection: whoever connects to write begins a new
one, and the server then refuses every id of an older term, also a command that was still under way.
A group is sent once a term. And what happened to a group whose answer did not come is found out by
beginning a term and reading what stands before it: a late arrival is impossible from then on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import threading
from typing import Any, NoReturn

import redis.exceptions

from fastpath import records as codec
from gateway.errors import (
    Corrupt,
    Fenced,
    JournalBroken,
    JournalError,
    JournalFull,
    JournalUnavailable,
)
from gateway.journal.port import Head
from gateway.journal.segment import align
from gateway.journal.valkey_leader import LeaderSign
from gateway.journal.valkey_stream import NOWHERE, Entry, EntryId, parse_entries
from gateway.journal.valkey_wire import (
    LOST,
    ErrorReply,
    ValkeyOptions,
    Wire,
    check_server,
    connect_primary,
)

log = logging.getLogger(__name__)

NOT_ABOVE = "equal or smaller"
"""In the reply to XADD with an id that is not above the last one."""
NOT_NOW = ("READONLY", "NOREPLICAS", "MISCONF", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "TRYAGAIN")
RETRY_PAUSE_S = 0.05
MARKS_PAGE = 16


class _NotTakenError(JournalUnavailable):
    """The server refused the group itself: it is certainly not there."""


class StreamWriter:
    """Leads a stream: begins terms, appends, finds out what became of a group."""

    def __init__(self, options: ValkeyOptions) -> None:
        self.options = options
        self.writer = secrets.token_hex(16)
        self.term = 0
        self.head = Head(0, 1, codec.NO_HASH)
        self.deposed = threading.Event()
        """Somebody saw a later term of another writer."""
        self._key = options.key("groups")
        self._wire: Wire | None = None
        self._last = NOWHERE
        """Entry of the last acknowledged group, or of a mark when there is none."""

    # --- becoming the writer

    async def start(self, after_term: int | None = None) -> None:
        """Begin a term behind whatever the stream holds, and know its head.

        Args: after_term: only if this is the newest one.

        Raises: Fenced: somebody else began one at the same moment. EnvironmentFault.
            JournalUnavailable: no primary, or too few replicas acknowledge.
        """
        wire = await connect_primary(self.options)
        try:
            for weakness in await check_server(wire, self.options):
                log.warning("valkey_weakness", extra={"server": wire.address, "detail": weakness})
            top = await self._top(wire)
            term = top.id.term if top is not None else 0
            if after_term not in (None, term):
                raise Fenced(detail=f"another writer has begun term {term} in the meantime")
            await self._begin_term(wire, term + 1, top.end if top is not None else 0)
            # Nothing can be added by anybody else now, so what is read here is the journal.
            await self._read_head(wire)
            if not await self._acknowledged(wire, self._deadline()):
                said = f"fewer than {self.options.replicas} replicas acknowledge"
                raise JournalUnavailable(detail=f"{wire.address}: {said}")
        except LOST as error:
            await wire.close()
            raise JournalUnavailable(detail=f"{wire.address}: {error}") from error
        except BaseException:
            await wire.close()
            raise
        self._wire = wire

    async def _top(self, wire: Wire) -> Entry | None:
        found = parse_entries(await wire.ask("XREVRANGE", self._key, "+", "-", "COUNT", 1))
        return found[0] if found else None

    async def _begin_term(self, wire: Wire, term: int, start: int) -> None:
        """Raises: Fenced: the term, or a later one, is another writer's. LOST: perhaps begun."""
        try:
            await wire.ask("XADD", self._key, f"{term}-0", "w", self.writer, "s", start)
        except ErrorReply as error:
            if NOT_ABOVE not in str(error):
                raise _meaning(error) from error
            top = await self._top(wire)
            if top is None or top.id != (term, 0) or top.fields.get(b"w") != self.writer.encode():
                self.deposed.set()
                said = f"another writer took the lead (entry {top.id if top else 'none'})"
                raise Fenced(detail=said) from error
            # It is our own: begun over a connection that was lost before the reply came.
        self.term = term

    async def _read_head(self, wire: Wire) -> None:
        end: object = EntryId(self.term, 0)
        self._last = EntryId(self.term, 0)
        while True:
            page = await wire.ask("XREVRANGE", self._key, str(end), "-", "COUNT", MARKS_PAGE)
            entries = parse_entries(page)
            group = next((entry for entry in entries if entry.group is not None), None)
            if group is not None:
                self._set_head(group)
                return
            if len(entries) < MARKS_PAGE:
                return
            end = f"({entries[-1].id}"

    def _set_head(self, entry: Entry) -> None:
        group = entry.group or b""
        if codec.check_group(group, 0, entry.id.position) != len(group):
            raise Corrupt(detail=f"the last group is damaged (entry {entry.id})")
        view = codec.view_group(group)
        chain_hash = hashlib.sha256(group).digest()
        self.head = Head(entry.end, view.first_seq + view.record_count, chain_hash)
        self._last = entry.id

    # --- appending

    async def append(self, position: int, group: bytes, after: Head) -> None:
        """See Journal.append.

        Args: group was checked, and follows `head`; after: the head once it is there.
        Raises: JournalUnavailable, JournalFull: nothing of it is there and never will be.
            Fenced. JournalBroken: unknown, and not found out in time. Corrupt.
        """
        deadline = self._deadline()
        sent = False
        while True:
            self._check_deposed()
            try:
                if self._wire is not None and await self._wire.is_broken():
                    await self._drop()
                if self._wire is None:
                    landed = await self._lead_again(position, group, deadline)
                    sent = False  # it is there, or now certainly not
                    if landed is not None:
                        break
                sent = True
                landed = await self._add(position, group, deadline)
                break
            except _NotTakenError:
                raise
            except (*LOST, JournalUnavailable) as error:
                await self._drop()
                if not sent:
                    raise _unavailable(error) from error
                if _now() > deadline:
                    said = "a group was sent and it could not be found out whether it is there"
                    raise JournalBroken(detail=f"{said}: {error}") from error
            # Unknown. Nobody is told anything; ask again.
            await asyncio.sleep(RETRY_PAUSE_S)
        self._last = landed
        self.head = after

    async def _add(self, position: int, group: bytes, deadline: float) -> EntryId:
        """Raises: LOST: unknown. ErrorReply is turned into what it means."""
        wire = self._wire
        if wire is None:
            raise JournalBroken(detail="there is no connection to write to")
        entry = EntryId(self.term, position)
        # Until both replies are here the outcome is unknown. The first says that the primary has
        # the group on its disk, the second how many replicas have it.
        added, acknowledged = await wire.exchange(
            ("XADD", self._key, str(entry), "g", group), self._wait_command()
        )
        if isinstance(added, ErrorReply):
            await self._not_added(added)
        if isinstance(acknowledged, ErrorReply) or acknowledged < self.options.replicas:
            await self._insist(wire, deadline)
        return entry

    async def _not_added(self, error: ErrorReply) -> NoReturn:
        if NOT_ABOVE in str(error):
            self.deposed.set()
            raise Fenced(detail="another writer took the lead: it has begun a later term")
        meaning = _meaning(error)
        if isinstance(meaning, JournalUnavailable):
            await self._drop()  # the next append looks for the primary again
            raise _NotTakenError(detail=meaning.detail) from error
        raise meaning from error

    async def _insist(self, wire: Wire, deadline: float) -> None:
        """The group is on the primary; wait for the replicas. Raises: Fenced, JournalBroken."""
        if not await self._acknowledged(wire, deadline):
            said = f"fewer than {self.options.replicas} replicas acknowledged a group"
            raise JournalBroken(detail=f"{said} in {self.options.resolve_s} s")

    async def _acknowledged(self, wire: Wire, deadline: float) -> bool:
        """Whether enough replicas have what this connection wrote last. Raises: LOST, Fenced."""
        said_so = False
        while await wire.ask(*self._wait_command()) < self.options.replicas:
            if _now() > deadline:
                return False
            if not said_so:
                said_so = True
                log.error("replicas_missing", extra={"server": wire.address, "term": self.term})
            self._check_deposed()
        if said_so:
            log.info("replicas_back", extra={"server": wire.address, "term": self.term})
        return True

    def _wait_command(self) -> tuple[Any, ...]:
        return ("WAIT", self.options.replicas, int(self.options.timeout_s * 500))

    # --- after a connection was lost

    async def _lead_again(self, position: int, group: bytes, deadline: float) -> EntryId | None:
        """Connect and begin the next term; the entry of `group` when it is there.

        Raises: LOST, JournalUnavailable: try again. Fenced. Corrupt: the server, promoted perhaps,
            does not have what was acknowledged.
        """
        wire = await connect_primary(self.options)
        try:
            await check_server(wire, self.options)
            await self._begin_term(wire, self.term + 1, self.head.position)
            tail = parse_entries(
                await wire.ask("XRANGE", self._key, str(self._last), "+", "COUNT", MARKS_PAGE)
            )
            landed = self._find_landed(tail, position, group)
            # The mark came after the group: replicas that have the one have the other.
            if not await self._acknowledged(wire, deadline):
                raise JournalUnavailable(detail=f"{wire.address}: too few replicas acknowledge")
        except BaseException:
            await wire.close()
            raise
        self._wire = wire
        log.warning(
            "journal_term_begun",
            extra={"server": wire.address, "term": self.term, "landed": landed is not None},
        )
        return landed

    def _find_landed(self, tail: list[Entry], position: int, group: bytes) -> EntryId | None:
        """`tail`: from the last acknowledged entry on."""
        if self._last.term and (not tail or tail[0].id != self._last):
            said = "the server does not have a group that was acknowledged"
            raise Corrupt(detail=f"{said} (entry {self._last})")
        behind = [entry for entry in tail if entry.group is not None and entry.id != self._last]
        if tail and tail[0].group is not None:
            found = hashlib.sha256(tail[0].group).digest()
            if found != self.head.chain_hash:
                raise Corrupt(detail=f"entry {self._last} is not what was acknowledged there")
        if not behind:
            return None
        if len(behind) > 1 or behind[0].id.position != position or behind[0].group != group:
            raise Fenced(detail=f"another writer has appended (entry {behind[-1].id})")
        return behind[0].id

    # --- the rest

    def _check_deposed(self) -> None:
        if self.deposed.is_set():
            raise Fenced(detail=f"another writer took the lead after term {self.term}")

    async def first_sign(self, sign: LeaderSign) -> None:
        """Put the directory entry in place before anybody can think that nobody leads."""
        if self._wire is not None:
            await sign.beat(self._wire)

    def _deadline(self) -> float:
        return _now() + self.options.resolve_s

    async def _drop(self) -> None:
        if self._wire is not None:
            wire, self._wire = self._wire, None
            await wire.close()

    async def close(self) -> None:
        await self._drop()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _unavailable(error: Exception) -> JournalError:
    if isinstance(error, JournalUnavailable):
        return error
    return JournalUnavailable(detail=f"no server could be reached: {error}")


def _meaning(error: ErrorReply) -> JournalError:
    """What it means that the server said no; nothing was done."""
    text = str(error)
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return JournalFull(detail=f"the server's maxmemory is used up: {text}")
    if isinstance(error, redis.exceptions.ReadOnlyError) or text.startswith(NOT_NOW):
        return JournalUnavailable(detail=f"the server takes no writes: {text}")
    return JournalBroken(detail=f"the server refuses to append: {text}")


def end_of(position: int, length_bytes: int) -> int:
    """Where a group ends."""
    return align(position + length_bytes)
