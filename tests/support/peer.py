"""A peer in memory with an adapter to it: does what a script says and counts what happened."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

from adapters.contract import (
    NOT_FOUND,
    Adapter,
    AdapterConfig,
    AdapterInfo,
    Capability,
    CheckResult,
    CheckStatus,
    Command,
    Context,
    Domain,
    Health,
    Money,
    NotFound,
    Outcome,
    Status,
)

Act = Callable[["Peer", Command], Awaitable[Outcome]]


class Peer:
    """State: what was done under which key, and how often."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.outcomes: dict[str, Outcome] = {}
        self.order: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.script: deque[Act | Exception] = deque()
        self.answers: deque[Outcome | NotFound | Exception] = deque()
        self.check = CheckStatus.OK
        self.running = 0
        self.most_running = 0

    def commit(self, command: Command) -> Outcome:
        """Do it once a key, as a good peer does."""
        if command.key not in self.outcomes:
            self.effects[command.key] += 1
            self.order.append(command.key)
            self.outcomes[command.key] = Outcome(Status.DONE, peer_ref=f"ref-{command.key}")
        return self.outcomes[command.key]


async def good(peer: Peer, command: Command) -> Outcome:
    """Done at once."""
    return peer.commit(command)


async def pending(peer: Peer, command: Command) -> Outcome:
    """Taken, and done when somebody asks."""
    peer.commit(command)
    return Outcome(Status.PENDING, retry_after_s=1.0)


async def lost(peer: Peer, command: Command) -> Outcome:
    """Done, and the time is over: as a real deadline would say it, on machines of any speed."""
    peer.commit(command)
    raise TimeoutError


async def late(_peer: Peer, _command: Command) -> Outcome:
    """Not done, and the time is over."""
    raise TimeoutError


async def held(peer: Peer, command: Command) -> Outcome:
    """Done, but no answer ever comes."""
    peer.commit(command)
    await asyncio.Event().wait()
    raise AssertionError


async def silent(_peer: Peer, _command: Command) -> Outcome:
    """Not done, and no answer ever comes."""
    await asyncio.Event().wait()
    raise AssertionError


class NoSettings(AdapterConfig):
    """None."""

    def unique_key(self) -> str:
        return "peer"


class PeerAdapter(Adapter[NoSettings]):
    """Speaks to a Peer of this process."""

    info = AdapterInfo(
        "peer",
        "1",
        Domain.FUNDING,
        frozenset({Capability.CREDIT, Capability.REFUND}),
        max_in_flight=4,
    )
    config_model = NoSettings

    def __init__(self, peer: Peer, info: AdapterInfo | None = None) -> None:
        super().__init__(NoSettings())
        self.peer = peer
        if info is not None:
            self.info = info  # type: ignore[misc]

    async def open(self, context: Context) -> None:
        pass

    async def close(self) -> None:
        pass

    def health(self) -> Health:
        return Health(is_open=True)

    async def check(self) -> CheckResult:
        self.peer.calls.append(("check", ""))
        return CheckResult(self.peer.check)

    async def execute(self, command: Command) -> Outcome:
        self.peer.calls.append(("execute", command.key))
        act = self.peer.script.popleft() if self.peer.script else good
        if isinstance(act, Exception):
            raise act
        self.peer.running += 1
        self.peer.most_running = max(self.peer.most_running, self.peer.running)
        try:
            return await act(self.peer, command)
        finally:
            self.peer.running -= 1

    async def query(self, key: str) -> Outcome | NotFound:
        self.peer.calls.append(("query", key))
        if self.peer.answers:
            answer = self.peer.answers.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        return self.peer.outcomes.get(key, NOT_FOUND)


def credit(key: str, amount_minor: int = 500, **fields: Any) -> Command:
    """A command to test with."""
    return Command(key, Capability.CREDIT, "acc-1", Money(amount_minor, 156), **fields)
