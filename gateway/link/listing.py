"""The deny list on its way to devices: cut into frames while it is sent, a few pieces a turn.

A list of a million tokens is 18 MB for each device that asks. It is sent between the taps: so many
bytes a millisecond for all devices together, nothing to a device that has not taken what it was
sent before. Nothing here decides what is denied.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

import msgpack

from gateway.link.codes import FrameType
from gateway.link.denylist import ENTRY_BYTES, ENTRY_HEAD, Changes, Denylist, Frozen

if TYPE_CHECKING:
    from fastpath.api import Session

PART_TOKENS = 1000
"""18 KB: sealing and sending one takes about 50 us."""
PART_BYTES = PART_TOKENS * ENTRY_BYTES
KEPT_PARTS = 4
KEPT_DELTAS = 16
"""Short deltas are kept encoded: one push goes to every device."""

TURN_BYTES = 48 << 10
PIECE_BYTES = 3 << 10
"""What the sending of a piece costs beside its bytes, in bytes."""
PAUSE_S = 0.001
BEHIND_BYTES = 32 << 10
"""A device that has so much left to take gets nothing more of its list."""
BEHIND_PAUSE_S = 0.02

Sign = Callable[[bytes], bytes]


def denylist_message(to_version: int, digest: bytes) -> bytes:
    """What the signature of a deny list covers."""
    return b"faregate denylist" + to_version.to_bytes(8) + digest


def build_payload(counter: int, piece: bytes) -> bytes:
    """The whole payload of one part: an array of ten."""
    return bytes([0x9A, FrameType.DENYLIST_DELTA]) + _pack(counter) + piece


class Cutter:
    """Cuts deltas of a list into frames; what it yields stands behind a frame's counter."""

    def __init__(self, denylist: Denylist, sign: Sign) -> None:
        self._denylist = denylist
        self._sign = sign
        self._signed = (-1, b"")
        self._kept: dict[tuple[int, int], list[bytes]] = {}

    def cut(self, have_version: int) -> Iterator[bytes]:
        """What leads a device from its version to the newest; at least one piece."""
        changes = self._denylist.find_changes(have_version)
        start = changes.from_version if changes is not None else 0
        kept = self._kept.get((start, self._denylist.version))
        if kept is not None:
            return iter(kept)
        pieces = self._whole(self._denylist.freeze()) if changes is None else self._some(changes)
        first = list(islice(pieces, KEPT_PARTS + 1))
        if len(first) > KEPT_PARTS:
            return chain(first, pieces)
        if len(self._kept) >= KEPT_DELTAS:
            self._kept.clear()
        self._kept[start, self._denylist.version] = first
        return iter(first)

    def _whole(self, frozen: Frozen) -> Iterator[bytes]:
        head = _pack(0, frozen.version, True)
        behind = _pack(0, frozen.version, False)
        cuts = _cut_entries(frozen.buckets)
        entries = next(cuts, b"")
        for following in cuts:
            yield head + _array(entries) + _array(b"") + _pack(True, b"", b"")
            head, entries = behind, following
        yield head + _array(entries) + _array(b"") + self._end(frozen.version, frozen.hash)

    def _some(self, changes: Changes) -> Iterator[bytes]:
        head = _pack(changes.from_version, changes.to_version, False)
        each = iter(changes)
        taken = list(islice(each, PART_TOKENS))
        while following := list(islice(each, PART_TOKENS)):
            yield head + _split(taken) + _pack(True, b"", b"")
            taken = following
        yield head + _split(taken) + self._end(changes.to_version, changes.hash)

    def _end(self, version: int, digest: bytes) -> bytes:
        if self._signed[0] != version:
            self._signed = (version, self._sign(denylist_message(version, digest)))
        return _pack(False, digest, self._signed[1])


def _pack(*fields: int | bytes) -> bytes:
    return b"".join(msgpack.packb(field) for field in fields)


