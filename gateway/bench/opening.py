"""Opens many accounts with a balance and a medium each, before a gateway starts.

The same engine writes the same records into the same journal as the gateway would; only the control
socket is left out, and each group is as large as groups may be. Or a snapshot says that they are
there, and the journal begins behind them: ten million would else take minutes and 11 GB.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastpath.api import Book, Engine, StoreHandle
from fastpath.commands import Command, OperationId
from fastpath.types import MediumKind, MediumState, Op, Reason
from gateway.bench._filling import fill_media, fill_riders
from gateway.clock import now_us
from gateway.config import Config
from gateway.engine.recovery import build_memory
from gateway.engine.snapshot import SnapshotFacts, write_snapshot
from gateway.errors import InvariantError
from gateway.journal.segments import SegmentJournal, SegmentOptions
from gateway.keys import load_secrets

TOKEN_BYTES = 16
CURRENCY = 156
BALANCE_MINOR = 100_000_000
"""Enough for weeks of rides: the benchmark is about taps, not about refusals."""
CLIENT = int.from_bytes(b"bench")


class Opened(NamedTuple):
    """The riders, and where the journal stood behind their accounts."""

    tokens: bytes
    position: int
    denied: bytes = b""
    """Tokens on the deny list, media of account 1."""
    memory_bytes: int = 0
    """What the store takes for them by its own count; 0 = was not asked."""


def new_tokens(count: int) -> bytes:
    """Random tokens, 16 bytes each."""
    return os.urandom(TOKEN_BYTES * count)


def open_accounts(config: Config, count: int) -> Opened:
    """Write `count` accounts into the empty journal of a gateway that does not run.

    Returns: one token an account, in the order of account ids 1, 2, 3 ...
    Raises: JournalError; InvariantError: the engine refused what it must accept.
    """
    journal = SegmentJournal.open(config.journal.dir, _segment_options(config))
    try:
        writer = _Writer(config, journal)
        tokens = new_tokens(count)
        for account_id in range(1, count + 1):
            begin = (account_id - 1) * TOKEN_BYTES
            writer.open_account(account_id, tokens[begin : begin + TOKEN_BYTES])
        writer.commit()
        return Opened(tokens, journal.head().position)
    finally:
        journal.close()


def open_by_snapshot(config: Config, count: int, *, denied: int = 0) -> Opened:
    """As open_accounts, but only the first account is in the journal: the others and `denied`
    media on the deny list are in a snapshot as of its end.

    Raises: JournalError; OSError; MemoryError: more than the settings allow.
    """
    journal = SegmentJournal.open(config.journal.dir, _segment_options(config))
    try:
        writer = _Writer(config, journal)
        first = new_tokens(1)
        writer.open_account(1, first)
        writer.commit()
        head = journal.head()
        memory = build_memory(config.engine_limits())
        for group in journal.read(0):
            memory.apply_group(group)
        tokens = first + fill_riders(
            memory,
            2,
            count - 1,
            currency=CURRENCY,
            balance_minor=BALANCE_MINOR,
            kind=int(MediumKind.CARD),
            state=int(MediumState.ACTIVE),
        )
        riders_bytes = memory.bytes_used
        slot = memory.account_slot(1)
        listed = fill_media(
            memory, denied, slot, kind=int(MediumKind.CARD), state=int(MediumState.DENYLISTED)
        )
        memory.denylist_version = denied
        facts = SnapshotFacts(
            position=head.position,
            next_seq=head.next_seq,
            chain_hash=head.chain_hash,
            created_us=now_us(),
            denylist_version=denied,
        )
        write_snapshot(config.snapshots.dir, memory, facts)
        return Opened(tokens, head.position, listed, riders_bytes)
    finally:
        journal.close()


def _segment_options(config: Config) -> SegmentOptions:
    seed = load_secrets(config).signing_seed
    return SegmentOptions(
        config.journal.segment_mib << 20,
        config.engine.group_bytes_max,
        Ed25519PrivateKey.from_private_bytes(seed),
    )


class _Writer:
    """An engine with no tariff, and the journal behind it."""

    def __init__(self, config: Config, journal: SegmentJournal) -> None:
        limits = config.engine_limits()
        memory = StoreHandle(accounts_max=limits.accounts_max, media_max=limits.media_max)
        self._engine = Engine(memory, Book(), limits)
        self._journal = journal
        head = journal.head()
        self._chain = head.chain_hash
        self._position = journal.place(head.position)
        self._engine.begin(self._position, head.next_seq)
        self._now_us = now_us()
        self._operations = self._operation_ids()

    def open_account(self, account_id: int, token: bytes) -> None:
        self._do(Command(op=Op.ACCOUNT_OPEN, account_id=account_id, currency=CURRENCY))
        self._do(Command(op=Op.CREDIT, account_id=account_id, amount_minor=BALANCE_MINOR))
        card = int(MediumKind.CARD)
        self._do(Command(op=Op.MEDIUM_LINK, account_id=account_id, token=token, medium_kind=card))

    def commit(self) -> None:
        """Make the open group durable and go on behind it."""
        end = self._engine.open_end
        group = self._engine.seal(now_us(), self._chain)
        following = self._journal.place(end)
        self._engine.begin_next(following)
        if group is not None:
            self._journal.append(self._position, group)
            self._chain = hashlib.sha256(group).digest()
            self._position = following
        self._engine.commit(0)

    def _do(self, command: Command) -> None:
        operation = next(self._operations)
        try:
            head, _position, _repeat = self._engine.command(operation, command, self._now_us)
        except BufferError:
            self.commit()
            head, _position, _repeat = self._engine.command(operation, command, self._now_us)
        if head[5] != Reason.OK:
            raise InvariantError(detail=f"{command.op.name} was refused: {Reason(head[5]).name}")

    def _operation_ids(self) -> Iterator[OperationId]:
        """UUIDv7 values of this moment, the random part counted up."""
        high = (self._now_us // 1000) << 16 | 0x7000
        low = 1 << 63
        while True:
            yield OperationId(CLIENT, high, low)
            low += 1
