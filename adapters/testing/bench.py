"""What the kit needs to know about an adapter: its remote, its settings, commands to try."""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from adapters.contract import Adapter, Command, Context, Event, Meta
from adapters.errors import Refusal
from adapters.testing.remote import ScriptedRemote

log = logging.getLogger("adapters.bench")
PATIENCE_S = 10.0
"""No step of a check takes longer, or the adapter hangs."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message of the peer: its bytes, where it came from, what it means."""

    raw: bytes
    meta: Meta
    kinds: tuple[str, ...]
    forged: tuple[tuple[bytes, Meta], ...] = ()
    """The same with a proof that is not the peer's."""


@dataclass(frozen=True, slots=True)
class Personal:
    """A command with personal data in it, and the words that must appear nowhere."""

    command: Command
    words: tuple[str, ...]


@dataclass
class Bench(abc.ABC):
    """One adapter with its simulator. Made anew for every check."""

    remote: ScriptedRemote
    logged: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    can_pend = True
    """The peer may take a command and finish it later."""
    can_undo = True
    """compensate works."""
    stream_kind = ""
    """The stream to try, when the adapter has one."""

    @abc.abstractmethod
    def make_adapter(self) -> Adapter[Any]:
        """A new adapter of the remote's URL, not open; its timeouts about half a second."""

    @abc.abstractmethod
    def good_settings(self) -> dict[str, Any]:
        """Settings as they stand in a file."""

    @abc.abstractmethod
    def bad_settings(self) -> list[dict[str, Any]]:
        """Settings that must be refused."""

    @abc.abstractmethod
    def command(self, key: str) -> Command:
        """One that the peer accepts."""

    @abc.abstractmethod
    def refused(self, key: str) -> tuple[Command, Refusal]:
        """One that the peer refuses, and how."""

    @abc.abstractmethod
    def personal(self, key: str) -> Personal:
        """One with personal data."""

    def effects(self, key: str) -> int:
        """How often the peer did what the key says."""
        return self.remote.effects[key]

    def inbound(self) -> list[Inbound]:
        """Messages the peer sends by itself."""
        return []

    def add_records(self, count: int) -> None:
        """So many more records at the peer, in the stream of `stream_kind`."""
        raise NotImplementedError

    def same_event(self, one: Event, other: Event) -> bool:
        """Whether two events are the same one told twice."""
        return one == other

    def dispose(self) -> None:  # noqa: B027 - most have nothing to remove
        """The check is over: remove files."""

    def context(self) -> Context:
        """What the core would hand it."""
        return Context(
            "bench", lambda: 1_790_000_000_000_000, lambda e, f: self.logged.append((e, f))
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Adapter[Any]]:
        """An adapter that is open, closed at the end."""
        adapter = self.make_adapter()
        await adapter.open(self.context())
        try:
            yield adapter
        finally:
            async with asyncio.timeout(PATIENCE_S):
                await adapter.close()