def _array(entries: bytes) -> bytes:
    return b"\xdc" + (len(entries) // ENTRY_BYTES).to_bytes(2) + entries


def _split(changed: list[tuple[bytes, bool]]) -> bytes:
    """Added, then removed tokens."""
    added = b"".join(ENTRY_HEAD + token for token, denied in changed if denied)
    return _array(added) + _array(b"".join(ENTRY_HEAD + t for t, denied in changed if not denied))


def _cut_entries(buckets: tuple[bytes, ...]) -> Iterator[bytes]:
    """The entries of all buckets in pieces of PART_BYTES."""
    held: list[bytes] = []
    room = PART_BYTES
    for bucket in filter(None, buckets):
        at = 0
        while at < len(bucket):
            held.append(bucket[at : at + room])
            at += len(held[-1])
            room -= len(held[-1])
            if room == 0:
                yield b"".join(held)
                held, room = [], PART_BYTES
    if held:
        yield b"".join(held)


class Receiver(Protocol):
    """A device's connection, as far as its list is concerned."""

    @property
    def session(self) -> Session | None: ...

    @property
    def closing(self) -> bool: ...

    def flush(self) -> None:
        """Send what the session has ready."""

    def behind_bytes(self) -> int:
        """Sent and not taken by the device's side yet."""


class ListSender:
    """Brings devices to the newest list. Thread: the loop's.

    One delta at a time a device; what is asked meanwhile is one delta more when that has ended,
    made then. So a device that asks and asks gets no more of them.
    """

    def __init__(self, cut: Callable[[int], Iterator[bytes]]) -> None:
        self._cut = cut
        self._wanted: dict[Receiver, int] = {}
        self._under_way: dict[Receiver, Iterator[bytes]] = {}
        self._queue: deque[Receiver] = deque()
        self._behind: list[Receiver] = []
        self._turning = False

    def want(self, receiver: Receiver, have_version: int) -> None:
        """Have a device brought from its version to the newest."""
        asked = self._wanted.get(receiver)
        self._wanted[receiver] = have_version if asked is None else min(asked, have_version)
        if asked is None and receiver not in self._under_way:
            self._queue.append(receiver)
            self._turn_soon(0.0)

    def drop(self, receiver: Receiver) -> None:
        """The connection is gone; its place in the queue finds nothing to do."""
        self._wanted.pop(receiver, None)
        self._under_way.pop(receiver, None)

    def _turn_soon(self, pause_s: float) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_later(pause_s, self._turn)

    def _turn(self) -> None:
        self._turning = False
        left_bytes = TURN_BYTES
        while self._queue and left_bytes > 0:
            left_bytes -= PIECE_BYTES + self._send(self._queue.popleft())
        if self._queue:
            self._turn_soon(PAUSE_S)

    def _send(self, receiver: Receiver) -> int:
        """One piece to a device, if it has room; how many bytes."""
        session = receiver.session
        if session is None or receiver.closing:
            self.drop(receiver)
            return 0
        if receiver.behind_bytes() > BEHIND_BYTES:
            self._rest(receiver)
            return 0
        piece = self._next_piece(receiver)
        if piece is None:
            return 0
        self._queue.append(receiver)
        session.push(build_payload(session.next_counter(), piece))
        receiver.flush()
        return len(piece)

    def _next_piece(self, receiver: Receiver) -> bytes | None:
        """Of the delta under way, or the first of the next one; None = nothing is left to send."""
        piece = next(self._under_way.get(receiver, iter(())), None)
        if piece is None and receiver in self._wanted:
            pieces = self._cut(self._wanted.pop(receiver))
            self._under_way[receiver] = pieces
            piece = next(pieces)
        if piece is None:
            self._under_way.pop(receiver, None)
        return piece

    def _rest(self, receiver: Receiver) -> None:
        if not self._behind:
            asyncio.get_running_loop().call_later(BEHIND_PAUSE_S, self._look_again)
        self._behind.append(receiver)

    def _look_again(self) -> None:
        self._queue.extend(self._behind)
        self._behind = []
        self._turn_soon(0.0)
